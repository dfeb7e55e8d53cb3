"""`sqsd-lint bundle build` and `calibrate`: bundles out of data."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import cache_of, settings_of
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Sample

if TYPE_CHECKING:
    from sqsd_lint.bundle.load import Bundle

Install = Annotated[
    bool,
    typer.Option(
        "--install",
        metavar=" ",
        help="Also keep it in the cache, where --model finds it.",
        show_default=False,
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Write the bundle there.", show_default=False)
]


def _rows(help: str) -> object:
    return typer.Option(metavar="FILE", help=f"{help} May be repeated.", show_default=False)


def build(
    context: typer.Context,
    recipe: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="A recipe in JSON, or the name of one that ships, such as paper.",
            show_default=False,
        ),
    ],
    output: Output,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Build for this model, a Hub id or a folder. Default: the recipe's.",
            show_default=False,
        ),
    ] = None,
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
    quantize: Annotated[
        str | None,
        typer.Option(
            metavar="4bit",
            help="Pack the frozen base in 4 bits (QLoRA), for a smaller GPU. Needs bitsandbytes.",
            show_default=False,
        ),
    ] = None,
    install: Install = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Train the adapters of a recipe and make a bundle of them; a killed build goes on where it stopped.

    [cyan]sqsd-lint bundle build --model Qwen/Qwen3-8B --recipe paper -o qwen3-8b[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint.report.style.messages import print_note
    from sqsd_lint.training.build import build_bundle
    from sqsd_lint.training.recipe import find_recipe, load_recipe, sources

    if quantize not in (None, "4bit"):
        raise UsageError(f"--quantize {quantize}: training packs in 4 bits only", hint="give --quantize 4bit")
    loaded = load_recipe(find_recipe(recipe), model=model, quantize="4bit" if quantize else None)
    for source in sources(loaded):
        print_note(source)
    cache = cache_of(settings)
    with progress(not no_progress, unit="step") as bar:
        made = build_bundle(
            loaded,
            output,
            work_dir=work_dir,
            data_dir=data,
            cache_dir=cache,
            device=settings.device,
            progress=bar,
        )
    tell(made.root, install, cache, made.manifest.reach)


def calibrate(
    context: typer.Context,
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE]",
            help="A bundle's folder or cached id, or `default`. Needed unless --from names it.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="BUNDLE", help="The same as BUNDLE.", show_default=False),
    ] = None,
    benign: Annotated[list[str] | None, _rows("Rows that are harmless.")] = None,
    harmful: Annotated[list[str] | None, _rows("Rows that are known to be harmful.")] = None,
    add: Annotated[
        bool,
        typer.Option(
            "--add",
            metavar=" ",
            help="Keep the reference rows of the calibration before beside these: so the thresholds hold for"
            " your kinds of rows and for all others.",
            show_default=False,
        ),
    ] = False,
    rows: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="At most so many rows of each file or set.", show_default=False
        ),
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
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="RESULT",
            help="Keep what `validate` found, its result.json; reports then say what scores cost when tried.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="SCORES",
            help="Compare with a target's own scores, as `score` wrote them; the rows are in --rows-of.",
            show_default=False,
        ),
    ] = None,
    rows_of: Annotated[list[str] | None, _rows("Rows that the target has scored.")] = None,
    target_bundle: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="The bundle that the target's scores were made with; else --model names the target.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Calibrate a copy there, and leave BUNDLE as it is: needed for one of the package itself.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", metavar=" ", help="Show what would change, and keep nothing.", show_default=False
        ),
    ] = False,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Score rows that no adapter was trained on, and keep the scores in the bundle: thresholds rest on them.

    Without --harmful, the known-harmful rows of the calibration before are kept.

    [cyan]sqsd-lint bundle calibrate default --output my-bundle/ --add --benign benign.jsonl[/cyan]
    [cyan]sqsd-lint bundle calibrate my-bundle/ --benign benign.jsonl --harmful harmful.jsonl[/cyan]
    [cyan]sqsd-lint bundle calibrate my-bundle/ --validation trial/result.json[/cyan]
    [cyan]sqsd-lint bundle calibrate proxy/ --against scores.jsonl --rows-of data.jsonl --model org/big[/cyan]
    """
    # A calibration makes another bundle of this one; a lock, which pins bundles that judge, has no say in it.
    settings = replace(settings_of(context), lock=None)
    if bundle is None or source is not None:
        if bundle is not None or source is None:
            raise UsageError(
                "name one bundle to calibrate",
                hint="For example `sqsd-lint bundle calibrate default --output my-bundle/ --benign FILE`.",
            )
        bundle = source
    from sqsd_lint.bundle.resolve import open_bundle
    from sqsd_lint.bundle.validation import read_result, store_validation
    from sqsd_lint.report.style.messages import print_note
    from sqsd_lint.report.views.bundle import print_good
    from sqsd_lint.run import calibrate as run_calibrate

    if against or rows_of:
        if not (against and rows_of) or recipe or benign or harmful or validation:
            raise UsageError(
                "--against needs --rows-of, and no reference sets",
                hint="For example `--against scores.jsonl --rows-of data.jsonl --model org/target`.",
            )
        with progress(not no_progress) as bar:
            made = run_calibrate.agree(
                bundle, against, rows_of, settings, target_bundle=target_bundle, progress=bar
            )
        print_good(str(made.manifest.agreements[-1]), sys.stdout)
        tell(made.root, install=False, cache=None)
        return
    given = [bool(recipe), bool(benign or harmful)]
    if all(given) or (harmful and not benign) or not any([*given, validation]):
        raise UsageError(
            "give reference sets either by --benign and --harmful, or by --recipe",
            hint="--validation may stand alone",
        )
    tried = None
    if validation is not None:  # read before rows are scored: a wrong one is told at once
        opened = open_bundle(bundle, cache_dir=cache_of(settings))
        tried = read_result(validation, opened)
        if not any(given):
            with _copy(bundle, output, check, cache_of(settings)) as (_, target):
                tell(store_validation(open_bundle(str(target)), tried).root, install=False, cache=None)
            return
    if recipe is not None:
        from sqsd_lint.training.data import reference_sets

        sets: Mapping[str, Mapping[str, Sequence[Sample]]] = reference_sets(recipe, data, rows)
    else:
        sets = {
            "benign": run_calibrate.reference_rows(benign or [], settings, rows),
            "harmful": run_calibrate.reference_rows(harmful or [], settings, rows),
        }
    with _copy(bundle, output, check, cache_of(settings)) as (before, target):
        with progress(not no_progress) as bar:
            made = run_calibrate.calibrate(str(target), sets, settings, add=add, progress=bar)
        for note in run_calibrate.shortcomings(made, added=add):
            print_note(note)
        if check:
            from sqsd_lint.report.views.bundle import print_thresholds

            print_thresholds(before, made, sys.stdout)
            return
    if tried is not None:
        made = store_validation(made, tried)
    tell(made.root, install=False, cache=None)


