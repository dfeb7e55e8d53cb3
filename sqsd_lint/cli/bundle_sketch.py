"""`sqsd-lint bundle sketch`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Sample


def _rows(direction: str) -> object:
    return typer.Option(
        metavar="FILE", help=f"Rows of the {direction} direction. May be repeated.", show_default=False
    )


def sketch(
    context: typer.Context,
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A bundle's folder or cached id.", show_default=False)
    ],
    danger: Annotated[list[str] | None, _rows("danger")] = None,
    safety: Annotated[list[str] | None, _rows("safety")] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="At most so many rows of each file or set.", show_default=False
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take the training sets of a recipe instead.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the recipe's files lie. Default: beside it.", show_default=False
        ),
    ] = None,
    dims: Annotated[
        int, typer.Option(metavar="BITS", help="Kept of each row, a power of two: the more, the surer.")
    ] = 8192,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Sketch the rows that the directions were trained on: `explain` then names those nearest to a row.

    A sketch takes a KiB. No text of the rows is kept, but their fingerprints.

    [cyan]sqsd-lint bundle sketch my-bundle/ --danger harmful.jsonl --safety refusals.jsonl[/cyan]
    """
    settings = replace(settings_of(context), lock=None)  # as in `calibrate`: this makes another bundle
    from sqsd_lint.report.views.bundle import print_good
    from sqsd_lint.run.calibrate import reference_rows
    from sqsd_lint.run.sketch import sketch_bundle

    if (recipe is None) == (not (danger and safety)):
        raise UsageError("give the training rows either by --danger and --safety, or by --recipe")
    if recipe is not None:
        from sqsd_lint.training.data import training_sets

        sets: Mapping[str, Mapping[str, Sequence[Sample]]] = training_sets(recipe, data, rows)
    else:
        sets = {
            "danger": reference_rows(danger or [], settings, rows),
            "safety": reference_rows(safety or [], settings, rows),
        }
    with progress(not no_progress) as bar:
        made = sketch_bundle(bundle, sets, settings, dims=dims, progress=bar)
    count = sum(len(part) for named in sets.values() for part in named.values())
    print_good(f"{made.root}: {count} rows sketched", sys.stdout)
