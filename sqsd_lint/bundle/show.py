"""`bundle show` and `bundle list`: plain data about bundles, for a command to lay out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import Manifest
from sqsd_lint.types import Threshold

CANDIDATES = ("p90", "p95", "p99", "p99.9", "z3")


def describe(bundle: Bundle, percentile: Callable[[float], float] | None = None) -> dict[str, Any]:
    """Everything that `bundle show` prints but for candidate thresholds, ready for JSON.

    Args:
        percentile: of a score among the bundle's benign rows, if it is calibrated.
    """
    m = bundle.manifest
    tried = m.validation.placed(percentile) if m.validation and percentile else m.validation
    return {
        "id": m.id,
        "digest": bundle.digest,
        "scoring_digest": bundle.scoring_digest,
        "path": str(bundle.root),
        "bytes": sum((bundle.root / name).stat().st_size for name in m.files),
        "tool_version": m.tool_version,
        "base_model": m.to_json()["base_model"],
        "base_adapter": m.base_adapter,
        "directions": m.to_json()["directions"],
        "expansion": m.expansion,
        "metric": m.metric,
        "modules": m.modules,
        "update": m.update,
        "proxy": m.proxy,
        "notes": list(m.notes),
        "provenance": m.to_json()["provenance"],
        "training": dict(m.training),
        "calibration": _calibration(m),
        "validation": asdict(tried) if tried else None,
        "agreements": [asdict(agreement) for agreement in m.agreements],
    }


def _calibration(manifest: Manifest) -> dict[str, Any] | None:
    """The calibration without its thousands of scores."""
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
