"""`check --fix` and `--diff`: what they refuse, say and leave."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqsd_lint.cli.output import Target
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Report, Severity

if TYPE_CHECKING:
    from sqsd_lint.config import Settings
    from sqsd_lint.quarantine import Plan

_FOR_PEOPLE = ("text", "concise")


def refuse(settings: Settings, reports: Sequence[Target], *, diff: bool) -> None:
    """Refuses what cannot be fixed before a long run rather than after it.

    Raises:
        UsageError: standard input, rows of a commit, or a diff in the middle of a report for programs.
    """
    from sqsd_lint.quarantine import refuse_stdin

    refuse_stdin(settings.paths)
    if "..." in (settings.changed_since or ""):
        raise UsageError(
            "--fix moves rows of the work tree, and --changed-since OLD...NEW judges those of a commit",
            hint="Check that commit out first.",
        )
    for report in reports:
        if diff and report.file is None and report.format not in _FOR_PEOPLE:
            raise UsageError(
                f"--diff and the {report.format} report both go to standard output",
                hint=f"Give the report a file: --output-format {report.format}:FILE.",
            )


def fix(report: Report, settings: Settings, *, diff: bool) -> int:
    """Moves the rows that fail the run, or shows what would be moved; the exit code that is left then.

    Raises:
        UsageError, SqsdLintError: a row cannot be moved; the file that the error names is unchanged.
    """
    from sqsd_lint.judge import exit_code
    from sqsd_lint.quarantine import apply, plan, remaining, write_diff
    from sqsd_lint.report.messages import print_note

    grave = (Severity.ERROR, Severity.WARNING) if settings.fail_on == "warning" else (Severity.ERROR,)
    moves = plan(report.violations, severities=grave, columns=settings.columns or None)
    _note_left(moves)
    if diff:
        write_diff(moves, sys.stdout, redact=settings.redact)
        return report.exit_code
    for moved in apply(moves):
        rows = f"{moved.rows:,} row{'' if moved.rows == 1 else 's'}"
        print_note(f"{moved.file}: {rows} moved to {moved.quarantine}")
    if moves.files and settings.staged:
        print_note("the index still holds them: `git add` the files again")
        return report.exit_code
    left = remaining(report.violations, moves)
    return int(exit_code(left, report.coverage, fail_on=settings.fail_on))


def _note_left(plan: Plan) -> None:
    from sqsd_lint.report.messages import print_note

    reasons = Counter(left.reason for left in plan.left)
    for reason, count in reasons.items():
        print_note(f"{count:,} finding{'' if count == 1 else 's'} not fixed: {reason}")
