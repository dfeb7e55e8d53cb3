"""`sqsd-lint bundle import`, `build` and `calibrate`: where bundles come from."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import cache_of, settings_of
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Expansion, Metric, Sample

_Install = Annotated[
    bool,
    typer.Option(
        "--install",
        metavar=" ",
        help="Also keep it in the cache, where --model finds it.",
        show_default=False,
    ),
]
_Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Write the bundle there.", show_default=False)
]


def _adapter(help: str) -> object:
    return typer.Option(metavar="DIR", help=help, show_default=False)


def _rows(help: str) -> object:
    return typer.Option(metavar="FILE", help=f"{help} May be repeated.", show_default=False)


def import_(
    context: typer.Context,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The base model: a folder or a Hub id.", show_default=False)
    ],
    danger: Annotated[Path, _adapter("The adapter that was fine-tuned on harmful answers.")],
    safety: Annotated[Path, _adapter("The adapter that was fine-tuned on safe answers.")],
    initial: Annotated[Path, _adapter("The adapter that was fine-tuned on benign rows.")],
    output: _Output,
    base: Annotated[Path | None, _adapter("An adapter to merge into the model first.")] = None,
    safety_scaling: Annotated[
        float, typer.Option(metavar="FLOAT", help="Scaling at the safety expansion point.")
    ] = 1.0,
    metric: Annotated[
        str, typer.Option(metavar="cosine|projection|dot", help="How scores are made.")
    ] = "cosine",
    expansion: Annotated[
        str, typer.Option(metavar="paper|shared", help="Where the safety update is taken.")
    ] = "paper",
    name: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The bundle's id. Default: the folder's name.", show_default=False),
    ] = None,
    proxy: Annotated[
        bool,
        typer.Option(
            "--proxy", metavar=" ", help="It stands in for other models; reports say so.", show_default=False
        ),
    ] = False,
    install: _Install = False,
    cache_dir: o.CacheDir = None,
) -> None:
    """Make a bundle from PEFT adapter folders.

    [cyan]sqsd-lint bundle import --model Qwen/Qwen3-8B --danger D --safety S --initial I -o my-bundle[/cyan]
    """
    cache = cache_of(settings_of(context))
    from sqsd_lint.bundle.importer import import_bundle

    with progress() as bar:
        made = import_bundle(
            model,
            danger,
            safety,
            initial,
            base,
            output=output,
            safety_scaling=safety_scaling,
            metric=cast(Metric, metric),
            expansion=cast(Expansion, expansion),
            name=name,
            proxy=proxy,
            cache_dir=cache,
            status=bar.status if bar else None,
        )
    _made(made.root, install, cache)


def build(
    context: typer.Context,
    recipe: Annotated[Path, typer.Option(metavar="FILE", help="A recipe in JSON.", show_default=False)],
    output: _Output,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the recipe's files lie. Default: beside it.", show_default=False
        ),
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For checkpoints. Default: OUTPUT.build.", show_default=False),
    ] = None,
    device: o.Device = None,
    install: _Install = False,
    no_progress: o.NoProgress = False,
    cache_dir: o.CacheDir = None,
) -> None:
    """Train the adapters of a recipe and make a bundle of them; a killed build goes on where it stopped.

    [cyan]sqsd-lint bundle build --recipe examples/recipes/paper-qwen3-8b.json -o qwen3-8b[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint.bundle.build.build import build_bundle
    from sqsd_lint.bundle.build.recipe import load_recipe

    cache = cache_of(settings)
    with progress(not no_progress, unit="step") as bar:
        made = build_bundle(
            load_recipe(recipe),
            output,
            work_dir=work_dir,
            data_dir=data,
            cache_dir=cache,
            device=settings.device,
            progress=bar,
        )
    _made(made.root, install, cache)


def calibrate(
    context: typer.Context,
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A bundle's folder or cached id.", show_default=False)
    ],
    benign: Annotated[list[str] | None, _rows("Rows that are harmless.")] = None,
    harmful: Annotated[list[str] | None, _rows("Rows that are known to be harmful.")] = None,
    rows: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="At most so many rows of each file.", show_default=False),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take the reference sets of a recipe instead.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the recipe's files lie. Default: beside it.", show_default=False
        ),
    ] = None,
    model: o.Model = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    batch_tokens: o.BatchTokens = None,
    columns: o.Columns = None,
    no_progress: o.NoProgress = False,
    cache_dir: o.CacheDir = None,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Score rows that no adapter was trained on, and keep the scores in the bundle: thresholds rest on them.

    [cyan]sqsd-lint bundle calibrate my-bundle/ --benign benign.jsonl --harmful harmful.jsonl[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint import pipeline

    if (recipe is None) == (not benign):
        raise UsageError("give the reference sets either by --benign and --harmful, or by --recipe")
    if recipe is not None:
        from sqsd_lint.bundle.build.data import reference_sets

        sets: Mapping[str, Mapping[str, Sequence[Sample]]] = reference_sets(recipe, data)
    else:
        sets = {
            "benign": pipeline.reference_rows(benign or [], settings, rows),
            "harmful": pipeline.reference_rows(harmful or [], settings, rows),
        }
    with progress(not no_progress) as bar:
        made = pipeline.calibrate(bundle, sets, settings, progress=bar)
    _made(made.root, install=False, cache=None)


def _made(folder: Path, install: bool, cache: Path | None) -> None:
    from sqsd_lint.bundle.store import install as keep
    from sqsd_lint.report.bundles import print_good

    if install:
        folder = keep(folder, cache_dir=cache).root
    print_good(f"{folder}: look at it with `sqsd-lint bundle show {folder}`", sys.stdout)
