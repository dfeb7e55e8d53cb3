"""Checkpoint activations: a block keeps its input alone and is computed again on the way back.

Costs one more forward pass and leaves the numbers as they are. For rows that would not fit otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.linear import replaced


def block_list(model: nn.Module) -> tuple[nn.Module, str]:
    """Return where the transformer blocks are, the model's outermost list of modules: (parent, attribute).

    Raises:
        ModelError: it has none.
    """
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ModuleList) and len(child):
                return parent, name
    raise ModelError(f"{type(model).__name__} keeps its layers in no list, so that none can be told apart")


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Keep no activation inside the model's blocks while a forward pass runs in this block of code."""
    blocks = getattr(*block_list(model))
    with replaced((block, partial(checkpoint, block.forward, use_reentrant=False)) for block in blocks):
        yield
