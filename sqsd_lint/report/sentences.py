"""The sentences that every report ends with: verdict, coverage, what answered a finding, what was tried.

Plain text; each format sets it in its own way. File names and notes are escaped (`report.safe`).

How one finding is put into a line, for the formats that have only a line for it.
"""

from __future__ import annotations

from collections import Counter

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape, excerpt
from sqsd_lint.errors import ExitCode
from sqsd_lint.report import Options
from sqsd_lint.rules.findings import CAVEAT, score_name
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import Scope
from sqsd_lint.types import Opinion, Report, Severity, Violation

_LONGEST = 600


def is_scored(violation: Violation) -> bool:
    """Whether the finding is the row's score itself."""
    return violation.score is not None and RULES.is_row_risk(violation.rule)


def caveat(violation: Violation) -> str:
    """Return what a message says beside the score, unescaped (`a part alone is no error`); "" if nothing."""
    return violation.message.partition(CAVEAT)[2] if is_scored(violation) else ""


def score_text(violation: Violation) -> str:
    """`11.84 (p99.98)`: the score and, where there is a calibration, its place among benign rows."""
    if violation.score is None:
        return ""
    rank = numbers.percentile(violation.percentile)
    return numbers.score(violation.score.risk) + (f" ({rank})" if rank else "")


def named_score(violation: Violation) -> str:
    """`SQSD 11.84 (p99.98)`, or `risk ...` where the bundle compares more than SQSD with its thresholds."""
    name = score_name(violation.score) if violation.score else ""
    return f"{name} {score_text(violation)}".strip()


def opinion_text(opinion: Opinion) -> str:
    """`qwen3-8b p99.98`: what one of several bundles says; without a calibration, the score itself."""
    place = (
        numbers.percentile(opinion.percentile)
        or f"{score_name(opinion.score)} {numbers.score(opinion.score.risk)}"
    )
    return f"{escape(opinion.bundle)} {place}"


def row_text(violation: Violation, options: Options, cells: int) -> str:
    """Return the start of the row's text, escaped, or under `--redact` its fingerprint; "" without one."""
    if options.redact:
        return f"fingerprint {escape(violation.fingerprint)}" if violation.fingerprint else ""
    return excerpt(violation.excerpt, cells)


def sentence(text: str) -> str:
    """Escapes a message, cuts one that has no end, and sets a full stop."""
    shown = excerpt(text, _LONGEST)
    return shown if shown.endswith((".", "!", "?", "…")) else f"{shown}."


def rule_counts(report: Report) -> Counter[tuple[str, str, Severity]]:
    """How many findings there are, those included that are not listed, by rule, its name and severity."""
    counts = Counter((v.rule, v.name, v.severity) for v in report.violations)
    for each in report.unlisted:
        counts[each.rule, each.name, each.severity] += each.count
    return counts


def counts_by_severity(report: Report) -> Counter[Severity]:
    """How many findings there are, those included that are not listed."""
    counts: Counter[Severity] = Counter()
    for (_, _, severity), count in rule_counts(report).items():
        counts[severity] += count
    return counts


def files_with_findings(report: Report) -> set[str]:
    """Return the files with a finding, be it listed or not."""
    return {v.where.file for v in report.violations} | {each.file for each in report.unlisted}


def severity_counts(report: Report) -> list[tuple[Severity, str]]:
    """`3 errors` and `2 warnings`, those that there are."""
    counts = counts_by_severity(report)
    return [
        (severity, numbers.count(counts[severity], severity.value))
        for severity in (Severity.ERROR, Severity.WARNING)
        if counts[severity]
    ]


def in_files(report: Report) -> str:
    """`in 2 of 4 files`: how many of the files that were read have a finding."""
    coverage = report.coverage
    files = len(files_with_findings(report))
    of_all = f" of {coverage.files}" if coverage.files > files else ""
    return f"in {files}{of_all} {numbers.plural(coverage.files if of_all else files, 'file')}"


def is_clear(report: Report) -> bool:
    """Whether every row was scored or accepted and nothing was found."""
    return not report.violations and report.coverage.complete and report.exit_code == ExitCode.OK


def verdict(report: Report) -> str:
    """`Found 3 errors and 2 warnings in 2 files.`, or that nothing was found and what that means."""
    coverage = report.coverage
    if report.violations:
        counts = " and ".join(text for _, text in severity_counts(report))
        return f"Found {counts} {in_files(report)}."
    if not is_clear(report):
        return "No violations, but not every row was scored."
    if coverage.rows == 0 and coverage.unchanged:
        return f"Nothing to judge: {numbers.count(coverage.unchanged, 'row')}, none of them new."
    if coverage.rows == 0:
        return "Nothing to do: no rows found."
    return f"All clear: no violations in {numbers.count(coverage.files, 'file')}."


