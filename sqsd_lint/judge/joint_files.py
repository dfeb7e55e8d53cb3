"""What several bundles find in a file as a whole: SQSD201 and SQSD202."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqsd_lint.judge.catalogue import FILE_RULES
from sqsd_lint.judge.files import judge_file
from sqsd_lint.judge.findings import joint_fingerprint
from sqsd_lint.judge.heard import Voice
from sqsd_lint.judge.policy import Policy
from sqsd_lint.judge.scorable import why_unscorable
from sqsd_lint.judge.vote import quorum
from sqsd_lint.types import ConsensusRule, ScoredRow, Severity, Violation


def judge_files_together(voices: Sequence[Voice], policy: Policy, rule: ConsensusRule) -> Iterable[Violation]:
    """A file's findings, as grave as the policy has them where enough bundles share them, else warnings.

    A bundle that cannot judge a file by a rule has no vote: one without the calibration that SQSD202 needs,
    one whose scores tell no drift.

    Args:
        policy: that all voices have but for their lines.
    """
    by_file: dict[str, list[_Judged]] = {}
    for voice in voices:
        for file, rows in _by_file(voice.rows).items():
            found = {each.rule: each for each in judge_file(file, rows, voice.policy, voice.calibration)}
            by_file.setdefault(file, []).append(_Judged(voice, rows, found))
    for file, judged in by_file.items():
        for code in FILE_RULES:
            voters = [each for each in judged if each.votes_on(code, file)]
            found = {each.voice.name: each.found[code] for each in voters if code in each.found}
            if found:
                carried = len(found) >= quorum(rule, len(voters))
                yield _finding(found, len(voices), policy.severity(code, file) if carried else None)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One bundle's judgement of a file; `found` is by rule."""

    voice: Voice
    rows: Sequence[ScoredRow]
    found: Mapping[str, Violation]

    def votes_on(self, code: str, file: str) -> bool:
        if self.voice.policy.severity(code, file) is None:
            return False
        return code != "SQSD201" or all(math.isfinite(row.score.drift) for row in self.rows)


def _finding(found: Mapping[str, Violation], bundles: int, severity: Severity | None) -> Violation:
    """One finding of those that bundles have; without a severity, too few have it."""
    said = "; ".join(f"{name}: {each.message}" for name, each in found.items())
    few = "only " if severity is None else ""
    return replace(
        next(iter(found.values())),
        severity=severity or Severity.WARNING,
        message=f"{few}{len(found)} of {bundles} bundles: {said}",
        fingerprint=joint_fingerprint(each.fingerprint for each in found.values()),
    )


def _by_file(rows: Iterable[ScoredRow]) -> dict[str, list[ScoredRow]]:
    """The rows that have a score, by their file."""
    files: dict[str, list[ScoredRow]] = {}
    for row in rows:
        if not why_unscorable(row.score):
            files.setdefault(row.where.file, []).append(row)
    return files
