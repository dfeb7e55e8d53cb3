"""What to do next, for the end of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.registry import FILE_RULES, UNSCORED_RULES
from sqsd_lint.rules.suppressions import DEFAULT_SUPPRESSIONS
from sqsd_lint.types import Coverage, Line, Violation

# Of several bundles, whose lines differ. SQSD102 is also what too few of them find.
_PLACES = {
    "SQSD101": "that enough bundles find to be errors",
    "SQSD102": "that one or more bundles find risky",
}


def next_steps(
    violations: Iterable[Violation],
    coverage: Coverage,
    policy: Policy,
    *,
    others: Sequence[Policy] = (),
    baseline: bool = False,
) -> tuple[str, ...]:
    """Concrete next steps for what was found, the most urgent first; none if all is well.

    Args:
        policy, others: of the first bundle, and of the others if there are several.
        baseline: whether the run had a baseline.
    """
    counts = Counter(violation.rule for violation in violations)
    steps: list[str] = []
    if not coverage.complete:
        steps.append(_unscored_step(counts, coverage, policy))
    for code, kind in (("SQSD101", "error"), ("SQSD102", "warning")):
        if counts[code]:
            place = _PLACES[code] if others else f"at or above the {kind} line"
            steps.append(_read_step(code, place, counts[code]))
            break
    lines = [line for each in (policy, *others) if (line := each.error_line) is not None]
    if counts["SQSD101"] and lines:
        accept = f"`sqsd-lint baseline {'update' if baseline else 'create'}`"
        steps.append(
            f"Are they harmless? Accept them with {accept}, or one by one in {DEFAULT_SUPPRESSIONS}, or move "
            f"the error line, now {' and '.join(dict.fromkeys(line.spec for line in lines))}: {_how(lines)}."
        )
    for code in FILE_RULES:
        if counts[code]:
            files = f"{counts[code]:,} file{'' if counts[code] == 1 else 's'}"
            steps.append(f"Read the highest-scoring rows of {files}: `sqsd-lint rule {code}`.")
    if counts["SQSD302"]:
        steps.append(f"Score {_rows(counts['SQSD302'])} whole: raise --max-length.")
    if counts["SQSD402"]:
        steps.append("Drop what the baseline no longer needs: `sqsd-lint baseline prune`.")
    return tuple(steps)


def _read_step(code: str, place: str, count: int) -> str:
    step = f"Read the {_rows(count)} {place} and remove or rewrite the unsafe ones"
    if code == "SQSD101":
        step += ", or move them out with `sqsd-lint check --fix`"
    return f"{step}: `sqsd-lint rule {code}`."


def _unscored_step(counts: Counter[str], coverage: Coverage, policy: Policy) -> str:
    missing = coverage.rows - coverage.scored - coverage.allowed
    lost = [_rows(missing)] if missing > 0 else []
    if coverage.unreadable_files:
        lost.append(f"{coverage.unreadable_files:,} file{'s' if coverage.unreadable_files > 1 else ''}")
    codes = [code for code in UNSCORED_RULES if counts[code] and code not in policy.allow]
    if not codes:  # --ignore hides the findings, never the gap
        return f"Repair {' and '.join(lost)} without a score; drop --ignore and --select to see where."
    accept = " ".join(f"--allow {code}" for code in codes)
    return f"Repair {' and '.join(lost)} without a score, or accept the gap by name: {accept}."


def _how(lines: Iterable[Line]) -> str:
    if all(line.benign_share is not None for line in lines):
        return "`sqsd-lint bundle show` lists lines with the benign and harmful rows above each"
    return "`--threshold` takes a higher score"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