def coverage_line(report: Report) -> str:
    """`scored N of N rows`, with plain numbers: gates search for it."""
    return f"scored {report.coverage.scored} of {report.coverage.rows} rows"


def coverage_parts(report: Report) -> list[str]:
    """Return what belongs beside the coverage line: where scores came from, what was left out knowingly."""
    coverage = report.coverage
    parts = [f"{coverage.cached} from cache"] if coverage.cached else []
    if coverage.screened:
        parts.append(f"{coverage.screened:,} screened")
    if coverage.allowed:
        parts.append(f"{coverage.allowed} allowed without a score")
    if coverage.unchanged:
        parts.append(f"{numbers.count(coverage.unchanged, 'unchanged row')} not judged")
    return parts


def coverage_notes(report: Report) -> list[str]:
    """Return what was left out for another reason, in words."""
    return [escape(note) for note in raw_coverage_notes(report)]


def raw_coverage_notes(report: Report) -> list[str]:
    """Return the same as they are, for formats with an escape of their own."""
    unlisted = sum(each.count for each in report.unlisted)
    more = [f"{unlisted:,} further findings are counted, not listed"] if unlisted else []
    return [*more, *report.coverage.notes]


def not_read_line(report: Report) -> str:
    """Return how many paths were passed by, as a quiet report says it; empty where there are none."""
    count = report.coverage.not_read
    if not count:
        return ""
    paths = f"{numbers.count(count, 'path')} that may hold rows {'was' if count == 1 else 'were'} not read"
    return f"{paths} (without --quiet the report names {'it' if count == 1 else 'them'})"


def not_scored(report: Report) -> list[str]:
    """Return the reasons why rows or files have no score, with counts."""
    coverage = report.coverage
    of_rows, of_files = (RULES.of_scope(scope, unscored=True) for scope in (Scope.ROW, Scope.FILE))
    names = {key[:2]: count for key, count in rule_counts(report).items() if key[0] in of_rows}
    reasons = [f"{count} {escape(name)} ({escape(rule)})" for (rule, name), count in sorted(names.items())]
    silent = coverage.rows - coverage.scored - coverage.screened - sum(names.values())
    if silent > 0:
        reasons.append(f"{numbers.count(silent, 'row')} that no selected rule reports")
    if coverage.unreadable_files:
        unreadable = numbers.count(coverage.unreadable_files, "unreadable file")
        reasons.append(f"{unreadable} ({', '.join(of_files)})")
    return reasons


def not_scored_line(report: Report) -> str:
    """`not scored: 1 malformed-row (SQSD303) and 1 unreadable file (SQSD304)`; empty where all is scored."""
    reasons = not_scored(report)
    return f"not scored: {numbers.listing(reasons)}" if reasons else ""


def answered(report: Report) -> str:
    """`3 findings are in the baseline, 1 is suppressed`; empty when there are none."""
    parts = []
    if report.baselined:
        parts.append(f"{report.baselined:,} {_are(report.baselined)} in the baseline")
    if report.suppressed:
        parts.append(f"{report.suppressed:,} {_are(report.suppressed)} suppressed")
    return f"Known findings: {numbers.listing(parts)}." if parts else ""


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def validation_line(report: Report) -> str:
    """Return what training on rows like those found did when it was tried; empty where that is not known.

    Rows like those found: the window whose scores lie nearest to the middle one of SQSD101's and SQSD102's.
    """
    validation = report.head.validation
    scores = sorted(v.score.risk for v in report.violations if v.score and is_scored(v))
    if validation is None or not scores:
        return ""
    middle = scores[len(scores) // 2]
    top, bottom = validation.windows[0], validation.windows[-1]
    nearest = min(validation.windows, key=lambda w: max(w.compared[0] - middle, middle - w.compared[1], 0.0))
    end, other = ("top", top) if nearest is bottom else ("bottom", bottom)
    cost, less = (numbers.share(window.attack_success) for window in (nearest, other))
    random = ""
    if validation.random is not None:
        low, high = map(numbers.share, validation.random_range or (validation.random,) * 2)
        random = f"{low} to {high} after random rows, " if low != high else f"{low} after random rows, "
    line = report.head.error_threshold
    below = ", none of them an error" if line and nearest.compared[1] < line.value else ""
    dose = f"{numbers.count(validation.steps, 'step')} of {validation.batch_size}"
    rows = f"{numbers.count(validation.size, 'row')} at {numbers.places(nearest.percentiles)}{below}"
    return (
        f"training on {rows} ({dose}) made the model answer {cost} of {validation.prompts} harmful prompts; "
        f"{random}{less} after the {end} window, {numbers.share(validation.before)} before "
        f"(judge: {validation.judge})"
    )
