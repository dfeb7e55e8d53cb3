"""A plain Llama gives the bits that transformers gives; what may be another model is left to transformers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.config import Settings
from sqsd_lint.encode import load_tokenizer
from sqsd_lint.errors import ModelError
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.scoring.attention import causal_attention
from sqsd_lint.scoring.cpu import cpu_has_bfloat16
from sqsd_lint.scoring.llama import Llama, LlamaShape, load_llama
from sqsd_lint.scoring.memory_estimate import activation_bytes
from sqsd_lint.scoring.model import load_model, load_plain
from tests import tiny
from tests.scoring.cases import random_rows

CPU = torch.device("cpu")
SIZES: dict[str, dict[str, Any]] = {
    "grouped": {},
    "tied": {"tie_word_embeddings": True},
    "one key head": {"num_key_value_heads": 1},
    "own head_dim": {"head_dim": 6, "rms_norm_eps": 1e-3},
    "other base": {"rope_parameters": {"rope_type": "default", "rope_theta": 123.0}},
}
DTYPES = [
    torch.float32,
    pytest.param(
        torch.bfloat16,
        marks=pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU would emulate bfloat16"),
    ),
]


def saved(folder: Path, **sizes: Any) -> Path:
    tiny.make_model("llama", **sizes).save_pretrained(folder)
    return folder


def changed(folder: Path, **values: Any) -> Path:
    """Change values of config.json; None takes a key out."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def load_for_scoring(folder: Path, **options: Any) -> Any:
    """Load a model as a scorer's run does."""
    return load_plain(folder, **options) or load_model(folder, **options)


def plain(folder: Path, dtype: torch.dtype = torch.float32) -> Llama:
    model = load_llama(folder, dtype)
    assert model is not None
    return model


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_states_and_logits_are_those_of_transformers(
    sizes: dict[str, Any], dtype: torch.dtype, tmp_path: Path
) -> None:
    saved(tmp_path, **sizes)
    theirs = load_model(tmp_path, device=CPU, dtype=dtype)
    ours: Any = load_for_scoring(tmp_path, device=CPU, dtype=dtype)
    assert isinstance(ours, Llama)
    # Longer rows than 1,024 tokens go another way through attention, as one token does.
    for shape in ((3, 17), (1, 1), (2, 1100)):
        ids = torch.randint(3, tiny.VOCAB, shape, generator=torch.Generator().manual_seed(shape[1]))
        with torch.no_grad(), causal_attention():
            want = theirs.base_model(input_ids=ids, use_cache=False).last_hidden_state
            assert torch.equal(ours.base_model(input_ids=ids, use_cache=False).last_hidden_state, want)
            assert torch.equal(ours(input_ids=ids).logits, theirs(input_ids=ids, use_cache=False).logits)


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_scores_are_those_of_transformers(checkpointing: str, tmp_path: Path) -> None:
    saved(tmp_path / "model")
    adapters = [load_adapter(tiny.save_adapter(tmp_path / str(i), seed=i)) for i in range(4)]
    directions = [Direction(str(i), adapters[i], adapters[2]) for i in range(2)]
    rows = random_rows(9)

    def project(load: Callable[..., Any]) -> Any:
        model = load(tmp_path / "model", device=CPU, dtype=torch.float32, base_adapter=adapters[3])
        return Scorer(model, directions, checkpointing=checkpointing).project(rows)

    ours, theirs = project(load_for_scoring), project(load_model)
    assert torch.equal(ours.values, theirs.values)
    assert torch.equal(ours.loss, theirs.loss)
    assert torch.equal(ours.drift, theirs.drift)


def test_it_has_the_layers_and_the_size_of_transformers(tmp_path: Path) -> None:
    saved(tmp_path, tie_word_embeddings=True)
    ours, theirs = plain(tmp_path), load_model(tmp_path, device=CPU, dtype=torch.float32)
    assert [name for name, _ in ours.named_modules()][1:4] == ["model", "model.embed_tokens", "model.layers"]
    assert {n: p.shape for n, p in ours.named_parameters()} == {
        n: p.shape for n, p in theirs.named_parameters()
    }
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_memory_is_estimated_as_for_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path)
    adapter = load_adapter(tiny.save_adapter(tmp_path / "a", seed=1))
    monkeypatch.setattr("sqsd_lint.scoring.memory_estimate.free_bytes", lambda device: 1)  # a dry run is held
    found = []
    for load in (load_for_scoring, load_model):
        model: Any = load(tmp_path, device=CPU, dtype=torch.float32)
        point = Scorer(model, [Direction("d", adapter, adapter)], batch_tokens=64).points[0]
        found.append(activation_bytes(model, point.layers, CPU))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "values",
    [
        {"model_type": "mistral"},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"architectures": None},
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"mlp_bias": True},
        {"pretraining_tp": 2},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        {"auto_map": {"AutoModelForCausalLM": "modeling.py"}},
        {"num_key_value_heads": 3},
        {"hidden_size": "40"},
        {"num_hidden_layers": True},
        {"head_dim": 5},
        {"rms_norm_eps": -1.0},
        {"tie_word_embeddings": 1},
        {"num_hidden_layers": 3},  # the weights have two
        {"vocab_size": tiny.VOCAB + 1},
        {"tie_word_embeddings": True},  # the weights hold a head
    ],
    ids=str,
)
def test_another_configuration_is_left_to_transformers(values: dict[str, Any], tmp_path: Path) -> None:
    saved(tmp_path)
    assert load_llama(tmp_path, torch.float32) is not None
    assert load_llama(changed(tmp_path, **values), torch.float32) is None


