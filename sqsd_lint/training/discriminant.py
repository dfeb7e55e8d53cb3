"""Fit the direction that separates harmful answers from others by the updates that they induce.

The paper's directions are where training on a data set ends. This one is fitted: a regularised least-squares
discriminant on the normalised updates of labelled rows at the initial state (A0, B0),

    f_i = sum_m <dW_im, V_m> / ||dW_im||  ~  y_i,    y = +1 for harmful answers, -1 for all others.

With B0 near 0 an update is -gB_im A0_m but for terms of order ||B0||, so V_m = B_m A0_m loses nothing: the
direction is a LoRA adapter that shares A with the initial state, and one pass projects rows on it and on the
paper's directions. With the Cholesky factor L of A0 A0^T, an update's coordinates are
u_im = L^T gB_im^T / ||dW_im|| [r, d_out], inner products of updates are those of coordinates, and the fit
needs the rows' Gram matrix alone:

    (G + ridge W^-1) a + c = y,   U_m = sum_i a_i u_im,   B_m^T = -L^-T U_m
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sqsd_lint.adapters.factors import Adapter, load_adapter
from sqsd_lint.adapters.peft_folder import CONFIG, WEIGHTS
from sqsd_lint.errors import RecipeError
from sqsd_lint.scoring.layers.lora import update_norm_squared
from sqsd_lint.training.train import encode_all
from sqsd_lint.types import Sample

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sqsd_lint.scoring.layers.lora import LoraLayer

# Of the mean of the Gram matrix's diagonal; 0.15 to 1.5 gave the same order of candidates (docs/log.md).
RIDGE = 0.5


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Rows of one data set, and whether their answers are harmful."""

    samples: Sequence[Sample]
    harmful: bool


