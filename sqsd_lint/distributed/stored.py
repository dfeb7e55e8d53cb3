"""Finished shards as a store of scores by fingerprint, of which little is in memory at a time.

Rows that are judged mostly stand where they stood when they were scored. So the shard of a row is guessed
from its place, and found there; for rows that have moved, an index over all shards is made: 12 bytes a row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.distributed.shards import Shard
from sqsd_lint.distributed.table import Done, Lookup, ScoredRow, fingerprints_of, open_lookup, read_done
from sqsd_lint.types import Where

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Shards that are held in memory at a time, some 1.5 MB each.
_HELD = 8


class StoredScores:
    """The scores of finished shards.

    Args:
        shards: with the files of their scores.
        status: told when the index over all of them is made.

    Attributes:
        used: what became of the shards that rows were found in.
    """

    def __init__(
        self, shards: Iterable[tuple[Shard, Path]], status: Callable[[str], None] | None = None
    ) -> None:
        self.used: dict[str, Done] = {}
        self._shards = list(shards)
        self._status = status
        self._held: OrderedDict[int, Lookup] = OrderedDict()
        self._index: _Index | None = None
        self._starts: dict[str, tuple[list[int], list[int]]] = {}  # of each file: first rows, shards
        for number, (shard, _) in enumerate(self._shards):
            rows, numbers = self._starts.setdefault(shard.file, ([], []))
            rows.append(shard.part.rows)
            numbers.append(number)

    def find(self, wanted: Iterable[tuple[str, Where]]) -> dict[str, ScoredRow]:
        """Return what is stored of rows, by fingerprint; of the others there is nothing.

        Args:
            wanted: fingerprints, and where their rows stand now.

        Raises:
            CannotScoreError: a file of scores is damaged.
        """
        found: dict[str, ScoredRow] = {}
        by_shard: dict[int, list[str]] = {}
        left: list[str] = []
        for fingerprint, where in wanted:
            at = self._guess(where)
            if at is None:
                left.append(fingerprint)
            else:
                by_shard.setdefault(at, []).append(fingerprint)
        for at, fingerprints in by_shard.items():
            found.update(self._get(at, fingerprints))
            left += [fingerprint for fingerprint in fingerprints if fingerprint not in found]
        if left and self._shards:
            if self._index is None:
                if self._status:
                    self._status("indexing stored scores")
                self._index = _Index([path for _, path in self._shards])
            for at, fingerprints in self._index.shards_of(left).items():
                found.update(self._get(at, fingerprints))
        return found

    def _guess(self, where: Where) -> int | None:
        starts = self._starts.get(where.file)
        if starts is None:
            return None
        rows, numbers = starts
        at = bisect_right(rows, where.index) - 1
        return numbers[at] if at >= 0 else None

    def _get(self, at: int, fingerprints: list[str]) -> Iterator[tuple[str, ScoredRow]]:
        lookup = self._held.pop(at, None)
        if lookup is None:
            shard, path = self._shards[at]
            self.used[shard.name] = read_done(path, shard)
            lookup = open_lookup(path)
        self._held[at] = lookup
        while len(self._held) > _HELD:
            self._held.popitem(last=False)
        yield from lookup.get(fingerprints)


class _Index:
    """Which shard a fingerprint is in: the first 8 bytes of all of them, sorted."""

    def __init__(self, paths: list[Path]) -> None:
        import numpy as np

        keys = [_keys(fingerprints_of(path)) for path in paths]
        counts = [len(each) for each in keys]
        self._keys: NDArray[np.uint64] = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        shards = np.repeat(np.arange(len(paths), dtype=np.uint32), counts)
        order = np.argsort(self._keys, kind="stable")
        self._keys, self._shards = self._keys[order], shards[order]

    def shards_of(self, fingerprints: list[str]) -> dict[int, list[str]]:
        """Return the fingerprints that may be there, by shard: one is asked for in all that it may be in."""
        import numpy as np

        wanted = _keys(fingerprints)
        first = np.searchsorted(self._keys, wanted, "left")
        last = np.searchsorted(self._keys, wanted, "right")
        found: dict[int, list[str]] = {}
        for fingerprint, begin, end in zip(fingerprints, first.tolist(), last.tolist(), strict=True):
            for shard in set(self._shards[begin:end].tolist()):
                found.setdefault(shard, []).append(fingerprint)
        return found


def _keys(fingerprints: list[str]) -> Any:
    import numpy as np

    return np.fromiter((int(each[:16], 16) for each in fingerprints), np.uint64, len(fingerprints))
