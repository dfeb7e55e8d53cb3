"""The training loop against plain autograd, and its checkpoints."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sqsd_lint.encode import Encoder, load_tokenizer
from sqsd_lint.errors import RecipeError
from sqsd_lint.training.checkpoint import Checkpoints
from sqsd_lint.training.recipe import AdapterSettings, TrainingSettings
from sqsd_lint.training.train import learning_rate, train_adapter
from sqsd_lint.types import Message, Sample, Where

SETTINGS = AdapterSettings(r=2, alpha=4)


def sample(i: int) -> Sample:
    messages = (Message("user", f"question {i}" * (1 + i % 3)), Message("assistant", "answer " * (1 + i % 4)))
    return Sample(f"{i:032x}", messages, (False, True), Where("rows.jsonl", i + 1, i))


SAMPLES = [sample(i) for i in range(10)]


@pytest.fixture
def base(tiny_model_folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model_folder)


class Killed(Exception):
    """Stands for a kill between two steps."""


class KilledAt:
    """A progress that kills the run after so many steps, and counts the steps it saw."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.seen, self.resumed = after, 0, 0

    def status(self, text: str) -> None: ...

    def start(self, total_rows: int) -> None: ...

    def advance(self, rows: int) -> None:
        if self.seen == 0 and rows != 1:
            self.resumed = rows
        self.seen += rows
        if self.after is not None and self.seen >= self.after:
            raise Killed

    def stop(self) -> None: ...


def run(base: Any, folder: Path, training: TrainingSettings, **options: Any) -> bytes:
    """Train into `folder` and return the weights' bytes."""
    tokenizer = load_tokenizer(Path(base.config._name_or_path))
    checkpoints = options.pop("checkpoints", None) or Checkpoints(folder / "checkpoints", "key")
    adapter = options.pop("adapter", SETTINGS)
    train_adapter(
        base, tokenizer, SAMPLES, adapter, training,
        seed=3, checkpoints=checkpoints, output=folder / "out", **options,
    )  # fmt: skip
    return (folder / "out" / "adapter_model.safetensors").read_bytes()


def test_one_step_is_adamw_on_the_mean_of_per_row_losses(base: Any, tmp_path: Path) -> None:
    """The first AdamW step moves every weight by lr times the sign of its gradient: signs are compared.

    At the first step B is zero, so that A has no gradient and only B moves.
    """
    training = TrainingSettings(
        lr=1e-2, steps=1, batch_size=10, warmup=0, schedule="constant", max_grad_norm=1e9
    )
    run(base, tmp_path, training)
    ours = load_file(tmp_path / "out" / "adapter_model.safetensors")

    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM")
    oracle: Any = get_peft_model(base, config)
    encoder = Encoder(load_tokenizer(Path(base.config._name_or_path)))
    for one in SAMPLES:
        encoded = encoder.encode(one)
        ids, labels = torch.tensor([encoded.ids]), torch.tensor([encoded.labels])
        (oracle(input_ids=ids, labels=labels).loss / len(SAMPLES)).backward()
    for name, parameter in oracle.named_parameters():
        if not parameter.requires_grad:
            continue
        key = name.replace(".default", "")
        if "lora_A" in name:
            assert torch.equal(ours[key], parameter)
            continue
        gradient = parameter.grad
        clear = gradient.abs() > 1e-5
        assert clear.any()
        assert torch.allclose(ours[key][clear], -1e-2 * gradient[clear].sign(), atol=2e-5)


def test_micro_batches_change_nothing_but_rounding(base: Any, tmp_path: Path) -> None:
    whole = TrainingSettings(lr=1e-3, steps=3, batch_size=6)
    run(base, tmp_path / "a", whole)
    run(base, tmp_path / "b", TrainingSettings(lr=1e-3, steps=3, batch_size=6, micro_batch_size=4))
    one, other = (load_file(tmp_path / x / "out" / "adapter_model.safetensors") for x in "ab")
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=2e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_killed_run_resumes_to_the_same_bytes(base: Any, tmp_path: Path, dropout: float) -> None:
    training = TrainingSettings(lr=1e-3, steps=9, batch_size=4, checkpoint_every=2)
    adapter = AdapterSettings(r=2, alpha=4, dropout=dropout)
    expected = run(base, tmp_path / "whole", training, adapter=adapter)
    with pytest.raises(Killed):
        run(base, tmp_path / "killed", training, adapter=adapter, progress=KilledAt(5))
    left = [p.name for p in (tmp_path / "killed" / "checkpoints").iterdir()]
    assert left == ["step-00000004"]
    watch = KilledAt()
    assert run(base, tmp_path / "killed", training, adapter=adapter, progress=watch) == expected
    assert (watch.resumed, watch.seen) == (4, 9)


