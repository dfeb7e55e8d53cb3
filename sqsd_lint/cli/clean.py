"""`sqsd-lint clean`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.settings import cache_of, settings_of

# What sqsd-lint itself keeps in its cache folder; anything else there is not ours to delete.
_SCORES = ("scores.sqlite*", "scores.damaged*")
_REST = ("bundles", "models", "digests.json")


def clean(
    context: typer.Context,
    every: Annotated[
        bool, typer.Option("--all", metavar=" ", help="Also cached models and bundles.", show_default=False)
    ] = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Remove the score cache, so that every row is scored anew."""
    from sqsd_lint.bundle.cache import cache_root

    settings = settings_of(context)
    root = cache_root(cache_of(settings))
    patterns = _SCORES + _REST if every else _SCORES
    found = sorted(path for pattern in patterns for path in root.glob(pattern))
    size = sum(remove(path) for path in found)
    from sqsd_lint.common.escape import escape

    where = escape(str(root))
    typer.echo(f"Removed {size / 1e6:,.1f} MB from {where}." if found else f"Nothing to remove in {where}.")


def remove(path: Path) -> int:
    """Delete a file or a folder and returns its size in bytes; a link goes, what it points to stays."""
    if path.is_symlink() or path.is_file():
        size = path.lstat().st_size
        path.unlink()
        return size
    size = sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())
    shutil.rmtree(path)
    return size
