"""Measure the reach of a bundle's directions, which `import` and `build` record, and warn where it is low.

It is the share of a direction's energy that a LoRA update at an expansion point can have at all.

One step on the factors (A0, B0) moves a layer's weight by dW = -(gB A0 + B0 gA), whatever the sample. So dW
lies in

    S = { X A0 + B0 Y },    the rows in the span of A0's rows, or the columns in the span of B0's columns.

With P the projection on the row space of A0 and R that on the column space of B0, the part of V that no such
update has is (1 - R) V (1 - P). For V = Bv Av it is the product of two thin factors, B' = Bv - R Bv and
A' = Av - Av P, and by r x r algebra alone

    reach = 1 - sum_m <B'^T B', A' A'^T> / sum_m <Bv^T Bv, Av Av^T>.

A cosine of dW with V is at most the square root of a layer's reach. Where B0 is 0, as at the start of a
training, R is 0 and only A0's rows are left: 1 if V was trained from the same A and has kept its rows,
r / d_in on average if it began from another.

Measured by `benchmarks/reach.py` on a tiny Llama (3 blocks, width 64, r 8): danger trained from the A of the
initial state's seed, from another seed's, and from mixtures of the two; 120 rows, cosine:

    reach                            0.99   0.86   0.64   0.45   0.32   0.23 (another seed)
    spread of scores, same seed 1    1      0.86   0.65   0.48   0.36   0.27
    Spearman with the same seed's    1      0.95   0.81   0.68   0.57   0.55

So raw scores shrink in proportion to the reach. After training at ten times the rate for twice the steps,
which turns A itself, the same seed reached 0.55 and another one 0.23: below LOW_REACH lies what did not begin
together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sqsd_lint.adapters.peft_folder import inspect_adapter
from sqsd_lint.bundle.manifest import Manifest
from sqsd_lint.common import numbers
from sqsd_lint.common.module_names import top_blocks
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.adapters.factors import Adapter, LoraFactors


LOW_REACH = 0.5
"""Below this share of a direction's energy there is a warning."""

_DIFFERENT = 0.01


def reach_by_construction(manifest: Manifest) -> dict[str, float]:
    """Return 1 for each direction that is itself an update at its expansion point, without reading a weight.

    That is a direction whose adapter is its expansion point, a gradient of that point's factors, and every
    direction where the whole weights are updated.
    """
    return {
        name: 1.0
        for name, spec in manifest.directions.items()
        if manifest.update == "full"
        or spec.kind == "margin-gradient"
        or _expansion(manifest, name) == spec.adapter
    }


def measure_reach(manifest: Manifest, folders: Mapping[str, Path]) -> dict[str, float]:
    """Return the reach of each direction over the layers that are scored, to four digits.

    Args:
        folders: of the manifest's adapters by name, plain LoRA.

    Raises:
        AdapterError: an adapter cannot be read, or a direction is 0.
    """
    found = reach_by_construction(manifest)
    left = [name for name in manifest.directions if name not in found]
    if left:
        from sqsd_lint.adapters.factors import load_adapter
        from sqsd_lint.bundle.reach import reach

        used = {spec.adapter for spec in manifest.directions.values()}
        names = {module for adapter in used for module in inspect_adapter(folders[adapter]).shapes}
        scored = top_blocks(names, manifest.modules)
        for name in left:
            direction = load_adapter(folders[manifest.directions[name].adapter])
            point = load_adapter(folders[_expansion(manifest, name)])
            found[name] = float(f"{reach(direction, point, scored):.4g}")
    return {name: found[name] for name in manifest.directions}


def with_reach(manifest: Manifest, folders: Mapping[str, Path]) -> Manifest:
    """Return the manifest with the reach of its directions recorded.

    Raises:
        AdapterError: as `measure_reach`.
    """
    return replace(manifest, reach=measure_reach(manifest, folders))


def recorded_reach(manifest: Manifest) -> dict[str, float]:
    """Return what the manifest records, or what holds by construction; older bundles record nothing."""
    return {**reach_by_construction(manifest), **manifest.reach}


