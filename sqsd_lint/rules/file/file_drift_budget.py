"""SQSD201: a fine-tune on the file would move the weights further towards danger than its budget allows."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator

from sqsd_lint.rules.findings import read_file_step, rows_text
from sqsd_lint.rules.fine_tune import FileDrift
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.rule import Category, FileFinding, FileRule, Option
from sqsd_lint.types import ScoredRow, Severity

_CODE = "SQSD201"


# Bytes of a file's fingerprints that are held in memory; those of longer files go to the disk.
_HELD = 1 << 20


class _Drift:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._drift = FileDrift(policy.fine_tune)
        self._rows = 0
        self._fingerprints = tempfile.SpooledTemporaryFile(  # noqa: SIM115  # it ends with the check
            _HELD, "w+", encoding="utf-8", errors="surrogatepass", newline="\n"
        )

    def add(self, row: ScoredRow) -> None:
        self._rows += 1
        self._drift.add(row.score.drift)
        self._fingerprints.write(row.fingerprint + "\n")

    def findings(self) -> Iterator[FileFinding]:
        policy, drift, budget = self._policy, self._drift.total(), self._policy.options[_CODE]["budget"]
        if not drift > budget:  # an unknown drift is NaN
            return
        if policy.danger == "margin-gradient":
            moved = f"raise the likelihood of harmful answers by {drift:.3g} nats a token"
        else:
            moved = f"move the weights towards danger by {drift:.3g} of the danger adapter's own displacement"
        limit = f"the budget is {budget:g} (first order, {policy.fine_tune})"
        self._fingerprints.seek(0)
        basis = (line.rstrip("\n") for line in self._fingerprints)
        yield FileFinding(f"{rows_text(self._rows)} together {moved}, {limit}", basis)


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
    check=_Drift,
)
