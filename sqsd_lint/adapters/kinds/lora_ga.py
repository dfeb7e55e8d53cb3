"""LoRA-GA: starts from singular vectors of the loss gradient on data."""

from __future__ import annotations

from sqsd_lint.adapters.kinds.from_start import FromStart
from sqsd_lint.adapters.registry import register


@register
class LoraGa(FromStart):
    name = "LoRA-GA"
    init = "lora_ga"
