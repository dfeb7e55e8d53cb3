"""Which device and dtype "auto" means here, without importing torch a second time.

The answer is part of the report's head and of the cache's key, so even a run that the cache answers needs
it. Torch is asked once; the answer is kept beside the cache for as long as torch and the visible devices
stay the same.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sqsd_lint.errors import ModelError
from sqsd_lint.score.keep import read_json, write_json

# By these a user holds oneDNN, or torch's own kernels, to less than the chip has.
ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
CPU_LIMITS = ("ATEN_CPU_CAPABILITY", *ONEDNN_LIMITS)
EMULATED = "computed in float32: this CPU can only emulate bfloat16, at a fiftieth of the speed"


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
    from sqsd_lint.score.model import dtype_name, pick_device, pick_dtype

    found = pick_device(device)
    answer = (str(found), dtype_name(pick_dtype(dtype, found)))
    if path:
        write_json(path, {**known, key: list(answer)})
    return answer


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
