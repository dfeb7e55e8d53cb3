"""The manifest: reading and schema agree, and each digest covers what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sqsd_lint import resources
from sqsd_lint.bundle import manifest as manifest_json
from sqsd_lint.bundle.load import Bundle, BundleInfo
from sqsd_lint.bundle.manifest import (
    Manifest,
    Purpose,
    ReferenceSet,
    ReferenceSets,
    StoredCalibration,
    TopBlocks,
)
from sqsd_lint.common.formats import FieldError
from sqsd_lint.common.json_io import digest
from sqsd_lint.common.schema import schema_problems
from sqsd_lint.errors import BundleCorruptError
from sqsd_lint.rules.calibration import ScoreCalibration

CALIBRATION = StoredCalibration(
    benign=(-1.5, 0.25, 3.0),
    harmful=(7.5,),
    tolerance=0.01,
    dtype="bfloat16",
    sets=ReferenceSets((ReferenceSet("kind", 3, "0" * 64),), (ReferenceSet("unkind", 1, "1" * 64),)),
    settings={"max_length": 1024},
)


def test_a_manifest_survives_writing_and_reading(bundle: Bundle, tmp_path: Path) -> None:
    manifest = replace(bundle.manifest, calibration=CALIBRATION, scored=TopBlocks(2))
    manifest_json.dump(manifest, tmp_path)
    assert manifest_json.load(tmp_path) == manifest
    assert manifest_json.load(tmp_path).digest == manifest.digest
    assert schema_problems(manifest.to_json(), "bundle") == []


def test_template_arguments_survive_and_are_left_out_where_there_are_none(
    bundle: Bundle, tmp_path: Path
) -> None:
    assert "template_arguments" not in bundle.manifest.to_json()
    manifest = replace(bundle.manifest, template_arguments={"enable_thinking": False})
    manifest_json.dump(manifest, tmp_path)
    assert manifest_json.load(tmp_path) == manifest
    assert schema_problems(manifest.to_json(), "bundle") == []


def test_scores_take_one_line(bundle: Bundle, tmp_path: Path) -> None:
    note = "an odd note: [ 1,\n 2 ]"
    manifest = replace(bundle.manifest, calibration=CALIBRATION, target=Purpose(True, (note,)))
    manifest_json.dump(manifest, tmp_path)
    text = (tmp_path / "bundle.json").read_text()
    assert '"benign": [-1.5, 0.25, 3.0]' in text
    assert json.loads(text)["target"]["notes"] == [note]


Change = Callable[[dict[str, Any]], None]


def _set(*path: str, value: Any) -> Change:
    def change(raw: dict[str, Any]) -> None:
        for key in path[:-1]:
            raw = raw[key]
        raw[path[-1]] = value

    return change


def _drop(*path: str) -> Change:
    def change(raw: dict[str, Any]) -> None:
        for key in path[:-1]:
            raw = raw[key]
        del raw[path[-1]]

    return change


DAMAGES: dict[str, Change] = {
    "format_version": _set("format_version", value=2),
    "unknown key": _set("surprise", value=1),
    "id": _set("id", value="../evil"),
    "id type": _set("id", value=3),
    "metric": _set("metric", value="euclid"),
    "modules": _set("modules", value={"top_blocks": 0}),
    "modules type": _set("modules", value="some"),
    "base key missing": _drop("base_model", "weights_digest"),
    "base digest": _set("base_model", "weights_digest", value="abc"),
    "adapter name": _set("directions", "danger", "adapter", value="../../etc"),
    "scaling": _set("directions", "safety", "scaling", value="1"),
    "direction missing": _drop("directions", "safety"),
    "notes": _set("target", "notes", value="text"),
    "absolute file": _set("files", "/etc/passwd.json", value="0" * 64),
    "traversal": _set("files", "danger/../../x.json", value="0" * 64),
    "leading traversal": _set("files", "../x.json", value="0" * 64),
    "backslash": _set("files", "danger\\x.json", value="0" * 64),
    "drive": _set("files", "c:x.json", value="0" * 64),
    "pickle": _set("files", "danger/adapter_model.bin", value="0" * 64),
    "code": _set("files", "danger/modeling.py", value="0" * 64),
    "own digest": _set("files", "bundle.json", value="0" * 64),
    "file digest": _set("files", "danger/adapter_config.json", value="xyz"),
    "calibration": _set("calibration", value={"benign": []}),
    "provenance": _set("provenance", value=[{"name": "x"}]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_reader_and_schema_refuse_the_same(bundle: Bundle, damage: Change) -> None:
    raw = json.loads(json.dumps(bundle.manifest.to_json()))
    damage(raw)
    assert schema_problems(raw, "bundle")
    with pytest.raises(FieldError):
        manifest_json.from_json(raw)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"format_version": NaN}', "[" * 100_000, "\udcff"],
    ids=["empty", "list", "null", "cut", "nan", "deep", "not-utf8"],
)
def test_hostile_text_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bundle.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleCorruptError, match=r"bundle\.json"):
        manifest_json.load(tmp_path)


def test_scores_must_ascend(bundle: Bundle) -> None:
    raw = replace(bundle.manifest, calibration=CALIBRATION).to_json()
    raw["calibration"]["benign"] = [1.0, 0.0]
    with pytest.raises(FieldError, match=r"calibration\.benign: expected ascending"):
        manifest_json.from_json(raw)


def test_the_tolerance_is_a_distance(bundle: Bundle) -> None:
    raw = replace(bundle.manifest, calibration=CALIBRATION).to_json()
    raw["calibration"]["tolerance"] = -0.1
    assert schema_problems(raw, "bundle")
    with pytest.raises(FieldError, match=r"calibration\.tolerance"):
        manifest_json.from_json(raw)


def test_the_judge_reads_what_a_bundle_stores() -> None:
    read = ScoreCalibration.from_json(CALIBRATION.to_json())
    assert (read.benign, read.harmful, read.tolerance) == (
        CALIBRATION.benign,
        CALIBRATION.harmful,
        CALIBRATION.tolerance,
    )


def test_missing_adapter_files_are_named(bundle: Bundle) -> None:
    raw = bundle.manifest.to_json()
    del raw["files"]["initial/adapter_model.safetensors"]
    with pytest.raises(FieldError, match=r"initial/adapter_model\.safetensors is missing"):
        manifest_json.from_json(raw)


# What changes a score, and what changes only what is printed beside it.
SCORING: dict[str, Callable[[Manifest], Manifest]] = {
    "metric": lambda m: replace(m, metric="dot"),
    "modules": lambda m: replace(m, scored=TopBlocks(1)),
    "weights": lambda m: replace(m, base_model=replace(m.base_model, weights_digest="0" * 64)),
    "template": lambda m: replace(m, base_model=replace(m.base_model, template_digest="0" * 64)),
    "scaling": lambda m: replace(
        m, directions={**m.directions, "safety": replace(m.directions["safety"], scaling=0.8)}
    ),
    "template arguments": lambda m: replace(m, template_arguments={"enable_thinking": False}),
    "adapter": lambda m: replace(m, files={**m.files, "danger/adapter_model.safetensors": "0" * 64}),
}
PRINTED: dict[str, Callable[[Manifest], Manifest]] = {
    "calibration": lambda m: replace(m, calibration=CALIBRATION),
    "name": lambda m: replace(m, id="other"),
    "model name": lambda m: replace(m, base_model=replace(m.base_model, id="other/model")),
    "notes": lambda m: replace(m, target=replace(m.target, notes=())),
    "table": lambda m: replace(m, files={**m.files, "calibration.parquet": "0" * 64}),
}


@pytest.mark.parametrize("change", SCORING.values(), ids=SCORING)
def test_what_changes_scores_changes_both_digests(
    bundle: Bundle, change: Callable[[Manifest], Manifest]
) -> None:
    other = change(bundle.manifest)
    assert other.scoring_digest != bundle.scoring_digest
    assert other.digest != bundle.digest


@pytest.mark.parametrize("change", PRINTED.values(), ids=PRINTED)
def test_what_is_only_printed_keeps_cached_scores(
    bundle: Bundle, change: Callable[[Manifest], Manifest]
) -> None:
    other = change(bundle.manifest)
    assert other.scoring_digest == bundle.scoring_digest
    assert other.digest != bundle.digest


def test_a_number_of_hundreds_of_digits_is_not_finite(bundle: Bundle) -> None:
    raw = replace(bundle.manifest, calibration=CALIBRATION).to_json()
    raw["calibration"]["tolerance"] = 10**400
    with pytest.raises(FieldError, match=r"calibration\.tolerance: expected a finite number of 0 or more"):
        manifest_json.from_json(raw)


@pytest.mark.parametrize(
    ("folder", "digest", "scoring_digest"),
    [
        (
            Path(__file__).parent / "golden",  # the embedded bundle before it had a third direction
            "b5f57d9707559c264e9364638cba5c62989f06ece87a250b38810ca60c3f732a",
            "0a5e422259aee9ceb269db502067cea5ab21959818b5800b9483beaad01b63ec",
        ),
        (
            resources.bundles_dir() / "default",
            "9da53a044eee3b55859af43f924d32617307d5ed32381be1b083af4dcdc307fc",
            "f9cfc2f12c9558210081a74cc0fb9177016020eb480e4599485f2717c403b73d",
        ),
    ],
)
def test_a_bundle_has_the_digests_that_it_always_had(
    folder: Path, digest: str, scoring_digest: str, tmp_path: Path
) -> None:
    """Caches and locks on every machine rest on them; a format that changes them is another format."""
    manifest = manifest_json.load(folder)
    assert manifest.digest == digest
    assert manifest.scoring_digest == scoring_digest
    manifest_json.dump(manifest, tmp_path)
    assert (tmp_path / "bundle.json").read_bytes() == (folder / "bundle.json").read_bytes()


def test_what_a_default_says_changes_no_digest(bundle: Bundle) -> None:
    """Bundles had no `update`, `kind` or `agreements` before there was more than one."""
    raw = bundle.manifest.to_json()
    assert not {"update", "agreements", "validation"} & set(raw)
    assert "kind" not in raw["directions"]["danger"]
    raw["directions"]["danger"]["kind"] = json.loads('"task-vector"')
    explicit = manifest_json.from_json({**raw, "update": json.loads('"lora"'), "agreements": []})
    assert (explicit.digest, explicit.scoring_digest) == (bundle.digest, bundle.scoring_digest)


@pytest.fixture
def default_json() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((resources.bundles_dir() / "default" / "bundle.json").read_bytes())
    return found


def test_a_newer_manifest_is_read_without_what_is_unknown_and_its_digest_covers_all_of_it(
    default_json: dict[str, Any],
) -> None:
    plain, none = BundleInfo.of_newer(default_json)
    assert (plain.digest, none) == (manifest_json.from_json(default_json).digest, ())
    newer = json.loads(json.dumps(default_json))
    newer["calibration"]["length"]["covered"]["moods"] = ["calm"]
    newer["provenance"][0]["moon"] = "full"
    newer["hat"] = {"size": 7}
    found, unknown = BundleInfo.of_newer(newer)
    assert sorted(unknown) == ["calibration.length.covered.moods", "hat", "provenance[].moon"]
    assert found.manifest == plain.manifest
    assert found.digest == digest(
        {k: v for k, v in newer.items() if k != "screen"}
        | {"files": {k: v for k, v in newer["files"].items() if k != manifest_json.SCREEN}}
    )
    assert found.digest != plain.digest
    assert found.scoring_digest == plain.scoring_digest
    with pytest.raises(FieldError, match="unknown key"):
        manifest_json.from_json(newer)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (("calibration",), "calibration.hat"),
        (("calibration", "length"), "calibration.length.hat"),
        (("directions", "danger"), 'directions["danger"].hat'),
    ],
)
def test_a_newer_manifest_is_refused_where_rows_may_be_judged_by_what_is_unknown(
    default_json: dict[str, Any], path: tuple[str, ...], named: str
) -> None:
    place = default_json
    for key in path:
        place = place[key]
    place["hat"] = 1
    with pytest.raises(FieldError) as refused:
        BundleInfo.of_newer(default_json)
    assert str(refused.value) == f"{named}: unknown key, and rows may be judged by it"


def test_what_is_unknown_must_have_a_digest(default_json: dict[str, Any]) -> None:
    deep: Any = 1.0
    for _ in range(100_000):
        deep = [deep]
    for hat in (float("inf"), deep):
        with pytest.raises(FieldError, match="not finite, or goes too deep"):
            BundleInfo.of_newer({**default_json, "hat": hat})
    with pytest.raises(FieldError, match="only 1 is known"):
        BundleInfo.of_newer({**default_json, "format_version": 2})


@pytest.mark.parametrize(
    "text",
    ['{"format_version": 1, "format_version": 1}', '{"format_version": 1e999}'],
    ids=["twice", "infinite"],
)
def test_a_manifest_says_everything_once_and_in_numbers(tmp_path: Path, text: str) -> None:
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleCorruptError, match=r"given twice|too large for a number"):
        manifest_json.load(tmp_path)
