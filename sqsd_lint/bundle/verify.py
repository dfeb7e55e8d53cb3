"""`bundle verify`: everything that is wrong with a bundle, in one go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqsd_lint.adapters.peft_folder import WEIGHTS, check_fits, inspect_adapter
from sqsd_lint.bundle.base_model import check_base_model
from sqsd_lint.bundle.load import file_problems
from sqsd_lint.bundle.manifest import MANIFEST, MAX_MANIFEST, Manifest, from_json, load
from sqsd_lint.bundle.reach import measure_reach, reach_differences, recorded_reach
from sqsd_lint.common.safetensors_header import all_zero, non_finite, read_header
from sqsd_lint.common.schema import schema_problems
from sqsd_lint.common.strict_json import decode, read_bytes
from sqsd_lint.errors import SqsdLintError


@dataclass(frozen=True, slots=True)
class BundleFault:
    """One thing that is wrong with a file or folder of a bundle. `message` may quote hostile text."""

    where: str
    message: str


def verify(folder: Path, *, model: Path | None = None, cache_dir: Path | None = None) -> list[BundleFault]:
    """Check a bundle's manifest against its schema, its files against their digests, its adapters' weights.

    Args:
        model: a local base model to check digests and layer shapes against as well.

    Returns:
        What is wrong; an empty list if nothing is.
    """
    try:
        raw = decode(read_bytes(folder / MANIFEST, MAX_MANIFEST))
    except (OSError, ValueError) as error:
        return [BundleFault(MANIFEST, f"cannot be read: {error}")]
    findings = [BundleFault(MANIFEST, problem) for problem in schema_problems(raw, "bundle")]
    try:
        manifest = from_json(raw)
    except ValueError as error:
        # The schema has mostly said the same already; what it cannot say is said here.
        return findings or [BundleFault(MANIFEST, str(error))]
    findings += [
        BundleFault(problem.split(" ", 1)[0], problem) for problem in file_problems(folder, manifest)
    ]
    findings += _json_findings(folder, manifest)
    directions: dict[str, str] = {spec.adapter: spec.kind for spec in manifest.directions.values()}
    for name in manifest.adapters:
        findings += _adapter_findings(folder / name, model, directions.get(name))
    if not findings and manifest.reach:
        findings += _reach_findings(folder, manifest)
    if model is not None:
        findings += _base_findings(manifest, model, cache_dir)
    return findings


def reach_of(folder: Path) -> dict[str, float]:
    """Return the reach of a sound bundle's directions: what it records, else what its adapters have.

    Raises:
        SqsdLintError: the bundle is not sound.
    """
    manifest = load(folder)
    known = recorded_reach(manifest)
    if known.keys() == manifest.directions.keys():
        return known
    return measure_reach(manifest, {name: folder / name for name in manifest.adapters})


def _json_findings(folder: Path, manifest: Manifest) -> list[BundleFault]:
    """Return what is wrong with the JSON of a bundle: a key that stands twice has two meanings."""
    findings = []
    for name in (name for name in manifest.files if name.endswith(".json")):
        try:
            decode(read_bytes(folder / name, MAX_MANIFEST))
        except OSError:
            continue  # said already
        except ValueError as error:
            findings.append(BundleFault(name, f"{name}: {error}"))
    return findings


def _adapter_findings(folder: Path, model: Path | None, kind: str | None) -> list[BundleFault]:
    """Return what is wrong with an adapter.

    Args:
        kind: of the direction that it holds, None for another adapter, which may be one before its training.
    """
    try:
        info = inspect_adapter(folder)
        if model is not None:
            check_fits(info, folder, model)
    except SqsdLintError as error:
        return [BundleFault(folder.name, error.message)]
    where = f"{folder.name}/{WEIGHTS}"
    findings = [
        BundleFault(where, f"{name} holds NaN or infinite weights") for name in non_finite(folder / WEIGHTS)
    ]
    names = set(read_header(folder / WEIGHTS))
    zero = all_zero(folder / WEIGHTS)
    second = {name for name in names if "lora_B" in name}
    if names and names <= zero:
        findings.append(BundleFault(where, "all its weights are zero"))
    elif kind == "task-vector" and info.kind.name == "LoRA" and second and second <= zero:
        findings.append(
            BundleFault(where, "all its lora_B are zero, so that its update is: it was not trained")
        )
    return findings


def _reach_findings(folder: Path, manifest: Manifest) -> list[BundleFault]:
    try:
        measured = measure_reach(manifest, {name: folder / name for name in manifest.adapters})
    except SqsdLintError as error:
        return [BundleFault("directions", error.message)]
    return [BundleFault(MANIFEST, difference) for difference in reach_differences(manifest, measured)]


def _base_findings(manifest: Manifest, model: Path, cache_dir: Path | None) -> list[BundleFault]:
    try:
        check_base_model(manifest, model, cache_dir=cache_dir)
    except SqsdLintError as error:
        return [BundleFault("base_model", error.message)]
    return []
