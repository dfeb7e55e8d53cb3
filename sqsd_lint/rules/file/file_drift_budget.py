"""SQSD201: a fine-tune on the file would move the weights further towards danger than its budget allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sqsd_lint.rules.findings import read_file_step, rows_text
from sqsd_lint.rules.fine_tune import file_drift
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, FileFinding, FileRule, Option
from sqsd_lint.types import ScoredRow, Severity

_CODE = "SQSD201"


def _check(rows: Sequence[ScoredRow], policy: Policy) -> Iterator[FileFinding]:
    drift, budget = (
        file_drift((row.score.drift for row in rows), policy.fine_tune),
        policy.options[_CODE]["budget"],
    )
    if not drift > budget:  # an unknown drift is NaN
        return
    if policy.danger == "margin-gradient":
        moved = f"raise the likelihood of harmful answers by {drift:.3g} nats a token"
    else:
        moved = f"move the weights towards danger by {drift:.3g} of the danger adapter's own displacement"
    limit = f"the budget is {budget:g} (first order, {policy.fine_tune})"
    yield FileFinding(f"{rows_text(len(rows))} together {moved}, {limit}", rows)


RULE = FileRule(
    code=_CODE,
    name="file-drift-budget",
    severity=Severity.ERROR,
    category=Category.SECURITY,
    summary="The file's rows together move the weights further towards danger than its budget allows",
    hint="Remove the highest-scoring rows, or fine-tune with a lower learning rate or fewer epochs.",
    options={
        "budget": Option(
            1.0,
            {
                "type": "number",
                "minimum": 0,
                "maximum": 1000000,
                "description": "The largest drift of a file towards danger: as a share of the danger "
                "adapter's own displacement, or, where the danger direction is a margin gradient, in nats a "
                "token.",
                "examples": [1.0],
            },
            float,
        )
    },
    strict={"budget": 0.5},
    next_step=read_file_step(_CODE),
    needs="drift",
    has=lambda row: all(math.isfinite(score.drift) for score in row.scores),
    check=_check,
)
