"""The distribution of the scores as geometry for an inline SVG: bars, both axes, both lines.

Heights go with the square root of the counts (a rootogram): a handful of risky rows stays visible beside
thousands of harmless ones, which a linear axis would hide.

Bins of equal width whose edges are the lines, so that no bar holds rows of two verdicts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.types import Head, Severity, Threshold

# Scores that differ from an edge by less than this share of a bin stand on it, whatever the rounding.
_ON_EDGE = 1e-9
# Beyond these, differences and quotients of scores leave the range of a float: infinite, and equal.
_HUGE, _TINY = 1e300, 1e-300


@dataclass(frozen=True)
class Bins:
    """`counts[i]` rows lie from `edge(i)` up to `edge(i + 1)` (raw scores)."""

    start: float
    width: float
    counts: tuple[int, ...]

    def edge(self, number: int) -> float:
        return self.start + number * self.width


def make_bins(scores: Iterable[float], lines: Sequence[float], wanted: int) -> Bins | None:
    """About `wanted` bins over the finite scores and the lines; None when there is no finite score.

    Args:
        scores: one by one, or how often each occurs.
        lines: at most two, in any order; where they lie too close for a bin between them, only the higher
            one is an edge.
    """
    known = {score: count for score, count in Counter(scores).items() if abs(score) < _HUGE}
    if not known:
        return None
    edges = sorted(line for line in lines if abs(line) < _HUGE)
    low, high = min([*known, *edges]), max([*known, *edges])
    # All scores the same: an axis of some extent around them.
    width = (high - low if high - low > _TINY else max(abs(high), 1.0)) / wanted
    anchor = edges[-1] if edges else low
    gap = edges[-1] - edges[0] if edges else 0.0
    if gap >= width:
        width = gap / round(gap / width)
    first = _bin(low, anchor, width)
    counts = [0] * (_bin(high, anchor, width) - first + 1)
    for score, count in known.items():
        counts[_bin(score, anchor, width) - first] += count
    return Bins(anchor + first * width, width, tuple(counts))


def _bin(score: float, anchor: float, width: float) -> int:
    return math.floor((score - anchor) / width + _ON_EDGE)


_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 44, 44
_LEAST_BAR = 2.0
_ROOM_Y = 22  # for a label of the vertical axis
_ROOM_X = 64  # for a label of the horizontal axis
_LABEL_Y = {Severity.ERROR: 14, Severity.WARNING: 32}
_LETTER = 7.0  # width of a letter of a line's label, generously


@dataclass(frozen=True)
class Bar:
    """Rows of a range of scores; `zone` is the severity that they get, empty below both lines."""

    zone: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A line of the policy and its label; `anchor` is the label's SVG text-anchor."""

    severity: str
    x: float
    label_x: float
    label_y: float
    anchor: str
    label: str


@dataclass(frozen=True)
class Chart:
    """A picture of `width` x `height` units; `left`, `right`, `top`, `bottom` are the edges of the plot."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]


def draw(scores: Iterable[float], head: Head, *, width: int, height: int, bins: int) -> Chart | None:
    """Lays the picture out; None when there is no finite score to show."""
    lines = [line.value for line in (head.warning_threshold, head.error_threshold) if line]
    found = make_bins(scores, lines, bins)
    if found is None:
        return None
    plot = _Plot(found, head, width, height)
    return Chart(
        width,
        height,
        plot.left,
        plot.right,
        plot.top,
        plot.bottom,
        tuple(plot.bars()),
        tuple(plot.x_ticks()),
        tuple(plot.y_ticks()),
        tuple(plot.marks()),
    )


class _Plot:
    def __init__(self, bins: Bins, head: Head, width: int, height: int) -> None:
        self.bins = bins
        self.left, self.right = float(_LEFT), float(width - _RIGHT)
        self.top, self.bottom = float(_TOP), float(height - _BOTTOM)
        self.tallest = max(bins.counts)
        self.low, self.high = bins.start, bins.edge(len(bins.counts))
        # The error line first: where the lines cross, a row above both is an error.
        both = ((Severity.ERROR, head.error_threshold), (Severity.WARNING, head.warning_threshold))
        self.lines = [(severity, line) for severity, line in both if line and math.isfinite(line.value)]

    def x(self, score: float) -> float:
        return self.left + (score - self.low) / (self.high - self.low) * (self.right - self.left)

    def y(self, count: float) -> float:
        return self.bottom - math.sqrt(count / self.tallest) * (self.bottom - self.top)

    def bars(self) -> Iterator[Bar]:
        for number, count in enumerate(self.bins.counts):
            if not count:
                continue
            start, end = self.bins.edge(number), self.bins.edge(number + 1)
            x, middle = self.x(start), (start + end) / 2
            height = max(self.bottom - self.y(count), _LEAST_BAR)
            yield Bar(
                next((severity.value for severity, line in self.lines if middle >= line.value), ""),
                _round(x + 0.5),
                _round(self.bottom - height),
                _round(max(self.x(end) - x - 1, 1)),
                _round(height),
                f"{numbers.score(start)} to {numbers.score(end)}: {numbers.count(count, 'row')}",
            )

    def x_ticks(self) -> Iterator[Tick]:
        step = _nice((self.high - self.low) / ((self.right - self.left) / _ROOM_X))
        digits = max(0, -math.floor(math.log10(step)))
        for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            value = number * step
            label = f"{value:.{digits}f}" if abs(value) < 1e5 and digits < 5 else f"{value:.2g}"
            yield Tick(_round(self.x(value)), label)

    def y_ticks(self) -> Iterator[Tick]:
        """0, and of 1, 2, 5, 10, 20 ... as many as there is room for, from the top down."""
        yield Tick(self.bottom, "0")
        last = self.top - _ROOM_Y
        exponent = math.floor(math.log10(self.tallest))
        for count in (factor * 10**power for power in range(exponent, -1, -1) for factor in (5, 2, 1)):
            y = self.y(count)
            if count <= self.tallest and y - last >= _ROOM_Y and self.bottom - y >= _ROOM_Y:
                yield Tick(_round(y), f"{count:,}")
                last = y

    def marks(self) -> Iterator[Mark]:
        """The labels stand on two levels, so that they cannot meet, and on the side where there is room."""
        for severity, line in self.lines:
            x, label = self.x(line.value), _label(severity, line)
            room = _LETTER * len(label)
            fits_before, fits_after = x - room > 0, x + room < self.right + _RIGHT
            before = fits_before and (severity is Severity.WARNING or not fits_after)
            yield Mark(
                severity.value,
                _round(x),
                _round(x + (-6 if before else 6)),
                _LABEL_Y[severity],
                "end" if before else "start",
                label,
            )


def _label(severity: Severity, line: Threshold) -> str:
    value, spec = numbers.score(line.value), escape(line.spec)
    return f"{severity.value} line {value}" + (f" ({spec})" if spec and spec != value else "")


def _nice(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20 ... times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= least)


def _round(value: float) -> float:
    return round(value, 1)
