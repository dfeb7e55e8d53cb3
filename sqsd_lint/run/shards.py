"""The one loop over rows: shards of them in, their scores out, in the order of the rows.

A shard's scores depend on its rows and on what scores them, and on nothing else: whoever runs the shards, one
after the other or elsewhere, gets the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from sqsd_lint.samples import excerpt
from sqsd_lint.types import Problem, Sample

T = TypeVar("T")

# Scores of samples that differ from one another, by fingerprint: `BundleRun.scores` is one such function.
ScoreSamples = Callable[[Sequence[Sample]], Mapping[str, T | Problem]]

# Rows that are held in memory, sorted by length and scored together. Its size is part of what makes
# batches the same on every run.
SHARD_ROWS = 8192


def shards(rows: Iterable[Sample | Problem], size: int = SHARD_ROWS) -> Iterator[list[Sample | Problem]]:
    """Yield the rows in lists of `size`, the last one shorter."""
    rest = iter(rows)
    while shard := list(islice(rest, size)):
        yield shard


def score_shard(
    shard: Sequence[Sample | Problem], score_samples: ScoreSamples[T]
) -> Iterator[tuple[Sample, T] | Problem]:
    """Yield every row of a shard with its score, in their order; a row without one comes out as a Problem.

    A row that occurs twice is scored once.
    """
    samples = {item.fingerprint: item for item in shard if isinstance(item, Sample)}
    scores = score_samples(list(samples.values())) if samples else {}
    for item in shard:
        if isinstance(item, Problem):
            yield item
            continue
        score = scores[item.fingerprint]
        if isinstance(score, Problem):
            yield replace(score, where=item.where, excerpt=excerpt(item))
        else:
            yield item, score


def score_rows(
    rows: Iterable[Sample | Problem], score_samples: ScoreSamples[T]
) -> Iterator[tuple[Sample, T] | Problem]:
    """Yield every row with its score, in their order, shard by shard."""
    for shard in shards(rows):
        yield from score_shard(shard, score_samples)
