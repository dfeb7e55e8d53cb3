"""`sqsd-lint check`."""

from __future__ import annotations

from dataclasses import replace

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.outcome import silence
from sqsd_lint.cli.output import open_output, progress, targets
from sqsd_lint.cli.settings import judged_settings_of
from sqsd_lint.errors import ExitCode


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
    from sqsd_lint import pipeline, report
    from sqsd_lint.cli import fixing

    if fix or diff:
        fixing.refuse(settings, reports, diff=diff)
    with progress(not no_progress) as bar:
        found = pipeline.check(settings, progress=bar)
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
