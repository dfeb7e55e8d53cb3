"""Draw a run: its path in the plane of danger and safety, and how far each block has gone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from sqsd_lint.common.module_names import block_of

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes as Panel

    from sqsd_lint.drift.trajectory import Trajectory

PictureFormat = Literal["png", "svg"]

# Okabe and Ito's palette: told apart by colour-blind readers.
_DANGER, _SAFETY = "#D55E00", "#0072B2"
_LABELS = 8  # of states along an axis or a path
_ROWS = 60  # of blocks with a label each


def plot(
    trajectory: Trajectory,
    path: Path,
    *,
    format: PictureFormat,
    dark: bool = False,
    title: str = "",
) -> None:
    """Draw a run as PNG or SVG.

    On the left, the displacement projected on the plane that danger and safety span, in which lengths are
    true; then, per block of the model and state, the sum over the block's layers of the projection on danger
    and on safety. All lengths are Frobenius norms, in the unit of the weights.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.style.context("dark_background" if dark else "default"), _fixed_ids(matplotlib):
        figure, panels = pyplot.subplots(
            1, 3, figsize=(13.5, 4.8), layout="constrained", width_ratios=(1.5, 1, 1)
        )
        _path(panels[0], trajectory, "white" if dark else "black")
        _blocks(figure, panels[1:], trajectory, dark)
        if title:
            figure.suptitle(title, fontsize=11, parse_math=False)
        figure.savefig(path, format=format, dpi=150, metadata={"Date": None} if format == "svg" else None)
        pyplot.close(figure)


def _fixed_ids(matplotlib: Any) -> Any:
    """Fix the ids in the block, so that the same run gives the same SVG file."""
    return matplotlib.rc_context({"svg.hashsalt": "sqsd-lint"})


def _path(panel: Panel, trajectory: Trajectory, ink: str) -> None:
    c = trajectory.angle
    s = math.sqrt(max(1 - c * c, 0.0))
    xs, ys = [0.0], [0.0]
    for point in trajectory.points:
        danger, safety = point.move.total.danger.projection, point.move.total.safety.projection
        xs.append(danger)
        ys.append((safety - c * danger) / s if s > 1e-6 else 0.0)
    reach = 1.15 * max(map(math.hypot, xs, ys)) or 1.0
    for name, colour, x, y in (("danger", _DANGER, 1.0, 0.0), ("safety", _SAFETY, c, s)):
        panel.annotate(
            "",
            xy=(reach * x, reach * y),
            xytext=(0, 0),
            arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.6},
        )
        panel.annotate(
            name,
            (reach * x, reach * y),
            textcoords="offset points",
            xytext=(8 * x, 8 * y),
            color=colour,
            ha="center" if abs(x) < 0.5 else "left" if x > 0 else "right",
            va="center" if abs(y) < 0.5 else "bottom",
        )
        panel.plot([reach * x], [reach * y], alpha=0)  # so that the limits take the arrow in
    if s > 1e-6:
        panel.axline(
            (0, 0),
            slope=(1 - c) / s,
            color="grey",
            linestyle="--",
            linewidth=1,
            label="as far to danger as to safety",
        )
    panel.plot(
        xs, ys, color=ink, marker="o", markersize=4, linewidth=1.4, label="the run, from the start at 0"
    )
    for k in _some(len(trajectory.points)):
        panel.annotate(
            trajectory.points[k].state.label,
            (xs[k + 1], ys[k + 1]),
            textcoords="offset points",
            xytext=(5, 4),
            fontsize=8,
            parse_math=False,
        )
    panel.set_aspect("equal", adjustable="datalim")
    panel.margins(0.2)
    panel.grid(alpha=0.25)
    panel.set_xlabel("displacement along danger [Frobenius norm]")
    panel.set_ylabel("at right angles to it, towards safety [Frobenius norm]")
    panel.set_title(f"path of the weights; cos(danger, safety) = {c:+.2f}", fontsize=10)
    panel.legend(fontsize="small", loc="best")


def _blocks(figure: Any, panels: Any, trajectory: Trajectory, dark: bool) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    names, danger, safety = block_table(trajectory)
    limit = max((abs(v) for row in (*danger, *safety) for v in row), default=0.0) or 1.0
    colours = LinearSegmentedColormap.from_list("drift", (_SAFETY, "#111111" if dark else "#ffffff", _DANGER))
    image = None
    for panel, table, name in zip(panels, (danger, safety), ("danger", "safety"), strict=True):
        image = panel.imshow(
            table,
            aspect="auto",
            cmap=colours,
            vmin=-limit,
            vmax=limit,
            origin="lower",
            interpolation="nearest",
        )
        shown = _some(len(trajectory.points))
        panel.set_xticks(shown, [trajectory.points[k].state.label for k in shown], rotation=45, ha="right")
        rows = range(0, len(names), math.ceil(len(names) / _ROWS * 3))
        panel.set_yticks(list(rows), [names[k] for k in rows], parse_math=False)
        panel.set_xlabel("optimizer step")
        panel.set_title(f"per block, along {name}", fontsize=10)
    panels[0].set_ylabel("block of the model, input at the bottom")
    figure.colorbar(
        image,
        ax=list(panels),
        label="projection, summed over the block's layers\n[Frobenius norm; positive is towards it]",
    )


def block_table(trajectory: Trajectory) -> tuple[list[str], list[list[float]], list[list[float]]]:
    """Return the blocks' names, and by block and state its layers' summed projections on either direction."""
    layers = trajectory.points[0].move.total.layers
    blocks = [block_of(layer.module) for layer in layers]
    names = list(
        dict.fromkeys(layer.module if b is None else b for b, layer in zip(blocks, layers, strict=True))
    )
    row = {name: k for k, name in enumerate(names)}
    danger = [[0.0] * len(trajectory.points) for _ in names]
    safety = [[0.0] * len(trajectory.points) for _ in names]
    for column, point in enumerate(trajectory.points):
        for block, layer in zip(blocks, point.move.total.layers, strict=True):
            at = row[layer.module if block is None else block]
            for table, value in ((danger, layer.danger), (safety, layer.safety)):
                if not math.isnan(value):  # the direction lacks the layer
                    table[at][column] += value
    return [str(name) for name in names], danger, safety


def _some(count: int) -> list[int]:
    """Return at most _LABELS of so many places, the last one among them."""
    every = math.ceil(count / _LABELS)
    return sorted(range(count - 1, -1, -every))
