"""Find out what this machine's processor multiplies natively."""

from __future__ import annotations

import os
import platform
from pathlib import Path

# By these a user holds oneDNN, or torch's own kernels, to less than the chip has.
ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
CPU_LIMITS = ("ATEN_CPU_CAPABILITY", *ONEDNN_LIMITS)

EMULATED = "computed in float32: this CPU can only emulate bfloat16, at a fiftieth of the speed"

_X86 = ("x86_64", "AMD64", "i386", "i686")
_WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")


def cpu_has_bfloat16() -> bool:
    """Return whether this CPU, as torch and oneDNN are allowed to use it, multiplies bfloat16 natively.

    AVX512-BF16 or AMX on x86, the BF16 extension on Arm. `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA` may
    hold the libraries to less than the chip has.
    """
    import torch

    held_to = (os.environ.get(name, "").upper() for name in ONEDNN_LIMITS)
    if any(isa in _WITHOUT_BFLOAT16 for isa in held_to):
        return False
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2") and platform.machine() in _X86:
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    words = set(flags.split())
    if platform.machine() in ("aarch64", "arm64"):
        return "bf16" in words
    return bool(words & {"avx512_bf16", "amx_bf16"})
