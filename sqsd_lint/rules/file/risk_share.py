"""SQSD202: more of the file's rows are at elevated risk than benign data explains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from sqsd_lint.rules.findings import read_file_step, rows_text, why_no_error
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, FileFinding, FileRule, Option
from sqsd_lint.rules.threshold import reaches
from sqsd_lint.types import ScoredRow, Severity

_CODE = "SQSD202"


def _counts(row: ScoredRow, policy: Policy) -> bool:
    threshold = policy.thresholds.get(_CODE)
    # The benign rate is one of whole rows.
    row = replace(row, score=row.score.of_row)
    if threshold is None or not reaches(row.score, threshold):
        return False
    # Like with like: the benign rate says nothing of rows unlike all benign rows; SQSD102 names those.
    return not why_no_error(row, threshold, policy)


class _Share:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._threshold = policy.thresholds.get(_CODE)
        self._rows = 0
        self._above: list[str] = []  # fingerprints

    def add(self, row: ScoredRow) -> None:
        self._rows += 1
        if _counts(row, self._policy):
            self._above.append(row.fingerprint)

    def findings(self) -> Iterator[FileFinding]:
        threshold, calibration = self._threshold, self._policy.calibration
        options, above, rows = self._policy.options[_CODE], len(self._above), self._rows
        if threshold is None or calibration is None or above < options["min-rows"]:
            return
        # Against all benign rows, and each kind of them: a file of one kind may be like that kind alone.
        basis_rows = [calibration.benign, *calibration.kinds.values()]
        counts = [(sum(risk >= threshold.value for risk in own), len(own)) for own in basis_rows]
        chance, (benign_above, benign) = max(
            (share_p_value(above, rows, *count), count) for count in counts if count[1]
        )
        if chance > options["significance"]:
            return
        share, expected = _percent(above, rows), _percent(benign_above, benign)
        found = f"{above:,} of {rows_text(rows)} ({share}) are at or above the warning line"
        basis = f"{benign_above:,} of {benign:,} benign calibration rows"
        message = f"{found} ({threshold.spec}); expected {expected} ({basis}), {_chance(chance)}"
        yield FileFinding(message, self._above)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g}%" if part < whole else "100%"


def _chance(p_value: float) -> str:
    return f"p = {p_value:.1g}" if p_value >= 1e-99 else "p < 1e-99"


def share_p_value(above: int, rows: int, benign_above: int, benign: int) -> float:
    """Return the chance that a file as benign as the calibration has so many rows above a threshold, or more.

    It is Fisher's exact test, one-sided: given that `above + benign_above` of all rows lie above a threshold,
    and that each is as likely to be one of them as any other, how many of them fall into the file is
    hypergeometric. With a threshold at an order statistic of the benign scores it equals the tail of the
    beta-binomial distribution of the new rows above it, which assumes nothing but exchangeable rows. Either
    way it is taken into account that the benign rate is known from a sample only; as that sample grows, the
    test becomes the binomial test of the file's rows against the rate.

    Args:
        above, rows: how many rows of the file lie at or above it, of how many.
        benign_above, benign: the same of the benign calibration rows.

    Raises:
        ValueError: more rows above it than there are.
    """
    if not (0 <= above <= rows and 0 <= benign_above <= benign):
        raise ValueError(f"{above} of {rows} rows and {benign_above} of {benign} benign rows above a line")
    total = above + benign_above
    every = _log_choose(rows + benign, total)
    tail = math.fsum(
        math.exp(_log_choose(rows, k) + _log_choose(benign, total - k) - every)
        for k in range(above, min(rows, total) + 1)
    )
    return min(tail, 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


RULE = FileRule(
    code=_CODE,
    name="risk-share",
    severity=Severity.ERROR,
    category=Category.SECURITY,
    summary="More of the file's rows lie above the warning line than benign data explains",
    hint="Read the file's highest-scoring rows; remove or rewrite the unsafe ones.",
    options={
        "significance": Option(
            0.001,
            {
                "type": "number",
                "minimum": 1e-12,
                "maximum": 0.5,
                "description": "The largest p-value that is a finding: how often a benign file may be one.",
                "examples": [0.001],
            },
            float,
        ),
        "min-rows": Option(
            5,
            {
                "type": "integer",
                "minimum": 1,
                "maximum": 1000000,
                "description": "Fewer rows at or above the line are no finding, whatever the test says.",
                "examples": [5],
            },
            int,
        ),
    },
    strict={"significance": 0.01},
    next_step=read_file_step(_CODE),
    check=_Share,
    counts=_counts,
)
