"""Print a measured run, a line per checkpoint, or write it as JSON (`rules/schemas/drift.schema.json`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from sqsd_lint.common.escape import escape
from sqsd_lint.common.numbers import count
from sqsd_lint.report import fields
from sqsd_lint.report.style.page import Page, open_page

if TYPE_CHECKING:
    from pathlib import Path

    from sqsd_lint.bundle.load import Bundle
    from sqsd_lint.drift.displacement import DirectionDrift, Drift
    from sqsd_lint.drift.trajectory import StateDrift, Trajectory

VERSION = 1
_UNCUT = 200
_LEGEND = "lengths: Frobenius norms; step's cosine: with danger; turn: with the step before"
_NAMES = 3  # of modules that a line lists


def write_json(run: Path, bundle: Bundle, trajectory: Trajectory, stream: IO[str]) -> None:
    """Write all figures as one JSON object, per layer too."""
    stream.write(fields.dump(drift_fields(run, bundle, trajectory), indent=2) + "\n")


def drift_fields(run: Path, bundle: Bundle, trajectory: Trajectory) -> dict[str, Any]:
    """Return all that was measured; numbers that do not exist, such as the direction of no step, are null."""
    manifest = bundle.manifest
    return {
        "version": VERSION,
        "run": str(run),
        "kind": trajectory.kind,
        "start": trajectory.start,
        "bundle": {
            "id": bundle.id,
            "digest": bundle.digest,
            "base_model": manifest.base_model.id,
            "directions": {name: manifest.directions[name].kind for name in ("danger", "safety")},
            "cosine": fields.number(trajectory.angle),
        },
        "states": [
            {
                "label": point.state.label,
                "step": point.state.step,
                "folder": str(point.state.folder),
                **_move(point.move),
            }
            for point in trajectory.points
        ],
        "skipped": [
            {
                "label": each.state.label,
                "step": each.state.step,
                "folder": str(each.state.folder),
                "reason": each.reason,
                "hint": each.hint or None,
            }
            for each in trajectory.skipped
        ],
        "outside": list(trajectory.outside),
        "untouched": list(trajectory.untouched),
        "notes": list(trajectory.notes),
    }


def _move(move: StateDrift) -> dict[str, Any]:
    layers = [
        {
            "module": layer.module,
            "norm": fields.number(layer.norm),
            "danger": {
                "projection": fields.number(layer.danger),
                "cosine": fields.number(layer.danger_cosine),
            },
            "safety": {
                "projection": fields.number(layer.safety),
                "cosine": fields.number(layer.safety_cosine),
            },
        }
        for layer in move.total.layers
    ]
    return {
        "total": {**_drift(move.total), "layers": layers},
        "last": {**_drift(move.last), "turn": fields.number(move.turn)},
    }


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "norm": fields.number(drift.norm),
        "outside": fields.number(drift.outside),
        "danger": _along(drift.danger),
        "safety": _along(drift.safety),
        "difference": fields.number(drift.difference),
    }


def _along(along: DirectionDrift) -> dict[str, Any]:
    return {
        "projection": fields.number(along.projection),
        "cosine": fields.number(along.cosine),
        "layer_projection": fields.number(along.layer_projection),
        "layer_cosine": fields.number(along.layer_cosine),
        "share": fields.number(along.share),
    }


def write_text(run: Path, bundle: Bundle, trajectory: Trajectory, stream: IO[str]) -> None:
    """Print a table, the layers that went furthest, and whatever was left out."""
    from rich.text import Text

    page = open_page(stream)
    what = count(len(trajectory.points), "adapter" if trajectory.kind == "adapter" else "full checkpoint")
    page.line(Text(f"{escape(str(run))}: {what}, measured from {escape(trajectory.start)}", "bold"))
    page.line(
        f"bundle {bundle.id} ({bundle.digest[:12]}), base model {escape(bundle.manifest.base_model.id)};"
        f" cos(danger, safety) {_cosine(trajectory.angle)}"
    )
    page.line()
    _table(page, trajectory)
    page.line()
    _furthest(page, trajectory)
    _left_out(page, trajectory)


def _table(page: Page, trajectory: Trajectory) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for name in (
        *("step", "moved", "along\ndanger", "along\nsafety", "danger\n-safety", "cos\ndanger", "cos\nsafety"),
        *("of all\ndanger", "step's\ncosine", "turn"),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for point in trajectory.points:
        total, last = point.move.total, point.move.last
        table.add_row(
            point.state.label,
            _length(total.norm, sign=""),
            _length(total.danger.projection),
            _length(total.safety.projection),
            _length(total.difference),
            _cosine(total.danger.cosine),
            _cosine(total.safety.cosine),
            _percent(total.danger.share),
            _cosine(last.danger.cosine),
            _cosine(point.move.turn),
        )
    if not page.wraps:
        page.console.width = _UNCUT  # a pipe has no width to be cut to
    page.console.print(table)
    page.line(Text(_LEGEND, "dim"))


def _furthest(page: Page, trajectory: Trajectory) -> None:
    """Return the layers of the newest state that went furthest towards danger."""
    state, total = trajectory.points[-1].state, trajectory.points[-1].move.total
    gone = [layer for layer in total.layers if layer.danger > 0]
    top = sorted(gone, key=lambda layer: layer.danger, reverse=True)[:_NAMES]
    for layer in top:
        begins = f"furthest towards danger at {state.label}:" if layer is top[0] else "  then"
        where = f"{escape(layer.module)} {_length(layer.danger)} (cosine {_cosine(layer.danger_cosine)})"
        page.line(f"{begins} {where}")


def _left_out(page: Page, trajectory: Trajectory) -> None:
    from rich.text import Text

    glyphs, parts = page.glyphs, "module" if trajectory.kind == "adapter" else "tensor"
    outside = trajectory.points[-1].move.total.outside
    if trajectory.outside:
        page.line(
            f"{count(len(trajectory.outside), parts)} of the run outside of the directions, moved by"
            f" {_length(outside, sign='')} and not counted: {_names(trajectory.outside, glyphs.ellipsis)}"
        )
    if trajectory.untouched:
        page.line(
            f"{count(len(trajectory.untouched), 'layer')} of the directions not moved by the run:"
            f" {_names(trajectory.untouched, glyphs.ellipsis)}"
        )
    for note in trajectory.notes:
        page.line(Text(f"note: {escape(note)}", "dim"))
    for each in trajectory.skipped:
        page.line(Text.assemble((f"{glyphs.error} ", "red"), f"left out: {escape(each.reason)}"))
        if each.hint:
            page.line(Text(escape(each.hint), "dim"), indent=2)


def _names(names: Sequence[str], ellipsis: str) -> str:
    listed = ", ".join(escape(name) for name in names[:_NAMES])
    return f"{listed}, {ellipsis}" if len(names) > _NAMES else listed


def _length(value: float, sign: str = "+") -> str:
    if not math.isfinite(value):
        return "-"
    plain = value == 0 or 0.001 <= abs(value) < 10_000
    return f"{value:{sign}.3g}" if plain else f"{value:{sign}.1e}"


def _cosine(value: float) -> str:
    return f"{value:+.3f}" if math.isfinite(value) else "-"


def _percent(share: float) -> str:
    if not math.isfinite(share):
        return "-"
    return f"{100 * share:+,.0f}%" if abs(share) >= 0.1 else f"{100 * share:+.2g}%"