def discriminant_adapter(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sets: Sequence[LabelledSet],
    *,
    initial: Path,
    max_length: int,
    dtype: str,
    output: Path,
    ridge: float = RIDGE,
) -> float:
    """Fit the discriminant and save it as a PEFT adapter.

    Args:
        model: the frozen base on its device, the base adapter merged.
        sets: harmful and other rows; within a side, a set weighs like the square root of its size.
        initial: the PEFT folder of the state at which the updates are taken.
        output: the folder for adapter_config.json and adapter_model.safetensors.
        ridge: the penalty on ||V||^2, as a share of the mean squared norm of a row's coordinates.

    Returns:
        The weighted mean squared error of the fit (2 labels one apart from 0: without a fit it is 1).

    Raises:
        RecipeError: a row cannot be encoded, or one side has no rows.
    """
    from safetensors.torch import save_file

    from sqsd_lint.scoring import Direction, Scorer

    labels = torch.tensor([1.0 if one.harmful else -1.0 for one in sets for _ in one.samples]).double()
    if not ((labels > 0).any() and (labels < 0).any()):
        raise RecipeError(
            f"{output.name}: a discriminant needs harmful rows and others",
            hint='mark data sets of harmful answers with "harmful": true in the recipe',
        )
    at = load_adapter(initial, model)
    # A layer is visited only if it has a direction of length other than 0, which B0 itself may not have.
    every = Adapter({name: replace(f, B=torch.ones_like(f.B)) for name, f in at.factors.items()})
    scorer = Scorer(model, [Direction(output.name, every, at)])
    rows = encode_all([sample for one in sets for sample in one.samples], tokenizer, max_length)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        updates = UpdateStore(Path(folder), len(rows))
        order = []
        for batch, _ in scorer.batches(rows, lambda picked: updates.add(scorer, picked)):
            order += batch
        y = labels[order]
        weights = _weights(sets)[order]
        dual, error = fit_dual(updates.gram(), y, weights, ridge)
        factors = updates.direction(dual.float())
    tensors = {}
    for name, B in factors.items():
        key = f"base_model.model.{name}"
        tensors[f"{key}.lora_A.weight"] = at.factors[name].A.to(getattr(torch, dtype)).contiguous()
        tensors[f"{key}.lora_B.weight"] = B.to(getattr(torch, dtype)).contiguous()
    save_file(tensors, output / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(initial / CONFIG, output / CONFIG)
    return error


def fit_dual(gram: Tensor, labels: Tensor, weights: Tensor, ridge: float) -> tuple[Tensor, float]:
    """Solve the weighted least squares in the rows' span.

    Args:
        gram: [n, n] inner products of the rows' coordinates.
        labels: [n] +1 or -1.
        weights: [n] positive.
        ridge: share of the mean diagonal.

    Returns:
        a [n] float64, and the weighted mean squared error.
    """
    n = len(labels)
    weights = weights / weights.mean()
    penalty = ridge * float(gram.diagonal().mean())
    system = torch.ones(n + 1, n + 1, dtype=torch.float64)
    system[:n, :n] = gram.double() + penalty * torch.diag(1 / weights)
    system[n, n] = 0
    solution = torch.linalg.solve(system, torch.cat([labels, labels.new_zeros(1)]))
    fitted = gram.double() @ solution[:n] + solution[n]
    error = (weights * (fitted - labels).square()).sum() / n
    return solution[:n], float(error)


def _weights(sets: Sequence[LabelledSet]) -> Tensor:
    """[n] each side sums to one half, and a set's share of its side is as the square root of its rows."""
    sides = {side: sum(len(s.samples) ** 0.5 for s in sets if s.harmful == side) for side in (True, False)}
    return torch.tensor(
        [
            0.5 * len(one.samples) ** 0.5 / sides[one.harmful] / len(one.samples)
            for one in sets
            for _ in one.samples
        ],
        dtype=torch.float64,
    )


class UpdateStore:
    """Rows' normalised updates at one expansion point, on disk, a file of [n, r * d_out] float16 per layer.

    Args:
        folder: for the files; 2 bytes for each parameter of the B factors and row.
        rows: n.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder = folder
        self._rows = rows
        self._stored = 0
        self._files: dict[str, Tensor] = {}
        self._roots: dict[str, Tensor] = {}

    def add(self, scorer: Any, rows: Sequence[Any]) -> None:
        """Store the updates of a batch of encoded rows, in their order."""
        from sqsd_lint.scoring.batching import pad

        ids, labels = pad(rows, scorer.device)
        scorer.run(ids, labels, scorer.points[0], self)
        self._stored += len(rows)

    def take(self, name: str, layer: LoraLayer, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> None:
        """Receive one layer of a batch, as `projections.Sink` has it."""
        gA, gB = layer.factor_gradients(x, h, d, u)  # [b, r, d_in], [b, r, d_out]
        if name not in self._files:
            shape = (self._rows, gB.shape[1] * gB.shape[2])
            path = str(self._folder / f"{len(self._files)}.bin")
            self._files[name] = torch.from_file(
                path, shared=True, size=shape[0] * shape[1], dtype=torch.float16
            ).view(shape)
            self._roots[name] = torch.linalg.cholesky(layer.gram_A.double()).float()
        norm = update_norm_squared(layer, gA, gB).clamp(min=0).sqrt()  # [b]
        coordinates = (self._roots[name].T @ gB).flatten(1) / norm.clamp(min=1e-30)[:, None]
        self._files[name][self._stored : self._stored + len(gB)] = coordinates.half().cpu()

    def gram(self) -> Tensor:
        """Return the rows' inner products, summed over layers: [n, n] float32."""
        total = torch.zeros(self._rows, self._rows)
        for stored in self._files.values():
            coordinates = stored.float()
            total.addmm_(coordinates, coordinates.T)
        return total

    def direction(self, dual: Tensor) -> dict[str, Tensor]:
        """Return B_m [d_out, r] of V_m = B_m A0_m for U_m = sum_i dual_i u_im, by module name."""
        found = {}
        for name, stored in self._files.items():
            root = self._roots[name].cpu()
            U = (dual @ stored.float()).view(len(root), -1)  # [r, d_out]
            found[name] = -torch.linalg.solve_triangular(root.T, U, upper=True).T.contiguous()
        return found
