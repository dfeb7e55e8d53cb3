"""The cached bundles on a terminal: the list, what was pruned, what a new lock says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import IO, Any, Protocol

from rich.text import Text

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.report import fields
from sqsd_lint.report.head import short_digest
from sqsd_lint.report.style.page import Page, open_page

_DAY = 86_400


class Listed(Protocol):
    """A line of the list, `bundle.prune.CachedUsage`: a bundle, its size in bytes, last use and sources."""

    @property
    def entry(self) -> Any: ...
    @property
    def digest(self) -> str | None: ...
    @property
    def size(self) -> int: ...
    @property
    def used(self) -> float | None: ...
    @property
    def sources(self) -> tuple[str, ...]: ...


class ChangedSource(Protocol):
    """One base model whose lock is another one, or new, or gone: `bundle.locking.LockChange`."""

    @property
    def base(self) -> str: ...
    @property
    def old(self) -> Any: ...
    @property
    def new(self) -> Any: ...


def print_list(bundles: Sequence[Listed], stream: IO[str], *, now: float | None = None) -> None:
    """Print one row per bundle: id, digest, size, last use, base model, and how it scores.

    Args:
        now: seconds since 1970.
    """
    page = open_page(stream)
    if not bundles:
        page.line(
            "No bundles. Pull one with `sqsd-lint bundle pull`, build one with `sqsd-lint bundle build`, or "
            "import PEFT adapters."
        )
        return
    now = time.time() if now is None else now
    width = max(6, *(len(escape(each.entry.id)) for each in bundles))
    page.line(Text(f"{'bundle':<{width}}  {'digest':<12}  {'size':>9}  {'last used':<12}  base model", "dim"))
    for each in bundles:
        text = Text.assemble((f"{escape(each.entry.id):<{width}}", "bold"), "  ")
        if each.digest is None:
            page.line(text.append(escape(each.entry.problem), "red"))
            continue
        text.append(f"{short_digest(each.digest):<12}  {_megabytes(each.size):>9}  ")
        text.append(f"{_when(each, now):<12}  ", "dim")
        page.line(text.append(page.glyphs.dot.join(_about(each)), "dim"))


def print_list_json(bundles: Sequence[Listed], stream: IO[str]) -> None:
    """Print what `print_list` shows, as a JSON list."""
    rows = []
    for each in bundles:
        manifest = each.entry.manifest
        used = None if each.used is None else datetime.fromtimestamp(each.used, timezone.utc)
        rows.append(
            {
                "id": each.entry.id,
                "digest": each.digest,
                "base_model": manifest.base_model.id if manifest else None,
                "expansion": manifest.expansion if manifest else None,
                "calibrated": bool(manifest and manifest.calibration),
                "embedded": each.entry.embedded,
                "bytes": each.size,
                "last_used": used.isoformat(timespec="seconds") if used else None,
                "sources": list(each.sources),
                "path": str(each.entry.root),
                "problem": each.entry.problem or None,
            }
        )
    stream.write(fields.dump(rows, indent=2) + "\n")


def print_pruned(
    bundles: Sequence[Listed], leftovers: int, size: int, stream: IO[str], *, dry_run: bool
) -> None:
    """Print what was removed, or would be.

    Args:
        leftovers: how many things killed pulls had left.
        size: bytes of all of it.
    """
    page = open_page(stream)
    verb = "would remove" if dry_run else "removed"
    for each in bundles:
        base = each.entry.manifest.base_model.id if each.entry.manifest else each.entry.problem
        page.line(
            Text.assemble(
                f"{verb} ", (escape(each.entry.id), "bold"), f"  {_megabytes(each.size)}  {escape(base)}"
            )
        )
    if leftovers:
        page.line(f"{verb} {numbers.count(leftovers, 'file or folder')} of pulls that were cut off".strip())
    if not (bundles or leftovers):
        page.line("Nothing to remove: every bundle was used lately, is locked, or was made here (--own).")
        return
    page.line(f"{_megabytes(size)} {'would be free' if dry_run else 'are free'}")


def print_lock(path: str, changes: Sequence[ChangedSource], total: int, stream: IO[str]) -> None:
    """Print how a new lock differs from the old one.

    Args:
        total: how many bundles it holds.
    """
    page = open_page(stream)
    for change in changes:
        if change.new is None:
            page.line(Text.assemble(("- ", "red"), (escape(change.base), "bold"), "  no longer configured"))
            continue
        sign, style = ("+", "green") if change.old is None else ("~", "yellow")
        was = "" if change.old is None else f"{short_digest(change.old.digest)} {page.glyphs.arrow} "
        revision = f" at {escape(change.new.revision[:12])}" if change.new.revision else ""
        page.line(
            Text.assemble(
                (f"{sign} ", style),
                (escape(change.base), "bold"),
                f"  {was}{escape(change.new.id)}@{short_digest(change.new.digest)}",
                (f"  {escape(change.new.source)}{revision}", "dim"),
            )
        )
    said = "written" if changes else "unchanged"
    _good(page, f"{path}: {numbers.count(total, 'bundle')} locked, {said}")


def _good(page: Page, text: str) -> None:
    page.line(Text.assemble((f"{page.glyphs.clear} ", "bold green"), escape(text)))


def _about(each: Listed) -> list[str]:
    manifest = each.entry.manifest
    # One pull leaves two addresses, of the branch or tag and of its commit: the first says enough.
    came = [escape(min(each.sources, key=len))] if each.sources else []
    return [
        escape(manifest.base_model.id),
        f"{manifest.expansion} expansion",
        "calibrated" if manifest.calibration else "not calibrated",
        *(["embedded"] if each.entry.embedded else came),
    ]


def _when(each: Listed, now: float) -> str:
    if each.used is None:
        return "-"
    days = int(max(now - each.used, 0) // _DAY)
    return "today" if days == 0 else f"{numbers.count(days, 'day')} ago"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
