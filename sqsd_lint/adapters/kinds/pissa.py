"""PiSSA: starts from the largest singular vectors of the base weights."""

from __future__ import annotations

from sqsd_lint.adapters.kinds.from_start import FromStart
from sqsd_lint.adapters.registry import register


@register
class Pissa(FromStart):
    name = "PiSSA"
    init = "pissa"
    repeatable = True
