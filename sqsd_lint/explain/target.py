"""Parse the name of one row of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqsd_lint.errors import UsageError

FORM = "name a row as FILE:LINE or FILE#FINGERPRINT, as a report shows it"
_FINGERPRINT = re.compile(r"[0-9a-f]{4,32}\Z")
# Longer than any file; int() would refuse a number of thousands of digits with an error of its own.
_LINE = re.compile(r"0*[1-9][0-9]{0,17}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """A row that was named.

    Attributes:
        line: on which it starts (its number where a format has no lines); 0 if `fingerprint` names it.
        fingerprint: its first digits.
    """

    file: str
    line: int = 0
    fingerprint: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else f"{self.file}#{self.fingerprint}"


def parse_target(text: str) -> Target:
    """Parse `FILE:LINE` or `FILE#ab12...`; the file's name may hold colons and hashes itself.

    Raises:
        UsageError: neither of the two.
    """
    file, colon, line = text.rpartition(":")
    if file and colon and _LINE.match(line):
        return Target(file, int(line))
    file, hash_, prefix = text.rpartition("#")
    if file and hash_ and _FINGERPRINT.match(prefix.lower()):
        return Target(file, fingerprint=prefix.lower())
    raise UsageError(f"{text!r} names no row", hint=FORM)
