"""OLoRA: starts from an orthonormal part of the base weights' QR decomposition."""

from __future__ import annotations

from sqsd_lint.adapters.kinds.from_start import FromStart
from sqsd_lint.adapters.registry import register


@register
class Olora(FromStart):
    name = "OLoRA"
    init = "olora"
    repeatable = True
