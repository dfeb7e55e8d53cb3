"""The baseline: findings that were there before, so that only new ones fail.

It keys on fingerprint and rule, so it survives reordering, reformatting and renaming. Under which file a
finding was seen is kept for one purpose: to tell which entries a run over that file has shown to be stale.
Only findings with a score go there: accepting a row that was never scored would open the gate.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sqsd_lint.common.strict_json import load_json, read_limited
from sqsd_lint.errors import ConfigError
from sqsd_lint.rules.registry import RULES
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

FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_MAX_BYTES = 256 << 20
_MAX_NAME = 4096
_HINT = "Restore the file, or write it anew with `sqsd-lint baseline create --force`."


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

    Checked by hand rather than with `rules/schemas/baseline.schema.json`, which is as strict: a baseline may
    have many thousand entries, and is read in every run.

    Args:
        source: its name, for messages.
        folder: the absolute folder that it lies in.

    Raises:
        ConfigError: it is damaged, of another version, or accepts what nothing may accept.
    """
    document = load_json(data, source, "a baseline", hint=_HINT)
    table = _table(document, source, "the document")
    for key in table:
        if key not in ("version", "findings"):
            raise _wrong(source, f"unknown key {_shown(key)}")
    for key in ("version", "findings"):
        if key not in table:
            raise _wrong(source, f'missing key "{key}"')
    if type(table["version"]) is not int or table["version"] != VERSION:
        raise _wrong(source, f'"version" is {_shown(table["version"])}, expected {VERSION}')
    acceptable, former = RULES.acceptable, RULES.partial  # what a baseline could accept once
    entries = set()
    for file, rows in _table(table["findings"], source, '"findings"').items():
        if not file or len(file) > _MAX_NAME:
            raise _wrong(source, f'{_shown(file)} under "findings" is no file\'s name')
        for digest, rules in _table(rows, source, f'"findings" / {_shown(file)}').items():
            if not FINGERPRINT.fullmatch(digest):
                raise _wrong(
                    source,
                    f"{_shown(digest)} under {_shown(file)} is no fingerprint, 32 hexadecimal digits",
                )
            if not isinstance(rules, list) or not rules:
                raise _wrong(source, f'"{digest}" is {_shown(rules)}, expected a list of rules')
            for rule in rules:
                if rule not in acceptable and rule not in former:
                    raise _wrong(
                        source,
                        f'"{digest}" accepts {_shown(rule)}, expected one of {", ".join(acceptable)}',
                    )
                entries.add(BaselineEntry(file, digest, rule))
    return Baseline(source, folder, frozenset(entries))


def _table(value: Any, source: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(source, f"{what} is {_shown(value)}, expected an object")
    return value


def _wrong(source: str, message: str) -> ConfigError:
    return ConfigError(f"{source}: not a baseline: {message}", hint=_HINT)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
