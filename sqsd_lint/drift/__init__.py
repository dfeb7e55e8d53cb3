"""Measure parameter dynamics: how far a fine-tune has moved the weights, and how much of it towards danger.

The callback is resolved on first use, since it cannot do without torch and transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqsd_lint.drift.callback import SafetyDriftCallback

__all__ = ["SafetyDriftCallback"]


def __getattr__(name: str) -> Any:
    if name != "SafetyDriftCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sqsd_lint.drift.callback import SafetyDriftCallback

    return SafetyDriftCallback
