"""What a check would do, as `check --dry-run` prints it and as a check of many rows says before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any, Literal

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.report.fields import dump, number

Basis = Literal["", "measured", "estimated"]


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """What one bundle has to do.

    Attributes:
        cached: rows whose scores are known.
        rows, characters: of those that the model has to score, each row once however often it occurs.
        seconds: how long that takes; None where nothing tells.
        basis: where that comes from: the speed of earlier runs here, or that of the machine.
    """

    name: str
    base_model: str
    device: str
    dtype: str
    cached: int
    rows: int
    characters: int
    seconds: float | None = None
    basis: Basis = ""


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What a check would do.

    Attributes:
        bytes: of the files, as they lie on disk; None where versions in a repository are read.
        rows: that would be judged, those without a score included.
        unscorable: of them, rows that will have no score, and files that cannot be read.
        complete: whether all rows were counted; the figures are lower bounds otherwise.
        notes: on what is left out.
    """

    files: int
    bytes: int | None
    rows: int
    unscorable: int
    complete: bool
    bundles: tuple[BundlePlan, ...]
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long scoring takes, None where it is not known of every bundle."""
        known = [bundle.seconds for bundle in self.bundles]
        return sum(each for each in known if each is not None) if None not in known else None


_BASIS = {"measured": "by earlier runs here", "estimated": "by the speed of this machine"}
_SLOW = 600.0


def print_plan(plan: CheckPlan, stream: IO[str]) -> None:
    """Print a plan for people, a fact a line."""
    for line in _lines(plan):
        stream.write(f"{line}\n")


def _lines(plan: CheckPlan) -> list[str]:
    lines = [_what(plan)]
    if plan.unscorable:
        lines.append(f"{numbers.count(plan.unscorable, 'row')} or files will have no score: a check says why")
    for bundle in plan.bundles:
        lines.append(f"{_by(bundle)}: {_work(bundle)}")
    lines += [f"note: {escape(note)}" for note in plan.notes]
    lines.append("Nothing was scored (--dry-run).")
    return lines


def announcement(plan: CheckPlan) -> str:
    """Return what a check is about to do in a line; empty where the cache knows every row."""
    if not any(bundle.rows for bundle in plan.bundles):
        return ""
    works = [_work(bundle, more=not plan.complete) for bundle in plan.bundles]
    if len(works) > 1:
        works = [f"{_by(bundle)}: {work}" for bundle, work in zip(plan.bundles, works, strict=True)]
    work = "; ".join(works)
    slow = plan.seconds is None or plan.seconds > _SLOW or not plan.complete
    advice = ". For a first look: --sample 200" if slow else ""
    return f"{_what(plan)}; {work}{advice}"


def _what(plan: CheckPlan) -> str:
    size = "" if plan.bytes is None else f", {_bytes(plan.bytes)}"
    more = "" if plan.complete else "more than "
    return f"{numbers.count(plan.files, 'file')}{size}: {more}{numbers.count(plan.rows, 'row')}"


def _by(bundle: BundlePlan) -> str:
    return escape(f"{bundle.name} ({bundle.base_model}, {bundle.dtype} on {bundle.device})")


def _work(bundle: BundlePlan, more: bool = False) -> str:
    if not bundle.rows:
        return f"all {numbers.count(bundle.cached, 'score')} are in the cache"
    cached = f"{bundle.cached:,} cached, " if bundle.cached else ""
    return f"{cached}{bundle.rows:,} to score, {_time(bundle, more)}"


def _time(bundle: BundlePlan, more: bool) -> str:
    if bundle.seconds is None:
        return "for how long is not known here yet: a check with --sample 50 tells"
    least = "at least " if more else "about "
    return f"{least}{_duration(bundle.seconds)} {_BASIS.get(bundle.basis, '')}".rstrip()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} bytes"


def print_plan_json(plan: CheckPlan, stream: IO[str]) -> None:
    """Print a plan as one JSON object."""
    stream.write(f"{dump(_fields(plan), indent=2)}\n")


def _fields(plan: CheckPlan) -> dict[str, Any]:
    return {
        "files": plan.files,
        "bytes": plan.bytes,
        "rows": plan.rows,
        "unscorable": plan.unscorable,
        "seconds": number(plan.seconds),
        "bundles": [
            {
                "bundle": bundle.name,
                "base_model": bundle.base_model,
                "device": bundle.device,
                "dtype": bundle.dtype,
                "cached": bundle.cached,
                "to_score": bundle.rows,
                "characters": bundle.characters,
                "seconds": number(bundle.seconds),
                "basis": bundle.basis or None,
            }
            for bundle in plan.bundles
        ],
        "notes": list(plan.notes),
    }
