"""Explain why a row has its score: shares of tokens, words, sentences and layers, and what would lower it."""

from __future__ import annotations

from sqsd_lint.explain.model import Explanation, Nearest, Neighbour, Remedy, Share, Span, SpannedRow, Spans
from sqsd_lint.explain.spans import UNITS, Unit

__all__ = [
    "UNITS",
    "Explanation",
    "Nearest",
    "Neighbour",
    "Remedy",
    "Share",
    "Span",
    "SpannedRow",
    "Spans",
    "Unit",
]
