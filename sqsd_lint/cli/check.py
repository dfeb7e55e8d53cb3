"""`sqsd-lint check`.

`check --fix` and `--diff`: what they refuse, say and leave.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.exit import silence
from sqsd_lint.cli.output import Target, open_output, progress, targets
from sqsd_lint.cli.settings import judged_settings_of
from sqsd_lint.common import numbers
from sqsd_lint.config.settings import FIXING, OUTPUT
from sqsd_lint.errors import ExitCode, UsageError
from sqsd_lint.types import Report, Severity

if TYPE_CHECKING:
    from sqsd_lint.config import Settings
    from sqsd_lint.fix import Plan


_FOR_PEOPLE = ("text", "concise")

_Fix = Annotated[
    bool,
    o.flag(
        "--fix",
        panel=FIXING,
        help="Move the rows that fail, byte for byte, to NAME.quarantine.EXT beside.",
    ),
]
_Diff = Annotated[bool, o.flag("--diff", panel=FIXING, help="Show what --fix would move.")]
_OutputFormats = Annotated[
    list[str] | None,
    o.text(
        "--output-format",
        metavar="FORMAT[:FILE]",
        panel=OUTPUT,
        words="formats",
        help="text, concise, json, jsonl, sarif, github, gitlab, junit, markdown or html. May be repeated; "
        "one goes to standard output, the others to their FILE.",
    ),
]
_ExitZero = Annotated[
    bool, o.flag("--exit-zero", panel=OUTPUT, help="Exit 0 despite violations; 2 and 3 stay.")
]
_DryRun = Annotated[
    bool,
    o.flag(
        "--dry-run",
        panel=OUTPUT,
        help="Score nothing: say how many rows there are, how many are in the cache, and about how long the "
        "others take.",
    ),
]
_Statistics = Annotated[
    bool,
    o.flag("--statistics", panel=OUTPUT, help="Counts per rule and the distribution of scores instead."),
]


def _refuse_fix(settings: Settings, reports: Sequence[Target], *, diff: bool) -> None:
    """Refuse what cannot be fixed before a long run rather than after it.

    Raises:
        UsageError: standard input, rows of a commit, or a diff in the middle of a report for programs.
    """
    from sqsd_lint.fix import refuse_stdin

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


def _fix_rows(report: Report, settings: Settings, *, diff: bool) -> int:
    """Move the rows that fail the run, or show what would be moved, and return the exit code that is left.

    Raises:
        UsageError, SqsdLintError: a row cannot be moved; the file that the error names is unchanged.
    """
    from sqsd_lint.fix import apply, plan, remaining, write_diff
    from sqsd_lint.report.style.messages import print_note
    from sqsd_lint.rules import exit_code
    from sqsd_lint.run.rows import reading_of

    grave = (Severity.ERROR, Severity.WARNING) if settings.fail_on == "warning" else (Severity.ERROR,)
    moves = plan(report.violations, severities=grave, reading=reading_of(settings))
    _note_left(moves)
    if diff:
        write_diff(moves, sys.stdout, redact=settings.redact)
        return report.exit_code
    for moved in apply(moves):
        rows = numbers.count(moved.rows, "row")
        print_note(f"{moved.file}: {rows} moved to {moved.quarantine}")
    if moves.files and settings.staged:
        print_note("the index still holds them: `git add` the files again")
        return report.exit_code
    left = remaining(report.violations, moves)
    return int(exit_code(left, report.coverage, fail_on=settings.fail_on))


def _note_left(plan: Plan) -> None:
    from sqsd_lint.report.style.messages import print_note

    reasons = Counter(left.reason for left in plan.left)
    for reason, count in reasons.items():
        print_note(f"{numbers.count(count, 'finding')} not fixed: {reason}")


# A folder whose reading alone takes a moment, and the rows of it that are looked at beforehand.
_LARGE_BYTES = 2_000_000
_LOOKED_AT = 20_000


def _announce(settings: Settings) -> None:
    """Say what is about to happen, and how long it takes, before a check of many rows begins."""
    from sqsd_lint.errors import SqsdLintError
    from sqsd_lint.report.style.messages import print_note
    from sqsd_lint.report.views.plan import announcement
    from sqsd_lint.run.plan import plan, selected_bytes

    every_row = not settings.staged and settings.changed_since in (None, "none")
    if not every_row or settings.policy_ref or "-" in settings.paths:
        return
    try:
        if selected_bytes(settings) < _LARGE_BYTES:
            return
        text = announcement(plan(settings, most=_LOOKED_AT))
    except SqsdLintError:  # the check itself says it better
        return
    if text:
        print_note(text)


def _print_plan(settings: Settings, *, as_json: bool, file: str | None) -> None:
    from sqsd_lint.report.views.plan import print_plan, print_plan_json
    from sqsd_lint.run.plan import plan

    found = plan(settings)
    with open_output(file) as stream:
        if as_json:
            print_plan_json(found, stream)
        else:
            print_plan(found, stream)
        stream.flush()


def check(
    context: typer.Context,
    fix: _Fix = False,
    diff: _Diff = False,
    output_formats: _OutputFormats = None,
    output_file: o.OutputFile = None,
    exit_zero: _ExitZero = False,
    statistics: _Statistics = False,
    dry_run: _DryRun = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Score rows and report the ones that would push the model towards danger.

    [cyan]sqsd-lint check data/[/cyan]
    [cyan]sqsd-lint check --changed-since origin/main --output-format text --output-format sarif:x[/cyan]
    [cyan]zstdcat train.jsonl.zst | sqsd-lint check - --quiet[/cyan]
    """
    settings, note = judged_settings_of(context)
    reports = targets(output_formats or (), output_file, settings.output_format)
    from sqsd_lint import report
    from sqsd_lint.run import check as run_check

    if fix or diff:
        _refuse_fix(settings, reports, diff=diff)
    if dry_run:
        _print_plan(settings, as_json=[each.format for each in reports] == ["json"], file=output_file)
        return
    if not (quiet or no_progress):
        _announce(settings)
    with progress(not no_progress) as bar:
        # What is moved out of a file has to be known row by row.
        most = None if fix or diff else run_check.MOST_FINDINGS
        found = run_check.check(settings, progress=bar, keep_rows=False, findings=most)
    if note:
        found = replace(found, head=replace(found.head, notes=(*found.head.notes, note)))
    shown = report.Options(redact=settings.redact, quiet=quiet, verbose=verbose, statistics=statistics)
    for target in reports:
        try:
            with open_output(target.file) as stream:
                report.write(found, target.format, stream, shown)
                stream.flush()
        except BrokenPipeError:  # a reader that has seen enough does not change the verdict
            silence(stream)
    code = _fix_rows(found, settings, diff=diff) if fix or diff else found.exit_code
    forgiven = exit_zero and code == ExitCode.VIOLATIONS
    raise typer.Exit(ExitCode.OK if forgiven else code)
