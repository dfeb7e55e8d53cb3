"""Achieved FLOP/s over the peak of a large matrix product measured in the same run at the same dtype.

Counted: the model's own matrix products that the score needs (linear layers forward and input gradient,
attention forward and backward, the head on response positions). Low-rank terms, padding, norms and
activations are overhead and count for nothing.
"""

from __future__ import annotations

import common
import torch

from sqsd_lint.adapters.linear_modules import is_linear, linear_shape
from sqsd_lint.types import Encoded


def useful_flops(model: torch.nn.Module, rows: list[Encoded]) -> float:
    head = model.get_output_embeddings()
    layers = [m for m in model.modules() if is_linear(m) and m is not head]
    per_token = sum(2 * d_out * d_in for d_out, d_in in map(linear_shape, layers))
    d_out, d_in = linear_shape(head)
    config = model.config.get_text_config()
    width = config.num_attention_heads * getattr(
        config, "head_dim", config.hidden_size // config.num_attention_heads
    )
    total = 0.0
    for row in rows:
        t = len(row.ids)
        total += 2 * per_token * t  # forward and input gradient
        total += 2 * 2 * d_out * d_in * row.response_tokens
        # causal QK^T and AV: t^2 / 2 pairs, 2 products forward, 4 backward
        total += config.num_hidden_layers * 6 * 2 * width * t * t / 2
    return total


def main() -> None:
    args = common.parser(__doc__, rows=64).parse_args()
    ours = common.engine(args, expansion="shared")
    encoder, scorer = ours.parts()
    rows = [encoder.encode(s) for s in common.real_samples(args.data, args.rows)]
    scorer.project(rows[:4])
    device = torch.device(ours.device)
    before = common.gemm_peak(scorer.dtype, device)
    seconds = common.timed(lambda: scorer.project(rows))
    peak = max(before, common.gemm_peak(scorer.dtype, device))
    flops = useful_flops(scorer.model, rows) / seconds
    print(f"machine     {common.machine()}")
    print(
        f"rows        {len(rows)} ({common.tokens(rows)} tokens), {ours.dtype}, {scorer.batch_tokens} a batch"
    )
    print(f"peak        {peak / 1e9:7.0f} GFLOP/s  (square matrix product)")
    print(f"sqsd-lint   {flops / 1e9:7.0f} GFLOP/s  ({common.tokens(rows) / seconds:.0f} tokens/s)")
    print(f"ratio       {100 * flops / peak:.0f} % of peak")


if __name__ == "__main__":
    main()
