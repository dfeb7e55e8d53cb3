"""Draw the rooms of the package and the imports between them: `python docs/rooms.py`, or `make figures`.

The arrows are the imports that are there: `docs/images/rooms.svg` and `rooms-dark.svg` change when these do.
`python docs/rooms.py --check` exits with 1 where the files are not what would be drawn now.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from html import escape
from itertools import pairwise
from pathlib import Path

import grimp

IMAGES = Path(__file__).resolve().parent / "images"
PACKAGE = "sqsd_lint"

# A room's name and what it does, in a few words. Every room needs them.
CAPTIONS = {
    "cli": "one file per command",
    "run": "one use case each",
    "report": "formats and views",
    "fix": "moves rows out of a file",
    "experiments": "does a score cost safety?",
    "explain": "where a score comes from",
    "drift": "how far a run has moved",
    "rules": "what a finding is",
    "training": "makes a bundle",
    "bundle": "directions on disk",
    "scoring": "projections of updates",
    "adapters": "PEFT folders as factors",
    "encode": "token ids and labels",
    "samples": "rows as conversations",
    "read": "rows out of files",
    "discover": "which files, which rows",
    "config": "settings and sources",
    "distributed": "shards and executors",
    "server": "scores over HTTP",
}
# The way of a row through the rooms: numbered in the picture.
WALK = ("discover", "read", "samples", "encode", "scoring", "rules", "report")
# What every room may use is one bar at the bottom; no arrow leads there.
GROUND = ("common", "types", "errors", "resources")
OUTSIDE = ("__init__", "__main__", "_version", *GROUND)

BOX_WIDTH, BOX_HEIGHT = 166, 44
GAP_X, GAP_Y, MARGIN = 26, 34, 16
LANE = 18  # what an arrow that passes a row of rooms takes of it

LIGHT = {"paper": "#ffffff", "box": "#f6f8fa", "line": "#d0d7de", "text": "#1f2328", "soft": "#59636e"}
DARK = {"paper": "#0d1117", "box": "#161b22", "line": "#3d444d", "text": "#e6edf3", "soft": "#9198a1"}
LIGHT |= {"arrow": "#7d8590", "walk": "#0072b2", "number": "#ffffff"}
DARK |= {"arrow": "#6e7681", "walk": "#56b4e9", "number": "#0d1117"}

Graph = Mapping[str, set[str]]


def room_imports() -> dict[str, set[str]]:
    """Return which rooms each room imports itself, at any depth of its modules, lazy imports included."""
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    rooms: dict[str, set[str]] = {}
    for module in graph.modules:
        room = _room_of(module)
        if room in OUTSIDE:
            continue
        imported = {_room_of(name) for name in graph.find_modules_directly_imported_by(module)}
        rooms.setdefault(room, set()).update(imported - {room, *OUTSIDE})
    if unknown := sorted(set(rooms) - set(CAPTIONS)):
        sys.exit(f"docs/rooms.py: rooms without a caption: {', '.join(unknown)}. Add them to CAPTIONS.")
    return rooms


def _room_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def reachable(graph: Graph, start: str) -> set[str]:
    """Return everything that `start` imports, directly or by way of others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()] - found:
            found.add(name)
            waiting.append(name)
    return found


def reduced(graph: Graph) -> dict[str, set[str]]:
    """Return the graph without arrows that follow from others: the same rooms are reachable."""
    return {
        room: {
            name
            for name in imported
            if not any(name in reachable(graph, other) for other in imported - {name})
        }
        for room, imported in graph.items()
    }


def heights(graph: Graph) -> dict[str, int]:
    """Return each room's row, counted from the bottom: one above the highest room that it imports."""
    rows: dict[str, int] = {}

    def row(room: str) -> int:
        if room not in rows:
            rows[room] = 1 + max(map(row, sorted(graph[room])), default=-1)
        return rows[room]

    for room in sorted(graph):
        row(room)
    return rows


