"""Parse the name of one row of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqsd_lint.errors import UsageError
from sqsd_lint.types import Where

FORM = "name a row as FILE:LINE, FILE:LINE#ROW or FILE#FINGERPRINT, as a report shows it"
_FINGERPRINT = re.compile(r"[0-9a-f]{4,32}\Z")
# Longer than any file; int() would refuse a number of thousands of digits with an error of its own.
_LINE = re.compile(r"0*[1-9][0-9]{0,17}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class RowReference:
    """A row that was named.

    Attributes:
        line: on which it starts (its number where a format has no lines); 0 if `fingerprint` names it.
        fingerprint: its first digits.
        element: the row's number, where several begin on the line; 0 if it was not given.
    """

    file: str
    line: int = 0
    fingerprint: str = ""
    element: int = 0

    def __str__(self) -> str:
        if not self.line:
            return f"{self.file}#{self.fingerprint}"
        return str(Where(self.file, self.line, -1, self.element))


def parse_row_reference(text: str) -> RowReference:
    """Parse `FILE:LINE`, `FILE:LINE#ROW` or `FILE#ab12...`; the name may hold colons and hashes itself.

    Raises:
        UsageError: neither of the two.
    """
    file, colon, line = text.rpartition(":")
    if file and colon and _LINE.match(line):
        return RowReference(file, int(line))
    file, hash_, prefix = text.rpartition("#")
    named, colon, line = file.rpartition(":")
    if named and colon and _LINE.match(line) and _LINE.match(prefix):
        return RowReference(named, int(line), element=int(prefix))
    if file and hash_ and _FINGERPRINT.match(prefix.lower()):
        return RowReference(file, fingerprint=prefix.lower())
    raise UsageError(f"{text!r} names no row", hint=FORM)
