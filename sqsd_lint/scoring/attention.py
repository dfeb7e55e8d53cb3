"""Compute causal attention on a CPU, and its gradient, by batched matrix products over blocks of queries.

torch's fused kernel never stores the probabilities and computes them again on the way back, which pays where
rows are long. Fine-tuning rows have some hundred tokens: there it costs two to three times as much as the
products themselves (docs/log.md), above all in bfloat16. Here the probabilities of a block are kept, and
the query heads that share a key head are one product, so that no key is repeated.

`causal_attention()` is the one switch. Whatever is not plain causal attention on a CPU goes to the
function that transformers would have called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sqsd_lint.scoring.batching import even_slices

if TYPE_CHECKING:
    from torch import Tensor

# Queries in a block: a later key is never looked at but within a block. Shorter blocks make small products.
_BLOCK = 128
# Longer rows would keep too many probabilities, and the fused kernel catches up.
_LONGEST = 1024
# What makes an attention other than softmax(scale Q K^T) V, by the names that transformers passes it under.
_SPECIAL = ("softcap", "position_bias", "s_aux", "cache")


@contextmanager
def causal_attention() -> Iterator[None]:
    """Have models of transformers whose attention is "sdpa" use this module's on a CPU, inside the block."""
    transformers = sys.modules.get("transformers.modeling_utils")
    if transformers is None:  # none of its models is there
        yield
        return
    functions = transformers.ALL_ATTENTION_FUNCTIONS
    fused = functions["sdpa"]

    def attend(
        module: nn.Module, q: Tensor, k: Tensor, v: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, Tensor | None]:
        if attention_mask is not None or not _is_plain(module, q, k, options):
            result: tuple[Tensor, Tensor | None] = fused(module, q, k, v, attention_mask, **options)
            return result
        scale = options.get("scaling")
        out: Tensor = CausalAttention.apply(  # type: ignore[no-untyped-call]
            q, k, v, q.shape[-1] ** -0.5 if scale is None else scale
        )
        return out, None

    functions["sdpa"] = attend
    try:
        yield
    finally:
        functions["sdpa"] = fused


def _is_plain(module: nn.Module, q: Tensor, k: Tensor, options: dict[str, Any]) -> bool:
    causal = options.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    return (
        bool(causal)
        and not options.get("dropout")
        and all(options.get(name) is None for name in _SPECIAL)
        and is_short(q, k)
    )


def is_short(q: Tensor, k: Tensor) -> bool:
    """Return whether q [b, h, t, d] and k [b, g, t, d] are `CausalAttention`'s: short rows on a CPU."""
    return (
        q.device.type == "cpu" and 1 < q.shape[2] == k.shape[2] <= _LONGEST and q.shape[1] % k.shape[1] == 0
    )


class CausalAttention(torch.autograd.Function):
    """softmax(scale Q K^T, causal) V for grouped queries.

    q: [b, h, t, d], k: [b, g, t, d], v: [b, g, t, e], with n = h / g query heads to a key head. Gives
    [b, t, h, e]. Inside, a key head's queries are one matrix whose rows are ordered by token, [b g, t n, d],
    so that a block of tokens is a slice and the sum over its heads is part of the product.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        b, h, t, _ = q.shape
        g = k.shape[1]
        n = h // g
        q, k, v = _by_token(q.transpose(1, 2), g), k.flatten(0, 1), v.flatten(0, 1)
        out, kept = [], []
        for block in even_slices(t, _BLOCK):
            rows, past = slice(block.start * n, block.stop * n), slice(block.stop)
            p = _product(q[:, rows], k[:, past].mT, scale)  # [b g, rows, past]
            future = torch.full((block.stop - block.start,) * 2, -torch.inf, dtype=p.dtype).triu_(1)
            p[..., block] += future.repeat_interleave(n, 0)
            p = p.softmax(-1)
            out.append(p @ v[:, past])
            kept.append(p)
        ctx.save_for_backward(q, k, v, *kept)
        ctx.sizes, ctx.scale = (b, t, g, n), scale
        return _by_head(torch.cat(out, 1), b, n)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *kept = ctx.saved_tensors
        b, t, g, n = ctx.sizes
        d_out = _by_token(grads[0], g)
        dq: list[Tensor] = []
        # The last block sees every key; the others add to a part of what it gives.
        for block, p in reversed(list(zip(even_slices(t, _BLOCK), kept, strict=True))):
            rows, past = slice(block.start * n, block.stop * n), slice(block.stop)
            dp = d_out[:, rows] @ v[:, past].mT
            ds = torch.ops.aten._softmax_backward_data(dp, p, -1, p.dtype)  # p * (dp - sum(p * dp))
            dq.insert(0, _product(ds, k[:, past], ctx.scale))
            part_k, part_v = _product(ds.mT, q[:, rows], ctx.scale), p.mT @ d_out[:, rows]
            if block.stop == t:
                dk, dv = part_k, part_v
            else:
                dk[:, past] += part_k
                dv[:, past] += part_v
        return (
            _by_head(torch.cat(dq, 1), b, n).transpose(1, 2),
            torch.unflatten(dk, 0, (b, g)),
            torch.unflatten(dv, 0, (b, g)),
            None,
        )


def _product(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """Return scale (x @ y), scaled before it is rounded to the dtype."""
    return torch.baddbmm(x.new_empty(1), x, y, beta=0, alpha=scale)


def _by_token(x: Tensor, g: int) -> Tensor:
    """Reshape [b, t, g n, d] -> [b g, t n, d]."""
    return torch.unflatten(x, 2, (g, -1)).transpose(1, 2).flatten(2, 3).flatten(0, 1)


def _by_head(x: Tensor, b: int, n: int) -> Tensor:
    """Reshape [b g, t n, d] -> [b, t, g n, d], contiguous."""
    parts = torch.unflatten(torch.unflatten(x, 1, (-1, n)), 0, (b, -1))
    return parts.transpose(1, 2).flatten(2, 3)