@contextmanager
def _copy(name: str, output: Path | None, check: bool, cache: Path | None) -> Iterator[tuple[Bundle, Path]]:
    """Yield a bundle as it is, and the folder in which it is to be calibrated.

    Raises:
        UsageError: the folder would be one of the installed package, or is no folder for a bundle.
    """
    from sqsd_lint.bundle.resolve import open_bundle
    from sqsd_lint.bundle.write import check_output
    from sqsd_lint.resources import bundles_dir

    bundle = open_bundle(name, cache_dir=cache)
    if check:
        with tempfile.TemporaryDirectory() as folder:
            yield bundle, Path(shutil.copytree(bundle.root, Path(folder) / bundle.id))
        return
    if output is not None:
        check_output(output)
        if output.resolve() != bundle.root.resolve():
            shutil.copytree(bundle.root, output, dirs_exist_ok=True)
        yield bundle, output
        return
    if bundle.root.resolve().is_relative_to(bundles_dir().resolve()):
        raise UsageError(
            f"{name} is part of the installed package, which is not written to",
            hint=f"give a folder for a copy: `sqsd-lint bundle calibrate {name} --output DIR --benign FILE`",
        )
    yield bundle, bundle.root


def tell(folder: Path, install: bool, cache: Path | None, reach: Mapping[str, float] | None = None) -> None:
    """Say where a bundle stands, having kept it in the cache if that was asked for.

    Args:
        reach: of its directions, if the bundle is new and a low one is to be warned of.
    """
    from sqsd_lint.bundle.installed import install as keep
    from sqsd_lint.bundle.reach import reach_warnings
    from sqsd_lint.report.views.bundle import print_good, print_warning

    if install:
        folder = keep(folder, cache_dir=cache).root
    print_good(f"{folder}: look at it with `sqsd-lint bundle show {folder}`", sys.stdout)
    for warning in reach_warnings(reach or {}):
        print_warning(warning, sys.stdout)