def test_a_checkpoint_of_another_recipe_is_dropped(base: Any, tmp_path: Path) -> None:
    training = TrainingSettings(lr=1e-3, steps=4, batch_size=4, checkpoint_every=2)
    expected = run(base, tmp_path / "whole", training)
    with pytest.raises(Killed):
        run(
            base,
            tmp_path / "k",
            training,
            progress=KilledAt(3),
            checkpoints=Checkpoints(tmp_path / "c", "old"),
        )
    assert run(base, tmp_path / "k", training, checkpoints=Checkpoints(tmp_path / "c", "new")) == expected


def test_a_damaged_checkpoint_is_dropped(base: Any, tmp_path: Path) -> None:
    training = TrainingSettings(lr=1e-3, steps=4, batch_size=4, checkpoint_every=2)
    expected = run(base, tmp_path / "whole", training)
    with pytest.raises(Killed):
        run(base, tmp_path / "killed", training, progress=KilledAt(3))
    (tensors,) = (tmp_path / "killed" / "checkpoints").glob("*/state.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:100])
    assert run(base, tmp_path / "killed", training) == expected


def test_training_learns_and_leaves_the_base_alone(base: Any, tmp_path: Path) -> None:
    before = {name: p.clone() for name, p in base.named_parameters()}
    tokenizer = load_tokenizer(Path(base.config._name_or_path))
    losses = [
        train_adapter(
            base, tokenizer, SAMPLES, SETTINGS, TrainingSettings(lr=1e-2, steps=steps, schedule="constant"),
            seed=0, checkpoints=Checkpoints(tmp_path / f"c{steps}", "k"), output=tmp_path / f"o{steps}",
        )
        for steps in (1, 30)
    ]  # fmt: skip
    assert losses[1] < 0.5 * losses[0]
    after = dict(base.named_parameters())
    assert set(after) == set(before)
    assert all(torch.equal(after[name], p) for name, p in before.items())


def test_starting_from_another_adapter(base: Any, tmp_path: Path) -> None:
    training = TrainingSettings(lr=1e-30, steps=1)
    first = run(base, tmp_path / "a", TrainingSettings(lr=1e-2, steps=3))
    assert run(base, tmp_path / "b", training, start=tmp_path / "a" / "out") == first


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_are_stored_in_the_dtype_that_was_asked_for(base: Any, tmp_path: Path, dtype: str) -> None:
    training = TrainingSettings(lr=1e-3, steps=2)
    run(base, tmp_path / "full", training)
    run(base, tmp_path / "half", training, adapter=AdapterSettings(r=2, alpha=4, dtype=dtype))  # type: ignore[arg-type]
    full, half = (load_file(tmp_path / x / "out" / "adapter_model.safetensors") for x in ("full", "half"))
    for name, tensor in half.items():
        assert torch.equal(tensor, full[name].to(getattr(torch, dtype)))


def test_a_row_that_cannot_be_encoded_is_named(base: Any, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(Path(base.config._name_or_path))
    mute = Sample("0" * 32, (Message("user", "hello"),), (False,), Where("rows.jsonl", 8, 7))
    with pytest.raises(RecipeError, match=r"rows\.jsonl:8"):
        train_adapter(
            base, tokenizer, [mute], SETTINGS, TrainingSettings(lr=1, steps=1),
            seed=0, checkpoints=Checkpoints(tmp_path, "k"), output=tmp_path / "out",
        )  # fmt: skip


def test_learning_rates() -> None:
    training = TrainingSettings(lr=2.0, steps=100, warmup=0.1)
    rates = [learning_rate(training, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert all(a > b > 0 for a, b in itertools.pairwise(rates[10:]))
    flat = TrainingSettings(lr=2.0, steps=100, warmup=0.0, schedule="constant")
    assert {learning_rate(flat, step, 100) for step in range(100)} == {2.0}
