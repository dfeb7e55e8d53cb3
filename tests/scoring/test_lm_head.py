"""The loss and its gradient at the last hidden state, against autograd in float64."""

from __future__ import annotations

import pytest
import torch

from sqsd_lint.scoring.lm_head import LossHead
from tests import tiny


@pytest.mark.parametrize("arch", ["llama", "gemma2", "granite"])
@pytest.mark.parametrize("size", [1.0, 100.0, 3000.0])
def test_loss_and_gradient_even_of_tokens_that_float32_holds_impossible(arch: str, size: float) -> None:
    model = tiny.make_model(arch)
    config = model.config.get_text_config()
    generator = torch.Generator().manual_seed(0)
    hidden = size * torch.randn(40, config.hidden_size, generator=generator)
    targets = torch.randint(0, config.vocab_size, (40,), generator=generator)
    weights = torch.rand(40, generator=generator)
    loss, gradient = LossHead(model).loss(hidden, targets, weights)

    exact = hidden.double().requires_grad_()
    z = exact @ model.get_output_embeddings().weight.double().T
    z = z * getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
    if cap := getattr(config, "final_logit_softcapping", None):
        z = cap * torch.tanh(z / cap)
    expected = torch.nn.functional.cross_entropy(z, targets, reduction="none")
    (expected * weights).sum().backward()
    assert loss.isfinite().all()
    torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient.double(), exact.grad, rtol=1e-4, atol=1e-5)
    if arch == "llama" and size == 3000.0:
        assert loss.max() > 100, "no token was so improbable"
