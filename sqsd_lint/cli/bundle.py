"""`sqsd-lint bundle`: list, show, verify and remove; its other commands are in the `bundle_*` modules."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqsd_lint.cli import bundle_import, bundle_make, bundle_share, bundle_sketch
from sqsd_lint.cli import options as o
from sqsd_lint.cli.settings import cache_of, settings_of
from sqsd_lint.errors import BundleNotFoundError, ExitCode

if TYPE_CHECKING:
    from sqsd_lint.config import Settings

_Reference = Annotated[
    str | None,
    typer.Argument(
        metavar="BUNDLE",
        help="A folder or a cached id; the embedded default if left out.",
        show_default=False,
    ),
]


def list_(context: typer.Context, as_json: o.AsJson = False) -> None:
    """List cached and embedded bundles, with their base models, digests, sizes and last uses."""
    from sqsd_lint.bundle.prune import list_usage
    from sqsd_lint.report.views.bundle_list import print_list, print_list_json

    (print_list_json if as_json else print_list)(list_usage(cache_of(settings_of(context))), sys.stdout)


def show(
    context: typer.Context,
    bundle: _Reference = None,
    as_json: o.AsJson = False,
    isolated: o.Isolated = False,
) -> None:
    """Show what a bundle is made of, and what share of rows lies above each candidate line.

    [cyan]sqsd-lint bundle show[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint.bundle.resolve import open_for
    from sqsd_lint.bundle.show import candidate_thresholds, describe
    from sqsd_lint.report.views import bundle as bundles
    from sqsd_lint.rules.calibration import ScoreCalibration
    from sqsd_lint.rules.threshold import parse_threshold, resolve_threshold

    # What is named here is looked at, not judged with: the lock has no say in it.
    found = open_for(replace(settings, lock=None) if bundle else settings, cache_dir=cache_of(settings))
    stored = found.manifest.calibration
    calibration = ScoreCalibration.from_json(stored.to_json()) if stored else None
    facts = describe(found, calibration.percentile if calibration else None)
    thresholds = (
        candidate_thresholds(lambda spec: resolve_threshold(parse_threshold(spec), calibration))
        if calibration
        else []
    )
    (bundles.print_json if as_json else bundles.print_bundle)(facts, thresholds, sys.stdout)


def verify(
    context: typer.Context,
    bundle: _Reference = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Also check that it fits this model: a folder or a Hub id."),
    ] = None,
) -> None:
    """Check a bundle's manifest, files and weights, and say everything that is wrong.

    [cyan]sqsd-lint bundle verify my-bundle/ --model Qwen/Qwen3-8B[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint.bundle.base_model import resolve_model
    from sqsd_lint.bundle.reach import reach_text, reach_warnings
    from sqsd_lint.bundle.verify import reach_of
    from sqsd_lint.bundle.verify import verify as find_wrong
    from sqsd_lint.report.views.bundle import print_good, print_warning, print_wrong

    cache = cache_of(settings)
    folder = _folder(settings, cache)
    base = resolve_model(model, cache_dir=cache) if model else None
    findings = find_wrong(folder, model=base, cache_dir=cache)
    if findings:
        print_wrong([(finding.where, finding.message) for finding in findings], sys.stdout)
        raise typer.Exit(ExitCode.CANNOT_SCORE)
    reach = reach_of(folder)
    print_good(f"{folder}: nothing is wrong; reach: {reach_text(reach)}", sys.stdout)
    for warning in reach_warnings(reach):
        print_warning(warning, sys.stdout)


def remove(
    context: typer.Context,
    bundle: Annotated[
        str, typer.Argument(metavar="ID", help="The id of a cached bundle.", show_default=False)
    ],
) -> None:
    """Remove a bundle from the cache."""
    cache = cache_of(settings_of(context))
    from sqsd_lint.bundle.installed import remove_bundle
    from sqsd_lint.report.views.bundle import print_good

    print_good(f"removed {remove_bundle(bundle, cache_dir=cache)}", sys.stdout)


GROUP = o.Group(
    help="Make, look at and remove direction bundles: what rows are scored against.",
    commands={
        "list": list_,
        "show": show,
        "verify": verify,
        "remove": remove,
        "import": bundle_import.import_,
        "build": bundle_make.build,
        "calibrate": bundle_make.calibrate,
        "sketch": bundle_sketch.sketch,
        "pull": bundle_share.pull,
        "push": bundle_share.push,
        "prune": bundle_share.prune,
    },
)


def _folder(settings: Settings, cache: Path | None) -> Path:
    """Return where a bundle lies that may be too damaged to be opened."""
    from sqsd_lint.bundle.installed import list_bundles
    from sqsd_lint.bundle.remote.address import is_remote
    from sqsd_lint.bundle.resolve import open_bundle
    from sqsd_lint.resources import bundles_dir

    if settings.bundle is not None and is_remote(settings.bundle):
        return open_bundle(settings.bundle, cache_dir=cache).root
    if settings.bundle is None:
        return bundles_dir() / "default"
    if Path(settings.bundle).is_dir():
        return Path(settings.bundle)
    for entry in list_bundles(cache):
        if entry.id == settings.bundle:
            return entry.root
    raise BundleNotFoundError(
        f"no bundle {settings.bundle!r}: neither a folder nor the id of a cached bundle",
        hint="`sqsd-lint bundle list` shows the ids.",
    )
