"""Importing PEFT folders, and every reason to refuse one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sqsd_lint.bundle.importer import import_bundle
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.manifest import DirectionSpec
from sqsd_lint.errors import AdapterError, ModelNotFoundError, UsageError
from tests import tiny

Adapters = dict[str, Path]


def do_import(model: Path, adapters: Adapters, output: Path, **options: object) -> object:
    return import_bundle(
        str(model),
        adapters["danger"],
        adapters["safety"],
        adapters["initial"],
        output=output,
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture
def broken(tiny_adapters: Adapters, tmp_path: Path) -> Path:
    """A copy of the danger adapter to damage."""
    return Path(shutil.copytree(tiny_adapters["danger"], tmp_path / "broken"))


def configure(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_peft_loads_what_was_imported(imported: Path, tiny_model_folder: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    for name in ("danger", "safety", "initial"):
        model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
        loaded = PeftModel.from_pretrained(model, str(imported / name))
        saved = load_file(imported / name / "adapter_model.safetensors")
        state = loaded.state_dict()
        for key, tensor in saved.items():
            assert torch.equal(state[key.replace(".weight", ".default.weight")], tensor)


def test_only_what_is_needed_is_taken(imported: Path, tiny_model_folder: Path) -> None:
    files = sorted(p.relative_to(imported).as_posix() for p in imported.rglob("*") if p.is_file())
    adapters = [f"{a}/{f}" for a in ("danger", "initial", "safety")
                for f in ("adapter_config.json", "adapter_model.safetensors")]  # fmt: skip
    assert files == sorted(["bundle.json", *adapters])
    config = json.loads((imported / "danger/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == tiny_model_folder.name


def test_the_manifest_says_what_was_asked(
    tiny_model_folder: Path, tiny_adapters: Adapters, tmp_path: Path
) -> None:
    do_import(
        tiny_model_folder,
        tiny_adapters,
        tmp_path / "b",
        metric="dot",
        modules=1,
        safety_scaling=0.8,
        name="n",
    )
    manifest = load_bundle(tmp_path / "b").manifest
    assert (manifest.id, manifest.metric, manifest.modules) == ("n", "dot", 1)
    assert manifest.base_model.architecture == "LlamaForCausalLM"
    assert manifest.directions == {
        "danger": DirectionSpec("danger", "initial", None),
        "safety": DirectionSpec("safety", "safety", 0.8),
    }


def test_the_digest_does_not_depend_on_where_an_adapter_was_trained(
    tiny_model_folder: Path, tiny_adapters: Adapters, broken: Path, imported: Path, tmp_path: Path
) -> None:
    targets = json.loads((broken / "adapter_config.json").read_text())["target_modules"]
    moved = {"target_modules": sorted(targets, reverse=True), "base_model_name_or_path": "/home/me/model"}
    configure(broken, **moved)
    adapters = {**tiny_adapters, "danger": broken}
    do_import(tiny_model_folder, adapters, tmp_path / "b")
    assert load_bundle(tmp_path / "b").scoring_digest == load_bundle(imported).scoring_digest


def test_a_place_that_cannot_be_written(
    tiny_model_folder: Path, tiny_adapters: Adapters, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        do_import(tiny_model_folder, tiny_adapters, tmp_path / "file" / "b")


def test_shared_and_base(tiny_model_folder: Path, tiny_adapters: Adapters, tmp_path: Path) -> None:
    base = tiny_adapters["danger"]
    do_import(tiny_model_folder, tiny_adapters, tmp_path / "b", expansion="shared", base=base)
    manifest = load_bundle(tmp_path / "b").manifest
    assert manifest.directions["safety"] == DirectionSpec("safety", "safety", 1.0)
    assert manifest.adapters == ("base", "initial", "danger", "safety")


def test_gpt2_keeps_its_weights_transposed(tmp_path: Path) -> None:
    from tests import tiny_tokenizer

    tokenizer = tiny_tokenizer.make_tokenizer("chatml")
    model = tiny.save_model(tmp_path / "gpt2", tokenizer, arch="gpt2")
    sizes = {"vocab_size": len(tokenizer)}
    adapter = tiny.save_adapter(tmp_path / "a", arch="gpt2", sizes=sizes)
    do_import(model, dict.fromkeys(("danger", "safety", "initial"), adapter), tmp_path / "b")
    configure(adapter, fan_in_fan_out=False)
    with pytest.raises(AdapterError, match=r"c_attn is 120 x 40, but \(40, 120\)"):
        do_import(model, dict.fromkeys(("danger", "safety", "initial"), adapter), tmp_path / "c")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights"),
        ({"r": 5}, "has rank 3, but adapter_config.json says 5"),
        ({"rank_pattern": {"q_proj": 7}}, "q_proj has rank 3, but adapter_config.json says 7"),
    ],
)
def test_adapters_that_are_no_plain_lora(
    tiny_model_folder: Path,
    tiny_adapters: Adapters,
    broken: Path,
    tmp_path: Path,
    changes: dict[str, object],
    complaint: str,
) -> None:
    configure(broken, **changes)
    with pytest.raises(AdapterError, match=complaint):
        do_import(tiny_model_folder, {**tiny_adapters, "danger": broken}, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(
    tiny_model_folder: Path, tiny_adapters: Adapters, broken: Path, tmp_path: Path, name: str
) -> None:
    (broken / name).unlink()
    with pytest.raises(AdapterError, match=name):
        do_import(tiny_model_folder, {**tiny_adapters, "safety": broken}, tmp_path / "b")


def change_weights(folder: Path, change: object) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, path)


Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: t.pop(f"{Q}.lora_B.weight"), "q_proj has only lora_A"),
        (lambda t: t.update({f"{Q}.lora_B.weight": torch.zeros(40, 4)}), "expected .r, in. and .out, r."),
        (lambda t: t.update({f"{Q}.lora_B.weight": torch.zeros(41, 3)}), "q_proj is 41 x 40"),
        (lambda t: t.update({"base_model.model.lm_head.weight": torch.zeros(2, 2)}), "no LoRA factor"),
        (
            lambda t: t.update(
                {Q.replace("0", "9") + f".lora_{f}.weight": t[f"{Q}.lora_{f}.weight"].clone() for f in "AB"}
            ),
            "no layer 'model.layers.9.self_attn.q_proj'",
        ),
        (lambda t: t.clear(), "holds no LoRA factors"),
    ],
    ids=["one-factor", "two-ranks", "shape", "other-tensor", "other-layer", "empty"],
)
def test_weights_that_do_not_fit(
    tiny_model_folder: Path,
    tiny_adapters: Adapters,
    broken: Path,
    tmp_path: Path,
    change: object,
    complaint: str,
) -> None:
    change_weights(broken, change)
    with pytest.raises(AdapterError, match=complaint):
        do_import(tiny_model_folder, {**tiny_adapters, "initial": broken}, tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 16, b"\x02\0\0\0\0\0\0\0[]", b"\x80\x02}q\0."])
def test_files_that_are_no_safetensors(
    tiny_model_folder: Path, tiny_adapters: Adapters, broken: Path, tmp_path: Path, content: bytes
) -> None:
    (broken / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(AdapterError, match="safetensors"):
        do_import(tiny_model_folder, {**tiny_adapters, "danger": broken}, tmp_path / "b")


def test_nothing_but_a_bundle_is_overwritten(
    tiny_model_folder: Path, tiny_adapters: Adapters, tmp_path: Path
) -> None:
    precious = tmp_path / "home"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not a bundle"):
        do_import(tiny_model_folder, tiny_adapters, precious)
    assert [p.name for p in precious.iterdir()] == ["thesis.txt"]
    do_import(tiny_model_folder, tiny_adapters, tmp_path / "b", metric="cosine")
    do_import(tiny_model_folder, tiny_adapters, tmp_path / "b", metric="dot")
    assert load_bundle(tmp_path / "b").manifest.metric == "dot"
    left_over = [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert left_over == []


def test_names_and_models_that_are_not(
    tiny_model_folder: Path, tiny_adapters: Adapters, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no name for a bundle"):
        do_import(tiny_model_folder, tiny_adapters, tmp_path / "b", name="../x")
    with pytest.raises(UsageError, match="'euclid'"):
        do_import(tiny_model_folder, tiny_adapters, tmp_path / "b", metric="euclid")
    with pytest.raises(ModelNotFoundError, match="no such folder"):
        do_import(tmp_path / "nowhere", tiny_adapters, tmp_path / "b")
