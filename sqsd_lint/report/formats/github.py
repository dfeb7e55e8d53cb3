"""Workflow commands that GitHub Actions turns into annotations on the changed lines.

GitHub shows ten errors and ten warnings of a step and drops the rest without a word, so the worst ten of
each are annotated and one line counts the others. The lines after that are the verdict and the coverage.

A command is a line `::error file=...,line=...,title=...::message`. The runner takes it apart at `::` and
at commas and equals signs, then undoes the percent escapes, which is what `actions/toolkit` expects, too
(packages/core/src/command.ts).
"""

from __future__ import annotations

from typing import IO

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.report import Options
from sqsd_lint.report.paths import STDIN, Root, find_root
from sqsd_lint.report.ranking import worst_first
from sqsd_lint.report.sentences import (
    answered,
    coverage_line,
    coverage_notes,
    coverage_parts,
    not_scored_line,
    row_text,
    sentence,
    verdict,
)
from sqsd_lint.types import Report, Severity, Violation

# Per step and level: https://github.com/actions/toolkit/blob/main/docs/problem-matchers.md#limitations
MOST = 10
_CELLS = 120
_TOOL = "sqsd-lint"


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Write at most ten commands of each level, what they leave out, the verdict and the coverage."""
    root = find_root()
    lines: list[str] = []
    left: list[str] = []
    ranked = worst_first(report.violations)
    for severity in (Severity.ERROR, Severity.WARNING):
        commands = [_gap(report)] if severity is Severity.ERROR and not report.coverage.complete else []
        found = [violation for violation in ranked if violation.severity is severity]
        room = MOST - len(commands)
        lines += commands + [_annotation(violation, root, options) for violation in found[:room]]
        if found[room:]:
            left.append(numbers.count(len(found[room:]), f"more {severity.value}"))
    if left:
        lines.append(f"{numbers.listing(left).capitalize()}: GitHub shows {MOST} annotations of a level.")
    lines += filter(None, [verdict(report), answered(report)])
    lines.append(", ".join([coverage_line(report), *coverage_parts(report)]))
    lines += [f"note: {note}" for note in coverage_notes(report)]
    stream.writelines(f"{line}\n" for line in lines)


def command(name: str, properties: dict[str, str], message: str) -> str:
    """Return a workflow command; values are escaped for display first, then as the runner undoes it."""
    listed = ",".join(f"{key}={_property(escape(value))}" for key, value in properties.items())
    return f"::{name} {listed}::{_data(escape(message))}"


def _annotation(violation: Violation, root: Root, options: Options) -> str:
    properties = {}
    if violation.where.file != STDIN:
        properties["file"] = root.path(violation.where.file)
        properties["line"] = str(max(violation.where.line, 1))
    properties["title"] = f"{violation.rule} {violation.name}"
    said = row_text(violation, options, _CELLS)
    message = sentence(violation.message) + (f" | {said}" if said else "")
    return command(violation.severity.value, properties, message)


def _gap(report: Report) -> str:
    message = f"{coverage_line(report)}; {not_scored_line(report)}"
    return command(Severity.ERROR.value, {"title": _TOOL}, message)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
