"""Compute what docs/method.md sections 3 to 5 define: directions, per-sample gradients, projections.

Names are resolved on first use, since the score cache lives here too and must not wait for torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqsd_lint.scoring.directions import Direction
    from sqsd_lint.scoring.scorer import Projections, Scorer

# Activations are megabytes that come and go with every layer: on huge pages they cost far fewer page faults.
# torch reads this once, when it first allocates; it is advice to Linux, and nothing elsewhere.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_HOMES = {
    "Direction": "directions",
    "Projections": "scorer",
    "Scorer": "scorer",
}

__all__ = ["Direction", "Projections", "Scorer"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
