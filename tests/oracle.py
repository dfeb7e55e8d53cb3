"""docs/method.md sections 3 and 4 written out as slowly and plainly as possible: the reference for score/.

PEFT holds the expansion point, autograd gives the gradients of its factors, every update and every task
vector is a full d_out x d_in matrix in float64, and rows go through one at a time, without padding.
Nothing here is shared with the package.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer

ModelFn = Callable[[], Any]
"""Returns a new copy of the base model in float64; PEFT changes the model that it wraps."""


@dataclass(frozen=True)
class Term:
    """One layer's part of a projection: <dW, V>, ||dW|| and ||V||."""

    dot: float
    norm_update: float
    norm_vector: float

    def value(self, metric: str) -> float:
        if self.norm_update == 0 or self.norm_vector == 0:
            return 0.0
        divisor = {
            "cosine": self.norm_update * self.norm_vector,
            "projection": self.norm_vector,
            "dot": 1.0,
        }[metric]
        return self.dot / divisor


@dataclass(frozen=True)
class Projection:
    """Every layer's term for one sample and direction, and the sample's loss at the expansion point."""

    terms: Mapping[str, Term]
    loss: float

    def value(self, metric: str, modules: Iterable[str] | None = None) -> float:
        names = self.terms if modules is None else modules
        return math.fsum(self.terms[name].value(metric) for name in names if name in self.terms)

    def scale(self, metric: str) -> float:
        """Root of the sum of the terms' squares: what a float32 error is relative to when terms cancel."""
        return math.sqrt(math.fsum(term.value(metric) ** 2 for term in self.terms.values()))


def response_loss(model: Any, ids: Sequence[int], labels: Sequence[int]) -> torch.Tensor:
    """Mean cross-entropy over the labelled tokens, each predicted from the position before it."""
    logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double()  # [t, vocab]
    log_probabilities = torch.log_softmax(logits, dim=-1)
    losses = [-log_probabilities[t - 1, label] for t, label in enumerate(labels) if t and label != -100]
    return torch.stack(losses).mean()


def load_peft(model_fn: ModelFn, folder: Path, scaling: float | None = None) -> Any:
    """The model with the adapter in `folder`, in float64, its factors requiring gradients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(model_fn(), str(folder), is_trainable=True)
    model = model.double().eval()
    if scaling is not None:
        for _, layer in lora_layers(model):
            layer.scaling["default"] = scaling
    return model


def lora_layers(model: Any) -> list[tuple[str, Any]]:
    """(name in the bare causal LM, PEFT layer) of every layer that has an adapter."""
    return [
        (name.removeprefix("base_model.model."), module)
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    ]


def factors(layer: Any) -> tuple[Any, Any]:
    """A (r x d_in) and B (d_out x r)."""
    return layer.lora_A["default"].weight, layer.lora_B["default"].weight


def task_vector(model_fn: ModelFn, folder: Path) -> dict[str, torch.Tensor]:
    """V_m = B_m A_m (d_out x d_in), without any scaling."""
    vector = {}
    for name, layer in lora_layers(load_peft(model_fn, folder)):
        a, b = factors(layer)
        vector[name] = (b @ a).detach()
    return vector


def sample_update(
    model_fn: ModelFn,
    expansion: Path,
    ids: Sequence[int],
    labels: Sequence[int],
    scaling: float | None = None,
) -> tuple[dict[str, torch.Tensor], float]:
    """dW_m = -(gB A0 + B0 gA) (d_out x d_in) of every adapted layer, and the loss."""
    model = load_peft(model_fn, expansion, scaling)
    loss = response_loss(model, ids, labels)
    loss.backward()
    update = {}
    for name, layer in lora_layers(model):
        a, b = factors(layer)
        update[name] = -(b.grad @ a + b @ a.grad).detach()
    return update, loss.item()


def oracle_terms(
    model_fn: ModelFn,
    expansion: Path,
    vector: Path,
    ids: Sequence[int],
    labels: Sequence[int],
    scaling: float | None = None,
) -> Projection:
    """Every layer's <dW, V> and norms; a layer that only one of the two adapters has adds nothing."""
    update, loss = sample_update(model_fn, expansion, ids, labels, scaling)
    terms = {}
    for name, v in task_vector(model_fn, vector).items():
        dw = update.get(name, torch.zeros_like(v))
        terms[name] = Term((dw * v).sum().item(), dw.norm().item(), v.norm().item())
    return Projection(terms, loss)


