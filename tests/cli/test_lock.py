"""`sqsd-lint lock` as a user runs it, and `bundle pull` from a lock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sqsd_lint.bundle.installed import list_bundles
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.cli.app import main
from tests.bundle.hub_fixtures import contents, hub
from tests.bundle.hub_server import Hub

__all__ = ["hub"]  # a fixture


@pytest.fixture
def base(hub: Hub, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project that maps its base model to a bundle on the Hub; the base model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(tmp_path / "cache"))
    hub.add("org/tiny", contents(tiny_bundle))
    base = load_bundle(tiny_bundle).manifest.base_model.id
    Path("sqsd-lint.toml").write_text(f'model = "{base}"\n[bundles]\n"{base}" = "hf://org/tiny@main"\n')
    return base


def test_lock_check_and_upgrade(
    hub: Hub, base: str, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock", "--check"]) == 1
    assert "there is no sqsd-lint.lock" in capsys.readouterr().out
    assert main(["lock"]) == 0
    assert capsys.readouterr().out.startswith(f"+ {base}  tiny@")
    repository = hub.repositories["org/tiny"]
    first = repository.branches["main"]
    entry = json.loads(Path("sqsd-lint.lock").read_text())["bundles"][base]
    assert entry["revision"] == first
    assert entry["digest"] == load_bundle(tiny_bundle).digest
    assert main(["lock", "--check"]) == 0
    # Only the manifest was read: a lock needs no weights.
    assert not [path for _, path in hub.requests if path.endswith(".safetensors")]

    files = contents(tiny_bundle)
    files["bundle.json"] = files["bundle.json"].replace(b'"cosine"', b'"dot"')
    second = repository.commit(files)
    hub.requests.clear()
    capsys.readouterr()
    assert main(["lock"]) == 0
    assert hub.requests == []
    assert "unchanged" in capsys.readouterr().out
    # What is locked is what comes, although the branch has moved on.
    assert main(["bundle", "pull"]) == 0
    (got,) = [e for e in list_bundles(tmp_path / "cache") if not e.embedded]
    assert got.manifest is not None
    assert got.manifest.digest == entry["digest"]
    capsys.readouterr()
    assert main(["lock", "--upgrade", base]) == 0
    assert capsys.readouterr().out.startswith(f"~ {base}  {entry['digest'][:12]} → tiny@")
    assert json.loads(Path("sqsd-lint.lock").read_text())["bundles"][base]["revision"] == second


def test_what_is_damaged_in_the_cache_is_pulled_again_as_it_is_locked(
    hub: Hub, base: str, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock"]) == 0
    assert main(["bundle", "pull"]) == 0
    (got,) = [e for e in list_bundles(tmp_path / "cache") if not e.embedded]
    (got.root / "danger" / "adapter_model.safetensors").write_bytes(b"x")
    assert main(["bundle", "pull"]) == 0
    assert load_bundle(got.root).digest == load_bundle(tiny_bundle).digest
    hub.requests.clear()
    assert main(["bundle", "pull"]) == 0
    assert hub.requests == []


def test_an_id_is_not_locked_and_its_address_is_named(
    hub: Hub, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "pull", "hf://org/tiny@main"]) == 0
    Path("sqsd-lint.toml").write_text('bundle = "tiny"\n')
    Path("sqsd-lint.lock").write_text('{"version": 1, "bundles": {}}')
    for command in (["lock"], ["lock", "--check"]):
        capsys.readouterr()
        assert main(command) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "the bundle 'tiny' is neither an address nor a folder" in said
        assert "name its address instead: hf://org/tiny@main" in said


def test_a_check_with_another_bundle_is_refused(
    base: str, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    assert main(["lock"]) == 0
    raw = json.loads(Path("sqsd-lint.lock").read_text())
    raw["bundles"][base]["digest"] = "0" * 64
    Path("sqsd-lint.lock").write_text(json.dumps(raw))
    capsys.readouterr()
    assert main(["check", "data.jsonl", "--bundle", str(tiny_bundle)]) == 3
    said = capsys.readouterr().err
    assert "expected the bundle tiny with the digest 000000000000" in said
    assert load_bundle(tiny_bundle).digest[:12] in said
    assert "lock --upgrade" in said
    # Looking at a bundle is not judging with it.
    assert main(["bundle", "show", str(tiny_bundle)]) == 0


@pytest.mark.parametrize("arguments", [["--check", "--upgrade"], ["org/model"]])
def test_options_that_contradict_each_other(base: str, arguments: list[str]) -> None:
    assert main(["lock", *arguments]) == 2
