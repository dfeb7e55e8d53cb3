"""`sqsd-lint check`."""

from __future__ import annotations

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.outcome import silence
from sqsd_lint.cli.output import check_output_file, open_output, progress
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import ExitCode


def check(
    context: typer.Context,
    paths: o.Paths = None,
    threshold: o.Threshold = None,
    warning_threshold: o.WarningThreshold = None,
    select: o.Select = None,
    ignore: o.Ignore = None,
    allow: o.Allow = None,
    rules: o.Rules = None,
    bundle: o.Bundle = None,
    model: o.Model = None,
    proxy: o.Proxy = None,
    metric: o.Metric = None,
    expansion: o.Expansion = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    trust_remote_code: o.TrustRemoteCode = None,
    turns: o.Turns = None,
    max_length: o.MaxLength = None,
    columns: o.Columns = None,
    exclude: o.Exclude = None,
    force_exclude: o.ForceExclude = None,
    stdin_format: o.StdinFormat = None,
    output_format: o.OutputFormat = o.Format.TEXT,
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
    [cyan]sqsd-lint check train.jsonl --threshold p99.95 --output-format json -o report.json[/cyan]
    [cyan]zstdcat train.jsonl.zst | sqsd-lint check - --quiet[/cyan]
    """
    settings = settings_of(context)
    check_output_file(output_file)
    from sqsd_lint import pipeline, report

    with progress(not no_progress) as bar:
        found = pipeline.check(settings, progress=bar)
    shown = report.Options(redact=settings.redact, quiet=quiet, verbose=verbose, statistics=statistics)
    try:
        with open_output(output_file) as stream:
            report.write(found, output_format.value, stream, shown)
            stream.flush()
    except BrokenPipeError:  # a reader that has seen enough does not change the verdict
        silence(stream)
    forgiven = exit_zero and found.exit_code == ExitCode.VIOLATIONS
    raise typer.Exit(ExitCode.OK if forgiven else found.exit_code)
