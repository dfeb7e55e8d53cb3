"""`sqsd-lint score`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import check_output_file, open_output, progress, replacing
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from sqsd_lint.config import Settings
    from sqsd_lint.report.rows import Tally


SHARDS = "Many rows"


class EngineName(str, Enum):
    """What runs the workers of `--output-dir`."""

    LOCAL = "local"
    RAY = "ray"


class Unit(str, Enum):
    """How large a span is (`explain.UNITS`)."""

    SENTENCE = "sentence"
    WORD = "word"
    TOKEN = "token"


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
_EmitSpans = Annotated[
    bool,
    typer.Option(
        "--emit-spans",
        metavar=" ",
        rich_help_panel="Output",
        help="Also write which characters of the answers the score comes from.",
        show_default=False,
    ),
]
_OutputDir = Annotated[
    str | None,
    typer.Option(
        "--output-dir",
        metavar="DIR",
        rich_help_panel=SHARDS,
        help="Write a folder of scores, shard by shard; what is finished there is not scored again.",
        show_default=False,
    ),
]
_Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        rich_help_panel=SHARDS,
        help="Take every N-th shard, from the I-th on: for a scheduler that starts N runs.",
        show_default=False,
    ),
]
_ShardRows = Annotated[
    int | None,
    typer.Option(
        "--shard-rows",
        metavar="ROWS",
        min=1,
        rich_help_panel=SHARDS,
        help="Rows of a shard: what a killed run loses at most. Default: 8192.",
        show_default=False,
    ),
]
_Engine = Annotated[
    EngineName | None,
    typer.Option(
        "--engine",
        metavar="local|ray",
        rich_help_panel=SHARDS,
        help="Score on this machine, or on a Ray cluster. Default: local.",
        show_default=False,
    ),
]
_RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="auto|URL",
        rich_help_panel=SHARDS,
        help="The cluster; auto: the one of this machine. Default: RAY_ADDRESS, else one started here.",
        show_default=False,
    ),
]
_Unit = Annotated[
    Unit,
    typer.Option(
        "--span-unit",
        metavar="sentence|word|token",
        rich_help_panel="Output",
        help="How large a span is.",
    ),
]


_UNSCREENED = "screen: off, every row is scored: {} knows no screened rows"


def score(
    context: typer.Context,
    paths: _Files,
    emit_spans: _EmitSpans = False,
    span_unit: _Unit = Unit.SENTENCE,
    output_file: _Output = None,
    output_dir: _OutputDir = None,
    shard: _Shard = None,
    shard_rows: _ShardRows = None,
    engine: _Engine = None,
    ray_address: _RayAddress = None,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Write every row's score, without a judgement: one JSON object per row.

    A row that cannot be scored is written too, with its problem's code as status, and the exit code is 3.

    [cyan]sqsd-lint score train.jsonl > scores.jsonl[/cyan]
    [cyan]sqsd-lint score data/ -o scores.parquet[/cyan]
    [cyan]sqsd-lint score train.jsonl --emit-spans -o spans.jsonl[/cyan]
    [cyan]sqsd-lint score train.jsonl --bundle one/ --bundle two/[/cyan]
    [cyan]sqsd-lint score data/ --output-dir scores/ --shard 3/64[/cyan]
    """
    settings = settings_of(context)
    options = {"--shard": shard, "--shard-rows": shard_rows, "--engine": engine, "--ray-address": ray_address}
    if output_dir is not None:
        others = {"--output-file": output_file, "--emit-spans": emit_spans}
        if wrong := next((name for name, value in others.items() if value), ""):
            raise UsageError(f"{wrong} and --output-dir contradict each other", hint="Give one of them.")
        code = _score_into(
            settings, output_dir, shard, shard_rows, engine, ray_address, bar=not no_progress, quiet=quiet
        )
        raise typer.Exit(code)
    if alone := next((name for name, value in options.items() if value is not None), ""):
        raise UsageError(f"{alone} is about shards", hint="Say where they go: --output-dir DIR.")
    several = bool(settings.opinions)
    if several and emit_spans:
        raise UsageError("--emit-spans: spans come from one bundle", hint="Name one --bundle.")
    check_output_file(output_file)
    from sqsd_lint.report.style.messages import print_note

    remark: Callable[[], str] = str
    notes: list[str] = []
    with progress(not no_progress) as bar:
        if several:
            from sqsd_lint.report.views import consensus as table
            from sqsd_lint.rules.consensus import Consensus
            from sqsd_lint.run import score as run_score
            from sqsd_lint.types import Problem

            votes = table.Votes()
            scored = run_score.score(settings, progress=bar, note=notes.append)
            opinions = (row if isinstance(row, Problem) else Consensus.of(row) for row in scored)
            tally = _write(votes.watch(opinions), table, output_file)
            remark = votes.line
        elif emit_spans:
            from sqsd_lint.report.views import spans
            from sqsd_lint.run import spans as spanning

            if settings.screen != "off":
                notes.append(_UNSCREENED.format("--emit-spans"))
            spanned = spanning.score(settings, span_unit.value, progress=bar, note=notes.append)
            tally = _write(spanned, spans, output_file)
        else:
            from sqsd_lint.report import rows
            from sqsd_lint.run import score as run_score

            scored = run_score.score(settings, progress=bar, note=notes.append)
            tally = _write(scored, rows, output_file)
    if not quiet:
        for text in notes:
            print_note(text)
        print_note(tally.line())
        if remark():
            print_note(remark())
    raise typer.Exit(ExitCode.OK if tally.complete(settings.allow) else ExitCode.CANNOT_SCORE)


