"""Load the frozen base model: device, dtype, and the adapter that belongs to the target itself.

A base adapter over weights that it cannot be merged into, packed or offloaded ones, is applied beside them:

    y = (x W^T + b) + s (x A^T) B^T

as QLoRA does. The second term is added to what the layer's own forward gives, whatever that is just now: the
layer's, accelerate's or that of an expansion point. So autograd hands its part of dl/dx on by itself, and the
layer's update is measured at the sum, which is its output.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from sqsd_lint.adapters.factors import check_shapes
from sqsd_lint.errors import ModelError, UsageError
from sqsd_lint.scoring.cpu import cpu_has_bfloat16
from sqsd_lint.scoring.linear import (
    device_of,
    is_packed,
    keep_layout,
    quantization_config,
    silence_bitsandbytes,
    weight_of,
)

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from sqsd_lint.adapters.factors import Adapter, LoraFactors
    from sqsd_lint.scoring.llama import Llama


_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str) -> torch.device:
    """Return the device by name; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: the device that was asked for is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}", hint="use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device", hint="use --device auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: torch sees no MPS device", hint="use --device auto")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype by name; "auto" takes bfloat16 where the chip multiplies it natively, else float32.

    On a CPU that must emulate its products, at a fiftieth of float32's speed, bfloat16 becomes float32.
    """
    if name not in (*_DTYPES, "auto"):
        raise UsageError(f"unknown dtype {name!r}", hint="use auto, float32 or bfloat16")
    if name == "float32" or (name == "bfloat16" and device.type != "cpu"):
        return _DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def load_plain(
    folder: Path, *, device: torch.device, dtype: torch.dtype, base_adapter: Adapter | None = None
) -> Llama | None:
    """Load a plain Llama as `load_model` does, for the scorer alone and without transformers.

    Returns:
        None where the model is another one, or may be, or where nobody has tried this device.

    Raises:
        AdapterError: the base adapter belongs to another model.
    """
    from sqsd_lint.scoring.llama import load_llama

    plain = load_llama(folder, torch.float32 if base_adapter else dtype) if device.type in _TRIED else None
    return _finished(plain, base_adapter, device, dtype) if plain else None


# Of grouped attention on MPS, transformers knows which versions of torch have it.
_TRIED = ("cpu", "cuda")


def load_model(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    base_adapter: Adapter | None = None,
    trust_remote_code: bool = False,
    device_map: str | None = None,
    quantize: str | None = None,
) -> PreTrainedModel:
    """Load a causal LM from a local folder, safetensors only.

    Args:
        base_adapter: for targets that are themselves a base plus an adapter; merged into the weights in
            float32 before they are cast, or kept beside those that are packed or put away (`beside`).
        device_map: "auto" spreads the model over all GPUs, main memory and disk; None puts it on `device`.
        quantize: "4bit" or "8bit" packs the linear layers (`quantized`).

    Raises:
        AdapterError: the base adapter belongs to another model.
        ModelError: transformers cannot load a causal LM from the folder, or bitsandbytes is missing.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    options: dict[str, Any] = {}
    if quantize:
        options["quantization_config"] = quantization_config(quantize, dtype)
        options["device_map"] = {"": device}
    if device_map:
        options["device_map"] = device_map
        options["offload_folder"] = tempfile.mkdtemp(prefix="sqsd-lint-offload-")
        atexit.register(shutil.rmtree, options["offload_folder"], ignore_errors=True)
    silence_bitsandbytes()
    disable_progress_bar()  # type: ignore[no-untyped-call]  # ours tells what takes time
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32 if base_adapter and not options else dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            **options,
        )
    except Exception as error:
        raise ModelError(
            f"{folder}: no causal language model could be loaded from it: {error}",
            hint="give a folder with config.json and *.safetensors, as save_pretrained() writes it",
        ) from error
    keep_layout(model)
    if not options:
        return _finished(model, base_adapter, device, dtype)
    if base_adapter is not None:
        check_shapes(base_adapter, model, "the base adapter")
        attach(model, base_adapter, dtype)
    return model


_Model = TypeVar("_Model", bound=nn.Module)


def _finished(
    model: _Model, base_adapter: Adapter | None, device: torch.device, dtype: torch.dtype
) -> _Model:
    """Merge the base adapter into a model in main memory, cast it and move it, in place.

    Buffers that no checkpoint holds keep their dtype: the frequencies of rotary positions are float32 in any
    model, and rounded to bfloat16 they would turn far positions by a wrong angle.
    """
    if base_adapter is not None:
        check_shapes(base_adapter, model, "the base adapter")
        merge(model, base_adapter)
    nn.Module.to(model, device=device)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is None or name in module._non_persistent_buffers_set:
                continue
            if buffer.is_floating_point():
                module._buffers[name] = buffer.to(dtype)
    return model


@torch.no_grad()
def merge(model: nn.Module, adapter: Adapter) -> None:
    """Add scaling * B @ A to the weight of every layer of the adapter, in place."""
    from sqsd_lint.scoring.linear import weight_of

    modules = dict(model.named_modules())
    for name, f in adapter.factors.items():
        weight = weight_of(modules[name])
        weight.addmm_(f.B.to(weight), f.A.to(weight), alpha=f.scaling)


class AdapterProduct:
    """A forward hook that adds an adapter's product to a layer's output.

    Args:
        factors: of the layer.
        device, dtype: of the layer's output.
    """

    def __init__(self, factors: LoraFactors, device: torch.device, dtype: torch.dtype) -> None:
        self._A = factors.A.to(device, dtype)  # [r, d_in]
        self._B = (factors.scaling * factors.B).to(device, dtype)  # [d_out, r]

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], y: Tensor) -> Tensor:
        # A hook sees the input as the caller has it, perhaps on another device.
        x = inputs[0].to(y)
        return y + nn.functional.linear(nn.functional.linear(x, self._A), self._B)


@torch.no_grad()
def attach(model: PreTrainedModel, adapter: Adapter, dtype: torch.dtype) -> None:
    """Have every layer of the adapter run with it: merged where its weight is plain and at hand, else beside.

    Args:
        dtype: of the activations.

    Raises:
        ModelError: the output head has a part in the adapter, and its weights are packed or put away.
    """
    modules = dict(model.named_modules())
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    for name, f in adapter.factors.items():
        module = modules[name]
        if not is_packed(module) and module.weight.device.type != "meta":
            weight = weight_of(module)
            # Rounded once: as if it had been merged before the weights were cast.
            wide = weight.float()
            weight.copy_(wide.addmm_(f.B.to(wide), f.A.to(wide), alpha=f.scaling))
        elif module is head:  # its gradient is taken of the weight itself (`head`)
            raise ModelError(
                f"the bundle's base adapter changes the output head {name!r}, which does not lie in memory",
                hint="leave out --device-map, or save the merged model and build a bundle for it",
            )
        else:
            module.register_forward_hook(AdapterProduct(f, device_of(module), dtype))
