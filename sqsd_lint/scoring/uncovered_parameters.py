"""Measure which share of a model no direction can cover: weights that are no linear layers.

transformers keeps the experts of a mixture as one parameter of three dimensions, and the router that chooses
among them as a bare matrix. No LoRA adapter of linear layers has a part there, and so no score has. The
report's head gives this share; it is kept beside the cache, so that a run that the cache answers says
the same without the model.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from sqsd_lint.common.json_io import read_small_json as read_json
from sqsd_lint.common.json_io import write_small_json as write_json

if TYPE_CHECKING:
    from torch import nn

_FILE = "coverage.json"


def uncovered_share(model: nn.Module) -> float:
    """Return the share of parameters in matrices that belong to no linear layer, embedding or output head."""
    from torch import nn

    from sqsd_lint.adapters.linear_modules import is_linear, linear_shape
    from sqsd_lint.scoring.linear import is_packed

    total, outside = 0, 0
    seen: set[int] = set()
    for module in model.modules():
        known = is_linear(module) or isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            # A packed weight is an array of bytes.
            packed = parameter.dim() >= 2 and is_packed(module)
            total += math.prod(linear_shape(module)) if packed else parameter.numel()
            if parameter.dim() >= 2 and not known:
                outside += parameter.numel()
    return outside / total if total else 0.0


def remember(share: float, key: str, cache_root: Path) -> None:
    """Store the share for the bundle whose scoring digest is `key`; nothing is stored of a share of zero."""
    if share and recall(key, cache_root) != share:
        write_json(cache_root / _FILE, {**_known(cache_root), key: share})


def recall(key: str, cache_root: Path) -> float:
    """Return the share that was stored for `key`, 0 if none was."""
    return _known(cache_root).get(key, 0.0)


def _known(cache_root: Path) -> dict[str, float]:
    found = read_json(cache_root / _FILE)
    return {k: float(v) for k, v in found.items() if isinstance(v, (int, float)) and 0 <= v <= 1}
