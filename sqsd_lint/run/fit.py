"""Whether a model and a bundle fit into this machine's memory, and how long scoring would take.

From the model's configuration and the adapters' headers alone: no weight is read (`score.memory`).

How many floating-point operations a device does in a second, by a short matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sqsd_lint.adapters.peft_folder import inspect_adapter
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.config import Settings
from sqsd_lint.errors import ModelError

if TYPE_CHECKING:
    from sqsd_lint.scoring.memory_estimate import Shapes


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


_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Fit:
    """What a check would take, in bytes where nothing else is said.

    Attributes:
        parameters: of the model, how many.
        weights: of the model. adapters: of the bundle, with what is computed of them once.
        activations: most that a batch takes at once, the allocator's holes included.
        rows, tokens: shape of the largest batch.
        checkpointed: whether a row fits only if its activations are computed twice.
        flops: floating-point operations for 1,000 rows of `tokens` tokens.
        rate: floating-point operations per second that are expected.
        free: memory of the device that nobody uses.
        loading: what loading takes for a moment, where that is more than the weights.
        runtime: what the libraries take, whatever the batch.
    """

    device: str
    dtype: str
    parameters: int
    weights: int
    adapters: int
    activations: int
    rows: int
    tokens: int
    checkpointed: bool
    flops: float
    rate: float
    free: int
    loading: int = 0
    runtime: int = 0

    @property
    def running(self) -> int:
        return self.weights + self.adapters + self.activations + self.runtime

    @property
    def total(self) -> int:
        return max(self.running, self.loading)

    @property
    def fits(self) -> bool:
        return self.total <= self.free

    @property
    def seconds(self) -> float:
        """For 1,000 rows of `tokens` tokens."""
        return self.flops / self.rate


def estimate(bundle: Bundle, model: Path, settings: Settings) -> Fit:
    """What a check with these settings would take.

    Args:
        model: a folder with the model's config.json.

    Raises:
        ModelError: transformers knows no causal LM of that configuration, or it cannot be rehearsed.
        AdapterError: an adapter of the bundle is damaged.
    """
    from sqsd_lint.scoring.batching import default_budget, free_bytes
    from sqsd_lint.scoring.memory_estimate import HEADROOM, RUNTIME, make_dry_run, weight_bytes
    from sqsd_lint.scoring.model import dtype_name, pick_device, pick_dtype

    device = pick_device(settings.device)
    dtype = pick_dtype(settings.dtype, device)
    rehearsal = make_dry_run(model, dtype=dtype, device=device, trust_remote_code=settings.trust_remote_code)
    points = _points(bundle, settings)
    widest = max((shapes for shapes, _ in points), key=lambda s: sum(r for _, r, _ in s.values()))
    columns = max(columns for _, columns in points)
    tokens = settings.max_length
    on_cpu = device.type == "cpu"
    headroom, runtime = HEADROOM[on_cpu], RUNTIME[on_cpu]

    def peak(rows: int, checkpointed: bool = False) -> int:
        taken = rehearsal.run(widest, columns=columns, rows=rows, tokens=tokens, checkpointing=checkpointed)
        return round(taken.peak * headroom)

    try:
        one = rehearsal.run(widest, columns=columns, rows=1, tokens=tokens)
        single = round(one.peak * headroom)
        weights = weight_bytes(rehearsal.model, settings.quantize)
        adapters = _adapter_bytes(bundle, points, dtype.itemsize, settings)
        free = free_bytes(device)
        left = free - weights - adapters - runtime
        budget = settings.batch_tokens or default_budget(device, -(-single // tokens), free=max(left, 0))
        rows = max(1, budget // tokens)
        checkpointed = (single > left and settings.checkpointing != "off") or settings.checkpointing == "on"
        activations = peak(1, True) if checkpointed else (single if rows == 1 else peak(rows))
    except RuntimeError as error:
        raise ModelError(
            f"{model}: its memory cannot be foretold: it decides by values what it computes ({error})",
            hint="a check halves its batches by itself where memory runs out",
        ) from error
    return Fit(
        device=str(device),
        dtype=dtype_name(dtype),
        parameters=rehearsal.parameters,
        weights=weights,
        adapters=adapters,
        activations=activations,
        rows=1 if checkpointed else rows,
        tokens=tokens,
        checkpointed=checkpointed,
        flops=_ROWS * len(points) * one.flops * (4 / 3 if checkpointed else 1),
        rate=product_rate(device, dtype) * UTILISATION,
        free=free,
        loading=_loading(bundle, rehearsal.parameters, settings) if on_cpu else 0,
        runtime=runtime,
    )


def remedies(fit: Fit, settings: Settings) -> Iterator[str]:
    """What would make it fit, each by itself, with the memory that it then takes."""

    def needed(activations: float, weights: int = fit.weights) -> int:
        return max(round(weights + fit.adapters + activations + fit.runtime), fit.loading)

    half = needed(fit.activations // 2, fit.weights // 2)
    if fit.dtype == "float32" and half <= fit.free:
        yield f"`--dtype bfloat16` ({gigabytes(half)})"
    per_token = fit.activations / (fit.rows * fit.tokens)
    row = needed(per_token * fit.tokens)
    if fit.rows > 1 and row <= fit.free:
        yield f"`--batch-tokens {fit.tokens}` ({gigabytes(row)})"
    length = fit.tokens // 2
    while length >= 128:
        if (shorter := needed(per_token * length)) <= fit.free:
            yield f"`--max-length {length}` ({gigabytes(shorter)})"
            break
        length //= 2
    if settings.quantize is None:
        width = 4 if fit.dtype == "float32" else 2
        packed = fit.parameters * 6 // 10 + fit.adapters + fit.activations + fit.runtime
        if max(width * fit.parameters, fit.loading) > fit.free and packed <= fit.free:
            yield f"`--quantize 4bit` ({gigabytes(packed)})"
    if settings.device_map is None:
        yield "`--device-map auto`, which spreads the model over what devices and main memory there are"


def gigabytes(size: int) -> str:
    """`16.4 GB`, `230 MB`."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _points(bundle: Bundle, settings: Settings) -> list[tuple[Shapes, int]]:
    """Per pass over the data, the shapes of the expansion adapter and how many directions it answers."""
    manifest = bundle.manifest
    shared = (settings.expansion or manifest.expansion) == "shared"
    places: dict[tuple[str | None, float | None], int] = {}
    initial = "initial" if "initial" in manifest.adapters else None
    for direction in manifest.directions.values():
        place = (initial, None) if shared else (direction.expansion, direction.scaling)
        places[place] = places.get(place, 0) + 1
    first = next(iter(manifest.directions.values())).adapter  # its layers, where the model is taken as it is
    return [(inspect_adapter(bundle.adapter_dir(name or first)).shapes, n) for (name, _), n in places.items()]


def _merged(bundle: Bundle, settings: Settings) -> str | None:
    """The base adapter, where it goes into the weights and is no more."""
    return None if settings.quantize or settings.device_map else bundle.manifest.base_adapter


def _loading(bundle: Bundle, parameters: int, settings: Settings) -> int:
    """A base adapter is merged into float32 weights, whatever they become then."""
    return 4 * parameters if _merged(bundle, settings) else 0


def _adapter_bytes(bundle: Bundle, points: list[tuple[Shapes, int]], width: int, settings: Settings) -> int:
    """The factors as they are read, in float32, and per pass those of the expansion point and P and Q."""
    merged = _merged(bundle, settings)

    def numbers(shapes: Shapes) -> int:
        return sum(rank * (d_out + d_in) for d_out, rank, d_in in shapes.values())

    manifest = bundle.manifest
    names = (name for name in manifest.adapters if name != merged)
    read = sum(4 * numbers(inspect_adapter(bundle.adapter_dir(name)).shapes) for name in names)
    return read + sum((width + 4 * columns) * numbers(shapes) for shapes, columns in points)
