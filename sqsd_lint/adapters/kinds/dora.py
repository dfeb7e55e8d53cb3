"""DoRA: W' = m (W + s B A) / ||W + s B A||, the magnitudes m and the norm by output row.

Its direction part s B A is kept. The magnitudes are left out: they scale whole rows of W, which is no
low-rank displacement and can be found only with the base weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sqsd_lint.adapters.kinds.lora import LoraFamily
from sqsd_lint.adapters.registry import AdapterSource, ConversionContext, Converted, Refusal, register
from sqsd_lint.errors import AdapterError

_MAGNITUDE = "lora_magnitude_vector"
_ROWS = "it rescales whole rows of the weights, which is no low-rank displacement"


@register
class Dora(LoraFamily):
    name = "DoRA"
    extra = _MAGNITUDE
    refused: ClassVar = {
        "a base adapter": Refusal(
            _ROWS, "merge it into the base model (merge_and_unload), save that and name it with --model"
        ),
        "a part of a bundle": Refusal(_ROWS, "`sqsd-lint bundle import` keeps its direction part"),
        "a run's state": Refusal(_ROWS, "train plain LoRA or rsLoRA"),
    }

    def owns(self, config: Mapping[str, Any]) -> bool:
        return config.get("peft_type") == "LORA" and bool(config.get("use_dora"))

    def mark(self, config: Mapping[str, Any]) -> str:
        return "use_dora is set"

    def convert(self, source: AdapterSource, context: ConversionContext) -> Converted:
        """Return the adapter without its magnitudes."""
        tensors = source.load()
        kept = {name: tensor for name, tensor in tensors.items() if _MAGNITUDE not in name}
        if len(kept) == len(tensors):
            raise AdapterError(f"{source.folder}: use_dora is set, but no tensor is a {_MAGNITUDE}")
        note = "DoRA: the direction part B A; the magnitudes are left out"
        return Converted({**source.config, "use_dora": False}, kept, note)
