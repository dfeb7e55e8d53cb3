r"""Markdown for a job summary or a comment: the verdict first, then the worst rows, the coverage, what to do.

GitHub refuses a summary of more than 1 MiB. Every part here has a bound, and together they stay far below.

"Foreign text inside Markdown, so that it stays text.
GitHub's Markdown turns text into links, images, HTML, mentions of people, references to issues and
commits, emoji and formulas, and lets a `|` or a line break end a table's cell. In a code span none of
that happens, so foreign text stands in code spans only. What could end one, a backtick, or a cell, a pipe,
becomes a visible escape, `\x60` and `\x7c`, as control characters do (`report.safe`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import IO

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import excerpt
from sqsd_lint.errors import ExitCode
from sqsd_lint.report import Options
from sqsd_lint.report.grouping import FindingGroup, grouped
from sqsd_lint.report.head import short_digest
from sqsd_lint.report.ranking import worst_first
from sqsd_lint.report.sentences import (
    answered,
    caveat,
    coverage_line,
    coverage_parts,
    is_scored,
    not_scored_line,
    raw_coverage_notes,
    rule_counts,
    validation_line,
    verdict,
)
from sqsd_lint.types import Head, Report, Severity, Threshold, Where

_LONGEST = 600
_NAME = 80
# What no dialect of Markdown reads as anything else: letters with inner hyphens or apostrophes, a few digits
# after them, numbers, and punctuation around them. Seven hexadecimal digits might be a commit.
_PLAIN = re.compile(
    r"""
    (?! [0-9a-f]{7,}\b )
    \(?
    (?: [^\W\d_]+ (?: ['-] [^\W\d_]+ )* | [^\W\d_]+ \d{1,3} | [hpz]? \d+ (?: ,\d{3} )* (?: \.\d+ )? %? )?
    [).,;:?]*
    """,
    re.X,
)
_LIST_NUMBER = re.compile(r"\d+[.)]")


def code(text: str, cells: int = _LONGEST) -> str:
    """Return a code span that shows the start of `text`; empty where there is none."""
    return _span(excerpt(text, cells))


def prose(text: str) -> str:
    """Return a sentence of ours that may quote foreign text: plain words stay, everything else becomes code.

    What stands between two backticks is code as a whole.
    """
    out = []
    # Two code spans side by side would run into one another, so neighbours are one.
    for plain, run in groupby(_pieces(excerpt(text, _LONGEST)), key=lambda piece: piece[0]):
        joined = "".join(part for _, part in run)
        body = joined.strip()
        before, _, after = joined.partition(body) if body else (joined, "", "")
        out.append(joined if plain else f"{before}{_span(body)}{after}")
    return "".join(out)


def words(text: str) -> str:
    """Return a name or a number: as it is where it means nothing in Markdown, else as code."""
    shown = excerpt(text, _NAME)
    return shown if all(map(_is_plain, shown.split())) else _span(shown)


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Pieces of `text` in order, and whether each may stand as it is."""
    # With a backtick too many none of them means anything; of an empty quote nothing is shown, and what is
    # around it is one word.
    quoted = [text] if text.count("`") % 2 else text.replace("``", "").split("`")
    for at, part in enumerate(quoted):
        if at % 2:
            yield False, part
            continue
        for word in re.findall(r"\s+|\S+", part):
            yield _is_plain(word) and not _LIST_NUMBER.fullmatch(word), word


def _is_plain(word: str) -> bool:
    return _PLAIN.fullmatch(word.strip()) is not None


def _span(shown: str) -> str:
    """Return a code span around text that is escaped already."""
    text = shown.replace("`", r"\x60").replace("|", r"\x7c")
    return f"`{text}`" if text.strip() else ""


MOST_ROWS = 50
_MOST_NOTES = 20
_CELLS = 120
_PATH = 160
_MARKS = {Severity.ERROR: "❌", Severity.WARNING: "⚠️"}


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Write the summary; with `statistics` the counts per rule in place of the rows."""
    table = _counts(report) if options.statistics else _worst(report, options)
    steps = _listed([prose(step) for step in report.next_steps])
    said = validation_line(report)
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
    ranked = grouped(worst_first(report.violations))
    if not ranked:
        return []
    heads = ("", "Where", "Rule", "SQSD", "Fingerprint" if options.redact else "Text")
    blocks = [_table(heads, "cllrl", (_row(group, options) for group in ranked[:MOST_ROWS]))]
    if ranked[MOST_ROWS:]:
        more = sum(1 + len(group.rest) for group in ranked[MOST_ROWS:])
        blocks.append(f"and {numbers.count(more, 'more finding')}, none of them worse.")
    return blocks


def _row(group: FindingGroup, options: Options) -> Sequence[str]:
    violation = group.first
    rank = numbers.percentile(violation.percentile)
    sqsd = ""
    if violation.score is not None and is_scored(violation):
        sqsd = f"**{numbers.score(violation.score.risk)}**" + (f" {rank}" if rank else "")
    elif violation.opinions and rank:
        sqsd = f"mean {rank}"
    text = code(violation.fingerprint if options.redact else violation.excerpt, _CELLS)
    said = prose(caveat(violation) if is_scored(violation) else violation.message)
    return (
        _MARKS[violation.severity],
        _place(violation.where),
        f"{words(violation.rule)} {words(violation.name)}",
        sqsd,
        "<br>".join(filter(None, [said, text, prose(group.places)])),
    )


def _place(where: Where) -> str:
    """File and line; of a very long path the end, which tells files apart."""
    file = where.file if len(where.file) <= _PATH else f"…{where.file[-_PATH:]}"
    return code(f"{file}:{where.place}" if where.line else file)


def _counts(report: Report) -> list[str]:
    counts = rule_counts(report)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        (_MARKS[severity], f"{words(rule)} {words(name)}", f"{count:,}")
        for (rule, name, severity), count in ranked[:MOST_ROWS]
    ]
    return [_table(("", "Rule", "Findings"), "clr", rows)] if rows else []


def _coverage(report: Report) -> str:
    line = coverage_line(report)
    parts = [line if report.coverage.complete else f"**{line}**", *coverage_parts(report)]
    notes = [prose(note) for note in raw_coverage_notes(report)]
    missing = not_scored_line(report)
    lines = [" · ".join(parts), missing and prose(missing), prose(answered(report))]
    return "\n\n".join(filter(None, ["### Coverage", *lines, _listed(notes)]))


def _details(head: Head) -> str:
    """Return what two machines must share to report the same findings, folded away."""
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
        *(
            _line(kind, line)
            for kind, line in (("error", head.error_threshold), ("warning", head.warning_threshold))
        ),
    ]


def _line(kind: str, line: Threshold | None) -> str:
    return f"{kind} line: SQSD ≥ {numbers.score(line.value)} ({words(line.spec)})" if line else ""


def _listed(items: Iterable[str]) -> str:
    kept = [item for item in items if item]
    more = [f"and {len(kept) - _MOST_NOTES} more"] if len(kept) > _MOST_NOTES else []
    return "\n".join(f"- {item}" for item in [*kept[:_MOST_NOTES], *more])


def _table(heads: Sequence[str], align: str, rows: Iterable[Sequence[str]]) -> str:
    rules = {"l": ":--", "c": ":-:", "r": "--:"}
    lines = [heads, [rules[each] for each in align], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
