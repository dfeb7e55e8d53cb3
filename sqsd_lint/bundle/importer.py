"""`bundle import`: a bundle out of LoRA adapters that somebody trained with PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sqsd_lint._version import __version__
from sqsd_lint.bundle.adapters import check_fits, inspect_adapter
from sqsd_lint.bundle.basemodel import Status, describe_model, resolve_model
from sqsd_lint.bundle.fields import is_name
from sqsd_lint.bundle.manifest import EXPANSIONS, METRICS, Direction, Manifest
from sqsd_lint.bundle.store import Bundle
from sqsd_lint.bundle.write import check_output, write_bundle
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Expansion, Metric


def import_bundle(
    model: str,
    danger: Path,
    safety: Path,
    initial: Path,
    base: Path | None = None,
    *,
    output: Path,
    safety_scaling: float | None = 1.0,
    metric: Metric = "cosine",
    expansion: Expansion = "paper",
    modules: Literal["all"] | int = "all",
    name: str | None = None,
    proxy: bool = False,
    notes: tuple[str, ...] = (),
    cache_dir: Path | None = None,
    status: Status | None = None,
) -> Bundle:
    """Make a bundle from PEFT folders. No weights are loaded; names and shapes are read from headers.

    Args:
        model: the base model, a folder or a Hub id.
        base: an adapter that is merged into the model first, if the others were trained on top of it.
        safety_scaling: scaling at the safety expansion point; None keeps the adapter's own. It plays no
            part with expansion "shared".
        modules: "all" linear layers, or the number of top blocks to score.
        name: the bundle's id; the output folder's name by default.

    Raises:
        AdapterError: an adapter is no plain LoRA or does not fit the model.
        ModelNotFoundError: there is no such model.
        UsageError: the output folder is not a bundle; the name is not fit for a folder; unknown metric.
    """
    name = name or output.resolve().name
    if not is_name(name):
        raise UsageError(
            f"{name!r} is no name for a bundle", hint="use letters, digits, '.', '_' and '-' (--name)"
        )
    if metric not in METRICS or expansion not in EXPANSIONS:
        raise UsageError(
            f"metric {metric!r}, expansion {expansion!r}: unknown",
            hint=f"the metric is one of {', '.join(METRICS)}; the expansion is {' or '.join(EXPANSIONS)}",
        )
    check_output(output)
    folder = resolve_model(model, cache_dir=cache_dir, status=status)
    adapters = {"initial": initial, "danger": danger, "safety": safety}
    if base is not None:
        adapters = {"base": base, **adapters}
    training = {}
    for key, path in adapters.items():
        info = inspect_adapter(path)
        check_fits(info, path, folder)
        rank, alpha = info.config.get("r"), info.config.get("lora_alpha")
        training[key] = {"imported": True, "r": rank, "alpha": alpha, "modules": len(info.shapes)}
    manifest = Manifest(
        id=name,
        tool_version=__version__,
        base_model=describe_model(model, folder, cache_dir=cache_dir),
        directions=directions_for(safety_scaling),
        expansion=expansion,
        metric=metric,
        modules=modules,
        base_adapter="base" if base is not None else None,
        proxy=proxy,
        notes=notes,
        provenance=(),
        training=training,
        calibration=None,
        files={},
    )
    return write_bundle(output, manifest, adapters)


def directions_for(safety_scaling: float | None) -> dict[str, Direction]:
    """Adapter, expansion point and scaling per direction as in the paper, which `shared` overrides."""
    return {
        "danger": Direction("danger", "initial", None),
        "safety": Direction("safety", "safety", safety_scaling),
    }
