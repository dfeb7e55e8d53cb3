"""The callback in real, short training runs: what it logs is what the saved checkpoints say afterwards."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments
from transformers.integrations import integration_utils

from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.drift import SafetyDriftCallback
from sqsd_lint.drift.directions import WeightDirections
from sqsd_lint.drift.displacement import Drift, minus, project
from sqsd_lint.drift.model_drift import LoraDriftReader, ModelDrift, adapter_state, unwrap
from sqsd_lint.drift.run import read_state
from sqsd_lint.errors import AdapterError, UsageError
from tests import tiny

STEPS = 4
KEYS = ("danger", "safety", "sqsd", "norm", "danger_cosine", "safety_cosine")


@pytest.fixture
def model(tiny_model_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model_folder, dtype=torch.float32)


@pytest.fixture
def lora(model: Any) -> Any:
    torch.manual_seed(0)
    config = LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    return get_peft_model(model, config)


class Later(TrainerCallback):
    """Keeps a copy of every log that reaches it."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.logs.append({**logs, "step": state.global_step})


@pytest.fixture
def reporter(monkeypatch: pytest.MonkeyPatch) -> type[Later]:
    """A reporting integration as TensorBoard's: the Trainer itself makes it, before all callbacks."""

    class Reporter(Later):
        made: list[Reporter] = []  # noqa: RUF012

        def __init__(self) -> None:
            super().__init__()
            self.made.append(self)

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Reporter)
    return Reporter


def trainer(model: Any, out: Path, callbacks: list[Any] | None = None, **options: Any) -> Trainer:
    rows = [
        {"input_ids": list(ids), "labels": list(labels)}
        for ids, labels in (tiny.random_sample(k, prompt=5, response=6, vocab=40) for k in range(16))
    ]
    settings: dict[str, Any] = {
        "max_steps": STEPS,
        "logging_steps": 1,
        "save_steps": 1,
        "save_only_model": True,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-2,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        **options,
    }
    args = TrainingArguments(output_dir=str(out), **settings)
    return Trainer(model=model, args=args, train_dataset=rows, callbacks=callbacks)  # type: ignore[arg-type]


def history(run: Trainer) -> dict[int, dict[str, float]]:
    return {log["step"]: log for log in run.state.log_history if "loss" in log}


def figures(drift: Drift) -> list[float]:
    danger, safety = drift.danger, drift.safety
    return [danger.projection, safety.projection, drift.difference, drift.norm, danger.cosine, safety.cosine]


def of_weights(directions: WeightDirections, before: Path, after: Path) -> Drift:
    a, b = load_file(after / "model.safetensors"), load_file(before / "model.safetensors")
    return project(
        directions, {n: (a[f"{n}.weight"].double() - b[f"{n}.weight"].double()) for n in directions.modules}
    )


