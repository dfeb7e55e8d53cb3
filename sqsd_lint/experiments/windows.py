"""Cut rows into windows by rank, on which models are trained to test a ranking (docs/method.md section 7)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from sqsd_lint.types import Score

RANKINGS: dict[str, Callable[[Score], float]] = {
    "risk": lambda score: score.risk,
    "sqsd": lambda score: score.sqsd,
    "danger": lambda score: score.danger,
    "safety": lambda score: -score.safety,
    "harm": lambda score: score.harm or 0.0,
    "length": lambda score: score.tokens,
    "loss": lambda score: score.loss,
    "random": lambda score: random.Random(f"random:{score.fingerprint}").random(),
}
"""By name, what rows are ranked by, the riskiest first; `harm` is 0 where a bundle has no such direction."""

WITHIN_LENGTH = "/length"
"""After a ranking's name: its windows are cut within strata of length, whatever the plan says of others."""
_STRATA = 5


def windows(
    scores: Sequence[Score],
    ranking: str,
    count: int,
    size: int,
    *,
    strata: int = 1,
    others: Mapping[str, Mapping[str, float]] | None = None,
) -> list[list[int]]:
    """Return the rows' indices in `count` windows of `size` rows, from the top of a ranking to its bottom.

    Args:
        strata: quantiles of answer length. Every window takes the same number of rows from each, by rank
            within it, so that windows differ in nothing that follows from length alone.
        others: as in `rank`.

    Raises:
        ValueError: fewer rows, in all or in a stratum, than a window takes of them.
    """
    if ranking.endswith(WITHIN_LENGTH) and strata == 1:
        strata = _STRATA
    if len(scores) < size:
        raise ValueError(f"{len(scores)} rows are fewer than a window of {size}")
    order = rank(scores, ranking.removesuffix(WITHIN_LENGTH), others)
    found: list[list[int]] = [[] for _ in range(count)]
    stratum = strata_of(scores, strata)
    for k in range(strata):
        members = [i for i in order if stratum[i] == k]
        share = _upto(k + 1, size, strata) - _upto(k, size, strata)
        if len(members) < share:
            raise ValueError(
                f"{len(members)} rows in stratum {k + 1} of {strata} are fewer than the {share} of a window"
            )
        for window, part in zip(found, cut(members, count, share), strict=True):
            window += part
    return found


def strata_of(scores: Sequence[Score], strata: int) -> list[int]:
    """Return the quantile, 0 to strata - 1, of each row's answer length; ties are broken by fingerprint."""
    found = [0] * len(scores)
    order = sorted(range(len(scores)), key=lambda i: (scores[i].tokens, scores[i].fingerprint))
    for position, i in enumerate(order):
        found[i] = position * strata // len(scores)
    return found


def rank(
    scores: Sequence[Score], ranking: str, others: Mapping[str, Mapping[str, float]] | None = None
) -> list[int]:
    """Return indices of rows, the riskiest first; ties are broken by fingerprint, not by the order of files.

    Args:
        others: rankings beside RANKINGS: what every row is ranked by, by its fingerprint.
    """
    if others and ranking in others:
        values = [others[ranking][score.fingerprint] for score in scores]
    else:
        values = [RANKINGS[ranking](score) for score in scores]
    return sorted(range(len(scores)), key=lambda i: (-values[i], scores[i].fingerprint))


def cut(order: Sequence[int], windows: int, size: int) -> list[list[int]]:
    """Return `windows` windows of `size` rows, equidistant from the top of the ranking to its bottom."""
    last = len(order) - size
    starts = [round(k * last / max(1, windows - 1)) for k in range(windows)]
    return [list(order[start : start + size]) for start in starts]


def _upto(k: int, whole: int, parts: int) -> int:
    """Return how many of `whole` lie in the first k of `parts` nearly equal parts, as in `strata_of`."""
    return -(-k * whole // parts)