CONFIG = json.loads(tiny.make_model("llama").config.to_json_string())


@given(st.text(min_size=1), st.one_of(st.none(), st.booleans(), st.integers(), st.text()))
def test_a_key_that_nobody_knows_may_mean_another_model(key: str, value: object) -> None:
    config = {"architectures": ["LlamaForCausalLM"], **CONFIG}
    known = LlamaShape.of_config(config)
    assert known is not None
    if key not in config and not key.startswith(("_name", "torch_dtype", "rope_")):
        assert LlamaShape.of_config({**config, key: value}) is None


def test_a_configuration_of_transformers_4_is_read(tmp_path: Path) -> None:
    saved(tmp_path, rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    want = plain(tmp_path).config
    changed(
        tmp_path, rope_parameters=None, rope_theta=500.0, dtype=None, torch_dtype="float32", use_cache=True
    )
    assert plain(tmp_path).config == want


def test_other_weights_are_left_to_transformers(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)

    def taken(**changes: torch.Tensor) -> bool:
        save_file({**weights, **changes}, path, metadata={"format": "pt"})
        return load_llama(tmp_path, torch.float32) is not None

    norm = "model.norm.weight"
    assert taken()
    assert not taken(**{"model.norm.bias": torch.zeros(40)})
    assert not taken(**{norm: torch.ones(41)})
    assert not taken(**{norm: torch.ones(40, dtype=torch.int32)})
    assert taken(**{norm: torch.ones(40, dtype=torch.float16)})
    (tmp_path / "adapter_config.json").write_text("{}")  # transformers would load it, too
    assert not taken()


def test_several_files_are_left_to_transformers(tmp_path: Path) -> None:
    tiny.make_model("llama").save_pretrained(tmp_path, max_shard_size="40KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert load_llama(tmp_path, torch.float32) is None
    assert not isinstance(load_for_scoring(tmp_path, device=CPU, dtype=torch.float32), Llama)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:100])
    with pytest.raises(ModelError, match=str(tmp_path)):
        load_for_scoring(tmp_path, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("load", [load_model, load_for_scoring])
def test_frequencies_of_positions_are_never_rounded(load: Callable[..., Any], tmp_path: Path) -> None:
    """A cast of all that a model holds would round them to bfloat16, and far positions would turn astray."""
    import transformers

    tiny.make_model("qwen3").save_pretrained(tmp_path)
    want = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).model.rotary_emb.inv_freq
    found = load(tmp_path, device=CPU, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in found.parameters()} == {torch.bfloat16}
    assert torch.equal(found.model.rotary_emb.inv_freq, want)


LATE = [
    "torch._dynamo",
    "sympy",
    "scipy",
    "pandas",
    "torch.distributed.tensor",
    "transformers.modeling_utils",
]


def test_a_score_imports_no_more_than_it_needs(
    tiny_run: Callable[..., Settings], tiny_folder: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """Of transformers a plain Llama's score needs the tokenizer alone: half of a first score was imports."""
    settings = tiny_run()
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"question": "What is one and one?", "answer": "It is two."}) + "\n")
    code = (
        "import json, sys\n"
        "from sqsd_lint.cli.app import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    arguments = ["check", str(rows), "--bundle", settings.bundle, "--model", settings.model]
    arguments += [
        "--dtype",
        "float32",
        "--device",
        "cpu",
        "--threshold",
        "1000",
        "--warning-threshold",
        "999",
    ]
    arguments += ["--cache-dir", str(tmp_path / "cache"), "--output-format", "json", "--no-progress"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["coverage"]["scored"] == 1
    modules = json.loads(done.stderr.splitlines()[-1])
    assert [name for name in LATE if name in modules] == []
    assert [name for name in modules if name.startswith("transformers.models.")] == []
    assert len(modules) < 2600  # 2,300 with torch 2.13 and transformers 5.23; 3,900 with its Llama


@pytest.mark.parametrize(
    "changes", [{}, {"tokenizer_class": "PreTrainedTokenizerFast"}, {"tokenizer_class": None}]
)
def test_the_tokenizer_is_the_one_that_autotokenizer_loads(
    changes: dict[str, Any], tiny_model_folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert type(ours) is type(theirs)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.chat_template == theirs.chat_template
    text = "Hello <|im_end|> wörld  12"
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
