"""What a device is, in words, for people who compare two machines."""

from __future__ import annotations

import os
import platform


def describe(device: str) -> str:
    """`NVIDIA A100, 80 GB` for a CUDA device, `x86_64, 8 cores` for the CPU. Imports torch only for CUDA."""
    if device.startswith("cuda"):
        import torch

        found = torch.cuda.get_device_properties(torch.device(device))
        return f"{found.name}, {found.total_memory / 1e9:.0f} GB"
    cores = os.cpu_count() or 1
    return f"{platform.machine()}, {cores} core{'' if cores == 1 else 's'}"
