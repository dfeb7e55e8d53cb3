"""Runs of full weights against whole matrices in float64: shards, blocks, Conv1D, merged starts."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.bundle.importer import import_bundle
from sqsd_lint.drift import full as tensors
from sqsd_lint.drift.full import Start
from sqsd_lint.drift.run import measure
from sqsd_lint.drift.trajectory import Trajectory
from sqsd_lint.drift.weights import match_names, stored_transposed
from sqsd_lint.errors import ModelError
from tests import tiny
from tests.drift.runs import LowRank, directions_of, flat, oracle_along


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "BLOCK", 700)  # several blocks to a matrix of 40 x 71


def shaken(model: Any, seed: int, size: float = 0.01) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return model


def linear_weights(model: Any) -> dict[str, torch.Tensor]:
    """[d_out, d_in] in float64 by module."""
    from transformers.pytorch_utils import Conv1D

    modules = dict(model.named_modules())
    return {
        name: (modules[name].weight.T if isinstance(modules[name], Conv1D) else modules[name].weight)
        .detach()
        .double()
        .clone()
        for name in tiny.linear_names(model)
    }


def check(found: Trajectory, directions: Any, start: dict[str, torch.Tensor], states: list[Any]) -> None:
    before = start
    for point, after in zip(found.points, states, strict=True):
        total = {name: after[name] - start[name] for name in directions.modules}
        last = {name: after[name] - before[name] for name in directions.modules}
        assert point.move.total.norm == pytest.approx(float(flat(total, total).norm()), rel=1e-6)
        assert point.move.last.norm == pytest.approx(float(flat(last, last).norm()), rel=1e-6)
        for direction, along in (
            (directions.danger, point.move.total.danger),
            (directions.safety, point.move.total.safety),
        ):
            whole = {name: low.up @ low.down for name, low in direction.layers.items()}
            oracle = oracle_along(total, whole)
            assert along.projection == pytest.approx(oracle["projection"], rel=1e-6)
            assert along.layer_cosine == pytest.approx(oracle["layer_cosine"], rel=1e-6)
        before = after


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bundle, its base model and a run of three states, sharded and not, of one architecture."""
    from tests.tiny_tokenizer import make_tokenizer

    root = tmp_path_factory.mktemp(request.param)
    tokenizer = make_tokenizer("chatml")
    folder = tiny.save_model(root / "model", tokenizer, arch=request.param)
    sizes = {"vocab_size": len(tokenizer)}
    names = ("danger", "safety", "initial")
    made = {
        n: tiny.save_adapter(root / n, arch=request.param, seed=s, sizes=sizes)
        for s, n in enumerate(names, 5)
    }
    import_bundle(str(folder), **made, output=root / "bundle", cache_dir=root / "cache")
    model = tiny.make_model(request.param, **sizes)
    start = linear_weights(model)
    states = []
    for step, shard in ((2, "40KB"), (4, "5GB"), (6, "40KB")):
        shaken(model, step).save_pretrained(root / f"run/checkpoint-{step}", max_shard_size=shard)
        states.append(linear_weights(model))
    return root, start, states


def test_the_figures_are_those_of_whole_matrices(case: Any) -> None:
    root, start, states = case
    _, directions = directions_of(root / "bundle")
    assert (root / "run/checkpoint-2/model.safetensors.index.json").is_file()
    found = measure(root / "run", directions, base=lambda: Start(root / "model", "base"))
    assert found.kind == "weights"
    check(found, directions, start, states)
    assert found.untouched == ()
    assert not set(found.outside) & set(directions.modules)
    assert any("norm" in name or "ln_" in name for name in found.outside)
    # The turn is taken over all weights, as for adapters.
    weights = [load_whole(root / "model"), *(load_whole(root / f"run/checkpoint-{k}") for k in (2, 4, 6))]
    whole = [flat(each, sorted(weights[0])) for each in weights]
    steps = [b - a for a, b in pairwise(whole)]
    turn = float(steps[2] @ steps[1] / steps[2].norm() / steps[1].norm())
    assert found.points[2].move.turn == pytest.approx(turn, rel=1e-6)


def load_whole(folder: Path) -> dict[str, torch.Tensor]:
    return {n: t.double() for path in folder.glob("*.safetensors") for n, t in load_file(path).items()}


def test_a_base_adapter_is_part_of_the_start(case: Any) -> None:
    """The run begins where an adapter was merged into the base: its matrix is subtracted, too."""
    root, start, states = case
    _, directions = directions_of(root / "bundle")
    factors = load_adapter(root / "initial").factors
    merged = {name: LowRank.of_factors(f) for name, f in factors.items()}
    found = measure(root / "run", directions, base=lambda: Start(root / "model", "base", merged))
    begins = {name: w + merged[name].up @ merged[name].down for name, w in start.items()}
    check(found, directions, begins, states)


