"""Batches: length-sorted, cut by a budget of padded tokens, the same on every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from sqsd_lint.types import Encoded

# Beyond a thousand tokens a CPU's matrix products gain nothing, and activations leave its caches.
_CPU_TOKENS = 1024
_GPU_TOKENS = 16384
_MIN_TOKENS = 256


def plan_batches(rows: Sequence[Encoded], budget: int) -> Iterator[list[int]]:
    """Indices of `rows` in batches of at most `budget` padded tokens, or one row where it is longer.

    Rows are sorted by length, longest first (what does not fit into memory fails at once), and by their
    tokens within a length, so that the input's order plays no part.
    """
    order = sorted(range(len(rows)), key=lambda i: (-len(rows[i].ids), rows[i].ids, rows[i].labels))
    batch: list[int] = []
    for i in order:
        longest = len(rows[batch[0]].ids) if batch else len(rows[i].ids)
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def default_budget(device: torch.device, bytes_per_token: int) -> int:
    """Padded tokens per batch: as many as the device uses well, fewer where free memory is short.

    Args:
        bytes_per_token: of activations kept for the backward pass, all layers together.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cap = _GPU_TOKENS
    else:
        free, cap = free_memory(), _CPU_TOKENS
    # Half of what is free: the allocator fragments, and other programs live here too. Powers of two, so
    # that a little more or less free memory makes the same batches.
    budget = cap
    while budget > _MIN_TOKENS and budget * bytes_per_token > free // 2:
        budget //= 2
    return budget


def free_memory() -> int:
    """Bytes of main memory that can be had without swapping; 4 GiB where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30


def pad(rows: Sequence[Encoded], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded (ids, labels), both [b, t] int64; labels are -100 on padding.

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
