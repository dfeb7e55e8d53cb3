"""`bundle show` and `bundle list`: plain data about bundles, for a command to lay out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import Manifest
from sqsd_lint.bundle.reach import recorded_reach
from sqsd_lint.common.formats import plain
from sqsd_lint.types import Threshold

CANDIDATES = ("p90", "p95", "p99", "p99.9", "z3")


def describe(bundle: Bundle, percentile: Callable[[float], float] | None = None) -> dict[str, Any]:
    """Return everything that `bundle show` prints but for candidate thresholds, ready for JSON.

    Args:
        percentile: of a score among the bundle's benign rows, if it is calibrated.
    """
    m = bundle.manifest
    raw = m.to_json()
    return {
        "id": m.id,
        "digest": bundle.digest,
        "scoring_digest": bundle.scoring_digest,
        "path": str(bundle.root),
        "bytes": sum((bundle.root / name).stat().st_size for name in m.files),
        "tool_version": m.tool_version,
        "base_model": raw["base_model"],
        "base_adapter": m.base_adapter,
        "directions": raw["directions"],
        "expansion": m.expansion,
        "metric": m.metric,
        "modules": m.modules,
        "update": m.update,
        "proxy": m.proxy,
        "notes": list(m.notes),
        "provenance": raw["provenance"],
        "training": dict(m.training),
        "calibration": _calibration(m),
        "validation": _validation(m, percentile),
        "agreements": raw.get("agreements", []),
        "reach": recorded_reach(m),
        **({"screen": {"digest": m.screen_digest, **m.screen.to_json()}} if m.screen else {}),
    }


def _validation(manifest: Manifest, percentile: Callable[[float], float] | None) -> dict[str, Any] | None:
    """Return the validation, the percentiles of its windows null where there is no calibration."""
    found = manifest.validation
    if found is None:
        return None
    shown: dict[str, Any] = plain(found.placed(percentile) if percentile else found)
    return {
        **shown,
        "windows": [{**window, "percentiles": window.get("percentiles")} for window in shown["windows"]],
    }


def _calibration(manifest: Manifest) -> dict[str, Any] | None:
    """Return the calibration without its thousands of scores."""
    if manifest.calibration is None:
        return None
    raw = manifest.calibration.to_json()
    return {
        "benign_rows": len(raw.pop("benign")),
        "harmful_rows": len(raw.pop("harmful")),
        **raw,
    }


def candidate_thresholds(resolve: Callable[[str], Threshold]) -> list[Threshold]:
    """Return each candidate threshold with the shares of benign and harmful rows at or above it.

    Args:
        resolve: resolves a threshold's text by the bundle's calibration, as a check would.
    """
    return [resolve(spec) for spec in CANDIDATES]
