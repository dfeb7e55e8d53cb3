"""Cut rows into batches: length-sorted, by a budget of padded tokens, the same on every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf

import torch

from sqsd_lint.types import Encoded

# Beyond these a chip's matrix products gain nothing, and a CPU's activations leave its caches. On two cores
# 100 short rows of 135M parameters in float32 took 54 and 58 s by 768 tokens, 59 and 61 s and 0.25 GB more by
# 1,024, and 63 s by 512 (docs/log.md).
_CPU_TOKENS = 768
_GPU_TOKENS = 16384
_MIN_TOKENS = 256
# What a batch costs beyond its tokens (weights read, operators called), as a share of the budget.
_OVERHEAD = 1 / 16


def plan_batches(rows: Sequence[Encoded], budget: int) -> Iterator[list[int]]:
    """Return indices of `rows` in batches of at most `budget` padded tokens, or one row where it is longer.

    Rows are sorted by length, longest first (what does not fit into memory fails at once), and by their
    tokens within a length, so that the input's order plays no part. They are cut where padding and the
    cost of a batch come to least: a few rows of very different lengths would else be half padding.
    """
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i].ids), rows[i].ids, rows[i].labels))
    overhead = budget * _OVERHEAD
    cheapest = [0.0] + [inf] * len(order)  # cost of the first n rows
    begins = [0] * len(cheapest)  # where the last batch of the first n rows begins
    for begin, i in enumerate(order):
        longest = len(rows[i].ids)
        most = max(1, budget // max(1, longest))
        for end in range(begin + 1, min(begin + most, len(order)) + 1):
            cost = cheapest[begin] + overhead + (end - begin) * longest
            if cost < cheapest[end]:
                cheapest[end], begins[end] = cost, begin
    cuts = [len(order)]
    while cuts[-1]:
        cuts.append(begins[cuts[-1]])
    for begin, end in pairwise(reversed(cuts)):
        yield order[begin:end]


def default_budget(device: torch.device, bytes_per_token: int, *, free: int | None = None) -> int:
    """Return padded tokens per batch: as many as the device uses well, fewer where free memory is short.

    Args:
        bytes_per_token: of activations kept for the backward pass, all layers together.
        free: bytes that are left once the weights are loaded; None takes the device's.
    """
    if free is None:
        free = free_bytes(device)
    # Half of what is free: the allocator fragments, and other programs live here too. Powers of two, so
    # that a little more or less free memory makes the same batches.
    budget = most_tokens(device)
    while budget > _MIN_TOKENS and budget * bytes_per_token > free // 2:
        budget //= 2
    return budget


def most_tokens(device: torch.device) -> int:
    """Return padded tokens per batch beyond which the device gains nothing."""
    return _GPU_TOKENS if device.type == "cuda" else _CPU_TOKENS


def free_bytes(device: torch.device) -> int:
    """Return memory of the device that nobody uses, in bytes."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_memory()


def free_memory() -> int:
    """Return the bytes of main memory to be had without swapping; 4 GiB where the system has no figure."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30


def pad(rows: Sequence[Encoded], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad on the right: (ids, labels), both [b, t] int64; labels are -100 on padding.

    No attention mask is needed: under causal attention a token sees nothing to its right, and no loss
    comes from padding. So the fused attention path stays open.
    """
    t = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), t, dtype=torch.long)
    labels = torch.full((len(rows), t), -100, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        labels[i, : len(row.labels)] = torch.tensor(row.labels)
    return ids.to(device), labels.to(device)


def even_slices(n: int, most: int) -> list[slice]:
    """Cut 0..n into the fewest slices of at most `most` (a multiple of 8), of nearly equal length.

    All but the last have a multiple of 8: with other counts a matrix product can take half as long again.
    """
    count = max(1, -(-n // most))
    step = 8 * max(1, -(-n // (8 * count)))
    return [slice(begin, min(begin + step, n)) for begin in range(0, n, step)]
