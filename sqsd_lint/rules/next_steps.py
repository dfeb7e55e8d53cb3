"""What to do next, for the end of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqsd_lint.rules.findings import rows_text
from sqsd_lint.rules.policy import LEVELS, Policy
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Coverage, Threshold, Unlisted, Violation

_ERROR, _WARNING = LEVELS
# Of several bundles, whose thresholds differ. SQSD102 is also what too few of them find.
_PLACES = {
    _ERROR: "that enough bundles find to be errors",
    _WARNING: "that one or more bundles find risky",
}


def next_steps(
    violations: Iterable[Violation],
    coverage: Coverage,
    policy: Policy,
    *,
    others: Sequence[Policy] = (),
    baseline: bool = False,
    unlisted: Iterable[Unlisted] = (),
) -> tuple[str, ...]:
    """Return concrete next steps for what was found, the most urgent first; none if all is well.

    Args:
        policy, others: of the first bundle, and of the others if there are several.
        baseline: whether the run had a baseline.
        unlisted: findings that are counted, not listed.
    """
    counts = Counter(violation.rule for violation in violations)
    for each in unlisted:
        counts[each.rule] += each.count
    steps: list[str] = []
    if not coverage.complete:
        steps.append(_unscored_step(counts, coverage, policy))
    for code, level in LEVELS.items():
        if counts[code]:
            place = _PLACES[code] if others else f"at or above the {level.value} line"
            steps.append(_read_step(code, place, counts[code]))
            break
    thresholds = [one for each in (policy, *others) if (one := each.error_threshold) is not None]
    if counts[_ERROR] and thresholds:
        accept = f"`sqsd-lint baseline {'update' if baseline else 'create'}`"
        specs = " and ".join(dict.fromkeys(each.spec for each in thresholds))
        steps.append(
            f"Are they harmless? Accept them with {accept}, or one by one with `sqsd-lint suppress`, or move "
            f"the error line, now {specs}: {_how_to_move(thresholds)}."
        )
    steps += [rule.next_step(counts[code]) for code, rule in RULES.items() if rule.next_step and counts[code]]
    return tuple(steps)


def _read_step(code: str, place: str, count: int) -> str:
    step = f"Read the {rows_text(count)} {place} and remove or rewrite the unsafe ones"
    if code == _ERROR:
        step += ", or move them out with `sqsd-lint check --fix`"
    return f"{step}: `sqsd-lint rule {code}`."


def _unscored_step(counts: Counter[str], coverage: Coverage, policy: Policy) -> str:
    missing = coverage.rows - coverage.scored - coverage.screened - coverage.allowed
    lost = [rows_text(missing)] if missing > 0 else []
    if coverage.unreadable_files:
        lost.append(f"{coverage.unreadable_files:,} file{'s' if coverage.unreadable_files > 1 else ''}")
    codes = [code for code in RULES.unscored if counts[code] and code not in policy.allow]
    if not codes:  # --ignore hides the findings, never the gap
        return f"Repair {' and '.join(lost)} without a score; drop --ignore and --select to see where."
    accept = " ".join(f"--allow {code}" for code in codes)
    score = "whole score" if set(codes) & set(RULES.partial) else "score"
    return f"Repair {' and '.join(lost)} without a {score}, or accept the gap by name: {accept}."


def _how_to_move(thresholds: Iterable[Threshold]) -> str:
    if all(each.benign_share is not None for each in thresholds):
        return "`sqsd-lint bundle show` lists lines with the benign and harmful rows above each"
    return "`--threshold` takes a higher score"
