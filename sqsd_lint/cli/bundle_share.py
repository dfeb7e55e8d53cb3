"""`sqsd-lint bundle pull`, `push` and `prune`: bundles that others publish, and the space that they take."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import cache_of, settings_of
from sqsd_lint.common.progress import Status
from sqsd_lint.errors import BundleCorruptError, UsageError

if TYPE_CHECKING:
    from sqsd_lint.bundle.load import Bundle
    from sqsd_lint.bundle.lock import Locked
    from sqsd_lint.config import Settings

_ADDRESS = "hf://org/name@revision, or a URL such as s3://bucket/path, gs://bucket/path or file:///path"


def pull(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="ADDRESS",
            help=f"{_ADDRESS}. Default: all that the lock, else the configuration names.",
            show_default=False,
        ),
    ] = None,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Fetch a bundle into the cache, where --bundle and --model find it; a killed pull goes on from there.

    [cyan]sqsd-lint bundle pull hf://org/name@v1[/cyan]
    Without an address it fetches what the lock names: all that a CI run needs.
    """
    settings = settings_of(context)
    from sqsd_lint.bundle.remote.address import parse
    from sqsd_lint.bundle.remote.pull import pull as fetch
    from sqsd_lint.report.views.bundle import print_good

    cache = cache_of(settings)
    with progress(not no_progress) as bar:
        status = bar.status if bar else None
        if address is not None:
            found = [fetch(parse(address), cache_dir=cache, status=status)]
        else:
            found = _configured(settings, cache, status)
    for bundle in found:
        base = bundle.manifest.base_model.id
        print_good(f"{bundle.id}@{bundle.digest[:12]} for {base} in {bundle.root}", sys.stdout)


def push(
    context: typer.Context,
    bundle: Annotated[
        str,
        typer.Argument(metavar="BUNDLE", help="A bundle's folder or cached id.", show_default=False),
    ],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help=f"{_ADDRESS}.", show_default=False)],
    public: Annotated[
        bool,
        typer.Option(
            "--public",
            metavar=" ",
            help="Make a new repository public. Default: private, for it holds an adapter trained on harm.",
            show_default=False,
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            metavar=" ",
            help="Replace another bundle, or write beside something else that is there.",
            show_default=False,
        ),
    ] = False,
    message: Annotated[
        str | None,
        typer.Option("--message", "-m", metavar="TEXT", help="Of the commit on the Hub.", show_default=False),
    ] = None,
    no_progress: o.NoProgress = False,
) -> None:
    """Publish a bundle: its manifest and the files that it names, and on the Hub a model card.

    [cyan]sqsd-lint bundle push my-bundle/ hf://org/name[/cyan]
    """
    cache = cache_of(settings_of(context))
    from sqsd_lint.bundle.remote.address import is_remote, parse
    from sqsd_lint.bundle.remote.push import push as publish
    from sqsd_lint.bundle.resolve import open_bundle
    from sqsd_lint.report.views.bundle import print_good

    target = parse(address)
    if is_remote(bundle):
        raise UsageError(f"{bundle}: a bundle to push lies on this machine", hint="`bundle pull` it first")
    with progress(not no_progress) as bar:
        done = publish(
            open_bundle(bundle, cache_dir=cache),
            target,
            private=not public,
            force=force,
            message=message,
            status=bar.status if bar else None,
        )
    print_good(f"pushed {done.digest[:12]}: get it with `sqsd-lint bundle pull {done.address}`", sys.stdout)


def prune(
    context: typer.Context,
    unused_for: Annotated[
        float,
        typer.Option(
            "--unused-for", metavar="DAYS", min=0, help="Remove what no run has used for so many days."
        ),
    ] = 30.0,
    own: Annotated[
        bool,
        typer.Option(
            "--own",
            metavar=" ",
            help="Also bundles that were made or installed here: no pull brings them back.",
            show_default=False,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", metavar=" ", help="Only say what would go.", show_default=False),
    ] = False,
    config: o.Config = None,
) -> None:
    """Free the space of cached bundles that are not used any more; what the lock names stays.

    [cyan]sqsd-lint bundle prune --unused-for 90 --dry-run[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint.bundle.lock import read_lock
    from sqsd_lint.bundle.prune import prune as remove
    from sqsd_lint.report.views.bundle_list import print_pruned

    lock = read_lock(settings)
    done = remove(
        unused_for=unused_for,
        own=own,
        locked={each.digest for each in lock.bundles.values()} if lock else (),
        dry_run=dry_run,
        cache_dir=cache_of(settings),
    )
    print_pruned(done.bundles, len(done.leftovers), done.size, sys.stdout, dry_run=dry_run)


def _configured(settings: Settings, cache: Path | None, status: Status | None) -> list[Bundle]:
    """Return every bundle that the lock, else the configuration, fetches from elsewhere."""
    from sqsd_lint.bundle.lock import read_lock
    from sqsd_lint.bundle.remote.address import is_remote, parse
    from sqsd_lint.bundle.remote.pull import pull as fetch

    lock = read_lock(settings)
    if lock is not None:
        return [_locked(each, cache, status) for each in lock.bundles.values() if each.remote]
    chosen = settings.opinions or ((settings.bundle,) if settings.bundle else ())
    named = [*settings.bundles.values(), *chosen]
    addresses = dict.fromkeys(each for each in named if is_remote(each))
    if not addresses:
        raise UsageError(
            "neither a lock nor the configuration names a bundle to pull",
            hint="give an address: `sqsd-lint bundle pull hf://org/name`, or add it under [bundles]",
        )
    return [fetch(parse(each), cache_dir=cache, status=status) for each in addresses]


def _locked(locked: Locked, cache: Path | None, status: Status | None) -> Bundle:
    """Return a bundle of the lock, without the network if it is cached, anew if it is damaged there."""
    from sqsd_lint.bundle.installed import find_digest, used
    from sqsd_lint.bundle.remote.address import parse
    from sqsd_lint.bundle.remote.pull import pull as fetch

    try:
        found = find_digest(locked.digest, cache)
    except BundleCorruptError:
        found = None
    if found is None:
        address = parse(locked.source).at(locked.revision)
        found = fetch(address, expected=(locked.digest,), cache_dir=cache, status=status)
    return used(found, cache)
