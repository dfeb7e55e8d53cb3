"""`bundle sketch`: what is stored for which rows, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.bundle.sketches import load_sketches
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.rows import clean_samples
from sqsd_lint.run.sketch import sketch_bundle, sketches

Run = Callable[..., Settings]


def test_each_row_is_nearest_to_itself(tiny_run: Run, rows_file: Path, bundle_copy: str) -> None:
    samples = list(clean_samples(str(rows_file), tiny_run()))
    sets = {"danger": {"bad": samples[:2]}, "safety": {"good": samples[2:3], "more": samples[3:]}}
    made = sketch_bundle(bundle_copy, sets, tiny_run(), dims=1024)
    stored = load_sketches(made)
    assert stored is not None
    assert stored.dims == 1024
    run = BundleRun(tiny_run(bundle=bundle_copy))
    whole = sketches(run, samples, stored.dims)
    for role, named in sets.items():
        for name, rows in named.items():
            for number, sample in enumerate(rows, start=1):
                near = stored.nearest(role, whole[sample.fingerprint], 1)[0]
                assert (near.set, near.row, near.fingerprint) == (name, number, sample.fingerprint)


def test_what_cannot_be_sketched(tiny_run: Run, rows_file: Path, bundle_copy: str) -> None:
    sample = next(clean_samples(str(rows_file), tiny_run()))
    with pytest.raises(UsageError, match="power of two"):
        sketch_bundle(bundle_copy, {"danger": {"a": [sample]}, "safety": {"b": [sample]}}, tiny_run(), dims=9)
    odd = replace(sample, mask=(False, False), fingerprint="f" * 32)
    with pytest.raises(UsageError, match="no assistant turn"):
        sketch_bundle(bundle_copy, {"danger": {"a": [odd]}, "safety": {"b": [sample]}}, tiny_run())
