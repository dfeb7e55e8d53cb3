"""A model over several devices: tensors that hold no numbers, but refuse to meet one of another device."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from sqsd_lint.scoring.attribution import TokenSum
from sqsd_lint.scoring.layers.lora import LoraLayer
from sqsd_lint.scoring.lm_head import LossHead
from sqsd_lint.scoring.sketch import SketchSum, _hashes

NEAR, FAR = "cpu", "cuda:0"
RANK, D_IN, D_OUT, COLUMNS = 2, 6, 5, 2


@pytest.fixture(autouse=True)
def fake() -> Iterator[None]:
    with FakeTensorMode():
        yield
    _hashes.cache_clear()


def layer(device: str) -> LoraLayer:
    shapes = {
        "A0": (RANK, D_IN),
        "B0T": (RANK, D_OUT),
        "P": (COLUMNS, RANK * D_OUT),
        "Q": (COLUMNS, RANK * D_IN),
        "gram_A": (RANK, RANK),
        "gram_B": (RANK, RANK),
        "norms": (COLUMNS,),
        "vector_scaling": (COLUMNS,),
    }
    tensors: dict[str, Any] = {name: torch.ones(*shape, device=device) for name, shape in shapes.items()}
    return LoraLayer(scaling=1.0, **tensors)


def take(sink: TokenSum | SketchSum) -> None:
    """One layer on each device, as a backward pass gives them."""
    for name, device in (("near", NEAR), ("far", FAR)):
        x, h, d, u = (torch.ones(3, 4, n, device=device) for n in (D_IN, RANK, D_OUT, RANK))
        sink.take(name, layer(device), x, h, d, u)


def test_tensors_of_two_devices_do_not_meet() -> None:
    with pytest.raises(RuntimeError, match="two devices"):
        torch.stack([torch.ones(1, device=NEAR), torch.ones(1, device=FAR)])


def test_token_shares() -> None:
    sums = TokenSum()
    take(sums)
    assert sums.token_terms("cosine").shape == (3, 4, COLUMNS)
    assert {str(term.device) for term in sums.terms("cosine").values()} == {NEAR}


def test_sketches() -> None:
    sums = SketchSum(16)
    take(sums)
    assert sums.sketches().shape == (3, 16)


def test_a_head_elsewhere_than_the_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it shares its weights with the input embeddings, which lie with the first layer."""
    head = nn.Linear(D_IN, 32, bias=False)
    config = SimpleNamespace(get_text_config=SimpleNamespace)
    model: Any = SimpleNamespace(get_output_embeddings=lambda: head, config=config)
    loss_head = LossHead(model)

    def to_gradient(self: LossHead, z: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> Any:
        # What a fake tensor cannot answer is left out: whether any token is so rare.
        return -z.softmax(1).gather(1, targets[:, None]).log().squeeze(1) * weights

    monkeypatch.setattr(LossHead, "_to_gradient", to_gradient)
    hidden = torch.ones(7, D_IN, device=FAR)
    targets, weights = torch.zeros(7, dtype=torch.int64, device=FAR), torch.ones(7, device=FAR)
    loss, gradient = loss_head.loss(hidden, targets, weights)
    assert (str(loss.device), str(gradient.device), gradient.shape) == (FAR, FAR, hidden.shape)
    assert str(loss_head.logits(hidden).device) == NEAR
