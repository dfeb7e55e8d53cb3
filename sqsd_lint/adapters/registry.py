"""What a kind of adapter is, and the registry of kinds.

A kind lives in one file of `kinds/`, which registers it:

    @register
    class Vera(AdapterKind):
        name = "VeRA"
        def owns(self, config): return config.get("peft_type") == "VERA"
        def shapes(self, source, stored): ...
        def factors(self, source, tensors): ...

and importing, scoring and drift then read it. What it cannot be used as it lists under `refused`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, TypeVar

from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor, nn

Use = Literal["a direction", "an expansion point", "a base adapter", "a part of a bundle", "a run's state"]
"""What an adapter is read for.

The first three are what `bundle import` takes an adapter for, and converts it; a part of a bundle is read
as it lies there; a run's state is what drift measures, on disk or in memory.
"""

Shape = tuple[int, int, int]
"""(d_out, r, d_in) of a module's update."""


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


@dataclass(frozen=True, slots=True)
class AdapterSource:
    """Where an adapter comes from.

    Attributes:
        folder: for messages.
        config: adapter_config.json; empty for a whole model.
        load: reads the stored tensors by name, as they are stored.
    """

    folder: Path
    config: Mapping[str, Any]
    load: Callable[[], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class ConversionContext:
    """What a conversion may need besides the adapter.

    Attributes:
        start: the adapter that was saved before the training, for kinds that `needs_start`.
        base_model: the folder of the base model.
        rank: singular values to keep of a whole model's displacement; None takes the default.
        status: is told what is going on.
    """

    start: AdapterSource | None = None
    base_model: Path | None = None
    rank: int | None = None
    status: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """An adapter one step nearer to plain LoRA.

    Attributes:
        config, tensors: of the folder that PEFT would have saved.
        note: what was done, in words.
        facts: for the manifest's `training`.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    note: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a kind cannot be used as something, and what to do instead."""

    why: str
    hint: str


class AdapterKind:
    """One kind of adapter: how to know it, what it holds, what it cannot be used as.

    Attributes:
        name: as reports have it.
        plain: whether the stored factors are all there is, so that a bundle keeps the folder as it is.
        needs_start: whether what the training moved is known only with the adapter's start.
        refused: what the kind cannot be used as.
    """

    name: ClassVar[str]
    plain: ClassVar[bool] = False
    needs_start: ClassVar[bool] = False
    refused: ClassVar[Mapping[Use, Refusal]] = {}

    def owns(self, config: Mapping[str, Any]) -> bool:
        """Return whether an adapter_config.json is of this kind."""
        raise NotImplementedError

    def mark(self, config: Mapping[str, Any]) -> str:
        """Return the setting by which the kind is known, for messages: "use_dora is set"."""
        return f"peft_type is {config.get('peft_type')!r}"

    def shapes(self, source: AdapterSource, stored: Mapping[str, tuple[int, ...]]) -> dict[str, Shape]:
        """Return (d_out, r, d_in) by module of the bare model, without torch.

        Args:
            stored: the shapes of the stored tensors by name.

        Raises:
            AdapterError: a tensor is missing, unknown or of another shape than the configuration says.
        """
        raise NotImplementedError

    def factors(self, source: AdapterSource, tensors: Mapping[str, Tensor]) -> dict[str, LoraFactors]:
        """Return the factors by module of the bare model, float32; `shapes` has been through the tensors.

        A kind that `needs_start` returns those of where it is, not of what it moved.
        """
        raise NotImplementedError

    def convert(self, source: AdapterSource, context: ConversionContext) -> Converted:
        """Return the adapter as plain LoRA, or one step nearer to it.

        Raises:
            AdapterError: it cannot be converted.
        """
        factors = self.factors(source, source.load())
        ranks = {name: f.A.shape[0] for name, f in factors.items()}
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "r": max(ranks.values(), default=1),
            "lora_alpha": max(ranks.values(), default=1),
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": bool(source.config.get("fan_in_fan_out")),
            "target_modules": sorted(factors),
            "rank_pattern": ranks,
            "alpha_pattern": {name: f.scaling * ranks[name] for name, f in factors.items()},
            "base_model_name_or_path": source.config.get("base_model_name_or_path"),
        }
        tensors = {}
        for name, f in factors.items():
            tensors[f"{PREFIX}{name}.lora_A.weight"] = f.A.contiguous()
            tensors[f"{PREFIX}{name}.lora_B.weight"] = f.B.contiguous()
        return Converted(config, tensors, f"{self.name}: as the LoRA adapter of the same weights")

    def layer_factors(
        self, layer: nn.Module, adapter: str, config: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor, float] | None:
        """Return (A, B, scaling) of an adapter in a layer of a model in memory, as the layer holds them.

        Args:
            layer: a tuner layer of PEFT.
            config: the adapter's, as in its file.

        Returns:
            None for layers that no direction has, such as embeddings.

        Raises:
            AdapterError: the layer's update is more than B @ A.
        """
        return None

    def refuse(self, use: Use, where: str | Path, config: Mapping[str, Any]) -> NoReturn:
        """Raise AdapterError in the one wording for what a kind cannot be used as."""
        refusal = self.refused[use]
        raise AdapterError(
            f"{where}: {self.name} ({self.mark(config)}) cannot be {use}: {refusal.why}", hint=refusal.hint
        )

    def check_use(
        self, use: Use, where: str | Path, config: Mapping[str, Any], *, start: bool = False
    ) -> None:
        """Raise AdapterError if the kind cannot be used so.

        Args:
            where: for the message: the folder, or the layer of a model in memory.
            start: whether the adapter's start is known.
        """
        if use in self.refused and not (self.needs_start and start):
            self.refuse(use, where, config)


PREFIX = "base_model.model."
"""What PEFT puts before the bare model's names."""

_WHOLE_MODEL = "a whole model"
_registered: list[AdapterKind] = []
_Kind = TypeVar("_Kind", bound=type[AdapterKind])


def register(kind: _Kind) -> _Kind:
    """Make a kind known, as a decorator of its class."""
    _registered.append(kind())
    return kind


def kinds() -> list[AdapterKind]:
    """Return all kinds; plain LoRA, which takes what no other kind knows, comes last."""
    _load_kinds()
    return sorted(_registered, key=lambda kind: kind.plain)


@cache
def _load_kinds() -> None:
    folder = Path(__file__).with_name("kinds")
    for module in pkgutil.iter_modules([str(folder)], f"{__package__}.kinds."):
        import_module(module.name)


def whole_model() -> AdapterKind:
    """Return the kind of folders that hold a whole model: nothing in them shows it, so it must be named."""
    return next(kind for kind in kinds() if kind.name == _WHOLE_MODEL)


def kind_of(config: Mapping[str, Any], where: str | Path) -> AdapterKind:
    """Return the kind that an adapter's configuration is of.

    Args:
        where: for the message.

    Raises:
        AdapterError: it is of no known kind.
    """
    for kind in kinds():
        if kind.owns(config):
            return kind
    raise AdapterError(
        f"{where}: peft_type is {config.get('peft_type')!r}, expected 'LORA'",
        hint=f"train one of these: {', '.join(kind.name for kind in kinds() if kind.name != _WHOLE_MODEL)}",
    )
