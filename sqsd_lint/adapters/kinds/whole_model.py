"""Whole models: what one moved from its base, kept as the best factors of one rank.

For every linear layer but the output head, D = W_tuned - W_base is cut off behind its r largest singular
values. The share of ||D||^2 that they carry is the kept energy. One tensor is in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sqsd_lint.adapters.registry import (
    PREFIX,
    AdapterKind,
    AdapterSource,
    ConversionContext,
    Converted,
    register,
)
from sqsd_lint.common.model_folder import read_config, weight_files
from sqsd_lint.errors import ModelError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

RANK = 32
# Up to this many rows or columns the exact decomposition takes no longer than the randomised one.
_EXACT = 768
# Further singular vectors that the randomised decomposition follows, and how often it goes over them.
_OVERSAMPLE, _PASSES = 8, 4


@register
class WholeModel(AdapterKind):
    """A fully fine-tuned model. It has no adapter_config.json, so that it must be named as one."""

    name = "a whole model"

    def owns(self, config: Mapping[str, Any]) -> bool:
        """Return False: nothing that has an adapter_config.json is a whole model."""
        return False

    def convert(self, source: AdapterSource, context: ConversionContext) -> Converted:
        """Return the displacement from the base model, as an adapter of scaling 1.

        Raises:
            ModelError: it does not fit the base model, or is no other than it.
            UsageError: the rank is not positive.
        """
        assert context.base_model is not None
        config, tensors, kept = factor_displacement(
            context.base_model, source.folder, rank=context.rank or RANK, status=context.status
        )
        facts = {"checkpoint": source.folder.resolve().name, **kept.facts()}
        return Converted(config, tensors, kept.note(), facts)


@dataclass(frozen=True, slots=True)
class Truncation:
    """What cutting a displacement off behind its largest singular values has kept of it.

    Attributes:
        rank: singular values per layer.
        energy: kept share of ||D||^2 over all layers in the direction.
        energy_layer_min, energy_layer_median: of the shares of single layers.
        outside: share of the whole model's displacement that lies outside linear layers (embeddings, norms,
            biases, the output head), where no direction has it.
        layers: how many layers moved.
    """

    rank: int
    energy: float
    energy_layer_min: float
    energy_layer_median: float
    outside: float
    layers: int

    def note(self) -> str:
        return (
            f"from a whole model, rank {self.rank}: {self.energy:.0%} of what its linear layers moved"
            f" (of a layer at least {self.energy_layer_min:.0%})"
        )

    def facts(self) -> dict[str, Any]:
        """For the manifest, to four digits."""
        return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in asdict(self).items()}


def factor_displacement(
    base: Path,
    tuned: Path,
    *,
    rank: int = RANK,
    status: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Tensor], Truncation]:
    """Factor the displacement from one model to another.

    Args:
        base, tuned: folders of safetensors weights, sharded or not, of the same architecture.

    Returns:
        Configuration and tensors of a LoRA adapter that PEFT loads, of scaling 1, and what it has kept.

    Raises:
        ModelError: a file or layer is missing, shapes differ, weights are quantised, or nothing moved.
        UsageError: the rank is not positive.
    """
    if rank < 1:
        raise UsageError(f"--rank {rank}: expected 1 or more")
    layers, transposed = _linear_layers(base)
    before, after = _Weights(base), _Weights(tuned)
    rank = min(rank, max(min(before.shape(before.find(name))) for name in layers))
    factors: dict[str, Tensor] = {}
    shares, kept, total = [], 0.0, 0.0
    taken = set()
    for number, name in enumerate(layers):
        if status:
            status(f"{tuned.name}: layer {number + 1} of {len(layers)}")
        here = before.find(name)
        taken.add(here)
        moved = _difference(before, after, here, after.find(name))
        if (whole := float(moved.square().sum())) == 0:
            continue
        if not math.isfinite(whole):
            raise ModelError(f"{tuned}: {name} holds NaN or infinity", hint="the training has diverged")
        down, up, energy = _best(moved.T if transposed else moved, rank)
        key = f"{PREFIX}{name}"
        factors[f"{key}.lora_A.weight"], factors[f"{key}.lora_B.weight"] = down, up
        shares.append(energy / whole)
        kept, total = kept + energy, total + whole
    if not factors:
        raise ModelError(f"{tuned}: every linear layer is the same as in {base}: it was not fine-tuned")
    outside = _outside(before, after, taken)
    config = _config(rank, sorted({_module(k) for k in factors}), transposed)
    truncation = Truncation(
        rank, kept / total, min(shares), median(shares), outside / (outside + total), len(shares)
    )
    return config, factors, truncation


def _linear_layers(folder: Path) -> tuple[list[str], bool]:
    """Names of all linear layers but the output head, and whether they keep their weights as (in, out)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from sqsd_lint.adapters.linear_modules import is_conv1d, is_linear

    read_config(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    except Exception as error:  # transformers raises whatever a configuration makes it raise
        raise ModelError(f"{folder}: no causal language model can be made of config.json: {error}") from error
    head = model.get_output_embeddings()
    found = {name: m for name, m in model.named_modules() if is_linear(m) and m is not head}
    return list(found), any(is_conv1d(m) for m in found.values())


_FLOATS = ("F64", "F32", "F16", "BF16")


class _Weights:
    """The tensors of a model folder, read one at a time."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self.folder = folder
        self._files: dict[str, Any] = {}
        for path in weight_files(folder):
            try:
                file = safe_open(path, framework="pt")
                names = file.keys()  # type: ignore[no-untyped-call]
            except Exception as error:
                raise ModelError(f"{path}: not a readable safetensors file: {error}") from error
            self._files.update(dict.fromkeys(names, file))

    def find(self, layer: str) -> str:
        """Return the tensor of a layer's weight; a checkpoint may lack or add leading parts of the name."""
        name = f"{layer}.weight"
        if name in self._files:
            return name
        ends = [n for n in self._files if name.endswith(f".{n}") or n.endswith(f".{name}")]
        if len(ends) != 1:
            raise ModelError(
                f"{self.folder}: has no weight {name!r}, which the base model's architecture has",
                hint="give a checkpoint of the same architecture, as save_pretrained() writes it",
            )
        return ends[0]

    def is_float(self, name: str) -> bool:
        return bool(self._files[name].get_slice(name).get_dtype() in _FLOATS)

    def names(self) -> set[str]:
        return set(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._files[name].get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        if not tensor.is_floating_point():
            raise ModelError(
                f"{self.folder}: {name} is stored as {tensor.dtype}",
                hint="give weights that are not quantised",
            )
        return tensor.float()


def _difference(before: _Weights, after: _Weights, one: str, other: str) -> Tensor:
    if before.shape(one) != after.shape(other):
        raise ModelError(
            f"{after.folder}: {other} is {after.shape(other)}, but {before.shape(one)} in {before.folder}",
            hint="it was not fine-tuned from this base model",
        )
    return after.read(other) - before.read(one)  # not in place: a read may be a view of the file's mapping


def _best(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Balanced factors (A [r, d_in], B [d_out, r]) of the best approximation, and its squared norm."""
    import torch

    if min(matrix.shape) <= _EXACT:
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same bundle on every run
            u, s, v = torch.svd_lowrank(matrix, q=min(rank + _OVERSAMPLE, *matrix.shape), niter=_PASSES)
        vt = v.T
    u, s, vt = u[:, :rank], s[:rank], vt[:rank]
    pad = rank - len(s)  # in a layer narrower than the rank
    down = torch.nn.functional.pad(s.sqrt()[:, None] * vt, (0, 0, 0, pad))
    up = torch.nn.functional.pad(u * s.sqrt(), (0, pad))
    return down.contiguous(), up.contiguous(), float(s.square().sum())


def _outside(before: _Weights, after: _Weights, taken: set[str]) -> float:
    """||.||^2 of the displacement of all other tensors that both models have; added rows are left out."""
    total = 0.0
    for name in sorted((before.names() & after.names()) - taken):
        if not (before.is_float(name) and after.is_float(name)):
            continue  # a buffer, such as a causal mask: training does not move it
        one, other = before.read(name), after.read(name)
        if one.shape[1:] == other.shape[1:] and one.dim():
            rows = min(len(one), len(other))
            total += float((other[:rows] - one[:rows]).square().sum())
    return total


def _module(key: str) -> str:
    return key.removeprefix(PREFIX).rpartition(".lora_")[0]


def _config(rank: int, modules: list[str], transposed: bool) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": transposed,
        "target_modules": modules,
    }
