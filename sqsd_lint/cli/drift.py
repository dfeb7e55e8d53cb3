"""`sqsd-lint drift`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import check_output_file, open_output, progress, replacing
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from sqsd_lint.drift.plot import PictureFormat

_PANEL = "Run"
_PICTURES: dict[str, PictureFormat] = {".png": "png", ".svg": "svg"}


class DriftFormat(str, Enum):
    """How the figures are written."""

    TEXT = "text"
    JSON = "json"


_Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN_DIR",
        help="Folder of a fine-tuning run: checkpoint-* with adapters or full weights, as safetensors.",
        show_default=False,
    ),
]
_Start = Annotated[
    Path | None,
    typer.Option(
        "--start",
        metavar="DIR",
        rich_help_panel=_PANEL,
        help="What training began from, if not 0 (adapters) or the bundle's base model (full weights).",
        show_default=False,
    ),
]
_AllowUnfinished = Annotated[
    bool,
    typer.Option(
        "--allow-unfinished",
        metavar=" ",
        rich_help_panel=_PANEL,
        help="Exit 0 though the newest checkpoint cannot be read: the run is still writing it.",
        show_default=False,
    ),
]
_Plot = Annotated[
    list[Path] | None,
    typer.Option(
        "--plot",
        metavar="FILE.png|.svg",
        rich_help_panel="Output",
        help="Draw the path and a map of blocks by steps. May be repeated.",
        show_default=False,
    ),
]
_Dark = Annotated[
    bool,
    typer.Option(
        "--dark", metavar=" ", rich_help_panel="Output", help="On a dark ground.", show_default=False
    ),
]
_Format = Annotated[
    DriftFormat,
    typer.Option("--output-format", metavar="text|json", rich_help_panel="Output", help="Format to write."),
]


def drift(
    context: typer.Context,
    run: _Run,
    start: _Start = None,
    allow_unfinished: _AllowUnfinished = False,
    output_format: _Format = DriftFormat.TEXT,
    output_file: o.OutputFile = None,
    plot: _Plot = None,
    dark: _Dark = False,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Show how far a fine-tune has moved the weights towards danger, checkpoint by checkpoint.

    [cyan]sqsd-lint drift out/run --plot drift.png[/cyan]
    """
    settings = settings_of(context)
    check_output_file(output_file)
    for picture in plot or ():
        check_output_file(str(picture), "--plot")
        if picture.suffix.lower() not in _PICTURES:
            raise UsageError(f"--plot: {picture} is neither .png nor .svg", hint="Name a file that ends so.")
    from sqsd_lint.report.views.drift import write_json, write_text
    from sqsd_lint.run.drift import drift as measure

    with progress(not no_progress, unit="part") as bar:
        found = measure(run, settings, start=start, progress=bar)
    if plot:
        from sqsd_lint.drift.plot import plot as draw

        for picture in plot:
            with replacing(picture) as path:
                kind = _PICTURES[picture.suffix.lower()]
                draw(
                    found.trajectory,
                    path,
                    format=kind,
                    dark=dark,
                    title=f"{run.name} along {found.bundle.id}",
                )
    write = write_json if output_format is DriftFormat.JSON else write_text
    with open_output(output_file) as stream:
        write(run, found.bundle, found.trajectory, stream)
        stream.flush()
    if found.trajectory.skipped and not (allow_unfinished and found.trajectory.unfinished):
        raise typer.Exit(ExitCode.CANNOT_SCORE)
