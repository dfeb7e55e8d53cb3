"""`sqsd-lint lock`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import cache_of, settings_of
from sqsd_lint.errors import ExitCode, UsageError


def lock(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="With --upgrade: only the bundles of these base models.",
            show_default=False,
        ),
    ] = None,
    upgrade: Annotated[
        bool,
        typer.Option(
            "--upgrade",
            "-U",
            metavar=" ",
            help="Take what branches, tags and stores hold now. Default: what is locked stays.",
            show_default=False,
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            metavar=" ",
            help="Write nothing; exit 1 if the lock is not up to date. Needs no network.",
            show_default=False,
        ),
    ] = False,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
) -> None:
    """Write sqsd-lint.lock: the revision and digest of every configured bundle. Runs then accept no other.

    [cyan]sqsd-lint lock[/cyan]
    [cyan]sqsd-lint lock --upgrade Qwen/Qwen3-8B[/cyan]
    Commit the file: hook, CI and laptop then judge alike.
    """
    if check and (upgrade or models):
        raise UsageError("--check writes nothing, so it upgrades nothing", hint="Give one of them.")
    if models and not upgrade:
        raise UsageError(f"{models[0]}: models are named to upgrade them", hint="Add --upgrade.")
    settings = settings_of(context)
    from sqsd_lint.bundle.lock import read_lock
    from sqsd_lint.bundle.locking import changes, make_lock, outdated
    from sqsd_lint.report.views.bundle import print_good, print_wrong
    from sqsd_lint.report.views.bundle_list import print_lock

    path, cache = settings.lock, cache_of(settings)
    assert path is not None  # only --isolated reads no lock
    old = read_lock(settings)
    if check:
        if said := outdated(settings, old, path, cache_dir=cache):
            print_wrong([(path, each) for each in said], sys.stdout)
            raise typer.Exit(ExitCode.VIOLATIONS)
        print_good(f"{path} is up to date", sys.stdout)
        return
    with progress(not no_progress) as bar:
        new = make_lock(
            settings,
            old,
            path,
            upgrade=upgrade,
            models=models or (),
            cache_dir=cache,
            status=bar.status if bar else None,
        )
    changed = changes(old, new)
    if changed or old is None:
        new.write()
    print_lock(path, changed, len(new.bundles), sys.stdout)
