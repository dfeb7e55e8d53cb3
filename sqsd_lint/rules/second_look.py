"""Which rows near a line are scored again in exact mode: those whose verdict can depend on the answer.

A score of a fast mode near a line may lie on the other side of it than the exact one (`threshold.is_near`).
That matters only where the two sides differ in something that a report tells.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

from sqsd_lint.rules.accepted import Accepted
from sqsd_lint.rules.findings import CAVEAT, why_unscorable
from sqsd_lint.rules.judge import judge_row
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.threshold import is_near
from sqsd_lint.types import ScoredRow, Violation

# By its loss a row may be unlike the benign reference rows, and an exact one may decide otherwise: beside the
# loss as it is, one that is like theirs (an unknown one counts as such), and one that is not.
_OTHER_LOSSES = (math.nan, sys.float_info.max)


@dataclass(frozen=True, slots=True)
class SecondLook:
    """Tells of a row near a line whether its exact score can change a verdict.

    It cannot where all of this is the same on either side of every line within the tolerance: the rules that
    find something in the row and how grave that is, whether that is accepted and by what, whether what
    accepts findings about the row is still needed, and whether the rules about files count the row (SQSD202).
    Rules that are off, or left out for the file, find and count nothing. SQSD201 sums drifts, which no line
    cuts.

    A row that is judged by a part or a window of its answers, and one that has no score or a bound alone, is
    scored again in any case: exact mode may judge it by something else.

    Attributes:
        accepted: what a report leaves out; None where findings that were accepted before are looked at, too.
    """

    policy: Policy
    accepted: Accepted | None = None

    def decides(self, row: ScoredRow, tolerance: float) -> bool:
        """Tell whether an exact score within the tolerance of a row's own can change a verdict."""
        score = row.score
        if score.window or score.whole or score.bound is not None or why_unscorable(score):
            return True
        first, *others = (self._verdict(each) for each in self._variants(row, tolerance))
        return any(other != first for other in others)

    def _variants(self, row: ScoredRow, tolerance: float) -> Iterator[ScoredRow]:
        """Yield the row as exact mode may find it: on each side of the lines near it, whatever its loss."""
        risks = {row.score.risk}
        for line in self.policy.distinct_thresholds:
            if is_near(row.score, (line,), tolerance):
                risks |= {line.value, math.nextafter(line.value, -math.inf)}
        for loss in (row.score.loss, *_OTHER_LOSSES):
            for risk in risks:
                yield replace(row, score=replace(row.score, risk=risk, loss=loss))

    def _verdict(self, row: ScoredRow) -> Hashable:
        """Return all that follows from a row, apart from figures in words."""
        found = judge_row(row, self.policy)
        codes = {violation.rule for violation in found}
        needed = [code for code in self._accepting(row) if codes & {code, *RULES.lighter_than(code)}]
        counted = [
            rule.code
            for rule in RULES.file_rules
            if self.policy.severity(rule.code, row.where.file)
            and rule.counts
            and rule.counts(row, self.policy)
        ]
        return tuple(sorted(self._report(each, row) for each in found)), tuple(needed), tuple(counted)

    def _report(self, violation: Violation, row: ScoredRow) -> tuple[str, ...]:
        """Return how a finding is reported: counted as accepted, or shown."""
        if self.accepted and (how := self.accepted.answer_to(violation, row)):
            return (how,)
        return violation.rule, violation.severity.value, "qualified" if CAVEAT in violation.message else ""

    def _accepting(self, row: ScoredRow) -> list[str]:
        """Return the rules whose findings in the row something accepts, needed or not."""
        return [code for code in RULES if self.accepted and self.accepted.names(row, code)]