def reach_differences(manifest: Manifest, measured: Mapping[str, float]) -> list[str]:
    """Return where the recorded reach is not that of the adapters, in words."""
    return [
        f"reach.{name} says {said:.3f}, the adapters have {measured[name]:.3f}"
        for name, said in manifest.reach.items()
        if abs(said - measured[name]) > _DIFFERENT
    ]


def reach_warnings(reach: Mapping[str, float]) -> list[str]:
    """Return what to warn of, and what to do about it."""
    return [
        f"{name}: updates at its expansion point reach {numbers.share(share)} of the direction, so raw scores"
        " shrink to about that share and rank rows less well: train the adapter from the same initial A as"
        " the expansion point (the same seed), or use relative thresholds such as p99.9"
        for name, share in reach.items()
        if share < LOW_REACH
    ]


def reach_text(reach: Mapping[str, float]) -> str:
    """Return the reach in words: "danger 87%, safety 100%"; it is unknown where nothing says it."""
    names = ("danger", "safety")
    return ", ".join(f"{n} {numbers.share(reach[n]) if n in reach else 'unknown'}" for n in names)


def raw_threshold_note(manifest: Manifest, raw: Sequence[str]) -> str:
    """Return the note on raw thresholds where a bundle does not judge alone, or judges for another model.

    Args:
        raw: the thresholds that are raw scores, as they were written.
    """
    return (
        f"{' and '.join(raw)}: a raw score, at a reach of {reach_text(recorded_reach(manifest))}; bundles and"
        " models of another reach have another unit, so only relative thresholds such as p99.9 carry over"
    )


def _expansion(manifest: Manifest, name: str) -> str:
    """Return the adapter at which samples are expanded for a direction of a LoRA update."""
    own = manifest.directions[name].expansion
    return "initial" if manifest.expansion == "shared" or own is None else own


def reach(direction: Adapter, point: Adapter, modules: Collection[str] | None = None) -> float:
    """Return the share of ||V||^2 that an update at an expansion point can reach, between 0 and 1.

    Args:
        direction: V = B @ A by module; its scaling plays no part.
        point: (A0, B0) by module; a layer that it lacks gets no update.
        modules: the layers that are scored; None takes all of the direction's.

    Raises:
        AdapterError: the direction is 0, so that there is nothing to reach; a layer's shapes differ.
    """
    whole = lost = 0.0
    for name, vector in direction.factors.items():
        if modules is not None and name not in modules:
            continue
        energy = _energy(vector.B.double(), vector.A.double())
        whole += energy
        at = point.factors.get(name)
        lost += energy if at is None else min(_unreached(vector, at, name), energy)
    if whole == 0:
        raise AdapterError("the direction is 0 in every layer that is scored", hint="train it anew")
    return 1 - lost / whole


def _unreached(vector: LoraFactors, at: LoraFactors, name: str) -> float:
    """Return ||(1 - R) V (1 - P)||^2 of a layer."""
    A, B = vector.A.double(), vector.B.double()  # [r, d_in], [d_out, r]
    if at.A.shape[1] != A.shape[1] or at.B.shape[0] != B.shape[0]:
        raise AdapterError(f"{name}: the direction and its expansion point have different shapes")
    rows, columns = _basis(at.A.T.double()), _basis(at.B.double())  # [d_in, k], [d_out, l]
    return _energy(B - columns @ (columns.T @ B), A - (A @ rows) @ rows.T)


def _basis(matrix: Tensor) -> Tensor:
    """Return an orthonormal basis [d, k] of the span of a matrix's columns, k its rank in float32."""
    import torch

    u, s, _ = torch.linalg.svd(matrix, full_matrices=False)
    # Factors are stored in float32 at best: what is smaller than its rounding spans nothing.
    basis: Tensor = u[:, s > s[:1] * max(matrix.shape) * torch.finfo(torch.float32).eps]
    return basis


def _energy(B: Tensor, A: Tensor) -> float:
    """Return ||B A||^2."""
    return max(float(((B.T @ B) * (A @ A.T)).sum()), 0.0)
