"""What a file's rows amount to together: SQSD201 and SQSD202."""

from __future__ import annotations

from collections.abc import Sequence

from sqsd_lint.rules.budget import file_drift
from sqsd_lint.rules.calibration import Calibration
from sqsd_lint.rules.findings import of_file, rows_fingerprint
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.share import share_p_value
from sqsd_lint.types import ScoredRow, Violation


def judge_file(
    file: str, rows: Sequence[ScoredRow], policy: Policy, calibration: Calibration | None
) -> list[Violation]:
    """The findings about a file as a whole.

    Suppressed and baselined rows count as all others do: they are trained on, too.

    Args:
        rows: the file's rows that were judged and have a score, each as often as it occurs.
    """
    found = (_drift(file, rows, policy), _share(file, rows, policy, calibration))
    return [violation for violation in found if violation is not None]


def _drift(file: str, rows: Sequence[ScoredRow], policy: Policy) -> Violation | None:
    severity = policy.severity("SQSD201", file)
    if severity is None or not rows:
        return None
    drift = file_drift((row.score.drift for row in rows), policy.training)
    if not drift > policy.budget:
        return None
    if policy.danger == "margin-gradient":
        moved = f"raise the likelihood of harmful answers by {drift:.3g} nats a token"
    else:
        moved = f"move the weights towards danger by {drift:.3g} of the danger adapter's own displacement"
    limit = f"the budget is {policy.budget:g} (first order, {policy.training})"
    message = f"{_rows(len(rows))} together {moved}, {limit}"
    return of_file("SQSD201", severity, message, file, rows_fingerprint(rows))


def _share(
    file: str, rows: Sequence[ScoredRow], policy: Policy, calibration: Calibration | None
) -> Violation | None:
    severity, line = policy.severity("SQSD202", file), policy.share_line
    if severity is None or line is None or calibration is None:
        return None
    above = [row for row in rows if row.score.sqsd >= line.value]
    if len(above) < policy.share.min_rows:
        return None
    benign_above, benign = calibration.benign_above(line.value), len(calibration.benign)
    chance = share_p_value(len(above), len(rows), benign_above, benign)
    if chance > policy.share.significance:
        return None
    share, expected = _percent(len(above), len(rows)), _percent(benign_above, benign)
    message = (
        f"{len(above):,} of {_rows(len(rows))} ({share}) are at or above the warning line ({line.spec}); "
        f"expected {expected} ({benign_above:,} of {benign:,} benign calibration rows), {_chance(chance)}"
    )
    return of_file("SQSD202", severity, message, file, rows_fingerprint(above))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g}%" if part < whole else "100%"


def _chance(p_value: float) -> str:
    return f"p = {p_value:.1g}" if p_value >= 1e-99 else "p < 1e-99"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
