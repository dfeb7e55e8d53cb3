"""Variants of LoRA as plain LoRA adapters: what a bundle keeps and the mathematics works on.

DoRA                  W' = m (W + s B A) / ||W + s B A||, m and the norm by output row. Its direction part
                      s B A is kept. The magnitudes are left out: they scale whole rows of W, which is no
                      low-rank displacement and would take the base weights to tell.
PiSSA, OLoRA,         The base gives away s B0 A0 at the start, so training moved the weights by
CorDA, LoRA-GA        s (B A - B0 A0), of rank 2r. Written with balanced factors (those of its singular
                      value decomposition): [B, -B0] [A; A0] is the same matrix, but the difference of two
                      large ones, which bfloat16 cannot tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.adapters.peft_folder import CONFIG, WEIGHTS, read_config, start_of, weights_of
from sqsd_lint.common.json_io import write_json
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

_MAGNITUDE = "lora_magnitude_vector"
# Rounding in float64, squared and with room; one float32 step of training is far above it.
_NOTHING = 1e-24


def plain_adapter(folder: Path, start: Path | None, scratch: Path) -> tuple[Path, tuple[str, ...]]:
    """A plain LoRA adapter with what the training of `folder` moved.

    Args:
        start: the adapter that was saved before the training, for PiSSA and its like.
        scratch: a new folder for the adapter, should it have to be converted.

    Returns:
        (the folder itself or `scratch`, what was done, in words).

    Raises:
        AdapterError: the start is needed and missing, or belongs to another adapter; a file cannot be read.
    """
    config = read_config(folder)
    notes = []
    init = start_of(config)
    if not config.get("use_dora") and init is None:
        return folder, ()
    tensors = _load(folder)
    if config.get("use_dora"):
        if not any(_MAGNITUDE in name for name in tensors):
            raise AdapterError(f"{folder}: use_dora is set, but {WEIGHTS} holds no {_MAGNITUDE}")
        tensors = {name: t for name, t in tensors.items() if _MAGNITUDE not in name}
        config = {**config, "use_dora": False}
        notes.append("DoRA: the direction part B A; the magnitudes are left out")
    if init is not None:
        if start is None:
            raise _start_is_missing(folder, init)
        tensors = _displacement(folder, tensors, config, start)
        config = _doubled(config)
        notes.append(f"{init}: the displacement from its start")
    from safetensors.torch import save_file

    scratch.mkdir()
    save_file(tensors, scratch / WEIGHTS, metadata={"format": "pt"})
    write_json(scratch / CONFIG, config)
    return scratch, tuple(notes)


def _load(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    path = weights_of(folder)
    try:
        return load_file(path)
    except Exception as error:  # the library has errors of its own besides OSError, by version
        raise AdapterError(f"{path}: not a readable safetensors file: {error}") from error


def _start_is_missing(folder: Path, init: str) -> AdapterError:
    name = "name the adapter as it was saved before training with --start DIR"
    # No name out of the folder goes into a command: it may be anybody's text. The other starts draw numbers
    # or look at data; made again, they would be others.
    again = (
        f"{name}; if it was not saved, this makes it again:\n"
        'python -c "from peft import LoraConfig, get_peft_model as wrap; '
        "from transformers import AutoModelForCausalLM as M; "
        "wrap(M.from_pretrained('BASE', dtype='auto'), "
        "LoraConfig.from_pretrained('ADAPTER')).save_pretrained('START')\""
    )
    return AdapterError(
        f"{folder}: init_lora_weights is {init!r}: it was trained on changed base weights, and what it moved"
        " is known only with its start",
        hint=again if init in ("pissa", "olora") else name,
    )


def _displacement(
    folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], start: Path
) -> dict[str, Tensor]:
    """The factors of B A - B0 A0, twice the rank."""
    first, first_config = _load(start), read_config(start)
    keys = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")
    unlike = [key for key in keys if (first_config.get(key) or None) != (config.get(key) or None)]
    shapes, wanted = ({name: t.shape for name, t in each.items()} for each in (first, tensors))
    if _MAGNITUDE in "".join(shapes):
        shapes = {name: shape for name, shape in shapes.items() if _MAGNITUDE not in name}
    if unlike or shapes != wanted:
        what = ", ".join(unlike) or "its modules or their shapes"
        raise AdapterError(
            f"{start}: differs from {folder} in {what}, so it is not what that adapter started from"
        )
    found, moved, large = {}, 0.0, 0.0
    for name in tensors:
        if ".lora_A." not in name:
            continue
        other = name.replace(".lora_A.", ".lora_B.")
        if other not in tensors:
            raise AdapterError(f"{folder}: {name!r} has no lora_B beside it")
        a, b, a0, b0 = (t.double() for t in (tensors[name], tensors[other], first[name], first[other]))
        if not all(bool(t.isfinite().all()) for t in (a, b, a0, b0)):
            raise AdapterError(
                f"{folder}: {name!r} or its start holds NaN or infinity", hint="the training has diverged"
            )
        found[name], found[other], square = _difference(a, b, a0, b0)
        moved += square
        large += float(((b0.T @ b0) * (a0 @ a0.T)).sum())
    if moved <= _NOTHING * large:
        raise AdapterError(f"{folder}: is the same as its start {start}: it was not trained")
    if moved > large > 0:
        raise AdapterError(
            f"{start}: is farther from {folder} than it is long, so it is not what that adapter started from",
            hint="give the adapter that was saved right before the training",
        )
    return found


def _difference(A: Tensor, B: Tensor, A0: Tensor, B0: Tensor) -> tuple[Tensor, Tensor, float]:
    """Balanced factors (A [2r, d_in], B [d_out, 2r], float32) of B A - B0 A0, and its squared norm."""
    import torch

    q_out, r_out = torch.linalg.qr(torch.cat([B, -B0], 1))  # [d_out, k], [k, 2r]
    q_in, r_in = torch.linalg.qr(torch.cat([A, A0], 0).T)  # [d_in, l], [l, 2r]
    u, s, vt = torch.linalg.svd(r_out @ r_in.T, full_matrices=False)
    rank = 2 * len(A)
    up, down = q_out @ (u * s.sqrt()), (s.sqrt()[:, None] * vt) @ q_in.T
    # A layer narrower than 2r has fewer singular values than the configuration promises factors.
    pad = rank - len(s)
    up, down = torch.nn.functional.pad(up, (0, pad)), torch.nn.functional.pad(down, (0, 0, 0, pad))
    return down.float().contiguous(), up.float().contiguous(), float(s.square().sum())


def _doubled(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of twice the rank and the same scaling, alpha / r or alpha / sqrt(r)."""
    factor = math.sqrt(2) if config.get("use_rslora") else 2
    return {
        **config,
        "r": 2 * config["r"],
        "lora_alpha": factor * config["lora_alpha"],
        "rank_pattern": {k: 2 * v for k, v in (config.get("rank_pattern") or {}).items()},
        "alpha_pattern": {k: factor * v for k, v in (config.get("alpha_pattern") or {}).items()},
        "init_lora_weights": True,
        "corda_config": None,
        "lora_ga_config": None,
    }
