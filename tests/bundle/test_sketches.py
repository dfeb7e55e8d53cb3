"""Sketches inside a bundle: written, read back, refused when damaged or of other adapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.manifest import MANIFEST
from sqsd_lint.bundle.sketches import INDEX, SKETCHES, SketchedSet, load_sketches, store_sketches
from sqsd_lint.bundle.verify import verify
from sqsd_lint.errors import BundleCorruptError, UsageError

DIMS = 1024
RANDOM = np.random.default_rng(0)
ROWS = {name: RANDOM.normal(size=(n, DIMS)) for name, n in (("a", 5), ("b", 3), ("c", 4))}


def named(name: str) -> tuple[SketchedSet, list[np.ndarray]]:
    rows = ROWS[name]
    return SketchedSet(name, tuple(f"{name}{i:031x}" for i in range(len(rows)))), list(rows)


@pytest.fixture
def sketched(bundle: Bundle) -> Bundle:
    return store_sketches(bundle, {"danger": [named("a"), named("b")], "safety": [named("c")]}, DIMS)


def replace_file(bundle: Bundle, name: str) -> Bundle:
    """The bundle with the digest of a changed file written into its manifest, as its maker could."""
    from sqsd_lint.common.json_io import sha256_file

    path = bundle.root / MANIFEST
    raw = json.loads(path.read_text())
    raw["files"][name] = sha256_file(bundle.root / name)
    path.write_text(json.dumps(raw))
    return load_bundle(bundle.root)


def test_a_bundle_without_sketches_has_none(bundle: Bundle) -> None:
    assert load_sketches(bundle) is None


def test_they_are_part_of_the_bundle_but_change_no_score(bundle: Bundle, sketched: Bundle) -> None:
    assert {SKETCHES, INDEX} <= set(sketched.manifest.files)
    assert sketched.digest != bundle.digest
    assert sketched.scoring_digest == bundle.scoring_digest
    assert verify(sketched.root) == []
    assert set(bundle.manifest.files) < set(sketched.manifest.files)


def test_a_row_is_nearest_to_itself(sketched: Bundle) -> None:
    found = load_sketches(sketched)
    assert found is not None
    for role, name, row, number in (("danger", "a", 4, 5), ("danger", "b", 0, 1), ("safety", "c", 2, 3)):
        first, second, third = found.nearest(role, ROWS[name][row], 3)
        assert (first.set, first.row, first.fingerprint) == (name, number, f"{name}{row:031x}")
        assert first.cosine == pytest.approx(1, abs=2 * found.error)
        assert 4 * found.error > second.cosine >= third.cosine
    assert len(found.nearest("safety", ROWS["a"][0], 9)) == 4


@pytest.mark.parametrize("cosine", [0.0, 0.3, 0.9, -0.5])
def test_signs_estimate_the_cosine_as_well_as_is_said(bundle: Bundle, cosine: float) -> None:
    query = RANDOM.normal(size=DIMS)
    rows = list(cosine * query + np.sqrt(1 - cosine**2) * RANDOM.normal(size=(400, DIMS)))
    sets = {"danger": [(SketchedSet("z", ("0",) * 400), rows)], "safety": [named("c")]}
    found = load_sketches(store_sketches(bundle, sets, DIMS))
    assert found is not None
    estimates = np.array([n.cosine for n in found.nearest("danger", query, 400)])
    assert estimates.mean() == pytest.approx(cosine, abs=0.02)
    assert estimates.std() <= 1.1 * found.error


def test_a_query_without_an_update_is_near_nothing(sketched: Bundle) -> None:
    found = load_sketches(sketched)
    assert found is not None
    assert [n.cosine for n in found.nearest("safety", np.zeros(DIMS), 2)] == [0, 0]


def test_a_new_calibration_keeps_them(sketched: Bundle) -> None:
    from sqsd_lint.bundle.calibrate import ScoredSet, calibrate
    from sqsd_lint.types import Score

    scored = [ScoredSet("benign", [Score("0" * 32, 1.0, 0.0, 1.0, 3)])]
    assert load_sketches(calibrate(sketched, scored, [], dtype_pairs=[], dtype="float32")) is not None


def test_both_directions_need_rows(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="safety"):
        store_sketches(bundle, {"danger": [named("a")], "safety": []}, DIMS)


def test_sketches_of_other_adapters_are_refused(sketched: Bundle, tmp_path: Path) -> None:
    index = sketched.root / INDEX
    index.write_text(index.read_text().replace(sketched.scoring_digest, "0" * 64))
    with pytest.raises(BundleCorruptError, match="other adapters"):
        load_sketches(replace_file(sketched, INDEX))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dims", 255),
        ("dims", 1 << 30),
        ("dims", "many"),
        ("format_version", 2),
        ("sets", {"danger": []}),
        ("sets", {"danger": [], "safety": []}),
        ("surplus", 1),
    ],
)
def test_a_damaged_index_is_refused(sketched: Bundle, key: str, value: object) -> None:
    index = sketched.root / INDEX
    index.write_text(json.dumps({**json.loads(index.read_text()), key: value}))
    with pytest.raises(BundleCorruptError, match="sketches") as raised:
        load_sketches(replace_file(sketched, INDEX))
    assert "bundle sketch" in (raised.value.hint or "")


def test_damaged_matrices_are_refused(sketched: Bundle) -> None:
    path = sketched.root / SKETCHES
    whole = load_file(path)
    for wrong in ({"danger": whole["danger"]}, {**whole, "safety": whole["safety"].astype(np.float32)}):
        save_file(wrong, path)
        with pytest.raises(BundleCorruptError, match="safety is not"):
            load_sketches(replace_file(sketched, SKETCHES))
    path.write_bytes(b"\x00" * 40)
    with pytest.raises(BundleCorruptError):
        load_sketches(replace_file(sketched, SKETCHES))


def test_no_text_of_a_row_is_kept(sketched: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sketched.root, tmp_path / "copy"))
    index = json.loads((copy / INDEX).read_text())
    assert set(index["sets"]["danger"][0]) == {"name", "fingerprints"}
