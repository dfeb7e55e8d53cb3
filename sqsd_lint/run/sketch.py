"""`bundle sketch`: sketches of the rows that a bundle's directions were trained on, kept with the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.sketches import DIMS, SketchedSet, store_sketches
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.rows import CLEAN_REFERENCE
from sqsd_lint.types import Sample


def sketch_bundle(
    bundle: str,
    sets: Mapping[str, Mapping[str, Sequence[Sample]]],
    settings: Settings,
    *,
    dims: int = DIMS,
    progress: Progress | None = None,
) -> Bundle:
    """Sketch training rows, and store the sketches and the rows' fingerprints in the bundle.

    Args:
        sets: "danger" and "safety" -> name of a set -> its rows.
        dims: numbers per sketch, a power of two; the error of a cosine is about 1.25 / sqrt(dims).

    Raises:
        UsageError: a row cannot be sketched, or a direction has none.
    """
    bundle_run = BundleRun(replace(settings, bundle=bundle), progress)
    samples = {s.fingerprint: s for named in sets.values() for rows in named.values() for s in rows}
    made = sketches(bundle_run, list(samples.values()), dims)
    return store_sketches(
        bundle_run.model_scorer.bundle,
        {
            role: [
                (
                    SketchedSet(name, tuple(s.fingerprint for s in rows)),
                    [made[s.fingerprint] for s in rows],
                )
                for name, rows in named.items()
            ]
            for role, named in sets.items()
        },
        dims,
    )


def sketches(bundle_run: BundleRun, samples: Sequence[Sample], dims: int) -> dict[str, Any]:
    """Sketches [dims] by fingerprint, at the danger direction's expansion point."""
    from sqsd_lint.encode import UnencodableError
    from sqsd_lint.scoring.sketch import sketch

    if bundle_run.progress:
        bundle_run.progress.start(len(samples))
    encoder, scorer = bundle_run.model_scorer.parts()
    encoded = []
    for sample in samples:
        try:
            encoded.append(encoder.encode(sample))
        except UnencodableError as error:
            raise UsageError(f"{sample.where}: {error}", hint=CLEAN_REFERENCE) from error
    found: dict[str, Any] = {}
    try:
        for batch, part in sketch(scorer, encoded, dims):
            for i, one in zip(batch, part, strict=True):
                found[samples[i].fingerprint] = one
            if bundle_run.progress:
                bundle_run.progress.advance(len(batch))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if bundle_run.progress:
        bundle_run.progress.stop()
    return found