def test_lora_figures_are_those_of_the_checkpoints(lora: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    run = trainer(lora, tmp_path, gradient_checkpointing=True)
    SafetyDriftCallback(tiny_bundle).attach(run)
    run.train()
    directions = WeightDirections.of(open_bundle(str(tiny_bundle)))
    logged = history(run)
    assert sorted(logged) == list(range(1, STEPS + 1))
    for step, log in logged.items():
        expected = figures(project(directions, read_state(tmp_path / f"checkpoint-{step}")))
        assert [log[f"drift/{key}"] for key in KEYS] == pytest.approx(expected, rel=1e-6)
    assert logged[STEPS]["drift/norm"] > 0


@pytest.mark.parametrize("start", [None, "danger"])
def test_lora_may_start_from_an_adapter(
    start: str | None, model: Any, tiny_bundle: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    """Displacements are measured from where the adapter is when training begins, or from `start`."""
    run = trainer(
        PeftModel.from_pretrained(model, str(tiny_adapters["initial"]), is_trainable=True), tmp_path
    )
    SafetyDriftCallback(tiny_bundle, start=tiny_adapters[start] if start else None).attach(run)
    run.train()
    last = read_state(tmp_path / f"checkpoint-{STEPS}")
    moved = minus(last, read_state(tiny_adapters[start or "initial"]))
    expected = figures(project(WeightDirections.of(open_bundle(str(tiny_bundle))), moved))
    assert [history(run)[STEPS][f"drift/{key}"] for key in KEYS] == pytest.approx(expected, rel=1e-6)


def test_full_weights_are_measured_without_a_copy(model: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "start")
    run = trainer(model, tmp_path, learning_rate=1e-3)
    SafetyDriftCallback(tiny_bundle, per_layer=True).attach(run)
    run.train()
    directions = WeightDirections.of(open_bundle(str(tiny_bundle)))
    for step, log in history(run).items():
        drift = of_weights(directions, tmp_path / "start", tmp_path / f"checkpoint-{step}")
        expected = figures(drift)[:3]
        assert [log[f"drift/{key}"] for key in KEYS[:3]] == pytest.approx(expected, rel=1e-6)
        assert not {"drift/norm", "drift/danger_cosine"} & log.keys()
        for layer in drift.layers:
            assert log[f"drift/danger/{layer.module}"] == pytest.approx(layer.danger, rel=1e-6)
            assert log[f"drift/safety/{layer.module}"] == pytest.approx(layer.safety, rel=1e-6)


def test_attached_it_reaches_reporters_and_passed_it_says_that_it_does_not(
    lora: Any, tiny_bundle: Path, tmp_path: Path, reporter: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = trainer(lora, tmp_path / "a", report_to="tensorboard", save_strategy="no", max_steps=2)
    SafetyDriftCallback(tiny_bundle).attach(run)
    with caplog.at_level(logging.WARNING, logger="sqsd_lint"):
        run.train()
    assert not caplog.records
    training = [log for log in reporter.made[0].logs if "loss" in log]
    assert [log["step"] for log in training] == [1, 2]
    for log in training:
        assert log["drift/danger"] == history(run)[log["step"]]["drift/danger"]
    assert not any(
        key.startswith("drift/") for key in reporter.made[0].logs[-1]
    )  # train_runtime and its like

    late = trainer(
        lora, tmp_path / "b", [SafetyDriftCallback(tiny_bundle)],
        report_to="tensorboard", save_strategy="no", max_steps=1,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING, logger="sqsd_lint"):
        late.train()
    assert "will not reach tensorboard" in caplog.text
    assert "attach(trainer)" in caplog.text
    assert "drift/danger" not in reporter.made[1].logs[0]
    assert "drift/danger" in history(late)[1]


def test_attach_moves_a_callback_that_was_passed(lora: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    later, callback = Later(), SafetyDriftCallback(tiny_bundle)
    run = trainer(lora, tmp_path, [later, callback], save_strategy="no", max_steps=1)
    assert callback.attach(run) is callback
    run.train()
    assert "drift/sqsd" in later.logs[0]
    assert run.callback_handler.callbacks.count(callback) == 1


@pytest.mark.parametrize("action", ["warn", "stop"])
def test_the_budget(
    action: Any, lora: Any, tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # Which way random rows push is chance: here the drift rises by 1 whenever it is read, the start included.
    readings = (ModelDrift(float(k), 0.0, {}) for k in range(STEPS + 1))
    monkeypatch.setattr(LoraDriftReader, "read", lambda self, model: next(readings))
    run = trainer(lora, tmp_path, save_strategy="no")
    SafetyDriftCallback(tiny_bundle, budget=1.5, on_exceed=action).attach(run)
    with caplog.at_level(logging.WARNING, logger="sqsd_lint"):
        run.train()
    assert run.state.global_step == (2 if action == "stop" else STEPS)
    (record,) = caplog.records
    assert "step 2: drift/sqsd is 2, above the budget of 1.5" in record.getMessage()
    assert ("training stops" in record.getMessage()) == (action == "stop")


def test_a_real_drift_stops_training(lora: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    """Pushed along the danger direction by hand after the second step, a run ends there."""

    class Push(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                name = "model.layers.0.self_attn.q_proj"
                v = WeightDirections.of(open_bundle(str(tiny_bundle))).danger.layers[name]
                layer = lora.get_submodule(f"base_model.model.{name}")
                with torch.no_grad():
                    layer.lora_A["default"].weight.copy_(v.down)
                    layer.lora_B["default"].weight.copy_(1e3 * v.up)

    run = trainer(lora, tmp_path, [Push()], save_strategy="no")
    SafetyDriftCallback(tiny_bundle, budget=100, on_exceed="stop").attach(run)
    run.train()
    assert run.state.global_step == 2
    assert history(run)[1]["drift/sqsd"] < 100 < history(run)[2]["drift/sqsd"]


def test_a_resumed_lora_run_is_measured_from_the_base(lora: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    run = trainer(lora, tmp_path, save_only_model=False, save_steps=2)
    SafetyDriftCallback(tiny_bundle).attach(run)
    run.train()
    before = history(run)[STEPS]
    again = trainer(lora, tmp_path, save_only_model=False, save_steps=2)
    SafetyDriftCallback(tiny_bundle).attach(again)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert history(again)[STEPS]["drift/danger"] == pytest.approx(before["drift/danger"], rel=1e-4)


def test_the_log_history_can_be_saved(lora: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    run = trainer(lora, tmp_path, max_steps=2, learning_rate=0.0)
    SafetyDriftCallback(tiny_bundle).attach(run)
    run.train()
    saved = json.loads((tmp_path / "checkpoint-2" / "trainer_state.json").read_text())
    assert saved["log_history"][-1]["drift/norm"] == 0
    # Nothing has moved: there is no cosine, and NaN would be no JSON.
    assert not any(
        isinstance(v, float) and math.isnan(v) for log in saved["log_history"] for v in log.values()
    )


@pytest.mark.parametrize(("options", "said"), [({"budget": 0}, "budget is 0"), ({"on_exceed": "x"}, "'x'")])
def test_wrong_settings(options: dict[str, Any], said: str, tiny_bundle: Path) -> None:
    with pytest.raises(UsageError, match=said):
        SafetyDriftCallback(tiny_bundle, **options)


def test_another_model_fails_as_training_begins(tiny_bundle: Path, tmp_path: Path) -> None:
    other = tiny.make_model("llama", hidden_size=48)
    run = trainer(other, tmp_path, save_strategy="no")
    SafetyDriftCallback(tiny_bundle).attach(run)
    with pytest.raises(AdapterError, match="in the bundle"):
        run.train()


def test_wrappers_are_seen_through(lora: Any) -> None:
    class Wrapper(torch.nn.Module):  # as DistributedDataParallel keeps the model
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

    assert unwrap(Wrapper(torch.compile(lora))) is lora  # type: ignore[arg-type]
    assert set(adapter_state(lora)) == {
        f"model.layers.{k}.{name}" for k in range(2) for name in ("self_attn.q_proj", "mlp.down_proj")
    }


def test_dora_is_refused(model: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    dora = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], use_dora=True))
    run = trainer(dora, tmp_path, save_strategy="no")
    SafetyDriftCallback(tiny_bundle).attach(run)
    with pytest.raises(AdapterError, match="DoRA"):
        run.train()


def test_trl(lora: Any, tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not installed; it is no dependency")
    datasets = pytest.importorskip("datasets")
    from transformers import AutoTokenizer

    rows = [{"prompt": "hello", "completion": f" number {k}"} for k in range(8)]
    args = trl.SFTConfig(
        output_dir=str(tmp_path), max_steps=2, logging_steps=1, save_steps=1, save_only_model=True,
        per_device_train_batch_size=2, report_to="none", disable_tqdm=True, use_cpu=True, bf16=False,
    )  # fmt: skip
    run = trl.SFTTrainer(
        model=lora, args=args, train_dataset=datasets.Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(tiny_model_folder),
    )  # fmt: skip
    SafetyDriftCallback(tiny_bundle).attach(run)
    run.train()
    directions = WeightDirections.of(open_bundle(str(tiny_bundle)))
    expected = figures(project(directions, read_state(tmp_path / "checkpoint-2")))
    assert [history(run)[2][f"drift/{key}"] for key in KEYS] == pytest.approx(expected, rel=1e-6)
