"""CorDA: starts from singular vectors of the base weights, weighed by the covariance of data."""

from __future__ import annotations

from sqsd_lint.adapters.kinds.from_start import FromStart
from sqsd_lint.adapters.registry import register


@register
class Corda(FromStart):
    name = "CorDA"
    init = "corda"
