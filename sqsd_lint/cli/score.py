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
    from sqsd_lint.report.rows import Tally


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
_Unit = Annotated[
    Unit,
    typer.Option(
        "--span-unit",
        metavar="sentence|word|token",
        rich_help_panel="Output",
        help="How large a span is.",
    ),
]


def score(
    context: typer.Context,
    paths: _Files,
    emit_spans: _EmitSpans = False,
    span_unit: _Unit = Unit.SENTENCE,
    output_file: _Output = None,
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
    """
    settings = settings_of(context)
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
        for note in notes:
            print_note(note)
    raise typer.Exit(ExitCode.OK if tally.complete(settings.allow) else ExitCode.CANNOT_SCORE)


def _write(items: Iterable[Any], table: Any, output_file: str | None) -> Tally:
    """Writes items as the module `table` lays them out: its `row` and, for Parquet, its `columns`."""
    from sqsd_lint.report.rows import write_objects, write_table

    if output_file and output_file.endswith(".parquet"):
        with replacing(Path(output_file)) as path:
            return write_table(items, table.row, table.columns(), path)
    with open_output(output_file) as stream:
        tally = write_objects(items, table.row, stream)
        stream.flush()
    return tally
