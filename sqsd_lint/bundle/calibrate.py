"""`bundle calibrate`: what scores benign and known-harmful rows get, kept with the bundle.

Scoring itself is the caller's: these functions take scores and write them down.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import CALIBRATION, ReferenceSet, ReferenceSets, StoredCalibration
from sqsd_lint.bundle.write import update_bundle
from sqsd_lint.common.json_io import sha256_text
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Score


@dataclass(frozen=True, slots=True)
class ScoredSet:
    """A reference set with the score of each of its rows, in file order."""

    name: str
    scores: Sequence[Score]


def calibrate(
    bundle: Bundle,
    benign: Sequence[ScoredSet],
    harmful: Sequence[ScoredSet],
    *,
    dtype_pairs: Iterable[tuple[float, float]],
    dtype: str,
    settings: Mapping[str, Any] | None = None,
) -> Bundle:
    """Store both distributions in the bundle, replacing an earlier calibration.

    Args:
        benign, harmful: sets that no adapter of the bundle was trained on.
        dtype_pairs: SQSD of the same rows in two dtypes; the largest difference is the tolerance.
        dtype: what `benign` and `harmful` were scored in ("bfloat16").
        settings: scorer settings that change a score (max_length, turns).

    Returns:
        The bundle as it now is: another digest, the same scoring digest.

    Raises:
        UsageError: there is no benign score.
    """
    if not any(s.scores for s in benign):
        raise UsageError("a calibration needs scored benign rows", hint="give a file with --benign")
    calibration = StoredCalibration(
        benign=_pooled(benign),
        harmful=_pooled(harmful),
        tolerance=_rounded(max((abs(a - b) for a, b in dtype_pairs), default=0.0)),
        dtype=dtype,
        sets=ReferenceSets(tuple(map(_reference, benign)), tuple(map(_reference, harmful))),
        settings=dict(settings or {}),
    )
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / CALIBRATION
        _write_table(table, [("benign", s) for s in benign] + [("harmful", s) for s in harmful])
        manifest = replace(bundle.manifest, calibration=calibration)
        return update_bundle(bundle, manifest, {CALIBRATION: table})


def _pooled(sets: Sequence[ScoredSet]) -> tuple[float, ...]:
    return tuple(sorted(_rounded(score.sqsd) for s in sets for score in s.scores))


def _rounded(value: float) -> float:
    """Return six significant digits: finer than any dtype's noise, and stable in JSON."""
    return float(f"{value:.6g}")


def _reference(scored: ScoredSet) -> ReferenceSet:
    fingerprints = "\n".join(score.fingerprint for score in scored.scores)
    return ReferenceSet(scored.name, len(scored.scores), sha256_text(fingerprints))


def _write_table(path: Path, sets: Sequence[tuple[str, ScoredSet]]) -> None:
    """Write one row per score. Fingerprints stand for the rows: no text of a set leaves its file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "role": role,
            "set": scored.name,
            "fingerprint": score.fingerprint,
            "danger": score.danger,
            "safety": score.safety,
            "sqsd": score.sqsd,
            "tokens": score.tokens,
        }
        for role, scored in sets
        for score in scored.scores
    ]
    schema = pa.schema(
        [(name, pa.string()) for name in ("role", "set", "fingerprint")]
        + [(name, pa.float64()) for name in ("danger", "safety", "sqsd")]
        + [("tokens", pa.int32())]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")
