"""`sqsd-lint check`.

`check --fix` and `--diff`: what they refuse, say and leave.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.exit import silence
from sqsd_lint.cli.output import Target, open_output, progress, targets
from sqsd_lint.cli.settings import judged_settings_of
from sqsd_lint.errors import ExitCode, UsageError
from sqsd_lint.types import Report, Severity

if TYPE_CHECKING:
    from sqsd_lint.config import Settings
    from sqsd_lint.fix import Plan


_FOR_PEOPLE = ("text", "concise")


def refuse(settings: Settings, reports: Sequence[Target], *, diff: bool) -> None:
    """Refuses what cannot be fixed before a long run rather than after it.

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


def fix(report: Report, settings: Settings, *, diff: bool) -> int:
    """Moves the rows that fail the run, or shows what would be moved; the exit code that is left then.

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
        rows = f"{moved.rows:,} row{'' if moved.rows == 1 else 's'}"
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
        print_note(f"{count:,} finding{'' if count == 1 else 's'} not fixed: {reason}")


def check(
    context: typer.Context,
    paths: o.Paths = None,
    staged: o.Staged = None,
    changed_since: o.ChangedSince = None,
    scope: o.Scope = None,
    threshold: o.Threshold = None,
    warning_threshold: o.WarningThreshold = None,
    select: o.Select = None,
    ignore: o.Ignore = None,
    per_file_ignores: o.PerFileIgnores = None,
    allow: o.Allow = None,
    fail_on: o.FailOn = None,
    rules: o.Rules = None,
    consensus: o.Consensus = None,
    baseline: o.Baseline = None,
    no_baseline: o.NoBaseline = False,
    suppressions: o.Suppressions = None,
    no_inline_suppressions: o.NoInlineSuppressions = False,
    policy_ref: o.PolicyRef = None,
    learning_rate: o.LearningRate = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    fix: o.Fix = False,
    diff: o.Diff = False,
    bundle: o.Bundles = None,
    model: o.Model = None,
    proxy: o.Proxy = None,
    metric: o.Metric = None,
    expansion: o.Expansion = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    device_map: o.DeviceMap = None,
    checkpointing: o.Checkpointing = None,
    trust_remote_code: o.TrustRemoteCode = None,
    turns: o.Turns = None,
    max_length: o.MaxLength = None,
    columns: o.Columns = None,
    exclude: o.Exclude = None,
    force_exclude: o.ForceExclude = None,
    stdin_format: o.StdinFormat = None,
    output_formats: o.OutputFormats = None,
    output_file: o.OutputFile = None,
    exit_zero: o.ExitZero = False,
    statistics: o.Statistics = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    redact: o.Redact = None,
    no_progress: o.NoProgress = False,
    batch_tokens: o.BatchTokens = None,
    no_cache: o.NoCache = False,
    cache_dir: o.CacheDir = None,
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
    from sqsd_lint.cli import check as fixing
    from sqsd_lint.run import check as run_check

    if fix or diff:
        fixing.refuse(settings, reports, diff=diff)
    with progress(not no_progress) as bar:
        found = run_check.check(settings, progress=bar)
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
    code = fixing.fix(found, settings, diff=diff) if fix or diff else found.exit_code
    forgiven = exit_zero and code == ExitCode.VIOLATIONS
    raise typer.Exit(ExitCode.OK if forgiven else code)
