"""`drift`: a bundle, its base model where it is needed, and a run folder brought together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqsd_lint.bundle.base_model import base_folder, check_base_model
from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import SqsdLintError

if TYPE_CHECKING:
    from sqsd_lint.drift.full import Start
    from sqsd_lint.drift.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, and the bundle that it was measured with."""

    run: Path
    bundle: Bundle
    trajectory: Trajectory


def drift(
    run: Path, settings: Settings, *, start: Path | None = None, progress: Progress | None = None
) -> Measured:
    """Measure every state of a fine-tuning run along a bundle's danger and safety direction.

    Args:
        run: the folder with `checkpoint-*`, adapters or full weights.
        settings: bundle, model, proxy and cache_dir count.
        start: the state that training began from. By default 0 for adapters, and the bundle's base model
            with its base adapter for full weights.

    Raises:
        SqsdLintError: no such bundle, run or base model; nothing in the run can be read.
    """
    from sqsd_lint.drift.run import find_states

    find_states(run)  # a wrong folder is told before anything is read
    cache_dir = cache_root(Path(settings.cache_dir) if settings.cache_dir else None)
    bundle = open_for(settings, cache_dir=cache_dir, status=progress.status if progress else None)
    if progress:
        progress.status(f"reading {bundle.id}")
    from sqsd_lint.drift.directions import WeightDirections
    from sqsd_lint.drift.run import measure

    found = measure(
        run,
        WeightDirections.of(bundle),
        base=lambda: _base(bundle, settings, cache_dir, progress),
        start=start,
        progress=progress,
    )
    if progress:
        progress.stop()
    return Measured(run, bundle, found)


def _base(bundle: Bundle, settings: Settings, cache_dir: Path, progress: Progress | None) -> Start:
    """The base model that the bundle was made for: where a full fine-tune of it begins."""
    from sqsd_lint.adapters.factors import load_adapter
    from sqsd_lint.adapters.peft_folder import inspect_adapter
    from sqsd_lint.drift.full import Start
    from sqsd_lint.drift.lowrank import LowRank

    manifest = bundle.manifest
    named = None if settings.proxy else settings.model
    try:
        folder = base_folder(
            manifest, named, cache_dir=cache_dir, status=progress.status if progress else None
        )
        check_base_model(manifest, folder, cache_dir=cache_dir)
    except SqsdLintError as error:
        hint = (
            "full weights are measured from the model that training began from: name its folder with --start"
        )
        raise type(error)(error.message, hint=hint) from error
    merged = manifest.base_adapter
    adapter = load_adapter(bundle.adapter_dir(merged)).factors if merged else {}
    config = inspect_adapter(bundle.adapter_dir(manifest.directions["danger"].adapter)).config
    return Start(
        folder,
        f"{manifest.base_model.id} with the bundle's {merged} adapter" if merged else manifest.base_model.id,
        {name: LowRank.of_factors(factors) for name, factors in adapter.items()},
        transposed=bool(config.get("fan_in_fan_out")),
    )
