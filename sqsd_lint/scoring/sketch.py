"""Sketch updates: a few thousand numbers per row that keep the angles between updates.

Two rows are near when their updates point the same way in the same layers. The exact measure is the mean
over the M layers of the cosine of their updates,

    near(i, j) = 1/M sum_m <dW_im, dW_jm> / (||dW_im|| ||dW_jm||),

which weighs layers as the cosine metric does. An update has as many entries as the model, so what is kept is
its count sketch of D numbers. A layer's update is a sum of 2 r outer products, and the count sketch of an
outer product is the circular convolution of the count sketches of its two vectors (Pham and Pagh, *Fast and
scalable polynomial kernels via explicit feature maps*, KDD 2013): no d_out x d_in matrix is ever formed, and
the hashes take d_out + d_in numbers per layer. The inner product of two sketches is an unbiased estimate;
over many layers its error is nearly normal with a standard deviation of about 1 / sqrt(D).

Hashes are drawn from Philox under a key made of the layer's name, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import torch

from sqsd_lint.scoring.batching import pad
from sqsd_lint.scoring.layers.lora import update_norm_squared
from sqsd_lint.scoring.projections import NOISE
from sqsd_lint.types import Encoded

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.scoring.layers.lora import LoraLayer
    from sqsd_lint.scoring.scorer import Scorer


class SketchSum:
    """A sink that sketches the samples' updates, each layer scaled to unit length.

    Args:
        dims: D, a power of two.
    """

    def __init__(self, dims: int) -> None:
        self._dims = dims
        self._spectra: list[Tensor] = []  # [b, D/2 + 1] complex64 each
        self._squares: list[Tensor] = []  # [b] each

    def take(self, name: str, layer: LoraLayer, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> None:
        gA, gB = layer.factor_gradients(x, h, d, u)
        out, into = partial(self._spectrum, f"{name}/out"), partial(self._spectrum, f"{name}/in")
        # -(gB A0 + B0 gA), a sum over the rank of outer products.
        spectrum = (out(gB) * into(layer.A0.float())).sum(1) + (out(layer.B0T.float()) * into(gA)).sum(1)
        square = update_norm_squared(layer, gA, gB)
        if self._spectra:  # layers may be on several devices
            spectrum, square = spectrum.to(self._spectra[0].device), square.to(self._squares[0].device)
        self._spectra.append(-spectrum)
        self._squares.append(square)

    def _spectrum(self, key: str, vectors: Tensor) -> Tensor:
        """Return the Fourier transform of the count sketch of vectors [..., d], [..., D/2 + 1] complex64."""
        buckets, signs = _hashes(key, vectors.shape[-1], self._dims, vectors.device)
        counts = vectors.new_zeros(*vectors.shape[:-1], self._dims)
        spectrum: Tensor = torch.fft.rfft(counts.index_add_(-1, buckets, vectors * signs))
        return spectrum

    def sketches(self) -> Tensor:
        """Return sketches, [b, D] float32, scaled so that the inner product of two rows estimates `near`."""
        lengths = torch.stack(self._squares).clamp(min=0).sqrt()  # [M, b]
        live = lengths > NOISE * lengths.amax(0)
        scale = torch.where(live, 1 / lengths, 0)[..., None]  # [M, b, 1]
        total = torch.stack([s * f for s, f in zip(self._spectra, scale, strict=True)]).sum(0)
        layers = live.sum(0).clamp(min=1)[:, None]
        whole: Tensor = torch.fft.irfft(total, n=self._dims) / layers.sqrt()
        return whole


@lru_cache(maxsize=2048)
def _hashes(key: str, size: int, dims: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a bucket in [0, dims) and a sign for each of `size` coordinates."""
    from numpy.random import Philox

    seed = int.from_bytes(blake2b(key.encode(), digest_size=16, person=b"sqsd-lint/sk/1").digest(), "big")
    raw = Philox(key=seed).random_raw(size)
    buckets = torch.from_numpy((raw % dims).astype("int64"))
    signs = torch.from_numpy(1.0 - 2.0 * (raw >> 63).astype("float32"))
    return buckets.to(device), signs.float().to(device)


def sketch(scorer: Scorer, rows: Sequence[Encoded], dims: int) -> Iterator[tuple[list[int], list[Any]]]:
    """Yield sketches at the first direction's expansion point by batch: (indices, numpy [D] float32 each).

    Raises:
        ValueError: a sample without a response token, `dims` is no power of two, or updates are full.
        ModelError: a single row does not fit into memory.
    """
    if dims < 8 or dims & (dims - 1):
        raise ValueError(f"a sketch has a power of two of numbers, at least 8, not {dims}")
    if scorer.update == "full":
        raise ValueError("sketches are made of LoRA updates only, and this bundle scores full updates")
    return scorer.batches(rows, partial(_sketch_batch, scorer, dims))


def _sketch_batch(scorer: Scorer, dims: int, rows: Sequence[Encoded]) -> list[Any]:
    ids, labels = pad(rows, scorer.device)
    sums = SketchSum(dims)
    scorer.run(ids, labels, scorer.points[0], sums)
    return list(sums.sketches().cpu().numpy())
