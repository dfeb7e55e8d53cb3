"""How far one step on a row moves the weights along a displacement, against a step that is really taken."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from sqsd_lint.scoring import Scorer
from tests import oracle, tiny
from tests.scoring.cases import Case, random_rows
from tests.scoring.conftest import CaseFn

ROWS = random_rows(3, seed=4)


def effective(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """scaling B A of every adapted layer."""
    found = {}
    for name, layer in oracle.lora_layers(model):
        a, b = oracle.factors(layer)
        found[name] = (layer.scaling["default"] * b @ a).detach().clone()
    return found


def real_drift(case: Case, index: int, lr: float = 1e-5) -> float:
    """<W(after one SGD step) - W(before), D> / ||D||^2 / lr with D the danger adapter's displacement."""
    exact = partial(tiny.make_model, case.arch, dtype=torch.float64, attention="eager")
    model = oracle.load_peft(exact, case.folders["initial"])
    before = effective(model)
    oracle.response_loss(model, ROWS[index].ids, ROWS[index].labels).backward()
    with torch.no_grad():
        for _, layer in oracle.lora_layers(model):
            for factor in oracle.factors(layer):
                factor -= lr * factor.grad
    after = effective(model)
    displacement = effective(oracle.load_peft(exact, case.folders["danger"]))
    along = sum(((after[n] - before[n]) * d).sum() for n, d in displacement.items() if n in after)
    return float(along / sum(d.square().sum() for d in displacement.values()) / lr)


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_drift_is_what_a_small_step_does(case: CaseFn, arch: str) -> None:
    one = case(arch)
    found = Scorer(one.model, [one.direction("danger", "initial")]).project(ROWS).drift
    assert found.shape == (len(ROWS), 1)
    for i in range(len(ROWS)):
        assert found[i, 0].item() == pytest.approx(real_drift(one, i), rel=2e-3)


def test_drift_depends_on_no_metric(case: CaseFn) -> None:
    one = case("llama")
    values = [
        Scorer(one.model, [one.direction("danger", "initial")], metric=metric).project(ROWS).drift
        for metric in ("cosine", "dot")
    ]
    assert torch.equal(*values)
