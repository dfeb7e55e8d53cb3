"""The baseline: findings that were there before, so that only new ones fail.

It keys on fingerprint and rule, so it survives reordering, reformatting and renaming. Under which file a
finding was seen is kept for one purpose: to tell which entries a run over that file has shown to be stale.
Only findings with a score go there: accepting a row that was never scored would open the gate.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from sqsd_lint.common.formats import (
    FieldError,
    JsonModel,
    check_version,
    path_text,
    read_as,
    shown,
    text_like,
)
from sqsd_lint.common.strict_json import load_json, read_limited
from sqsd_lint.errors import ConfigError
from sqsd_lint.rules.registry import RULES
from sqsd_lint.samples.inline_suppression import RuleCode
from sqsd_lint.types import Violation


def portable_path(folder: str, file: str) -> str:
    """Return a data file relative to a folder, with slashes; standard input and other drives keep their name.

    Args:
        folder: absolute.
        file: as `Where` names it, relative to the working folder.
    """
    if file.startswith("<"):
        return file
    path = os.path.abspath(file)
    try:
        return os.path.relpath(path, folder).replace(os.sep, "/")
    except ValueError:  # another drive on Windows
        return path.replace(os.sep, "/")


DEFAULT_BASELINE = ".sqsd-lint-baseline.json"
VERSION = 1

Fingerprint = Annotated[
    str, text_like("^[0-9a-f]{32}$", "a fingerprint of 32 hexadecimal digits", max_length=32)
]
_FileName = Annotated[str, Meta(min_length=1, max_length=4096, extra={"expected": "the name of a file"})]
_Codes = Annotated[
    tuple[RuleCode, ...], Meta(min_length=1, extra={"expected": "a list of codes of rules, not empty"})
]
_MAX_BYTES = 256 << 20
_HINT = "Restore the file, or write it anew with `sqsd-lint baseline create --force`."


class BaselineFile(JsonModel, frozen=True):
    """Findings that were there before, so that only new ones fail. Written by `sqsd-lint baseline`.

    Attributes:
        version: of this format.
        findings: by data file, relative to the folder of the baseline, with slashes, and by fingerprint of
            the row, the rules whose findings are accepted; a finding about a file has the fingerprint of the
            rows that it rests on.
    """

    version: Literal[1]
    findings: dict[_FileName, dict[Fingerprint, _Codes]]


class BaselineEntry(NamedTuple):
    """One accepted finding; `file` is relative to the baseline's folder, with slashes."""

    file: str
    fingerprint: str
    rule: str


@dataclass(frozen=True)
class Baseline:
    """Accepted findings.

    Attributes:
        source: the file's name, for messages and findings about it.
        folder: the absolute folder that names of data files are relative to.
        entries: the findings, in any order.
    """

    source: str
    folder: str
    entries: frozenset[BaselineEntry] = frozenset()
    _keys: frozenset[tuple[str, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keys", frozenset((one.fingerprint, one.rule) for one in self.entries))

    def __contains__(self, violation: Violation) -> bool:
        """Tell whether a finding is accepted, as it is or graver, in whatever file it is now."""
        rules = (violation.rule, RULES.graver_than(violation.rule))
        return any((violation.fingerprint, rule) in self._keys for rule in rules)

    def names(self, fingerprint: str, rule: str) -> bool:
        """Tell whether there is an entry of that fingerprint and rule, for whatever file."""
        return (fingerprint, rule) in self._keys

    def entry_of(self, violation: Violation) -> BaselineEntry:
        """Return the entry that would accept a finding."""
        return BaselineEntry(
            portable_path(self.folder, violation.where.file), violation.fingerprint, violation.rule
        )

    def with_findings(self, violations: Iterable[Violation]) -> Baseline:
        """Return a baseline that accepts these findings, too."""
        return Baseline(self.source, self.folder, self.entries | set(map(self.entry_of, violations)))

    def pruned(self, acceptable: Iterable[Violation], stale: Iterable[BaselineEntry]) -> Baseline:
        """Return a baseline without what is gone: stale entries, and those of files that no longer exist.

        Where an accepted finding has come to another file, as when files are renamed or rows moved, an entry
        is made there.

        Args:
            acceptable, stale: as in `RemainingFindings`, of a run over the data.
        """
        kept = self.entries - set(stale) - self._of_missing_files()
        left = Baseline(self.source, self.folder, kept)
        return left.with_findings(v for v in acceptable if v in self and not left._holds_graver(v))

    def _holds_graver(self, violation: Violation) -> bool:
        """Tell whether an entry for the finding's own file accepts a graver one."""
        rule = RULES.graver_than(violation.rule)
        return bool(rule) and self.entry_of(violation)._replace(rule=rule) in self.entries

    def _of_missing_files(self) -> set[BaselineEntry]:
        missing = {
            name
            for name in {entry.file for entry in self.entries}
            if not name.startswith("<") and not os.path.lexists(os.path.join(self.folder, name))
        }
        return {entry for entry in self.entries if entry.file in missing}

    def dump(self) -> bytes:
        """Return the file's content: sorted, a row per line, no times: equal findings give equal bytes."""
        files: dict[str, dict[str, list[str]]] = {}
        for entry in sorted(self.entries):
            files.setdefault(entry.file, {}).setdefault(entry.fingerprint, []).append(entry.rule)
        blocks = [
            f"    {json.dumps(file)}: {{\n"
            + ",\n".join(f'      "{digest}": {json.dumps(rules)}' for digest, rules in rows.items())
            + "\n    }"
            for file, rows in files.items()
        ]
        findings = "{\n" + ",\n".join(blocks) + "\n  }" if blocks else "{}"
        return f'{{\n  "version": {VERSION},\n  "findings": {findings}\n}}\n'.encode("ascii")


def read_baseline(path: str) -> Baseline:
    """Read the baseline in a file.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    data = read_limited(Path(path), path, _MAX_BYTES)
    return parse_baseline(data, source=path, folder=os.path.dirname(os.path.abspath(path)))


def parse_baseline(data: bytes, *, source: str, folder: str) -> Baseline:
    """Read a baseline from the content of its file.

    Args:
        source: its name, for messages.
        folder: the absolute folder that it lies in.

    Raises:
        ConfigError: it is damaged, of another version, or accepts what nothing may accept.
    """
    document = load_json(data, source, "a baseline", hint=_HINT)
    try:
        if isinstance(document, dict) and "version" in document:
            check_version(document, "version", VERSION)
        file = read_as(BaselineFile, document)
        entries = frozenset(_entries(file))
    except FieldError as fault:
        raise ConfigError(f"{source}: not a baseline: {fault}", hint=_HINT) from None
    return Baseline(source, folder, entries)


def _entries(content: BaselineFile) -> Iterator[BaselineEntry]:
    """Yield every entry.

    Raises:
        FieldError: one is of a rule whose findings nothing may accept.
    """
    acceptable, former = RULES.acceptable, RULES.partial  # what a baseline could accept once
    for file, rows in content.findings.items():
        for digest, codes in rows.items():
            for code in codes:
                if code not in acceptable and code not in former:
                    at = path_text("findings", file, digest)
                    raise FieldError(f"{at}: expected one of {', '.join(acceptable)}, got {shown(code)}")
                yield BaselineEntry(file, digest, code)
