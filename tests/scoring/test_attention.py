"""The attention of our own says what torch's says, and stands aside wherever it is not plain and causal."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sqsd_lint.scoring import Scorer, attention
from sqsd_lint.scoring.attention import CausalAttention, causal_attention
from tests.scoring.cases import random_rows
from tests.scoring.conftest import CaseFn

MODULE: Any = SimpleNamespace(is_causal=True, num_key_value_groups=2, training=False)


def tensors(b: int, heads: tuple[int, int], t: int, d: int = 8, e: int = 8) -> tuple[torch.Tensor, ...]:
    """q, k, v as a model's projections give them, [b, heads, t, d] with the heads inside, and a gradient."""
    generator = torch.Generator().manual_seed(t)
    h, g = heads
    q, k, v, d_out = (
        torch.randn(b, t, n, width, generator=generator, dtype=torch.float64)
        for n, width in ((h, d), (g, d), (g, e), (h, e))
    )
    q, k, v = (x.transpose(1, 2).requires_grad_() for x in (q, k, v))
    return q, k, v, d_out


def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    out = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, scale=scale, enable_gqa=True
    )
    return out.transpose(1, 2)


@settings(max_examples=40)
@given(
    b=st.integers(1, 3),
    heads=st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 2), (3, 1)]),
    t=st.sampled_from([1, 2, 7, 8, 9, 16, 17, 31, 40]),
    widths=st.sampled_from([(8, 8), (5, 9)]),
)
def test_values_and_gradients_are_those_of_torch(
    b: int, heads: tuple[int, int], t: int, widths: tuple[int, int]
) -> None:
    q, k, v, d_out = tensors(b, heads, t, *widths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_BLOCK", 8)
        ours = CausalAttention.apply(q, k, v, 0.3)  # type: ignore[no-untyped-call]
        gradients = torch.autograd.grad(ours, (q, k, v), d_out)
    theirs = fused(q, k, v, 0.3)
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(gradients, torch.autograd.grad(theirs, (q, k, v), d_out), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("t", [60, 300])
def test_bfloat16_is_as_close_to_the_truth_as_the_fused_kernel(t: int) -> None:
    *exact, d_out = tensors(2, (6, 2), t, 64, 64)
    q, k, v = exact
    truth = torch.autograd.grad(fused(q, k, v, 0.125), exact, d_out)

    def error(attend: Callable[..., torch.Tensor]) -> list[float]:
        rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
        gradients = torch.autograd.grad(attend(*rounded, 0.125), rounded, d_out.bfloat16())
        return [float((g - s).norm() / s.norm()) for g, s in zip(gradients, truth, strict=True)]

    ours, theirs = error(CausalAttention.apply), error(fused)
    assert all(a < 2 * b for a, b in zip(ours, theirs, strict=True)), (ours, theirs)


Options = dict[str, Any]


@pytest.mark.parametrize(
    "options",
    [
        {"attention_mask": torch.ones(1, 1, 5, 5, dtype=torch.bool).tril()},
        {"is_causal": False},
        {"dropout": 0.5},
        {"position_bias": torch.zeros(1, 4, 5, 5, dtype=torch.float64)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_is_not_plain_goes_to_the_fused_kernel(
    monkeypatch: pytest.MonkeyPatch, options: Options
) -> None:
    monkeypatch.setattr(attention.CausalAttention, "apply", lambda *_: pytest.fail("ours was called"))
    q, k, v, _ = tensors(1, (4, 2), 5)
    options = {"attention_mask": None, **options}
    torch.manual_seed(0)
    expected, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](MODULE, q, k, v, **options)
    torch.manual_seed(0)
    with causal_attention():
        out, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](MODULE, q, k, v, **options)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)


def test_a_row_longer_than_measured_goes_to_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_LONGEST", 4)
    monkeypatch.setattr(attention.CausalAttention, "apply", lambda *_: pytest.fail("ours was called"))
    q, k, v, _ = tensors(1, (4, 2), 5)
    with causal_attention():
        ALL_ATTENTION_FUNCTIONS["sdpa"](MODULE, q, k, v, None)


def test_the_default_scale_is_that_of_torch() -> None:
    q, k, v, _ = tensors(1, (4, 2), 5)
    expected, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](MODULE, q, k, v, None)
    with causal_attention():
        out, _ = ALL_ATTENTION_FUNCTIONS["sdpa"](MODULE, q, k, v, None)
    torch.testing.assert_close(out, expected)


def test_the_switch_is_off_afterwards() -> None:
    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    with causal_attention():
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is not before
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before


@pytest.mark.parametrize("arch", ["llama", "qwen3", "gpt2", "granite", "phi3"])
def test_a_scoring_pass_goes_through_it(case: CaseFn, monkeypatch: pytest.MonkeyPatch, arch: str) -> None:
    calls = 0
    apply = CausalAttention.apply

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return apply(*args)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(attention.CausalAttention, "apply", counted)
    one = case(arch)
    Scorer(one.model, [one.direction("danger", "initial")], batch_tokens=1000).project(random_rows(3))
    assert calls == one.model.config.num_hidden_layers
