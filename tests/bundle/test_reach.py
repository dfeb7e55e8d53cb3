"""The reach of a bundle's directions: recorded, verified, shown, and noted beside raw thresholds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.importer import import_bundle
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.manifest import DirectionSpec, from_json
from sqsd_lint.bundle.reach import LOW_REACH, measure_reach, reach, reach_warnings, recorded_reach
from sqsd_lint.bundle.verify import verify
from sqsd_lint.cli.app import build
from sqsd_lint.common.schema import schema_problems
from sqsd_lint.config import Settings
from sqsd_lint.rules import load_pack
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.report_head import make_head


def rewrite(folder: Path, **changes: Any) -> None:
    """Change fields of a manifest; None removes one."""
    raw = {**json.loads((folder / "bundle.json").read_text()), **changes}
    raw = {key: value for key, value in raw.items() if value is not None or key not in changes}
    (folder / "bundle.json").write_text(json.dumps(raw))


def run(*arguments: object) -> str:
    done = CliRunner().invoke(build(), [str(each) for each in arguments])
    assert done.exit_code == 0, done.output
    return re.sub(r"\s+", " ", done.output)


def test_an_import_records_it(bundle: Bundle, tiny_model_folder: Path, tmp_path: Path) -> None:
    danger, initial = (load_adapter(bundle.adapter_dir(name)) for name in ("danger", "initial"))
    assert bundle.manifest.reach["danger"] == pytest.approx(reach(danger, initial), abs=1e-4)
    assert bundle.manifest.reach["safety"] == 1.0, "safety is expanded at itself"
    folders = [bundle.adapter_dir(name) for name in ("danger", "safety", "initial")]
    shared = import_bundle(
        str(tiny_model_folder), *folders, output=tmp_path / "s", expansion="shared", modules=1
    )
    safety = load_adapter(bundle.adapter_dir("safety"))
    top = {name for name in safety.factors if ".1." in name}
    assert shared.manifest.reach["safety"] == pytest.approx(reach(safety, initial, top), abs=1e-4)
    assert schema_problems(bundle.manifest.to_json(), "bundle") == []
    assert from_json(json.loads(json.dumps(bundle.manifest.to_json()))) == bundle.manifest


def test_a_bundle_without_it_keeps_both_digests(bundle: Bundle) -> None:
    old = replace(bundle.manifest, reach={})
    assert "reach" not in old.to_json()
    assert old.scoring_digest == bundle.scoring_digest
    assert old.digest != bundle.digest
    rewrite(bundle.root, reach=None)
    assert load_bundle(bundle.root).digest == old.digest


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, {"safety": 1.0}),
        ({"expansion": "shared"}, {}),
        ({"update": "full"}, {"danger": 1.0, "safety": 1.0}),
        ({"expansion": "shared", "directions": {
            name: DirectionSpec(name, "initial", None, "margin-gradient") for name in ("danger", "safety")
        }}, {"danger": 1.0, "safety": 1.0}),
    ],
    ids=["paper", "shared", "full", "gradients"],
)  # fmt: skip
def test_what_holds_by_construction_needs_no_weights(
    bundle: Bundle, changes: dict[str, Any], known: dict[str, float]
) -> None:
    manifest = replace(bundle.manifest, reach={}, **changes)
    assert recorded_reach(manifest) == known
    if len(known) == 2:
        assert measure_reach(manifest, {}) == known


@pytest.mark.parametrize(
    "reach", [{"danger": 1.01, "safety": 1}, {"danger": 1}, {"danger": -1, "safety": 1}, 3]
)
def test_what_is_no_reach(bundle: Bundle, reach: object) -> None:
    rewrite(bundle.root, reach=reach)
    assert any("reach" in finding.message for finding in verify(bundle.root))


def test_verify_measures_it_anew(bundle: Bundle) -> None:
    assert verify(bundle.root) == []
    rewrite(bundle.root, reach={"danger": 0.87, "safety": 1})
    (finding,) = verify(bundle.root)
    assert re.fullmatch(r"reach\.danger says 0\.870, the adapters have 0\.\d{3}", finding.message)


def test_show_and_verify_print_it_and_warn(bundle: Bundle, tmp_path: Path) -> None:
    low = bundle.manifest.reach["danger"]
    assert low < LOW_REACH, "random adapters share nothing"
    said = f"danger {low * 100:.0f}%, safety 100%"
    warned = "danger: updates at its expansion point reach"
    shown = run("bundle", "show", bundle.root)
    assert f"reach {said}" in shown
    assert warned in shown
    assert "(the same seed), or use relative thresholds such as p99.9" in shown
    verified = run("bundle", "verify", bundle.root, "--cache-dir", tmp_path)
    assert f"nothing is wrong; reach: {said}" in verified
    assert warned in verified
    assert json.loads(CliRunner().invoke(build(), ["bundle", "show", str(bundle.root), "--json"]).output)[
        "reach"
    ] == {"danger": low, "safety": 1.0}


def test_older_bundles_are_measured_by_verify(bundle: Bundle, tmp_path: Path) -> None:
    low = bundle.manifest.reach["danger"]
    rewrite(bundle.root, reach=None)
    shown = run("bundle", "show", bundle.root)
    assert "danger unknown, safety 100%: `sqsd-lint bundle verify` measures it" in shown
    verified = run("bundle", "verify", bundle.root, "--cache-dir", tmp_path)
    assert f"reach: danger {low * 100:.0f}%, safety 100%" in verified


def test_import_warns(tiny_model_folder: Path, tiny_adapters: dict[str, Path], tmp_path: Path) -> None:
    arguments: list[object] = ["bundle", "import", "--model", tiny_model_folder, "-o", tmp_path / "b"]
    for role, folder in tiny_adapters.items():
        arguments += [f"--{role}", folder]
    assert "! danger: updates at its expansion point reach" in run(*arguments, "--cache-dir", tmp_path)
    alike = {**tiny_adapters, "initial": tiny_adapters["danger"]}
    arguments[5] = tmp_path / "alike"
    for at, role in enumerate(alike):
        arguments[7 + 2 * at] = alike[role]
    assert "reach" not in run(*arguments, "--cache-dir", tmp_path)


def test_where_the_warning_begins() -> None:
    assert reach_warnings({"danger": LOW_REACH, "safety": 1.0}) == []
    (warning,) = reach_warnings({"danger": LOW_REACH - 0.001, "safety": 1.0})
    assert warning.startswith("danger: ")


@pytest.mark.parametrize(
    ("changes", "noted"),
    [
        ({"threshold": "0.5"}, False),
        ({"threshold": "p50", "warning_threshold": "p50", "model": "org/big", "proxy": True}, False),
        ({"threshold": "0.5", "model": "org/big", "proxy": True}, True),
        ({"threshold": "p50", "warning_threshold": "0.25", "opinions": 2}, True),
        ({"threshold": "p50", "warning_threshold": "p50", "opinions": 2}, False),
    ],
    ids=["alone", "proxy, relative", "proxy, raw", "several, raw", "several, relative"],
)
def test_a_raw_threshold_is_noted_where_it_does_not_carry_over(
    two_bundles: tuple[str, str],
    tiny_model_folder: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    noted: bool,
) -> None:
    given = {"model": str(tiny_model_folder), **changes}
    if given.pop("opinions", None):
        given["opinions"] = two_bundles
    settings = Settings(
        bundle=two_bundles[0], cache_dir=str(tmp_path), device="cpu", dtype="float32", **given
    )
    one = BundleRun(settings)
    notes = [note for note in make_head(one, one.policy(load_pack("default"))).notes if "a raw score" in note]
    assert len(notes) == noted
    if noted:
        low = one.bundle.manifest.reach["danger"]
        assert notes[0].startswith(f"{changes.get('warning_threshold', '0.5')}: a raw score, at a reach of ")
        assert f"danger {low * 100:.0f}%, safety 100%" in notes[0]
