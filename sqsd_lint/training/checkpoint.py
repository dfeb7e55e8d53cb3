"""Checkpoints of a training run: weights and AdamW moments as safetensors, the step as JSON."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sqsd_lint.bundle.cache import staging
from sqsd_lint.common.json_io import read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

_STATE = "state.json"
_TENSORS = "state.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Checkpoints:
    """The checkpoints of one run in one folder; only the last is kept.

    Args:
        folder: belongs to this run alone.
        key: what identifies the run. A checkpoint with another key is of another recipe, and is dropped.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key

    def save(self, step: int, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        """Write the state after `step` steps, whole or not at all, and drop what was there before."""
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {}
        for name, weight in weights.items():
            tensors[f"weight.{name}"] = weight.detach().cpu().contiguous()
            for moment in _MOMENTS:
                tensors[f"{moment}.{name}"] = optimizer.state[weight][moment].detach().cpu().contiguous()
        target = self._folder / f"step-{step:08d}"
        with staging(target) as stage:
            save_file(tensors, stage / _TENSORS)
            write_json(stage / _STATE, {"step": step, "key": self._key})
            os.replace(stage, target)
        for other in self._all():
            if other != target:
                shutil.rmtree(other, ignore_errors=True)

    @torch.no_grad()
    def restore(self, weights: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
        """Put the last checkpoint's state into `weights` and `optimizer`; returns its step, 0 without one."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        for folder in reversed(self._all()):
            try:
                state = read_json(folder / _STATE)
                tensors = load_file(folder / _TENSORS)
                matches = state["key"] == self._key and set(tensors) == self._names(weights)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError):
                matches = False
            if not matches:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            step = int(state["step"])
            for name, weight in weights.items():
                weight.copy_(tensors[f"weight.{name}"])
                moments = {m: tensors[f"{m}.{name}"].to(weight.device) for m in _MOMENTS}
                optimizer.state[weight] = {"step": torch.tensor(float(step)), **moments}
            return step
        return 0

    def clear(self) -> None:
        """Drop all checkpoints: the run is over."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @staticmethod
    def _names(weights: Mapping[str, nn.Parameter]) -> set[str]:
        return {f"{kind}.{name}" for name in weights for kind in ("weight", *_MOMENTS)}

    def _all(self) -> list[Path]:
        return sorted(self._folder.glob("step-*")) if self._folder.is_dir() else []