def oracle_projection(
    model_fn: ModelFn,
    expansion_dir: Path,
    vector_dir: Path,
    ids: Sequence[int],
    labels: Sequence[int],
    metric: str,
    scaling: float | None = None,
) -> float:
    """p_i of docs/method.md section 4; `scaling` overrides the expansion adapter's own."""
    return oracle_terms(model_fn, expansion_dir, vector_dir, ids, labels, scaling).value(metric)


def oracle_sqsd(
    model_fn: ModelFn,
    danger_dir: Path,
    safety_dir: Path,
    initial_dir: Path,
    ids: Sequence[int],
    labels: Sequence[int],
    metric: str = "cosine",
    *,
    safety_scaling: float = 1.0,
    expansion: str = "paper",
) -> float:
    """SQSD_i: danger at the initial state; safety at its own adapter, or at the initial state if shared."""
    danger = oracle_projection(model_fn, initial_dir, danger_dir, ids, labels, metric)
    if expansion == "shared":
        return danger - oracle_projection(model_fn, initial_dir, safety_dir, ids, labels, metric)
    return danger - oracle_projection(model_fn, safety_dir, safety_dir, ids, labels, metric, safety_scaling)


def oracle_positions(
    model_fn: ModelFn,
    expansion: Path,
    vector: Path,
    ids: Sequence[int],
    labels: Sequence[int],
    scaling: float | None = None,
) -> dict[str, torch.Tensor]:
    """<dW, V> of every layer split over the positions of the sequence, [t].

    Every position gets copies of the factors of its own, so that autograd itself says which position a
    gradient belongs to.
    """
    model = load_peft(model_fn, expansion, scaling)
    copies = {}
    for name, layer in lora_layers(model):
        a, b = (f.detach()[None].repeat(len(ids), 1, 1).requires_grad_() for f in factors(layer))
        copies[name] = a, b
        base, scale = layer.base_layer, layer.scaling["default"]

        def forward(x: Any, a: Any = a, b: Any = b, base: Any = base, scale: Any = scale) -> Any:
            return base(x) + scale * torch.einsum("tor,trd,btd->bto", b, a, x)

        layer.forward = forward
    response_loss(model, ids, labels).backward()
    split = {}
    for name, v in task_vector(model_fn, vector).items():
        if name in copies:
            a, b = copies[name]
            update = -(b.grad @ a.detach() + b.detach() @ a.grad)  # [t, d_out, d_in]
            split[name] = (update * v).sum((1, 2))
    return split


def full_terms(
    model_fn: ModelFn,
    expansion: Path | None,
    vector: Path,
    ids: Sequence[int],
    labels: Sequence[int],
    scaling: float | None = None,
) -> Projection:
    """As `oracle_terms` where a step moves whole weights: dW_m = -dl/dW_m at W + scaling B0 A0, by autograd.

    The expansion point is written into the weights and PEFT is gone; None is the model as it is.
    """
    model = model_fn()
    if expansion is not None:
        model = load_peft(model_fn, expansion, scaling).merge_and_unload()
    layers = dict(model.named_modules())
    vectors = task_vector(model_fn, vector)
    for name in vectors:
        layers[name].weight.requires_grad_(True)
    loss = response_loss(model, ids, labels)
    loss.backward()
    terms = {}
    for name, v in vectors.items():
        gradient = layers[name].weight.grad
        if type(layers[name]).__name__ == "Conv1D":
            gradient = gradient.T
        terms[name] = Term(-(gradient * v).sum().item(), gradient.norm().item(), v.norm().item())
    return Projection(terms, loss.item())