def _score_into(
    settings: Settings,
    folder: str,
    shard: str | None,
    shard_rows: int | None,
    engine: EngineName | None,
    ray_address: str | None,
    *,
    bar: bool,
    quiet: bool,
) -> ExitCode:
    """Score into a folder, and say what has become of its shards."""
    from sqsd_lint.common import numbers
    from sqsd_lint.distributed.shards import SHARD_ROWS
    from sqsd_lint.report.rows import Tally
    from sqsd_lint.report.style.messages import print_note
    from sqsd_lint.run.score_shards import ShardedRun, score_into, share_of

    if ray_address is not None and engine is not EngineName.RAY:
        raise UsageError("--ray-address: no cluster is used", hint="Use one: --engine ray.")
    plan = ShardedRun(
        Path(folder),
        settings.workers,
        share_of(shard) if shard else (1, 1),
        shard_rows or SHARD_ROWS,
        "ray" if engine is EngineName.RAY else "local",
        ray_address or "",
    )
    with progress(bar) as shown:
        found = score_into(settings, plan, progress=shown)
    tally = Tally(found.rows, found.scored, found.unscored)
    for text in found.lost:
        print_note(f"given up: {text}")
    if not quiet:
        unscreened = [_UNSCREENED.format("--output-dir")] if settings.screen != "off" else []
        for text in (*unscreened, *found.notes):
            print_note(text)
        if settings.parts in ("auto", "all"):
            print_note("rows are scored as a whole, not by parts: a folder of scores holds whole rows")
        speed = (
            f", {found.fresh_rows / found.seconds:,.1f} rows/s" if found.computed and found.seconds else ""
        )
        print_note(
            f"{numbers.count(found.shards, 'shard')}: {found.computed:,} scored now{speed}, {found.before:,}"
            f" finished before, {len(found.lost):,} given up"
        )
        print_note(tally.line())
    complete = tally.complete(settings.allow) and not found.lost
    return ExitCode.OK if complete else ExitCode.CANNOT_SCORE


def _write(items: Iterable[Any], table: Any, output_file: str | None) -> Tally:
    """Write items as the module `table` lays them out: its `row` and, for Parquet, its `columns`."""
    from sqsd_lint.report.rows import write_objects, write_table

    if output_file and output_file.endswith(".parquet"):
        with replacing(Path(output_file)) as path:
            return write_table(items, table.row, table.columns(), path)
    with open_output(output_file) as stream:
        tally = write_objects(items, table.row, stream)
        stream.flush()
    return tally
