"""Plain LoRA: W' = W + s B A. Rank and alpha patterns, rsLoRA, any subset of linear layers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sqsd_lint.adapters.registry import AdapterKind, AdapterSource, LoraFactors, Shape, register
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor, nn

KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])(?:\.\w+)?\.weight\Z")
# PEFT may adapt a mixture's fused experts as well: parameters, and no linear layers.
_EXPERTS = re.compile(r"\.experts(?:\.base_layer)*\Z")
# Settings that make the forward pass more than W x + s B A x, and those that train something else besides.
_MORE_THAN_FACTORS = (
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
)
_TRAINED_BESIDES = ("modules_to_save", "layer_replication", "trainable_token_indices")


class LoraFamily(AdapterKind):
    """Kinds that PEFT saves as pairs of lora_A and lora_B."""

    extra: ClassVar[str] = ""
    """What the names of further tensors of the kind hold, which are no factors."""

    def shapes(self, source: AdapterSource, stored: Mapping[str, tuple[int, ...]]) -> dict[str, Shape]:
        """Return (d_out, r, d_in) by module: see `AdapterKind.shapes`."""
        _check_config(source)
        pairs: dict[str, dict[str, tuple[int, ...]]] = {}
        for name, shape in stored.items():
            if (match := self._factor(name, source)) is not None:
                pairs.setdefault(match["module"], {})[match["factor"]] = shape
        if not pairs:
            raise AdapterError(f"{source.folder}: holds no LoRA factors")
        return {module: _shape(source, module, pair) for module, pair in sorted(pairs.items())}

    def factors(self, source: AdapterSource, tensors: Mapping[str, Tensor]) -> dict[str, LoraFactors]:
        """Return A, B and alpha / r, or alpha / sqrt(r), by module."""
        pairs: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if (match := self._factor(name, source)) is not None:
                pairs.setdefault(match["module"], {})[match["factor"]] = tensor.float()
        found = {}
        for module, pair in sorted(pairs.items()):
            rank = pair["A"].shape[0]
            alpha = float(_own(source.config, "alpha_pattern", module, source.config["lora_alpha"]))
            scaling = alpha / (math.sqrt(rank) if source.config.get("use_rslora") else rank)
            found[module] = LoraFactors(pair["A"], pair["B"], scaling)
        return found

    def layer_factors(
        self, layer: nn.Module, adapter: str, config: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor, float] | None:
        """Return the factors of PEFT's LoRA layer; embeddings have others, and no direction has them."""
        from peft.tuners.lora import LoraLayer

        if not isinstance(layer, LoraLayer) or adapter not in layer.lora_A:
            return None
        _refuse(f"the adapter {adapter!r}", config, _MORE_THAN_FACTORS)
        pair: Any = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
        return *pair, float(layer.scaling[adapter])

    def _factor(self, name: str, source: AdapterSource) -> re.Match[str] | None:
        """Return the module and the factor that a tensor is; None for one that no direction has."""
        match = KEY.match(name)
        if match is None and not (self.extra and self.extra in name):
            raise AdapterError(
                f"{source.folder}: {name!r} is no LoRA factor of a linear layer",
                hint="train on linear layers only, without modules_to_save",
            )
        return None if match is None or _EXPERTS.search(match["module"]) else match


@register
class Lora(LoraFamily):
    """LoRA and rsLoRA, and every initialisation that leaves the base weights alone."""

    name = "LoRA"
    plain = True

    def owns(self, config: Mapping[str, Any]) -> bool:
        """Return whether it is any LoRA: kinds that know theirs are asked before."""
        return config.get("peft_type") == "LORA"


def _refuse(where: str | Path, config: Mapping[str, Any], settings: Sequence[str]) -> None:
    """Raise AdapterError for settings that make the update more than B @ A."""
    unsupported = {
        "bias": config.get("lora_bias") or config.get("bias", "none") != "none",
        "init_lora_weights": config.get("init_lora_weights") == "loftq",
        **{key: config.get(key) for key in settings},
    }
    named = [key for key, set_ in unsupported.items() if set_]
    if named:
        raise AdapterError(
            f"{where}: {', '.join(named)} is set, and the update is then more than B @ A",
            hint="train a LoRA adapter (rsLoRA, DoRA, PiSSA, OLoRA, rank and alpha patterns can be imported)",
        )


def _check_config(source: AdapterSource) -> None:
    """Raise AdapterError for settings that make the update more than B @ A, or that are no numbers."""
    config = source.config
    _refuse(source.folder, config, (*_MORE_THAN_FACTORS, *_TRAINED_BESIDES))
    for key in ("r", "lora_alpha"):
        if isinstance(config.get(key), bool) or not isinstance(config.get(key), (int, float)):
            raise AdapterError(f"{source.folder}: {key} is {config.get(key)!r}, expected a number")
    for key in ("rank_pattern", "alpha_pattern"):
        pattern = config.get(key) or {}
        if not isinstance(pattern, dict) or not all(_is_number(value) for value in pattern.values()):
            raise AdapterError(f"{source.folder}: {key} is {pattern!r}, expected numbers by module names")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shape(source: AdapterSource, module: str, pair: Mapping[str, tuple[int, ...]]) -> Shape:
    where = source.folder
    if set(pair) != {"A", "B"}:
        raise AdapterError(f"{where}: {module} has only lora_{next(iter(pair))}, expected lora_A and lora_B")
    a, b = pair["A"], pair["B"]
    if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
        raise AdapterError(f"{where}: {module} has lora_A {a} and lora_B {b}, expected (r, in) and (out, r)")
    rank = _own(source.config, "rank_pattern", module, source.config["r"])
    if a[0] != rank:
        raise AdapterError(
            f"{where}: {module} has rank {a[0]}, but adapter_config.json says {rank}",
            hint="the two files come from different adapters",
        )
    return b[0], a[0], a[1]


def _own(config: Mapping[str, Any], key: str, module: str, default: Any) -> Any:
    """Return a module's own value by PEFT's rule: a pattern matches the whole end of the module's name."""
    for pattern, value in (config.get(key) or {}).items():
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        except re.error as error:
            raise AdapterError(f"{key}: {pattern!r} is no regular expression: {error}") from error
    return default
