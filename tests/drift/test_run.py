"""Runs of adapters: one that PEFT and the Trainer really made, and folders with something wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sqsd_lint.drift.run import find_states, measure, measure_adapters
from sqsd_lint.errors import AdapterError, CannotScoreError, UsageError
from tests import tiny
from tests.drift.runs import adapter_matrices, directions_of, flat, oracle_along, save_adapters


def never() -> Any:
    raise AssertionError("adapters need no base model")


@pytest.fixture
def vocab(tiny_model_folder: Path) -> int:
    return int(json.loads((tiny_model_folder / "config.json").read_text())["vocab_size"])


@pytest.fixture
def run(tmp_path: Path, vocab: int) -> Path:
    return save_adapters(tmp_path / "run", {20: 2, 100: 3, 5: 1}, vocab, r=2)


def configure(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_a_run_of_peft_and_the_trainer(tiny_model_folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in base.named_parameters()}
    config = LoraConfig(
        r=2,
        lora_alpha=6,
        use_rslora=True,
        target_modules=["q_proj", "down_proj"],
        rank_pattern={"down_proj": 3},
        alpha_pattern={r"layers\.1\.mlp\.down_proj": 1},
        task_type="CAUSAL_LM",
    )
    rows = [{"input_ids": tiny.random_sample(k)[0], "labels": tiny.random_sample(k)[0]} for k in range(8)]
    arguments = TrainingArguments(
        tmp_path / "run", max_steps=4, save_steps=2, learning_rate=0.05, use_cpu=True,
        per_device_train_batch_size=2, report_to=[], disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = Trainer(get_peft_model(base, config), arguments, train_dataset=rows)  # type: ignore[arg-type]
    trainer.train()
    trainer.save_model()
    _, directions = directions_of(tiny_bundle)
    found = measure(tmp_path / "run", directions, base=never)
    assert [(p.state.label, p.state.step) for p in found.points] == [("2", 2), ("4", 4), ("final", None)]
    # The oracle is what PEFT itself makes of the weights.
    trainer.model = trainer.model.merge_and_unload()  # type: ignore[union-attr, operator]
    after = dict(trainer.model.named_parameters())
    moved = {
        name.removesuffix(".weight"): (after[name] - weight).double()
        for name, weight in before.items()
        if "q_proj" in name or "down_proj" in name
    }
    last = found.points[-1].move
    oracle = oracle_along(moved, {n: low.up @ low.down for n, low in directions.danger.layers.items()})
    assert last.total.norm == pytest.approx(float(flat(moved, moved).norm()), rel=1e-5)
    assert last.total.danger.projection == pytest.approx(oracle["projection"], rel=1e-3, abs=1e-5)
    assert last.total.danger.layer_cosine == pytest.approx(oracle["layer_cosine"], rel=1e-3, abs=1e-5)
    assert last.last.norm == 0.0, "the final save is the last checkpoint again"
    assert {name.rsplit(".", 1)[1] for name in found.untouched} == {
        *("k_proj", "v_proj", "o_proj", "gate_proj", "up_proj")
    }
    assert found.outside == ()


def test_states_come_in_the_order_of_steps(run: Path, tiny_bundle: Path) -> None:
    _, directions = directions_of(tiny_bundle)
    (run / "checkpoint-7").write_text("a file")
    (run / "checkpoint-latest").mkdir()
    found = measure(run, directions, base=never)
    assert [p.state.step for p in found.points] == [5, 20, 100]
    first, second, _ = (adapter_matrices(p.state.folder) for p in found.points)
    assert found.points[1].move.total.norm == pytest.approx(float(flat(second, second).norm()))
    step = {name: second[name] - first[name] for name in first}
    assert found.points[1].move.last.norm == pytest.approx(float(flat(step, step).norm()))


def test_a_start_is_subtracted(run: Path, tiny_bundle: Path) -> None:
    _, directions = directions_of(tiny_bundle)
    found = measure(run, directions, base=never, start=run / "checkpoint-5")
    assert found.points[0].move.total.norm == 0.0
    a, b = adapter_matrices(run / "checkpoint-5"), adapter_matrices(run / "checkpoint-100")
    moved = {name: b[name] - a[name] for name in a}
    oracle = oracle_along(moved, {n: low.up @ low.down for n, low in directions.safety.layers.items()})
    assert found.points[-1].move.total.safety.share == pytest.approx(oracle["share"])


def test_a_half_written_checkpoint_is_named_and_left_out(run: Path, tiny_bundle: Path) -> None:
    _, directions = directions_of(tiny_bundle)
    cut_short(run / "checkpoint-100/adapter_model.safetensors")
    found = measure(run, directions, base=never)
    assert [p.state.step for p in found.points] == [5, 20]
    (skipped,) = found.skipped
    assert "checkpoint-100" in skipped.reason
    assert found.unfinished
    cut_short(run / "checkpoint-5/adapter_model.safetensors")
    assert not measure(run, directions, base=never).unfinished


def test_a_hole_in_the_middle_is_no_unfinished_run(run: Path, tiny_bundle: Path) -> None:
    (run / "checkpoint-20/adapter_model.safetensors").unlink()
    found = measure(run, directions_of(tiny_bundle)[1], base=never)
    assert [s.state.step for s in found.skipped] == [20]
    assert not found.unfinished


def test_a_diverged_adapter_is_left_out(run: Path, tiny_bundle: Path) -> None:
    path = run / "checkpoint-20/adapter_model.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, path)
    found = measure(run, directions_of(tiny_bundle)[1], base=never)
    assert "holds NaN or infinity" in found.skipped[0].reason


@pytest.mark.parametrize(
    ("change", "said"),
    [({"use_dora": True}, "use_dora"), ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
     ({"init_lora_weights": "pissa"}, "init_lora_weights"), ({"peft_type": "IA3"}, "IA3")],
)  # fmt: skip
def test_what_is_no_plain_lora_is_refused(run: Path, tiny_bundle: Path, change: Any, said: str) -> None:
    for folder in run.iterdir():
        configure(folder, **change)
    with pytest.raises(AdapterError, match=said):
        measure(run, directions_of(tiny_bundle)[1], base=never)


def test_pickled_adapters_are_refused(run: Path, tiny_bundle: Path) -> None:
    for folder in run.iterdir():
        (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"adapter_model\.safetensors is missing") as caught:
        measure(run, directions_of(tiny_bundle)[1], base=never)
    assert "pickled" in (caught.value.hint or "")


def test_a_random_start_is_noted(run: Path, tiny_bundle: Path) -> None:
    for folder in run.iterdir():
        configure(folder, init_lora_weights=False)
    _, directions = directions_of(tiny_bundle)
    assert "--start" in measure(run, directions, base=never).notes[0]
    assert measure(run, directions, base=never, start=run / "checkpoint-5").notes == ()


def test_another_model_is_told_apart(tmp_path: Path, tiny_bundle: Path, vocab: int) -> None:
    _, directions = directions_of(tiny_bundle)
    gpt2 = tiny.save_adapter(tmp_path / "a/checkpoint-1", arch="gpt2")
    with pytest.raises(AdapterError, match="the bundle has none of its 8 modules, such as transformer"):
        measure(gpt2.parent, directions, base=never)
    wide = tiny.save_adapter(tmp_path / "b/checkpoint-1", sizes={"intermediate_size": 60})
    with pytest.raises(AdapterError, match=r"checkpoint-1: model\.layers\.0\.mlp\.down_proj is 40 x 60"):
        measure(wide.parent, directions, base=never)


def test_modules_outside_of_the_directions(run: Path, tiny_bundle: Path) -> None:
    bundle, _ = directions_of(tiny_bundle)
    from sqsd_lint.drift.directions import WeightDirections

    directions = WeightDirections.of(bundle, modules=["model.layers.0.mlp.up_proj"])
    found = measure_adapters(directions, find_states(run)[1])
    assert len(found.outside) == 13
    whole = adapter_matrices(run / "checkpoint-100")
    others = [name for name in whole if name not in directions.modules]
    assert found.points[-1].move.total.outside == pytest.approx(float(flat(whole, others).norm()))


def test_folders_without_a_run(tmp_path: Path, tiny_bundle: Path, tiny_model_folder: Path, run: Path) -> None:
    _, directions = directions_of(tiny_bundle)
    with pytest.raises(UsageError, match="no such folder"):
        measure(tmp_path / "gone", directions, base=never)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CannotScoreError, match="neither checkpoint"):
        measure(tmp_path / "empty", directions, base=never)
    with pytest.raises(UsageError, match="holds full weights, the run an adapter"):
        measure(run, directions, base=never, start=tiny_model_folder)
    shutil.copy(tiny_model_folder / "model.safetensors", run)
    found = measure(run, directions, base=never)
    assert "holds full weights, its checkpoints an adapter: left out" in found.notes[0]
