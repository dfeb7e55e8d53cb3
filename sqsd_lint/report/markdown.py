"""Markdown for a job summary or a comment: the verdict first, then the worst rows, the coverage, what to do.

GitHub refuses a summary of more than 1 MiB. Every part here has a bound, and together they stay far below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import IO

from sqsd_lint.errors import ExitCode
from sqsd_lint.report import Options, numbers
from sqsd_lint.report.head import short_digest
from sqsd_lint.report.markdown_text import code, prose, words
from sqsd_lint.report.phrases import is_scored
from sqsd_lint.report.ranking import worst_first
from sqsd_lint.report.summary import (
    answered,
    coverage_line,
    coverage_parts,
    not_scored_line,
    tried,
    verdict,
)
from sqsd_lint.types import Head, Line, Report, Severity, Violation, Where

MOST_ROWS = 50
_MOST_NOTES = 20
_CELLS = 120
_PATH = 160
_MARKS = {Severity.ERROR: "❌", Severity.WARNING: "⚠️"}


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Writes the summary; with `statistics` the counts per rule in place of the rows."""
    table = _counts(report) if options.statistics else _worst(report, options)
    steps = _listed([prose(step) for step in report.next_steps])
    said = tried(report)
    blocks = [
        f"## {_mark(report)} sqsd-lint: {prose(verdict(report))}",
        *table,
        _coverage(report),
        said and f"**Tried:** {prose(said)}.",
        steps and f"### Next\n\n{steps}",
        _details(report.head),
    ]
    stream.write("\n\n".join(block for block in blocks if block) + "\n")


def _mark(report: Report) -> str:
    if report.exit_code != ExitCode.OK:
        return _MARKS[Severity.ERROR]
    return _MARKS[Severity.WARNING] if report.violations else "✅"


def _worst(report: Report, options: Options) -> list[str]:
    ranked = worst_first(report.violations)
    if not ranked:
        return []
    heads = ("", "Where", "Rule", "SQSD", "Fingerprint" if options.redact else "Text")
    blocks = [_table(heads, "cllrl", (_row(violation, options) for violation in ranked[:MOST_ROWS]))]
    if ranked[MOST_ROWS:]:
        blocks.append(f"and {numbers.count(len(ranked[MOST_ROWS:]), 'more finding')}, none of them worse.")
    return blocks


def _row(violation: Violation, options: Options) -> Sequence[str]:
    rank = numbers.percentile(violation.percentile)
    sqsd = ""
    if violation.score is not None and is_scored(violation):
        sqsd = f"**{numbers.score(violation.score.sqsd)}**" + (f" {rank}" if rank else "")
    elif violation.opinions and rank:
        sqsd = f"mean {rank}"
    text = code(violation.fingerprint if options.redact else violation.excerpt, _CELLS)
    said = "" if is_scored(violation) else prose(violation.message)
    return (
        _MARKS[violation.severity],
        _place(violation.where),
        f"{words(violation.rule)} {words(violation.name)}",
        sqsd,
        "<br>".join(filter(None, [said, text])),
    )


def _place(where: Where) -> str:
    """File and line; of a very long path the end, which tells files apart."""
    file = where.file if len(where.file) <= _PATH else f"…{where.file[-_PATH:]}"
    return code(f"{file}:{where.line}" if where.line else file)


def _counts(report: Report) -> list[str]:
    counts = Counter((v.rule, v.name, v.severity) for v in report.violations)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        (_MARKS[severity], f"{words(rule)} {words(name)}", f"{count:,}")
        for (rule, name, severity), count in ranked[:MOST_ROWS]
    ]
    return [_table(("", "Rule", "Findings"), "clr", rows)] if rows else []


def _coverage(report: Report) -> str:
    line = coverage_line(report)
    parts = [line if report.coverage.complete else f"**{line}**", *coverage_parts(report)]
    notes = [prose(note) for note in report.coverage.notes]
    missing = not_scored_line(report)
    lines = [" · ".join(parts), missing and prose(missing), prose(answered(report))]
    return "\n\n".join(filter(None, ["### Coverage", *lines, _listed(notes)]))


def _details(head: Head) -> str:
    """What two machines must share to report the same findings, folded away."""
    lines = _facts(head)
    if head.bundles:  # one item each, however many there are
        lines = [", ".join(filter(None, _facts(each))) for each in head.bundles]
    lines += [f"note: {prose(note)}" for note in head.notes]
    return f"<details><summary>How the rows were scored</summary>\n\n{_listed(lines)}\n\n</details>"


def _facts(head: Head) -> list[str]:
    return [
        f"model {code(head.base_model, _PATH)}",
        f"bundle {code(f'{head.bundle_id}@{short_digest(head.bundle_digest)}', _PATH)}",
        f"{words(head.metric)}, {words(head.expansion)} expansion",
        f"{words(head.dtype)} on {words(head.device)}",
        *(_line(kind, line) for kind, line in (("error", head.error_line), ("warning", head.warning_line))),
    ]


def _line(kind: str, line: Line | None) -> str:
    return f"{kind} line: SQSD ≥ {numbers.score(line.value)} ({words(line.spec)})" if line else ""


def _listed(items: Iterable[str]) -> str:
    kept = [item for item in items if item]
    more = [f"and {len(kept) - _MOST_NOTES} more"] if len(kept) > _MOST_NOTES else []
    return "\n".join(f"- {item}" for item in [*kept[:_MOST_NOTES], *more])


def _table(heads: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> str:
    rules = {"l": ":--", "c": ":-:", "r": "--:"}
    lines = [heads, [rules[each] for each in align], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
