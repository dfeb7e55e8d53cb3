"""Directions, displacements and runs that the tests of this room share, and a dense float64 oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.drift.directions import WeightDirection, WeightDirections
from sqsd_lint.drift.lowrank import LowRank
from tests import tiny

SIZES = {"model.layers.0.q": (5, 7), "model.layers.1.q": (6, 6), "model.layers.10.q": (4, 9)}


def low_rank(seed: int, shape: tuple[int, int], r: int = 2) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    up = torch.randn(shape[0], r, generator=generator, dtype=torch.float64)
    return LowRank(up, torch.randn(r, shape[1], generator=generator, dtype=torch.float64))


def displacement(seed: int, r: int = 2, sizes: Mapping[str, tuple[int, int]] = SIZES) -> dict[str, LowRank]:
    return {name: low_rank(seed * 100 + k, shape, r) for k, (name, shape) in enumerate(sizes.items())}


def random_directions() -> WeightDirections:
    return WeightDirections(WeightDirection(displacement(1)), WeightDirection(displacement(2, r=3)))


def dense(moved: Mapping[str, LowRank]) -> dict[str, torch.Tensor]:
    return {name: low.up @ low.down for name, low in moved.items()}


def flat(moved: Mapping[str, torch.Tensor], names: Any) -> torch.Tensor:
    return torch.cat([moved[name].flatten() for name in names])


def oracle_along(
    moved: Mapping[str, torch.Tensor], direction: Mapping[str, torch.Tensor]
) -> dict[str, float]:
    """The figures of `displacement.DirectionDrift`, of whole matrices and by their definitions."""
    zero = {name: torch.zeros_like(v) for name, v in direction.items()}
    D, V = flat({**zero, **moved}, direction), flat(direction, direction)
    norm = math.sqrt(sum(float(d.square().sum()) for d in moved.values()))
    layers = [({**zero, **moved}[name].flatten(), v.flatten()) for name, v in direction.items()]
    cosines = [float(d @ v / (d.norm() * v.norm())) if d.norm() > 0 else 0.0 for d, v in layers]
    return {
        "projection": float(D @ V / V.norm()),
        "cosine": float(D @ V / V.norm()) / norm,
        "layer_projection": sum(float(d @ v / v.norm()) for d, v in layers),
        "layer_cosine": sum(cosines) / len(cosines),
        "share": float(D @ V / V.square().sum()),
    }


def adapter_matrices(folder: Path) -> dict[str, torch.Tensor]:
    """scaling * B @ A in float64 by module."""
    factors = load_adapter(folder).factors
    return {name: f.scaling * f.B.double() @ f.A.double() for name, f in factors.items()}


def directions_of(folder: Path) -> tuple[Bundle, WeightDirections]:
    bundle = load_bundle(folder)
    return bundle, WeightDirections.of(bundle)


def save_adapters(run: Path, steps: Mapping[int, int], vocab: int, **options: Any) -> Path:
    """A run of random adapters: step -> seed."""
    for step, seed in steps.items():
        tiny.save_adapter(run / f"checkpoint-{step}", seed=seed, sizes={"vocab_size": vocab}, **options)
    return run
