"""Windows of rows by rank: what is trained on when a ranking is put to the test (METHOD section 7)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from sqsd_lint.types import Score

RANKINGS: dict[str, Callable[[Score], float]] = {
    "sqsd": lambda score: score.sqsd,
    "danger": lambda score: score.danger,
    "safety": lambda score: -score.safety,
    "length": lambda score: score.tokens,
    "loss": lambda score: score.loss,
    "random": lambda score: random.Random(f"random:{score.fingerprint}").random(),
}
"""By name, what rows are ranked by, the riskiest first. `NAME/length` ranks within strata of equal length."""

WITHIN_LENGTH = "/length"
_STRATA = 5


def rank(scores: Sequence[Score], ranking: str) -> list[int]:
    """Indices of rows, the riskiest first; ties are broken by fingerprint, so no order of files matters.

    Within strata of length, a row's rank is its quantile among rows of like length.
    """
    within = ranking.endswith(WITHIN_LENGTH)
    key = RANKINGS[ranking.removesuffix(WITHIN_LENGTH) if within else ranking]
    order = sorted(range(len(scores)), key=lambda i: (-key(scores[i]), scores[i].fingerprint))
    if not within:
        return order
    by_length = sorted(order, key=lambda i: (scores[i].tokens, scores[i].fingerprint))
    stratum = {row: position * _STRATA // len(scores) for position, row in enumerate(by_length)}
    members: list[list[int]] = [[] for _ in range(_STRATA)]
    for row in order:
        members[stratum[row]].append(row)
    quantile = {row: at / len(rows) for rows in members for at, row in enumerate(rows)}
    return sorted(order, key=lambda i: (quantile[i], scores[i].fingerprint))


def cut(order: Sequence[int], windows: int, size: int) -> list[list[int]]:
    """`windows` windows of `size` rows, equidistant from the top of the ranking to its bottom.

    Raises:
        ValueError: there are fewer rows than one window holds.
    """
    if len(order) < size:
        raise ValueError(f"{len(order)} rows are fewer than a window of {size}")
    last = len(order) - size
    starts = [round(k * last / max(1, windows - 1)) for k in range(windows)]
    return [list(order[start : start + size]) for start in starts]
