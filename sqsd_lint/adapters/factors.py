"""LoRA factors out of a PEFT adapter folder, keyed by the module names of the bare model."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor, nn

_KEY = re.compile(r"^(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<factor>[AB])(?:\.\w+)?\.weight$")
_EXPERTS = re.compile(r"\.experts(?:\.base_layer)*$")
_PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class LoraFactors:
    """The two factors of one linear layer's update, V = B @ A.

    Attributes:
        A: [r, d_in] float32.
        B: [d_out, r] float32.
        scaling: what PEFT multiplies B @ A with in the forward pass: alpha / r, or alpha / sqrt(r) (rsLoRA).
    """

    A: Tensor
    B: Tensor
    scaling: float


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """All LoRA factors of an adapter by module name ("model.layers.0.self_attn.q_proj")."""

    factors: Mapping[str, LoraFactors]


def load_adapter(folder: str | Path, model: nn.Module | None = None) -> Adapter:
    """Read a LoRA adapter as PEFT saves it: rank and alpha patterns, rsLoRA, any subset of modules.

    Args:
        folder: holds adapter_config.json and adapter_model.safetensors.
        model: if given, module names and shapes are checked against it.

    Raises:
        AdapterError: no LoRA, unsupported variant (DoRA, LoRA bias), missing file or factor, wrong shape.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    config = _read_config(folder)
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise AdapterError(
            f"{folder}: adapter_model.safetensors is missing",
            hint="save the adapter with save_pretrained(); pickled adapter_model.bin files are never loaded",
        )
    try:
        tensors = load_file(weights)
    except Exception as error:
        raise AdapterError(f"{weights}: not a readable safetensors file: {error}") from error
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.match(key)
        if match is None:
            raise AdapterError(
                f"{weights}: tensor {key!r} is no LoRA factor of a linear layer",
                hint="only LoRA adapters on linear layers make a direction",
            )
        # PEFT may adapt a mixture's fused experts as well: parameters, and no linear layers.
        if not _EXPERTS.search(match["module"]):
            pairs.setdefault(match["module"], {})[match["factor"]] = tensor.float()
    factors: dict[str, LoraFactors] = {}
    for module, pair in sorted(pairs.items()):
        if set(pair) != {"A", "B"} or pair["A"].dim() != 2 or pair["A"].shape[0] != pair["B"].shape[1]:
            raise AdapterError(f"{weights}: module {module!r} lacks a factor or its two ranks differ")
        rank = pair["A"].shape[0]
        declared = _pattern(config, "rank_pattern", module, config["r"])
        if declared != rank:
            raise AdapterError(f"{weights}: {module!r} has rank {rank}, its configuration says {declared}")
        alpha = float(_pattern(config, "alpha_pattern", module, config["lora_alpha"]))
        scaling = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        factors[module] = LoraFactors(pair["A"], pair["B"], scaling)
    if not factors:
        raise AdapterError(f"{weights}: holds no LoRA factors")
    if model is not None:
        from sqsd_lint.adapters.linear_modules import is_router

        modules = dict(model.named_modules())
        factors = {name: f for name, f in factors.items() if not is_router(modules.get(name))}
    adapter = Adapter(factors)
    if model is not None:
        check_shapes(adapter, model, folder)
    return adapter


def check_shapes(adapter: Adapter, model: nn.Module, name: str | Path) -> None:
    """Raise AdapterError unless every module of the adapter is a linear layer of that shape in `model`."""
    from sqsd_lint.adapters.linear_modules import is_linear, linear_shape

    modules = dict(model.named_modules())
    for module, f in adapter.factors.items():
        layer = modules.get(module)
        if layer is None or not is_linear(layer):
            raise AdapterError(
                f"{name}: the model has no linear layer {module!r}",
                hint="the adapter belongs to another base model",
            )
        d_out, d_in = linear_shape(layer)
        if f.A.shape[1] != d_in or f.B.shape[0] != d_out:
            raise AdapterError(
                f"{name}: {module!r} is {d_out} x {d_in} in the model,"
                f" {f.B.shape[0]} x {f.A.shape[1]} in the adapter",
                hint="the adapter belongs to another base model",
            )


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(
            f"{path}: not a readable PEFT configuration: {error}",
            hint="give the folder that PEFT's save_pretrained() wrote",
        ) from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise AdapterError(f"{path}: peft_type is {kind!r}, expected 'LORA'")
    for key in ("r", "lora_alpha"):
        if isinstance(config.get(key), bool) or not isinstance(config.get(key), (int, float)):
            raise AdapterError(f"{path}: {key} is {config.get(key)!r}, expected a number")
    if config.get("use_dora"):
        raise AdapterError(f"{path}: DoRA adapters are not supported", hint="train plain LoRA or rsLoRA")
    if config.get("lora_bias") or config.get("bias", "none") != "none":
        raise AdapterError(f"{path}: trained biases are not supported", hint='train with bias="none"')
    return config


def _pattern(config: Mapping[str, Any], key: str, module: str, default: Any) -> Any:
    """A module's own value by PEFT's rule: a pattern matches the whole end of the module's name."""
    for pattern, value in (config.get(key) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
