"""Running modules with another forward for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def replaced(forwards: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Each module has its given forward inside the block, and the one that it had after it."""
    before: list[tuple[nn.Module, Any]] = []
    try:
        for module, forward in forwards:
            before.append((module, module.__dict__.get("forward")))
            module.forward = forward
        yield
    finally:
        for module, own in before:
            if own is None:
                module.__dict__.pop("forward", None)  # the class's own method shows again
            else:  # accelerate's, of a model that is spread over devices
                module.forward = own
