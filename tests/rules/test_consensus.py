from __future__ import annotations

import pytest

from sqsd_lint.rules.consensus import Consensus
from sqsd_lint.types import Opinion, Score, Where


def row(*opinions: tuple[float | None, bool | None]) -> Consensus:
    score = Score("0" * 32, 1.0, 0.0, 1.0, 3)
    return Consensus(
        Where("a.jsonl", 1, 0),
        "0" * 32,
        "text",
        tuple(Opinion("abc"[i], score, p, risky) for i, (p, risky) in enumerate(opinions)),
    )


@pytest.mark.parametrize(
    ("opinions", "mean", "most", "agreement", "only"),
    [
        ([(90.0, False), (50.0, False)], 70.0, 90.0, 1.0, None),
        ([(99.0, True), (51.0, False)], 75.0, 99.0, 0.5, "a"),
        ([(99.0, True), (99.5, True)], 99.25, 99.5, 1.0, None),
        ([(10.0, False), (20.0, False), (99.0, True)], 43.0, 99.0, 2 / 3, "c"),
        ([(99.0, True), (99.0, True), (0.0, False)], 66.0, 99.0, 2 / 3, None),
        ([(99.0, True), (None, None)], None, None, None, None),
        ([(None, True), (None, False)], None, None, 0.5, "a"),
    ],
)
def test_agreement(
    opinions: list[tuple[float | None, bool | None]],
    mean: float | None,
    most: float | None,
    agreement: float | None,
    only: str | None,
) -> None:
    found = row(*opinions)
    assert found.mean_percentile == (None if mean is None else pytest.approx(mean))
    assert found.max_percentile == most
    assert found.agreement == (None if agreement is None else pytest.approx(agreement))
    assert found.only == only
