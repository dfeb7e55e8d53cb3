"""Base models: digests of content, the check against a manifest, and finding a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file, save_file

from sqsd_lint.bundle.base_model import base_folder, base_place, check_base_model, resolve_model
from sqsd_lint.bundle.embedded import EMBEDDED_MODEL_ID
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import Manifest
from sqsd_lint.bundle.model_digests import template_digest, tokenizer_digest, weights_digest
from sqsd_lint.errors import ExitCode, ModelError, ModelNotFoundError, WrongBaseModelError


@pytest.fixture
def model(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to change."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def test_the_weights_digest_is_of_content_not_of_files(model: Path, tmp_path: Path) -> None:
    one = weights_digest(model)
    tensors = load_file(model / "model.safetensors")
    names = sorted(tensors)
    shards = tmp_path / "shards"
    shards.mkdir()
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({n: tensors[n] for n in part}, shards / file, metadata={"made": "elsewhere"})
    index = {"weight_map": {n: file for file, part in halves.items() for n in part}}
    (shards / "model.safetensors.index.json").write_text(json.dumps(index))
    # Files that the index does not name are not the model's.
    save_file({"x": torch.zeros(1)}, shards / "consolidated.safetensors")
    assert weights_digest(shards) == one
    tensors[names[0]].view(-1)[0] += 1
    save_file(tensors, model / "model.safetensors")
    assert weights_digest(model) != one


def test_digests_are_remembered_until_a_file_changes(model: Path, cache: Path) -> None:
    first = weights_digest(model)
    store = cache / "digests.json"
    known = json.loads(store.read_text())
    (key,) = [k for k in known if k.startswith("weights:")]
    known[key][1] = "remembered"
    store.write_text(json.dumps(known))
    assert weights_digest(model) == "remembered"
    data = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(data)  # same content, another time
    assert weights_digest(model) == first


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"weights:x": 3}'])
def test_a_damaged_memory_is_no_harm(model: Path, cache: Path, garbage: str) -> None:
    cache.mkdir()
    (cache / "digests.json").write_text(garbage)
    assert len(weights_digest(model)) == 64


def test_the_tokenizer_digest_ignores_what_does_not_change_ids(model: Path) -> None:
    path = model / "tokenizer.json"
    first = tokenizer_digest(model)
    raw = json.loads(path.read_text())
    raw["padding"], raw["truncation"], raw["post_processor"] = {"direction": "Left"}, None, None
    path.write_text(json.dumps(raw, indent=4))
    assert tokenizer_digest(model) == first
    raw["added_tokens"][0]["content"] += "x"
    path.write_text(json.dumps(raw))
    assert tokenizer_digest(model) != first


def test_the_template_digest_reads_both_places(model: Path) -> None:
    first = template_digest(model)
    text = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").unlink()
    config = json.loads((model / "tokenizer_config.json").read_text())
    none = template_digest(model)
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": text}))
    assert template_digest(model) == first
    named = [{"name": "rag", "template": "x"}, {"name": "default", "template": text}]
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": named}))
    assert template_digest(model) == first != none


def test_the_right_base_model(bundle: Bundle, model: Path) -> None:
    assert check_base_model(bundle.manifest, model) == ()


def change_weights(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    save_file({n: t + 1 for n, t in tensors.items()}, model / "model.safetensors")


def test_the_wrong_base_model(bundle: Bundle, model: Path) -> None:
    change_weights(model)
    with pytest.raises(WrongBaseModelError) as caught:
        check_base_model(bundle.manifest, model)
    wanted, found = bundle.manifest.base_model.weights_digest[:12], weights_digest(model)[:12]
    for part in (wanted, found, bundle.manifest.base_model.id, str(model)):
        assert part in caught.value.message
    assert caught.value.exit_code == ExitCode.CANNOT_SCORE
    (note,) = check_base_model(bundle.manifest, model, proxy=True)
    assert "proxy" in note
    assert "tiny" in note


def test_another_chat_template_is_another_model(bundle: Bundle, model: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(WrongBaseModelError, match="chat template") as caught:
        check_base_model(bundle.manifest, model)
    assert "weights" not in caught.value.message


def test_resolving(model: Path, tmp_path: Path) -> None:
    assert resolve_model(str(model)) == model
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        resolve_model(str(tmp_path / "empty"))
    with pytest.raises(ModelNotFoundError, match="no such folder"):
        resolve_model("./nowhere")


def test_a_hub_model_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    said: list[str] = []
    with pytest.raises(ModelNotFoundError, match="org/nothing") as caught:
        resolve_model("org/nothing", status=said.append)
    assert said == ["fetching org/nothing from the Hub"]
    assert "offline, give a folder" in str(caught.value.hint)


def test_a_folder_of_the_working_folder_is_no_model_of_a_manifest(
    bundle: Bundle, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull request can bring `org/tiny/` along, with the right weights and another config.json."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    shutil.copytree(model, "org/tiny")
    shutil.copytree(model, "tiny")

    def made_for(name: str) -> Manifest:
        return replace(bundle.manifest, base_model=replace(bundle.manifest.base_model, id=name))

    with pytest.raises(ModelNotFoundError, match="org/tiny"):
        base_folder(made_for("org/tiny"))
    assert base_place(made_for("org/tiny")) == tmp_path / "hub" / "models--org--tiny"
    for name in ("org/tiny", "./org/tiny", "tiny"):  # who names it means it
        assert base_folder(made_for("other"), name) == base_place(made_for("other"), name) == Path(name)
    for name in ("./org/tiny", str(Path("tiny").absolute()), "tiny"):  # a folder is recorded by its name
        assert base_folder(made_for(name)) == base_place(made_for(name)) == Path(name)
    assert base_place(made_for(EMBEDDED_MODEL_ID)) is None


def test_models_without_safetensors(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match=r"no \*\.safetensors"):
        weights_digest(model)
    (model / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(ModelError, match="not a safetensors file"):
        weights_digest(model)
    (model / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(ModelNotFoundError, match=r"gone\.safetensors"):
        weights_digest(model)
