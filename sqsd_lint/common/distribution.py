"""How often each of many numbers occurs, in memory that does not grow with them."""

from __future__ import annotations

import math
from collections import Counter

_EXACT = 100_000
_DIGITS = 4


class ValueCounts:
    """Counts of values: as they are up to 100,000 different ones, beyond that rounded to four digits.

    Attributes:
        counts: by value; what is not a number is one value.
    """

    def __init__(self) -> None:
        self.counts: Counter[float] = Counter()
        self._rounded = False

    def add(self, value: float) -> None:
        """Count a value."""
        if math.isnan(value):
            value = math.nan  # a key is found again if it is the same object
        elif self._rounded:
            value = _rounded(value)
        self.counts[value] += 1
        if not self._rounded and len(self.counts) > _EXACT:
            self._rounded = True
            exact, self.counts = self.counts, Counter()
            for each, count in exact.items():
                self.counts[_rounded(each)] += count


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value
