"""`bundle calibrate`: what scores benign and known-harmful rows get, kept with the bundle.

Scoring itself is the caller's: these functions take scores and write them down.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import (
    CALIBRATION,
    HARM,
    SCREEN,
    ReferenceSet,
    ReferenceSets,
    StoredCalibration,
    StoredLengthCurve,
    StoredRange,
)
from sqsd_lint.bundle.write import update_bundle
from sqsd_lint.common.json_io import sha256_text
from sqsd_lint.common.length_curve import PERCENTILES, LengthCurve, fit_length_curve
from sqsd_lint.common.reference_range import ReferenceRange, join_ranges, measure_range
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Score

# Fewer benign rows do not tell how scores depend on the length of answers.
FEWEST = 200


@dataclass(frozen=True, slots=True)
class ScoredSet:
    """A reference set with the score of each of its rows, in file order.

    Attributes:
        texts: the rows' excerpts, which tell what they are written in; none for sets that a bundle kept.
        forms: what the rows train on, in words; none for sets that a bundle kept.
        kept: whether a bundle kept the scores, and nothing else.
    """

    name: str
    scores: Sequence[Score]
    texts: Sequence[str] = ()
    forms: Sequence[str] = ()
    kept: bool = False


def calibrate(
    bundle: Bundle,
    benign: Sequence[ScoredSet],
    harmful: Sequence[ScoredSet],
    *,
    dtype_pairs: Iterable[tuple[Score, Score]],
    dtype: str,
    settings: Mapping[str, Any] | None = None,
) -> Bundle:
    """Store both distributions in the bundle, replacing an earlier calibration and its screen.

    From `FEWEST` benign rows on, scores are placed among those of answers of their length, and the benign
    rows of each set are kept apart as a kind of rows.

    Args:
        benign, harmful: sets that no adapter of the bundle was trained on. Benign sets that the bundle kept
            (`stored_sets`) may be among them: what their rows are like is in the calibration before.
        dtype_pairs: scores of the same rows in two dtypes; the largest difference is the tolerance.
        dtype: what `benign` and `harmful` were scored in ("bfloat16").
        settings: scorer settings that change a score (max_length, turns).

    Returns:
        The bundle as it now is: another digest, the same scoring digest.

    Raises:
        UsageError: there is no benign score.
    """
    rows = [(s.name, score) for s in benign for score in s.scores]
    if not rows:
        raise UsageError("a calibration needs scored benign rows", hint="give a file with --benign")
    harm = bundle.manifest.directions.get(HARM)
    weight = harm.weight if harm else 0.0

    # What is known of kept sets beside their scores.
    stored = bundle.manifest.calibration if any(each.kept for each in benign) else None
    before = None
    if stored and stored.length:
        covered = stored.length.covered
        before = ReferenceRange(covered.tokens, covered.loss, covered.scripts, covered.forms)
    by_length = len(rows) >= FEWEST
    curve = LengthCurve()
    if by_length:
        scores, lengths, kinds = zip(*((s.combined(weight), s.tokens, name) for name, s in rows), strict=True)
        curve = fit_length_curve(scores, lengths, kinds).rounded()

    def risk(score: Score) -> float:
        return curve.normal_score(score.combined(weight), score.tokens)

    def risks(sets: Iterable[ScoredSet]) -> tuple[float, ...]:
        found = (risk(score) for s in sets for score in s.scores)
        return tuple(sorted(round(each, 3) if by_length else _rounded(each) for each in found))

    differences = (abs(risk(fast) - risk(exact)) for fast, exact in dtype_pairs)
    tolerance = max(*differences, stored.tolerance if stored else 0.0, 0.0)
    calibration = StoredCalibration(
        benign=risks(benign),
        harmful=risks(harmful),
        tolerance=_rounded(tolerance),
        dtype=dtype,
        sets=ReferenceSets(tuple(map(_reference, benign)), tuple(map(_reference, harmful))),
        settings=dict(settings or {}),
        kinds={s.name: risks([s]) for s in benign} if by_length else {},
        length=_stored_curve(curve, benign, before) if by_length else None,
        harm_weight=weight,
    )
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / CALIBRATION
        _write_table(table, [("benign", s) for s in benign] + [("harmful", s) for s in harmful])
        manifest = replace(bundle.manifest, calibration=calibration, screen=None)
        return update_bundle(bundle, manifest, {CALIBRATION: table}, without=(SCREEN,))


def stored_sets(bundle: Bundle, role: str) -> list[ScoredSet]:
    """Return the reference sets of a role, "benign" or "harmful", with the scores that a calibration kept.

    Raises:
        UsageError: the bundle was calibrated before its table held what a calibration by length needs.
    """
    import pyarrow.parquet as pq

    path = bundle.root / CALIBRATION
    if CALIBRATION not in bundle.manifest.files:
        return []
    table = pq.read_table(path)
    if bundle.manifest.directions.get(HARM) and "harm" not in table.column_names:
        raise UsageError(
            f"{path}: holds no projections on `{HARM}`", hint="give the known-harmful rows with --harmful"
        )
    sets: dict[str, list[Score]] = {}
    for row in table.to_pylist():
        if row["role"] == role:
            score = Score(
                row["fingerprint"],
                row["danger"],
                row["safety"],
                row["sqsd"],
                row["tokens"],
                harm=row.get("harm"),
            )
            sets.setdefault(row["set"], []).append(score)
    return [ScoredSet(name, scores, kept=True) for name, scores in sets.items()]


def _stored_curve(
    curve: LengthCurve, benign: Sequence[ScoredSet], before: ReferenceRange | None
) -> StoredLengthCurve:
    benign = [each for each in benign if not (each.kept and before)]
    rows = [score for each in benign for score in each.scores]
    texts = [text for each in benign for text in each.texts]
    forms = [form for each in benign for form in each.forms]
    found = measure_range([row.tokens for row in rows], [row.loss for row in rows], texts, forms)
    if before:
        found = join_ranges(before, found)
    scores = dict(zip(PERCENTILES, curve.scores, strict=True))
    return StoredLengthCurve(curve.tokens, scores, StoredRange(**asdict(found)))


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
            "harm": score.harm,
            "tokens": score.tokens,
        }
        for role, scored in sets
        for score in scored.scores
    ]
    schema = pa.schema(
        [(name, pa.string()) for name in ("role", "set", "fingerprint")]
        + [(name, pa.float32()) for name in ("danger", "safety", "sqsd", "harm")]
        + [("tokens", pa.int32())]
    )
    numbers = [each.name for each in schema if pa.types.is_floating(each.type)]
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=["role", "set"],
        use_byte_stream_split=numbers,
    )
