"""Reach against whole matrices: how much of V lies in the space of updates, by its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.adapters.factors import Adapter, LoraFactors
from sqsd_lint.bundle.reach import reach
from sqsd_lint.errors import AdapterError

SIZES = {"a": (7, 9), "b": (11, 5), "c": (6, 6)}


def factors(seed: int, shape: tuple[int, int], r: int, *, rank: int | None = None) -> LoraFactors:
    """Random factors; `rank` is B's, below r if given."""
    generator = torch.Generator().manual_seed(seed)
    A, B, mix = (
        torch.randn(*size, generator=generator, dtype=torch.float64)
        for size in ((r, shape[1]), (shape[0], r), (r, r))
    )
    return LoraFactors(A, B if rank is None else B[:, :rank] @ mix[:rank], 2.0)


def adapter(seed: int, r: int, *, rank: int | None = None) -> Adapter:
    return Adapter({n: factors(100 * seed + k, s, r, rank=rank) for k, (n, s) in enumerate(SIZES.items())})


def dense_reach(direction: Adapter, point: Adapter) -> float:
    """The projection of V on the span of every update that there is, one for each entry of gA and gB."""
    reached = whole = 0.0
    for name, v in direction.factors.items():
        V = (v.B.double() @ v.A.double()).flatten()
        whole += float(V @ V)
        if (at := point.factors.get(name)) is None:
            continue
        A0, B0 = at.A.double(), at.B.double()
        updates = []
        for gradient in torch.eye(B0.numel(), dtype=torch.float64):
            updates.append((gradient.view(B0.shape) @ A0).flatten())
        for gradient in torch.eye(A0.numel(), dtype=torch.float64):
            updates.append((B0 @ gradient.view(A0.shape)).flatten())
        span = torch.stack(updates, 1)  # [d_out * d_in, r * (d_out + d_in)]
        found = torch.linalg.lstsq(span, V[:, None], driver="gelsd").solution
        reached += float((span @ found).square().sum())
    return reached / whole


@given(st.integers(0, 50), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
def test_it_is_the_projection_on_all_updates(seed: int, r: int, r0: int, rank: int) -> None:
    """At points of any rank: B0 is 0 at rank 0, as PEFT initialises it."""
    direction, point = adapter(seed, r), adapter(seed + 1000, r0, rank=min(rank, r0))
    assert reach(direction, point) == pytest.approx(dense_reach(direction, point), abs=1e-8)


@given(st.integers(0, 50), st.integers(1, 4))
def test_what_lies_at_the_point_itself_is_reached(seed: int, r: int) -> None:
    point = adapter(seed, r)
    assert reach(point, point) == pytest.approx(1, abs=1e-12)
    fresh = Adapter({n: LoraFactors(f.A, torch.zeros_like(f.B), 2.0) for n, f in point.factors.items()})
    assert reach(point, fresh) == pytest.approx(1, abs=1e-12), "the same A, as of one seed"


def test_no_cosine_exceeds_its_square_root() -> None:
    """And one update attains it: the projection of V itself."""
    v, at = factors(1, (7, 9), 2), factors(2, (7, 9), 3, rank=1)
    bound = reach(Adapter({"m": v}), Adapter({"m": at})) ** 0.5
    V, A0, B0 = v.B @ v.A, at.A, at.B
    generator = torch.Generator().manual_seed(3)
    for _ in range(200):
        gB, gA = (torch.randn(*size, generator=generator).double() for size in ((7, 3), (3, 9)))
        dW = gB @ A0 + B0 @ gA
        assert abs(float((dW * V).sum() / (dW.norm() * V.norm()))) <= bound + 1e-6
    P, R = torch.linalg.pinv(A0) @ A0, B0 @ torch.linalg.pinv(B0, rtol=1e-9)
    best = V - (torch.eye(7) - R) @ V @ (torch.eye(9) - P)
    assert float((best * V).sum() / (best.norm() * V.norm())) == pytest.approx(bound, rel=1e-5)


def test_layers_that_the_point_lacks_are_out_of_reach_and_unscored_ones_do_not_count() -> None:
    direction = adapter(1, 2)
    point = Adapter({"a": direction.factors["a"]})
    assert reach(direction, point) == pytest.approx(dense_reach(direction, point), abs=1e-10)
    assert reach(direction, point, {"a"}) == pytest.approx(1)
    assert reach(direction, point, {"b", "c"}) == 0


def test_what_has_no_reach() -> None:
    zero = Adapter({"a": LoraFactors(torch.randn(2, 9), torch.zeros(7, 2), 1.0)})
    with pytest.raises(AdapterError, match="is 0 in every layer"):
        reach(zero, adapter(1, 2))
    with pytest.raises(AdapterError, match=r"a: .* different shapes"):
        reach(Adapter({"a": factors(1, (7, 8), 2)}), adapter(1, 2))
