"""Suppressions: a row's own, and the file of rows that somebody has looked at, each with a reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqsd_lint.common.formats import FieldError, is_a, read_as
from sqsd_lint.common.strict_json import read_limited
from sqsd_lint.errors import ConfigError
from sqsd_lint.rules.baseline import Fingerprint
from sqsd_lint.rules.registry import RULES
from sqsd_lint.samples.inline_suppression import RefusedSuppression, SuppressionFields, accepted_by
from sqsd_lint.types import Suppression, Violation

DEFAULT_SUPPRESSIONS = ".sqsd-lint-suppressions.toml"

_MAX_BYTES = 16 << 20
_FORM = 'ignore = ["SQSD101"]` and `reason = "..."'


class SuppressionTable(SuppressionFields, frozen=True):
    """An entry of the suppressions file.

    Attributes:
        ignore: the rules whose findings about the row are accepted, whole codes.
        reason: why the row stays as it is.
        file: where the row is, relative to this file, with slashes. With it, an entry that is no longer
            needed is reported even when its row is gone.
    """

    file: str = ""


SuppressionsFile = dict[Fingerprint, SuppressionTable]
"""The content of the file: a table per fingerprint."""


@dataclass(frozen=True, slots=True)
class SuppressionEntry:
    """An entry of the file.

    Attributes:
        file: where the row is, relative to the suppressions' folder; "" if the entry names none.
    """

    suppression: Suppression
    file: str = ""


@dataclass(frozen=True, slots=True)
class Suppressions:
    """The entries of a file.

    Attributes:
        source: the file's name, for messages and findings about it.
        folder: the absolute folder that names of data files are relative to.
        entries: by fingerprint.
    """

    source: str
    folder: str
    entries: Mapping[str, SuppressionEntry] = field(default_factory=dict)

    def __contains__(self, violation: Violation) -> bool:
        """Tell whether a finding is suppressed, as it is or graver, in whatever file it is."""
        entry = self.entries.get(violation.fingerprint)
        return entry is not None and is_silenced(violation.rule, entry.suppression.codes)


def is_silenced(rule: str, codes: Collection[str]) -> bool:
    """Tell whether suppressed codes answer a rule's finding: SQSD101 answers SQSD102, too."""
    return rule in codes or RULES.graver_than(rule) in codes


def read_suppressions(path: str) -> Suppressions:
    """Read the suppressions in a file.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    data = read_limited(Path(path), path, _MAX_BYTES)
    return parse_suppressions(data, source=path, folder=os.path.dirname(os.path.abspath(path)))


def parse_suppressions(data: bytes, *, source: str, folder: str) -> Suppressions:
    """Read suppressions from the content of their TOML file: a table per fingerprint.

    Args:
        source: its name, for messages.
        folder: the absolute folder that it lies in.

    Raises:
        ConfigError: a wrong key or value, named with the fingerprint.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise ConfigError(f"{source}: not TOML: {fault}", hint="Correct the file.") from None
    entries: dict[str, SuppressionEntry] = {}
    for digest, value in document.items():
        if not is_a(Fingerprint, digest):
            raise ConfigError(
                f"{source}: {digest[:60]!a} is no fingerprint of 32 hexadecimal digits",
                hint="`sqsd-lint check --verbose` prints the fingerprints of findings.",
            )
        try:
            entries[digest] = _entry(value)
        except FieldError as fault:
            raise ConfigError(f"{source}: [{digest}]: {fault}", hint=f"Write `{_FORM}`.") from None
    return Suppressions(source, folder, entries)


def why_not_suppressible(code: str, known: tuple[str, ...]) -> str:
    """Return why a rule cannot be suppressed, "" if it can.

    Args:
        known: the rules that can be, there.
    """
    if code in known:
        return ""
    if code not in RULES:
        return f"no rule is called {code[:40]!a}"
    if code in RULES.acceptable:
        return f"{code} is about a file as a whole: use per-file-ignores"
    return f"{code} cannot be suppressed: it is about a gap, or about the policy itself"


def inline_fault(suppression: Suppression) -> str:
    """Return what is wrong with a row's own suppression, "" if nothing is."""
    if isinstance(suppression, RefusedSuppression):
        return suppression.fault
    known = RULES.row_findings
    return next(filter(None, (why_not_suppressible(code, known) for code in suppression.codes)), "")


def _entry(value: Any) -> SuppressionEntry:
    fields = read_as(SuppressionTable, value, whole="the entry")
    suppression = accepted_by(fields)
    for code in suppression.codes:
        fault = why_not_suppressible(code, RULES.acceptable)
        if fault:
            raise FieldError(fault)
    return SuppressionEntry(suppression, fields.file)
