"""Kinds that begin away from zero: the base weights give s B0 A0 away at the start.

What training moved is s (B A - B0 A0), of rank 2r. It is written with balanced factors (those of its
singular value decomposition): [B, -B0] [A; A0] is the same matrix, but the difference of two large ones,
which is lost in bfloat16.

The kinds differ in nothing but where they start; a kind that differs in more has a file of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from sqsd_lint.adapters.kinds.lora import KEY, LoraFamily
from sqsd_lint.adapters.registry import AdapterSource, ConversionContext, Converted, Refusal, Use, register
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor


# Rounding in float64, squared and with room; one float32 step of training is far above it.
_NOTHING = 1e-24
# What must not differ between an adapter and its start.
_SETTINGS = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")
_WHY = "it was trained on changed base weights, and what it moved is known only with its start"
_NAME_IT = "name the adapter as it was saved before training with --start DIR"


class FromStart(LoraFamily):
    """A LoRA whose initialisation changed the base weights.

    Attributes:
        init: how init_lora_weights begins, in lower case.
        repeatable: whether the start follows from the base weights alone; others draw numbers or look at
            data, so that made again they would be others.
    """

    init: ClassVar[str]
    repeatable: ClassVar[bool] = False
    needs_start = True
    refused: ClassVar = {
        "a direction": Refusal(_WHY, _NAME_IT),
        "an expansion point": Refusal(_WHY, _NAME_IT),
        "a base adapter": Refusal(_WHY, _NAME_IT),
        "a part of a bundle": Refusal(_WHY, "`sqsd-lint bundle import --start DIR` keeps what it moved"),
        "a run's state": Refusal(_WHY, _NAME_IT),
    }

    def owns(self, config: Mapping[str, Any]) -> bool:
        """Return whether init_lora_weights names this initialisation, in PEFT's spelling or another."""
        init = config.get("init_lora_weights")
        known = isinstance(init, str) and init.lower().startswith(self.init)
        return known and config.get("peft_type") == "LORA" and not config.get("use_dora")

    def mark(self, config: Mapping[str, Any]) -> str:
        return f"init_lora_weights is {config.get('init_lora_weights')!r}"

    def refuse(self, use: Use, where: Any, config: Mapping[str, Any]) -> NoReturn:
        """Raise AdapterError; its hint gives the command that makes the start again, where there is one."""
        try:
            super().refuse(use, where, config)
        except AdapterError as error:
            if not self.repeatable or config.get("init_lora_weights") != self.init:
                raise
            # No name out of the folder goes into the command: it may be anybody's text.
            hint = (
                f"{error.hint}; if it was not saved, this makes it again:\n"
                'python -c "from peft import LoraConfig, get_peft_model as wrap; '
                "from transformers import AutoModelForCausalLM as M; "
                "wrap(M.from_pretrained('BASE', dtype='auto'), "
                "LoraConfig.from_pretrained('ADAPTER')).save_pretrained('START')\""
            )
            raise AdapterError(error.message, hint=hint) from None

    def convert(self, source: AdapterSource, context: ConversionContext) -> Converted:
        """Return the displacement from the start, of twice the rank."""
        if context.start is None:
            self.refuse("a direction", source.folder, source.config)
        tensors = _displacement(source, context.start)
        note = f"{source.config['init_lora_weights']}: the displacement from its start"
        return Converted(_doubled(source.config), tensors, note)


def _displacement(source: AdapterSource, start: AdapterSource) -> dict[str, Tensor]:
    """Return the factors of B A - B0 A0, twice the rank."""
    tensors, first = source.load(), start.load()
    unlike = [k for k in _SETTINGS if (start.config.get(k) or None) != (source.config.get(k) or None)]
    if unlike or {n: t.shape for n, t in first.items()} != {n: t.shape for n, t in tensors.items()}:
        what = ", ".join(unlike) or "its modules or their shapes"
        raise AdapterError(
            f"{start.folder}: differs from {source.folder} in {what}, so it is not what that adapter started"
            " from"
        )
    found, moved, large = {}, 0.0, 0.0
    for name in tensors:
        match = KEY.match(name)
        if match is None or match["factor"] != "A":
            continue
        other = name.replace(".lora_A.", ".lora_B.")
        a, b, a0, b0 = (t.double() for t in (tensors[name], tensors[other], first[name], first[other]))
        if not all(bool(t.isfinite().all()) for t in (a, b, a0, b0)):
            raise AdapterError(
                f"{source.folder}: {name!r} or its start holds NaN or infinity",
                hint="the training has diverged",
            )
        found[name], found[other], square = _difference(a, b, a0, b0)
        moved += square
        large += float(((b0.T @ b0) * (a0 @ a0.T)).sum())
    if moved <= _NOTHING * large:
        raise AdapterError(f"{source.folder}: is the same as its start {start.folder}: it was not trained")
    if moved > large > 0:
        raise AdapterError(
            f"{start.folder}: is farther from {source.folder} than it is long, so it is not what that adapter"
            " started from",
            hint="give the adapter that was saved right before the training",
        )
    return found


def _difference(A: Tensor, B: Tensor, A0: Tensor, B0: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return balanced factors (A [2r, d_in], B [d_out, 2r], float32) of B A - B0 A0, and its squared norm."""
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
    """Return the configuration of twice the rank and the same scaling, alpha / r or alpha / sqrt(r)."""
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


@register
class Corda(FromStart):
    name = "CorDA"
    init = "corda"


@register
class LoraGa(FromStart):
    name = "LoRA-GA"
    init = "lora_ga"


@register
class Olora(FromStart):
    name = "OLoRA"
    init = "olora"
    repeatable = True


@register
class Pissa(FromStart):
    name = "PiSSA"
    init = "pissa"
    repeatable = True
