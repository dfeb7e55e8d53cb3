"""`sqsd-lint score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import check_output_file, open_output, progress, replacing
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import ExitCode

_Files = Annotated[
    list[str],
    typer.Argument(metavar="FILE", help="Files and folders; - reads standard input.", show_default=False),
]
_Output = Annotated[
    str | None,
    typer.Option(
        "--output-file",
        "-o",
        metavar="FILE",
        rich_help_panel="Output",
        help="Write there: Parquet if it ends in .parquet, else JSON Lines.",
        show_default=False,
    ),
]


def score(
    context: typer.Context,
    paths: _Files,
    allow: o.Allow = None,
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
    output_file: _Output = None,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    no_progress: o.NoProgress = False,
    batch_tokens: o.BatchTokens = None,
    no_cache: o.NoCache = False,
    cache_dir: o.CacheDir = None,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Write every row's score, without a judgement: one JSON object per row.

    A row that cannot be scored is written too, with its problem's code as status, and the exit code is 3.

    [cyan]sqsd-lint score train.jsonl > scores.jsonl[/cyan]
    [cyan]sqsd-lint score data/ -o scores.parquet[/cyan]
    """
    settings = settings_of(context)
    check_output_file(output_file)
    from sqsd_lint import pipeline
    from sqsd_lint.report import rows
    from sqsd_lint.report.messages import print_note

    with progress(not no_progress) as bar:
        scored = pipeline.score(settings, progress=bar)
        if output_file and output_file.endswith(".parquet"):
            with replacing(Path(output_file)) as path:
                tally = rows.write_parquet(scored, path)
        else:
            with open_output(output_file) as stream:
                tally = rows.write_jsonl(scored, stream)
                stream.flush()
    if not quiet:
        print_note(tally.line())
    raise typer.Exit(ExitCode.OK if tally.complete(settings.allow) else ExitCode.CANNOT_SCORE)
