"""How numbers are written for people: scores, percentiles, shares, counts, durations."""

from __future__ import annotations

import math


def score(value: float) -> str:
    """Return `7.59`, `12,345`, `0.0123`, `3.1e-05`: as many digits as a reader can use, in any unit."""
    size = abs(value)
    if not math.isfinite(value):
        return "n/a"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 0.1 or size == 0:
        return f"{value:.2f}"
    return f"{value:.3g}"


def percentile(value: float | None) -> str:
    """Return `p99.9`; a value below 100 is never rounded up to it, and an unknown one is empty."""
    if value is None or not math.isfinite(value):
        return ""
    if value >= 100:
        return "p100"
    return f"p{_trim(math.floor(value * 100) / 100)}"


def places(percentiles: tuple[float, float] | None) -> str:
    """Return `p97 to p100`; empty where they are not known."""
    return " to ".join(map(percentile, percentiles)) if percentiles else ""


def share(value: float) -> str:
    """Return a share between 0 and 1 as a percentage: `0.1%`, `87%`."""
    percent = value * 100
    if not math.isfinite(percent):
        return "n/a"
    digits = 0 if percent >= 10 else 1 if percent >= 0.1 or percent == 0 else 2
    return f"{_trim(round(percent, digits))}%"


def count(number: int, noun: str) -> str:
    """Return `1 error`, `1,204 rows`."""
    return f"{number:,} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    """Return the noun as it stands behind a number: `row` behind 1, `rows` behind any other."""
    return noun if number == 1 else f"{noun}s"


def listing(parts: list[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def duration(seconds: float) -> str:
    """Return `0.4 s`, `2 min 05 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _trim(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
