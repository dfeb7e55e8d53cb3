"""Which device and dtype "auto" means here, without importing torch a second time.

The answer is part of the report's head and of the cache's key, so even a run that the cache answers needs
it. Torch is asked once; the answer is kept beside the cache for as long as torch and the visible devices
stay the same.

What a device is, in words, for people who compare two machines.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sqsd_lint.common.json_io import read_small_json as read_json
from sqsd_lint.common.json_io import write_small_json as write_json
from sqsd_lint.common.numbers import count
from sqsd_lint.errors import ModelError
from sqsd_lint.scoring.cpu import CPU_LIMITS


def describe(device: str) -> str:
    """`NVIDIA A100, 80 GB` for a CUDA device, `x86_64, 8 cores` for the CPU. Imports torch only for CUDA."""
    if device.startswith("cuda"):
        import torch

        found = torch.cuda.get_device_properties(torch.device(device))
        return f"{found.name}, {found.total_memory / 1e9:.0f} GB"
    cores = os.cpu_count() or 1
    return f"{platform.machine()}, {count(cores, 'core')}"


def resolve(device: str, dtype: str, cache_root: Path | None) -> tuple[str, str]:
    """Names of the device and the dtype that a run uses, such as ("cpu", "bfloat16").

    Args:
        cache_root: where the answer is kept; None asks torch every time.

    Raises:
        UsageError: a device or dtype that is unknown or absent.
        ModelError: torch is not installed.
    """
    if device == "cpu" and dtype == "float32":
        return device, dtype
    key = _key(device, dtype)
    path = cache_root / "device.json" if cache_root else None
    known = _read(path)
    if key in known:
        return known[key][0], known[key][1]
    from sqsd_lint.scoring.model import dtype_name, pick_device, pick_dtype

    found = pick_device(device)
    answer = (str(found), dtype_name(pick_dtype(dtype, found)))
    if path:
        write_json(path, {**known, key: list(answer)})
    return answer


def cuda_devices() -> list[str]:
    """Return the names of the CUDA devices of this machine, "cuda:0" and so on; none without torch.

    Torch is asked only where the driver's devices are: importing it takes seconds.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not (Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()):
        return []
    try:
        import torch
    except ImportError:
        return []
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def _key(device: str, dtype: str) -> str:
    try:
        torch_version = version("torch")
    except PackageNotFoundError as error:
        raise ModelError("torch is not installed", hint="pip install torch") from error
    limits = [os.environ.get(name, "all") for name in ("CUDA_VISIBLE_DEVICES", *CPU_LIMITS)]
    return " ".join((device, dtype, torch_version, platform.node(), platform.machine(), *limits))


def _read(path: Path | None) -> dict[str, list[str]]:
    known = read_json(path) if path else {}
    return {k: v for k, v in known.items() if isinstance(v, list) and len(v) == 2}