def draw(graph: Graph, colours: Mapping[str, str]) -> str:
    """Return the picture as SVG text: rooms in rows, the importing one above, and the arrows of `graph`."""
    rows = heights(graph)
    paths = _paths(graph, rows)
    order = _ordered(paths, rows)
    x = _placed(paths, order)
    width = round(max(x[n] + _width(n) / 2 for n in x)) + MARGIN
    top = max(rows.values())

    def y(name: str) -> float:
        height = rows[name] if name in rows else int(name.rsplit("|", 1)[1])
        return MARGIN + (top - height) * (BOX_HEIGHT + GAP_Y)

    ground = MARGIN + (top + 1) * (BOX_HEIGHT + GAP_Y)
    height = ground + BOX_HEIGHT + 26 + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="system-ui, \'Segoe UI\', Helvetica, Arial, sans-serif">',
        f"<title>Rooms of {PACKAGE} and the imports between them</title>",
        f'<rect width="100%" height="100%" fill="{colours["paper"]}"/>',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0.8 L7.5 4 L0 7.2 Z" fill="{colours["arrow"]}"/></marker></defs>',
    ]
    parts += [_arrow(path, paths, x, y, colours) for path in paths]
    parts += [_box(room, x[room], y(room), colours) for room in sorted(rows)]
    wide = width - 2 * MARGIN
    parts += [
        f'<rect x="{MARGIN}" y="{ground}" width="{wide}" height="{BOX_HEIGHT}" rx="6" '
        f'fill="{colours["box"]}" stroke="{colours["line"]}"/>',
        _text(width / 2, ground + 19, " · ".join(GROUND), colours["text"], 14, weight=600),
        _text(width / 2, ground + 36, "every room may import these", colours["soft"], 11.5),
        _text(
            width / 2,
            ground + BOX_HEIGHT + 26,
            "An arrow leads from a room to one that it imports; arrows that follow from others are left out. "
            "Numbers: the way of a row.",
            colours["soft"],
            11.5,
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _paths(graph: Graph, rows: Mapping[str, int]) -> list[list[str]]:
    """Return each arrow as the places it passes, top down: room, one lane per row between, room."""
    paths = []
    for room in sorted(graph):
        for name in sorted(graph[room]):
            lanes = [f"{room}>{name}|{row}" for row in range(rows[room] - 1, rows[name], -1)]
            paths.append([room, *lanes, name])
    return paths


def _ordered(paths: list[list[str]], rows: Mapping[str, int]) -> list[list[str]]:
    """Return the places of each row from left to right, so that few arrows cross: swept barycentres."""
    row_of = {**rows, **{n: int(n.rsplit("|", 1)[1]) for path in paths for n in path[1:-1]}}
    order = [sorted(n for n in row_of if row_of[n] == row) for row in range(max(rows.values()) + 1)]
    above, below = _neighbours(paths)

    def crossings(order: list[list[str]]) -> int:
        place = {n: i for row in order for i, n in enumerate(row)}
        steps = [(row_of[b], place[a], place[b]) for path in paths for a, b in pairwise(path)]
        return sum(r == s and (a - c) * (b - d) < 0 for r, a, b in steps for s, c, d in steps) // 2

    best = order
    for sweep in range(60):
        side = above if sweep % 2 else below
        order = [list(row) for row in order]
        for row in range(len(order)) if sweep % 2 == 0 else range(len(order) - 1, -1, -1):
            place = {n: (i + 0.5) / len(r) for r in order for i, n in enumerate(r)}
            centre = {
                n: sum(place[m] for m in side[n]) / len(side[n]) if side[n] else place[n] for n in order[row]
            }
            order[row].sort(key=lambda n: (centre[n], n))
        best = min(best, order, key=crossings)
    # Neighbours change places as long as that helps.
    improved = True
    while improved:
        improved = False
        for row in range(len(best)):
            for i in range(len(best[row]) - 1):
                other = [list(r) for r in best]
                other[row][i : i + 2] = reversed(other[row][i : i + 2])
                if crossings(other) < crossings(best):
                    best, improved = other, True
    return best


def _neighbours(paths: list[list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    names = {name for path in paths for name in path}
    above: dict[str, list[str]] = {name: [] for name in names}
    below: dict[str, list[str]] = {name: [] for name in names}
    for path in paths:
        for a, b in pairwise(path):
            below[a].append(b)
            above[b].append(a)
    return above, below


def _placed(paths: list[list[str]], order: list[list[str]]) -> dict[str, float]:
    """Return the middle of each place: near its neighbours above and below, in the order given."""
    above, below = _neighbours(paths)
    x: dict[str, float] = {}
    for row in order:
        left = 0.0
        for name in row:
            x[name] = left + _width(name) / 2
            left += _width(name) + GAP_X
    for _ in range(400):
        for row in order:
            wanted = {n: sum(x[m] for m in (*above[n], *below[n])) / len((*above[n], *below[n])) for n in row}
            lefts, rights = dict(wanted), dict(wanted)
            for a, b in pairwise(row):
                lefts[b] = max(lefts[b], lefts[a] + _apart(a, b))
            for b, a in pairwise(reversed(row)):
                rights[a] = min(rights[a], rights[b] - _apart(a, b))
            for name in row:
                x[name] = (lefts[name] + rights[name]) / 2
    start = min(x[name] - _width(name) / 2 for name in x)
    return {name: x[name] - start + MARGIN for name in x}


def _width(name: str) -> float:
    return LANE if "|" in name else BOX_WIDTH


def _apart(a: str, b: str) -> float:
    gap = GAP_X / 3 if "|" in a or "|" in b else GAP_X
    return (_width(a) + _width(b)) / 2 + gap


def _arrow(
    path: list[str],
    paths: list[list[str]],
    x: Mapping[str, float],
    y: Callable[[str], float],
    colours: Mapping[str, str],
) -> str:
    """Return one arrow; those of a room leave and reach it side by side."""
    leaving = sorted((p for p in paths if p[0] == path[0]), key=lambda p: x[p[1]])
    arriving = sorted((p for p in paths if p[-1] == path[-1]), key=lambda p: x[p[-2]])

    def spread(among: list[list[str]]) -> float:
        return (among.index(path) - (len(among) - 1) / 2) * min(18.0, (BOX_WIDTH - 40) / len(among))

    at = (x[path[0]] + spread(leaving), y(path[0]) + BOX_HEIGHT)
    drawn = [f"M{at[0]:.1f} {at[1]:.1f}"]
    stops: list[tuple[float, float]] = []
    for lane in path[1:-1]:
        stops += [(x[lane], y(lane)), (x[lane], y(lane) + BOX_HEIGHT)]
    stops.append((x[path[-1]] + spread(arriving), y(path[-1]) - 1))
    for number, stop in enumerate(stops):
        if number % 2:  # down along a lane
            drawn.append(f"L{stop[0]:.1f} {stop[1]:.1f}")
        else:
            bend = (stop[1] - at[1]) / 2
            bends = f"{at[0]:.1f} {at[1] + bend:.1f} {stop[0]:.1f} {stop[1] - bend:.1f}"
            drawn.append(f"C{bends} {stop[0]:.1f} {stop[1]:.1f}")
        at = stop
    return (
        f'<path d="{" ".join(drawn)}" fill="none" stroke="{colours["arrow"]}" stroke-width="1.3" '
        'marker-end="url(#head)"/>'
    )


def _box(room: str, x: float, y: float, colours: Mapping[str, str]) -> str:
    on_walk = room in WALK
    edge = colours["walk"] if on_walk else colours["line"]
    left = x - BOX_WIDTH / 2
    parts = [
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
        f'fill="{colours["box"]}" stroke="{edge}" stroke-width="{1.8 if on_walk else 1}"/>',
        _text(x, y + 19, room, colours["text"], 14, weight=600),
        _text(x, y + 35, CAPTIONS[room], colours["soft"], 11.5),
    ]
    if on_walk:
        parts += [
            f'<circle cx="{left:.1f}" cy="{y:.1f}" r="9.5" fill="{colours["walk"]}"/>',
            _text(left, y + 4, str(WALK.index(room) + 1), colours["number"], 11.5, weight=700),
        ]
    return "".join(parts)


def _text(x: float, y: float, text: str, colour: str, size: float, weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="{size}" font-weight="{weight}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def main() -> int:
    """Write both pictures, or with `--check` compare them with what lies there."""
    graph = reduced(room_imports())
    stale = []
    for name, colours in (("rooms.svg", LIGHT), ("rooms-dark.svg", DARK)):
        path = IMAGES / name
        text = draw(graph, colours)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(f"docs/images/{name}")
            if "--check" not in sys.argv[1:]:
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv[1:] and stale:
        print(f"{' and '.join(stale)}: imports changed. Run `python docs/rooms.py` and commit the pictures.")
        return 1
    print("\n".join(stale) or "docs/images/rooms.svg and rooms-dark.svg are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
