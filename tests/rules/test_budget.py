from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.errors import UsageError
from sqsd_lint.rules import FineTuneSettings
from sqsd_lint.rules.fine_tune import file_drift


def test_drift_is_the_sum_over_all_steps() -> None:
    # 3 epochs over 2 rows in batches of 2: 3 steps, each the mean of both gradients.
    training = FineTuneSettings(learning_rate=0.1, epochs=3, batch_size=2)
    assert file_drift([4.0, 2.0], training) == pytest.approx(3 * 0.1 * (4.0 + 2.0) / 2)
    assert str(training) == "learning rate 0.1, 3 epochs, batch size 2"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)), st.randoms())
def test_order_does_not_matter_and_nothing_overflows_into_nan(drifts: list[float], draw: object) -> None:
    drift = file_drift(drifts, FineTuneSettings())
    shuffled = list(drifts)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    assert math.isfinite(drift)
    assert file_drift(shuffled, FineTuneSettings()) == drift


@pytest.mark.parametrize("unknown", [math.nan, math.inf, -math.inf])
def test_one_unknown_drift_makes_the_sum_unknown(unknown: float) -> None:
    assert math.isnan(file_drift([1.0, unknown], FineTuneSettings()))


@pytest.mark.parametrize("name", ["learning_rate", "epochs", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_training_is_positive_and_finite(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name.replace('_', '-')} is .*, expected a positive number"):
        FineTuneSettings(**{name: value})  # type: ignore[arg-type]
