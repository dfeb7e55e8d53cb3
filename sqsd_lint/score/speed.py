"""How many floating-point operations a device does in a second, by a short matrix product."""

from __future__ import annotations

import time

import torch

# Scoring reaches this share of a large product's rate: its products are of many shapes, and norms, attention
# and the loss move memory besides. Measured in float32 on one core with three models of 30 to 35 million
# parameters: 0.61, 0.66 and 0.69; with SmolLM2-135M on two, 0.71, and 0.57 in bfloat16.
UTILISATION = 0.65

_SIDES = {"cuda": 4096}
_SIDE = 1024
_SECONDS = 0.2


@torch.no_grad()
def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of square matrix products, a product and its sum as two."""
    side = _SIDES.get(device.type, _SIDE)
    one = torch.ones(side, side, dtype=dtype, device=device)
    out = one @ one  # the first product loads what the others use
    _wait(device)
    begun, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - begun) < _SECONDS:
        torch.mm(one, one, out=out)
        _wait(device)
        count += 1
    return 2 * side**3 * count / spent


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
