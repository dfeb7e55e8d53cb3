"""Finding, checking and keeping bundles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sqsd_lint import resources
from sqsd_lint.bundle.installed import install, list_bundles, remove_bundle
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.errors import BundleCorruptError, BundleError, BundleNotFoundError, ExitCode, UsageError
from tests.counting import audited


def edit(folder: Path, **changes: object) -> None:
    raw = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**raw, **changes}))


def flip_byte(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_good_bundle_loads_and_reads_every_file_once(folder: Path) -> None:
    with audited() as events:
        bundle = load_bundle(folder)
    opened = sorted(path for event, path in events if event == "open")
    assert opened == sorted(str(folder / name) for name in ("bundle.json", *bundle.manifest.files))
    assert bundle.id == "tiny"
    assert bundle.adapter_dir("danger") == folder / "danger"
    with pytest.raises(KeyError):
        bundle.adapter_dir("base")


@pytest.mark.parametrize("at", [0, 100, -1])
@pytest.mark.parametrize("name", ["danger/adapter_model.safetensors", "safety/adapter_config.json"])
def test_one_changed_bit_is_found(folder: Path, name: str, at: int) -> None:
    flip_byte(folder / name, at)
    with pytest.raises(BundleCorruptError, match=name) as caught:
        load_bundle(folder)
    assert caught.value.exit_code == ExitCode.CANNOT_SCORE


def test_a_missing_file_is_found(folder: Path) -> None:
    (folder / "initial/adapter_model.safetensors").unlink()
    with pytest.raises(BundleCorruptError, match=r"initial/adapter_model\.safetensors is missing"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "name", ["danger/extra.safetensors", "base/adapter_model.safetensors", "danger/adapter_model.bin", "x.py"]
)
def test_a_file_that_is_not_named_is_found(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    with pytest.raises(BundleCorruptError, match="does not name it"):
        load_bundle(folder)


def test_prose_and_hidden_files_do_not_matter(folder: Path) -> None:
    (folder / "README.md").write_text("hello")
    (folder / ".gitattributes").write_text("* lfs")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock.bin").write_bytes(b"")
    assert load_bundle(folder).id == "tiny"


def test_a_link_out_of_the_bundle_is_refused(folder: Path, tmp_path: Path) -> None:
    weights = folder / "danger/adapter_model.safetensors"
    shutil.move(weights, tmp_path / "outside.safetensors")
    weights.symlink_to(tmp_path / "outside.safetensors")
    with pytest.raises(BundleCorruptError, match="link that leaves the bundle"):
        load_bundle(folder)


def test_a_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "danger", tmp_path / "elsewhere")
    (folder / "danger").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleCorruptError, match="link"):
        load_bundle(folder)


def test_references(folder: Path) -> None:
    assert open_bundle(str(folder)).root == folder
    with pytest.raises(BundleNotFoundError, match="neither a folder nor the id"):
        open_bundle("tiny")
    install(folder)
    cached = open_bundle("tiny")
    assert cached.digest == load_bundle(folder).digest
    assert cached.root != folder
    with pytest.raises(BundleError, match="Hub") as caught:  # tests are offline
        open_bundle("hf://org/name@main")
    assert "bundle pull hf://org/name@main" in str(caught.value.hint)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match=r"bundle\.json is missing"):
        open_bundle(str(tmp_path))


def test_a_named_model_never_falls_back_on_the_default(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "bundles_dir", lambda: tmp_path / "embedded")
    shutil.copytree(folder, tmp_path / "embedded" / "default")
    assert open_bundle(None).root == tmp_path / "embedded" / "default"
    with pytest.raises(BundleNotFoundError, match="org/other") as caught:
        open_bundle(None, model="org/other")
    assert "bundle import --model org/other" in str(caught.value.hint)
    assert "bundle build" in str(caught.value.hint)
    assert caught.value.exit_code == ExitCode.CANNOT_SCORE


@pytest.mark.parametrize("model", ["org/other", "Qwen/Qwen3-8B"])
def test_every_way_to_a_bundle_is_named(model: str, tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError) as caught:
        open_bundle(None, model=model, cache_dir=tmp_path)
    hint = str(caught.value.hint)
    for way in (
        f"bundle build --model {model} --recipe paper",
        f"bundle import --model {model}",
        "--scorer URL",
        "--proxy --bundle smollm2-135m-default",
    ):
        assert way in hint
    # What the proxy is worth: its measured agreement with a large model.
    assert "Spearman of SQSD with scores published for Qwen3-8B -0.07" in hint
    published = "--release hf://Wxxxx/SQSD" if model == "Qwen/Qwen3-8B" else "bundle pull hf://ORG/NAME"
    assert published in hint


def test_a_model_finds_its_bundle_by_name_or_by_weights(
    folder: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "bundles_dir", lambda: tmp_path / "none")
    install(folder)
    assert open_bundle(None, model=str(tiny_model_folder)).id == "tiny"
    assert open_bundle(None, model=tiny_model_folder.name).id == "tiny"
    edit(folder, id="twin")
    install(folder)
    with pytest.raises(UsageError, match="tiny, twin"):
        open_bundle(None, model=tiny_model_folder.name)


def test_without_a_default_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "bundles_dir", lambda: tmp_path / "none")
    with pytest.raises(BundleNotFoundError, match="no embedded default"):
        open_bundle(None)


def test_the_list_goes_on_past_a_damaged_bundle(
    folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "bundles_dir", lambda: tmp_path / "none")
    assert list_bundles() == []
    install(folder)
    (cache / "bundles" / "broken").mkdir()
    (cache / "bundles" / "broken" / "bundle.json").write_text("{")
    entries = {entry.id: entry for entry in list_bundles()}
    assert set(entries) == {"tiny", "broken"}
    assert entries["tiny"].manifest is not None
    assert entries["broken"].manifest is None
    assert "not a valid bundle manifest" in entries["broken"].problem


def test_installing_twice(folder: Path) -> None:
    first = install(folder)
    assert install(folder).digest == first.digest
    edit(folder, metric="dot")
    with pytest.raises(UsageError, match="already cached"):
        install(folder)
    assert install(folder, replace=True).manifest.metric == "dot"


def test_a_damaged_bundle_is_not_installed(folder: Path, cache: Path) -> None:
    flip_byte(folder / "danger/adapter_model.safetensors", -1)
    with pytest.raises(BundleCorruptError):
        install(folder)
    assert not (cache / "bundles" / "tiny").exists()


def test_removing(folder: Path) -> None:
    root = install(folder).root
    assert remove_bundle("tiny") == root
    assert not root.exists()
    with pytest.raises(BundleNotFoundError):
        remove_bundle("tiny")


@pytest.mark.parametrize("name", ["../bundles/tiny", "..", ".", "", "/tmp", "a/b", "tiny/", "~", "a\\b"])
def test_only_plain_ids_are_removed(folder: Path, name: str) -> None:
    root = install(folder).root
    with pytest.raises(UsageError):
        remove_bundle(name)
    assert root.exists()


def test_a_folder_outside_the_cache_is_not_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(BundleNotFoundError):
        remove_bundle(folder.name)
    assert folder.exists()


def test_removing_a_linked_bundle_keeps_what_it_points_to(folder: Path, cache: Path) -> None:
    (cache / "bundles").mkdir(parents=True)
    (cache / "bundles" / "tiny").symlink_to(folder)
    remove_bundle("tiny")
    assert load_bundle(folder).id == "tiny"
    assert not (cache / "bundles" / "tiny").is_symlink()


def test_the_embedded_bundle_goes_by_the_name_default(tmp_path: Path) -> None:
    assert open_bundle("default", cache_dir=tmp_path).root == open_bundle(None).root
