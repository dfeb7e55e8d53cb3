"""`suppress`: accept what is found in one row, with a reason, by its content."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqsd_lint.common.atomic import write_whole
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.explain.row_reference import RowReference
from sqsd_lint.rules import (
    DEFAULT_SUPPRESSIONS,
    BundleScores,
    Suppressions,
    evaluate,
    load_pack,
    read_suppressions,
)
from sqsd_lint.rules.baseline import portable_path
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.suppression_edit import merged, with_entry
from sqsd_lint.rules.suppressions import is_silenced, why_not_suppressible
from sqsd_lint.run.explain import find_sample
from sqsd_lint.run.panel import Panel
from sqsd_lint.run.parts import with_parts
from sqsd_lint.types import Sample, Violation


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What was done.

    Attributes:
        where: the row. source: the file of suppressions.
        codes: the rules that are silenced for the row now.
        found: what was found in it; empty where the rules were named.
        changed: whether the file was written.
    """

    where: str
    source: str
    codes: tuple[str, ...]
    found: tuple[Violation, ...]
    changed: bool


def suppress(
    target: RowReference,
    reason: str,
    settings: Settings,
    *,
    rules: Sequence[str] = (),
    progress: Progress | None = None,
) -> Suppressed:
    """Add a row to the file of suppressions.

    Args:
        reason: why its findings are accepted.
        rules: those to silence; if none is named, those that find something in the row now, for which it is
            scored.

    Raises:
        UsageError: no such row, nothing is found in it, a rule that cannot be suppressed, or no reason.
        SqsdLintError: the row cannot be scored, or the file of suppressions is damaged.
    """
    reason = reason.strip()
    if not reason:
        raise UsageError("--reason: it is empty", hint='Say why, such as --reason "a quotation, reviewed".')
    for code in rules:
        if fault := why_not_suppressible(code, RULES.row_findings):
            raise UsageError(f"--rule: {fault}", hint=f"There is {', '.join(RULES.row_findings)}.")
    source = settings.suppressions or DEFAULT_SUPPRESSIONS
    old = _read(source)
    sample = find_sample(target, settings)
    found = () if rules else tuple(_findings(sample, settings, progress))
    codes = tuple(dict.fromkeys(rules or (violation.rule for violation in found)))
    if not codes:
        raise UsageError(
            f"{target}: nothing is found in this row, so that there is nothing to suppress",
            hint="Name a rule to silence it all the same: --rule SQSD101.",
        )
    entry = old.entries.get(sample.fingerprint)
    known = entry.suppression.codes if entry else ()
    new = [code for code in codes if not is_silenced(code, known)]
    changed = entry is None or bool(new) or entry.suppression.reason != reason
    if changed:
        entry = merged(entry, tuple(new), reason, portable_path(old.folder, target.file))
        path = Path(os.path.realpath(source))
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        write_whole(path, with_entry(text, sample.fingerprint, entry, old))
    assert entry is not None
    return Suppressed(str(sample.where), source, entry.suppression.codes, found, changed)


def _read(source: str) -> Suppressions:
    """Return the suppressions that are there; none where the file is not.

    Raises:
        ConfigError: the file is damaged.
        UsageError: its folder does not exist.
    """
    folder = os.path.dirname(os.path.abspath(source))
    if not os.path.isdir(folder):
        raise UsageError(f"{source}: there is no folder {folder}", hint="Make it first.")
    return read_suppressions(source) if os.path.lexists(source) else Suppressions(source, folder)


def _findings(sample: Sample, settings: Settings, progress: Progress | None) -> list[Violation]:
    """Return what a check would find in a row, of what can be suppressed for it."""
    panel = Panel(with_parts(settings), progress)
    policies = panel.policies(load_pack(settings.rules))
    settled = panel.settle(panel.score([sample], policies))
    scores = [
        BundleScores(name, policy, items)
        for name, policy, items in zip(panel.runs, policies, settled, strict=True)
    ]
    evaluation = evaluate(scores, settings.consensus, files=[sample.where.file])
    return [violation for violation in evaluation.found if violation.rule in RULES.row_findings]
