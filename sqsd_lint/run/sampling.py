"""A sample of the rows that a run would judge: the same ones on every machine, whatever their order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from hashlib import blake2b

from sqsd_lint.common import numbers
from sqsd_lint.run.rows import Rows
from sqsd_lint.types import Problem, Sample


class SampledRows:
    """So many of the rows, in their order; files that cannot be read come out as they are.

    A row is chosen by a hash of its fingerprint, so that the sample of a file changes little when rows are
    added and not at all when they are sorted. No more than the chosen rows are held.

    Args:
        rows: what to choose from; it is gone through once each time that this is.
        most: how many to choose.

    Attributes:
        left_out: how many rows were not chosen, the last time.
    """

    def __init__(self, rows: Rows, most: int) -> None:
        self._rows = rows
        self._most = most
        self.left_out = 0
        self._files: set[str] = set()

    def __iter__(self) -> Iterator[Sample | Problem]:
        self.left_out = 0
        self._files.clear()
        kept: list[tuple[int, Sample | Problem]] = []
        chosen: list[tuple[int, int, Sample | Problem]] = []  # a heap, the largest hash first to go
        for place, item in enumerate(self._rows):
            if isinstance(item, Problem) and not item.rows:
                kept.append((place, item))
                continue
            heapq.heappush(chosen, (-_hash(item), -place, item))
            if len(chosen) > self._most:
                _, _, gone = heapq.heappop(chosen)
                self.left_out += gone.rows if isinstance(gone, Problem) else 1
                self._files.add(gone.where.file)
        kept += [(-place, item) for _, place, item in chosen]
        yield from (item for _, item in sorted(kept, key=lambda pair: pair[0]))

    @property
    def unchanged(self) -> int:
        """How many rows were passed by, since the old version of their file holds them."""
        return self._rows.unchanged

    @property
    def partial(self) -> set[str]:
        """The files of which some rows are not judged."""
        return self._rows.partial | self._files

    @property
    def notes(self) -> list[str]:
        """The notes of the rows, and that they are a sample."""
        if not self.left_out:
            return self._rows.notes
        sample = f"a sample: {numbers.count(self.left_out, 'more row')} were not looked at (--sample)"
        return [*self._rows.notes, f"{sample}; what is said of whole files rests on the sample alone"]


def _hash(item: Sample | Problem) -> int:
    key = item.fingerprint or str(item.where)
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, person=b"sqsd-lint/sample")
    return int.from_bytes(digest.digest(), "big")
