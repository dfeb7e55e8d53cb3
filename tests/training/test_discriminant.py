"""The fitted direction against dense matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sqsd_lint.adapters.factors import load_adapter
from sqsd_lint.adapters.peft_folder import WEIGHTS
from sqsd_lint.encode import load_tokenizer
from sqsd_lint.errors import RecipeError
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.training.discriminant import LabelledSet, discriminant_adapter, fit_dual
from sqsd_lint.training.train import encode_all
from sqsd_lint.types import Message, Sample, Where


def sample(i: int, answer: str) -> Sample:
    messages = (Message("user", f"question {i}"), Message("assistant", answer))
    return Sample(f"{i:032x}", messages, (False, True), Where("rows.jsonl", i + 1, i))


HARMFUL = [sample(i, "sure " * (1 + i % 3) + f"step {i}") for i in range(5)]
OTHERS = [sample(10 + i, "the sum is " + str(i) * (1 + i % 2)) for i in range(7)]
SETS = [LabelledSet(HARMFUL, True), LabelledSet(OTHERS[:3], False), LabelledSet(OTHERS[3:], False)]


@pytest.fixture
def model(tiny_model_folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model_folder)


@pytest.fixture
def initial(tiny_adapters: dict[str, Path], tmp_path: Path) -> Path:
    """An initial state as LoRA begins: B0 is 0, and an update is -gB A0 alone."""
    import shutil

    folder = Path(shutil.copytree(tiny_adapters["initial"], tmp_path / "initial"))
    tensors = load_file(folder / WEIGHTS)
    save_file({n: t * 0 if "lora_B" in n else t for n, t in tensors.items()}, folder / WEIGHTS)
    return folder


def fit(model: Any, folder: Path, initial: Path, output: Path, sets: list[LabelledSet] = SETS) -> float:
    output.mkdir()
    tokenizer = load_tokenizer(folder)
    return discriminant_adapter(
        model, tokenizer, sets, initial=initial, max_length=64, dtype="float32", output=output
    )


def test_it_is_the_ridge_solution_over_whole_updates(
    model: Any, tiny_model_folder: Path, initial: Path, tmp_path: Path
) -> None:
    error = fit(model, tiny_model_folder, initial, tmp_path / "harm")
    assert error < 1
    at, found = load_adapter(initial, model), load_adapter(tmp_path / "harm", model)
    scorer = Scorer(model, [Direction("harm", found, at)])
    rows = encode_all([s for one in SETS for s in one.samples], load_tokenizer(tiny_model_folder), 64)
    updates: dict[str, list[torch.Tensor]] = {}
    for row in rows:  # dW of each row as a dense matrix, normalised layer by layer
        for name, g in scorer.gradient([row]).factors.items():
            dW = g.B.double().T @ at.factors[name].A.double()
            updates.setdefault(name, []).append(dW / dW.norm())
    gram = sum((torch.stack(d).flatten(1) @ torch.stack(d).flatten(1).T) for d in updates.values())
    labels = torch.tensor([1.0] * 5 + [-1.0] * 7).double()
    sides = 3**0.5 + 4**0.5
    weights = torch.tensor(
        [0.1] * 5 + [0.5 * 3**0.5 / sides / 3] * 3 + [0.5 * 4**0.5 / sides / 4] * 4
    ).double()
    assert isinstance(gram, torch.Tensor)
    dual, _ = fit_dual(gram, labels, weights, 0.5)
    for name, dWs in updates.items():
        expected = sum(a * dW for a, dW in zip(dual, dWs, strict=True))
        V = found.factors[name].B.double() @ found.factors[name].A.double()
        assert torch.allclose(V, expected, rtol=0, atol=3e-3 * float(V.abs().max()))  # float16 between
    scores = scorer.project(rows).values[:, 0]
    assert scores[:5].min() > scores[5:].max()


def test_both_sides_are_needed(model: Any, tiny_model_folder: Path, initial: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="harmful rows and others"):
        fit(model, tiny_model_folder, initial, tmp_path / "harm", SETS[:1])


def test_the_penalty_shrinks_the_fit() -> None:
    gram = torch.eye(4) + 0.1
    labels = torch.tensor([1.0, 1.0, -1.0, -1.0]).double()
    errors = [fit_dual(gram, labels, torch.ones(4).double(), ridge)[1] for ridge in (0.01, 0.5, 50.0)]
    assert errors == sorted(errors)
    assert errors[0] < 0.01
    assert errors[-1] == pytest.approx(1, abs=0.05)
