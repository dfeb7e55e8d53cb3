"""How fast rows were scored here before: what an estimate of the time ahead goes by.

Kept in the cache folder, by all that speed depends on: bundle, device, dtype, longest row. Characters stand
for tokens, which only the model's tokenizer could count.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sqsd_lint.common.atomic import write_whole
from sqsd_lint.types import Sample

T = TypeVar("T")

_FILE = "speed.json"
# Fewer say more about warming up than about the rows ahead.
_LEAST_ROWS = 8
_MOST_KEYS = 64


def size(sample: Sample, max_length: int) -> int:
    """Return the characters of a row that a model reads, about: rows are cut to so many tokens."""
    return min(sum(len(message.content) for message in sample.messages), 8 * max_length)


class Stopwatch:
    """Measures how long a scorer takes for its rows, and remembers it.

    Args:
        cache: the cache folder; None remembers nothing.
        key: what the speed depends on.
        max_length: to which rows are cut, in tokens.
    """

    def __init__(self, cache: Path | None, key: str, max_length: int) -> None:
        self._cache = cache
        self._max_length = max_length
        self._key = key

    def watch(
        self, answers: Iterable[tuple[Sample, T]], ready_at: Callable[[], float | None]
    ) -> Iterator[tuple[Sample, T]]:
        """Yield what a scorer does, and note its speed at the end, the loading of the model left out.

        Args:
            ready_at: when the model was in memory, by `time.perf_counter`; None if nothing was loaded.
        """
        begun, characters, rows = time.perf_counter(), 0, 0
        for answer in answers:
            characters += size(answer[0], self._max_length)
            rows += 1
            yield answer
        ready = ready_at()
        if self._cache is not None and ready is not None and rows >= _LEAST_ROWS and characters:
            remember(self._cache, self._key, (time.perf_counter() - max(begun, ready)) / characters)


def recall(cache: Path, key: str) -> float | None:
    """Return the seconds that a character took the last time, None where that is not known."""
    value = _read(cache).get(key)
    return value if isinstance(value, float) and value > 0 else None


def remember(cache: Path, key: str, seconds: float) -> None:
    """Note the seconds that a character took. A cache that cannot be written costs an estimate, no more."""
    known = {name: value for name, value in _read(cache).items() if name != key}
    kept = dict([*list(known.items())[-_MOST_KEYS:], (key, seconds)])
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        write_whole(cache / _FILE, json.dumps(kept, indent=1).encode("ascii"))


def _read(cache: Path) -> dict[str, object]:
    try:
        known = json.loads((cache / _FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
