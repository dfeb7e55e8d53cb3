"""Whether a score says anything at all."""

from __future__ import annotations

import math

from sqsd_lint.types import Score


def why_unscorable(score: Score) -> str:
    """Why a score must not be compared with a line, or "" if it may.

    A comparison with NaN is false, so such a row would pass every threshold in silence; so would one
    without a response or without an update, whose score is 0 whatever it says.
    """
    if score.tokens <= 0:
        return "the row has no response tokens"
    if not all(map(math.isfinite, (score.danger, score.safety, score.sqsd))):
        return f"the score is not finite (danger {score.danger}, safety {score.safety}, SQSD {score.sqsd})"
    if score.danger == 0.0:
        return "the row's update is zero, so it has no direction"
    return ""
