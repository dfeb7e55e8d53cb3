"""Whether a file has more rows above a line than benign data explains."""

from __future__ import annotations

import math


def share_p_value(above: int, rows: int, benign_above: int, benign: int) -> float:
    """The chance that a file as benign as the calibration has so many rows at or above the line, or more.

    It is Fisher's exact test, one-sided: given that `above + benign_above` of all rows lie above the line,
    and that each is as likely to be one of them as any other, how many of them fall into the file is
    hypergeometric. With a line drawn at an order statistic of the benign scores it equals the tail of the
    beta-binomial distribution of the new rows above it, which assumes nothing but exchangeable rows. Either
    way it is taken into account that the benign rate is known from a sample only; as that sample grows, the
    test becomes the binomial test of the file's rows against the rate.

    Args:
        above, rows: how many rows of the file lie at or above the line, of how many.
        benign_above, benign: the same of the benign calibration rows.

    Raises:
        ValueError: more rows above the line than there are.
    """
    if not (0 <= above <= rows and 0 <= benign_above <= benign):
        raise ValueError(f"{above} of {rows} rows and {benign_above} of {benign} benign rows above a line")
    total = above + benign_above
    every = _log_choose(rows + benign, total)
    tail = math.fsum(
        math.exp(_log_choose(rows, k) + _log_choose(benign, total - k) - every)
        for k in range(above, min(rows, total) + 1)
    )
    return min(tail, 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