def test_a_run_of_the_trainer(tiny_model_folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    start = linear_weights(model)
    rows = [{"input_ids": tiny.random_sample(k)[0], "labels": tiny.random_sample(k)[0]} for k in range(8)]
    arguments = TrainingArguments(
        tmp_path / "run", max_steps=4, save_steps=2, learning_rate=1e-3, use_cpu=True,
        per_device_train_batch_size=2, report_to=[], disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=rows)  # type: ignore[arg-type]
    trainer.train()
    _, directions = directions_of(tiny_bundle)
    found = measure(tmp_path / "run", directions, base=lambda: Start(tiny_model_folder, "base"))
    assert [p.state.step for p in found.points] == [2, 4]
    after = linear_weights(trainer.model)
    total = {name: after[name] - start[name] for name in directions.modules}
    assert found.points[-1].move.total.norm == pytest.approx(float(flat(total, total).norm()), rel=1e-6)


@pytest.fixture
def run(tiny_model_folder: Path, tmp_path: Path) -> Path:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    for step in (1, 2):
        shaken(model, step).save_pretrained(tmp_path / f"run/checkpoint-{step}", max_shard_size="60KB")
    return tmp_path / "run"


def measured(run: Path, bundle: Path, model: Path) -> Trajectory:
    return measure(run, directions_of(bundle)[1], base=lambda: Start(model, "base"))


def test_what_a_running_save_leaves_is_named(run: Path, tiny_bundle: Path, tiny_model_folder: Path) -> None:
    last = run / "checkpoint-2"
    shards = sorted(last.glob("*.safetensors"))
    whole = shards[-1].read_bytes()
    shards[-1].write_bytes(whole[:-10])
    found = measured(run, tiny_bundle, tiny_model_folder)
    assert [p.state.step for p in found.points] == [1]
    assert shards[-1].name in found.skipped[0].reason
    assert found.unfinished
    shards[-1].unlink()
    assert "weights missing" in measured(run, tiny_bundle, tiny_model_folder).skipped[0].reason
    (last / "model.safetensors.index.json").unlink()
    reason = measured(run, tiny_bundle, tiny_model_folder).skipped[0].reason
    assert f"{len(shards) - 1} of {len(shards)} shards" in reason


def test_weights_that_cannot_be_measured(run: Path, tiny_bundle: Path, tiny_model_folder: Path) -> None:
    path = sorted((run / "checkpoint-1").glob("*.safetensors"))[-1]
    held = load_file(path)
    name = next(n for n in held if "layers" in n and held[n].dim() == 2)
    save_file({**held, name: torch.full_like(held[name], float("inf"))}, path)
    assert "NaN or infinity" in measured(run, tiny_bundle, tiny_model_folder).skipped[0].reason
    save_file({**held, name: held[name].to(torch.int8)}, path)
    assert "stored as I8" in measured(run, tiny_bundle, tiny_model_folder).skipped[0].reason
    save_file({**held, name: held[name][:-1].clone()}, path)
    reason = measured(run, tiny_bundle, tiny_model_folder).skipped[0].reason
    assert name.removesuffix(".weight") in reason


def test_pickled_weights_are_refused(tmp_path: Path, tiny_bundle: Path, tiny_model_folder: Path) -> None:
    folder = tmp_path / "run/checkpoint-1"
    folder.mkdir(parents=True)
    (folder / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ModelError, match=r"no \*\.safetensors weights"):
        measured(folder.parent, tiny_bundle, tiny_model_folder)


def test_another_model_is_named(case: Any, tiny_bundle: Path, tiny_model_folder: Path) -> None:
    root, *_ = case
    _, directions = directions_of(tiny_bundle)
    if json.loads((root / "model/config.json").read_text())["model_type"] == "gpt2":
        with pytest.raises(ModelError, match=r"no weight of model\.layers\.0"):
            measure(root / "run", directions, base=lambda: Start(root / "model", "base"))
        with pytest.raises(ModelError, match="in the shape that the start has"):
            measure(root / "run", directions, base=lambda: Start(tiny_model_folder, "base"))


def test_names_may_lack_or_have_leading_parts() -> None:
    names = ["h.0.attn.c_attn.weight", "h.1.attn.c_attn.weight", "wte.weight"]
    wanted = ["transformer.h.0.attn.c_attn.weight", "transformer.h.2.attn.c_attn.weight", "wte.weight"]
    assert match_names(wanted, names) == {wanted[0]: names[0], "wte.weight": "wte.weight"}
    assert match_names(names[:1], [f"_orig_mod.{n}" for n in names]) == {names[0]: f"_orig_mod.{names[0]}"}


def test_square_layers_lie_as_the_others_do() -> None:
    layers = {"a": (4, 4), "b": (4, 6)}
    assert stored_transposed({"a": (4, 4), "b": (6, 4)}, layers, square=False) == {"a": True, "b": True}
    assert stored_transposed({"a": (4, 4), "b": (4, 6)}, layers, square=True) == {"a": False, "b": False}
    assert stored_transposed({"a": (4, 4)}, {"a": (4, 4)}, square=True) == {"a": True}
    with pytest.raises(ModelError, match="b is 6 x 5 in the run, 4 x 6 in the bundle"):
        stored_transposed({"a": (4, 4), "b": (6, 5)}, layers, square=False)
