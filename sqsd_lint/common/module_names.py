"""Transformer blocks by the names of the modules in them: "model.layers.7.mlp.up_proj" is in block 7.

A module's name as a block of the model and a kind of layer.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_BLOCK = re.compile(r"\.(\d+)\.")


def block_of(module: str) -> int | None:
    """Return the number of the block that a module stands in, None outside of blocks."""
    match = _BLOCK.search(module)
    return int(match[1]) if match else None


def top_blocks(names: Collection[str], modules: str | int) -> set[str]:
    """Return the modules in the top `modules` blocks, counted from the output; all of them for "all"."""
    if not isinstance(modules, int):
        return set(names)
    top = sorted({block for name in names if (block := block_of(name)) is not None})[-modules:]
    return {name for name in names if block_of(name) in top}
