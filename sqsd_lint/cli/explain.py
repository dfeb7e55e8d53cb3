"""`sqsd-lint explain`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import check_output_file, open_output, progress
from sqsd_lint.cli.settings import settings_of


class Format(str, Enum):
    """The formats of an explanation (`report.explanation.FORMATS`)."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


_Target = Annotated[
    str,
    typer.Argument(
        metavar="FILE:LINE",
        help="The row that begins on this line (row number in Parquet and Arrow), or FILE#FINGERPRINT.",
        show_default=False,
    ),
]
_Top = Annotated[
    int,
    typer.Option(
        "--top", metavar="N", min=1, max=1000, rich_help_panel="Output", help="How many parts to list."
    ),
]
_Format = Annotated[
    Format,
    typer.Option(
        "--output-format", metavar="text|json|html", rich_help_panel="Output", help="Format to write."
    ),
]


def explain(
    context: typer.Context,
    target: _Target,
    top: _Top = 5,
    output_format: _Format = Format.TEXT,
    output_file: o.OutputFile = None,
    verbose: o.Verbose = False,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Show where a row's score comes from: its words, the model's layers, and what would lower it.

    [cyan]sqsd-lint explain data/train.jsonl:48[/cyan]
    [cyan]sqsd-lint explain data/train.jsonl:48 --output-format html -o why.html[/cyan]
    """
    settings = settings_of(context)
    check_output_file(output_file)
    from sqsd_lint.explain.row_reference import parse_row_reference
    from sqsd_lint.report import Options
    from sqsd_lint.report.views.explanation import write
    from sqsd_lint.run.explain import explain as find_reasons

    place = parse_row_reference(target)
    with progress(not no_progress) as bar:
        found = find_reasons(place, settings, progress=bar)
    with open_output(output_file) as stream:
        write(found, output_format.value, stream, Options(redact=settings.redact), top=top)
        stream.flush()
