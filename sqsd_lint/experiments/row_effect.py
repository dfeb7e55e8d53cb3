"""One number per row instead of one per window: what training on the row does to refusals, to first order.

The refusal margin of harmful prompts is the mean token log-likelihood of refusing less that of complying.
A step of SGD on one row changes it, to first order, by the inner product of the row's update with the
margin's gradient, both with respect to the LoRA factors at the expansion point. Nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqsd_lint.common.statistics import DRAWS, bootstrap, partial, spearman
from sqsd_lint.experiments.windows import RANKINGS
from sqsd_lint.scoring import Direction, Scorer
from sqsd_lint.scoring.layers.lora import FactorGradient, Gradient
from sqsd_lint.types import Encoded, Score

if TYPE_CHECKING:
    from sqsd_lint.experiments.attack import Attack
    from sqsd_lint.scoring.llama import CausalLM


def margin_losses(
    model: CausalLM,
    at: Direction,
    attack: Attack,
    rows: Sequence[Encoded],
    *,
    batch_tokens: int | None = None,
    advance: Callable[[int], object] = lambda rows: None,
) -> list[float]:
    """Return what each row takes from the refusal margin, in nats per token and unit of learning rate.

    Args:
        model: the frozen base.
        at: its expansion point is where gradients are taken; its vector plays no part.
        attack: the harmful prompts.
        advance: told how many rows are done.

    Raises:
        ValueError: a row without a response token.
    """
    # Every layer of the expansion point takes part, whichever the bundle's directions have.
    every = Direction("margin", Gradient.of_adapter(at.expansion), at.expansion, at.scaling)
    scorer = Scorer(model, [every], batch_tokens=batch_tokens)
    gradient = _difference(scorer.gradient(attack.refused), scorer.gradient(attack.complied))
    margin = Direction("margin", gradient, at.expansion, at.scaling)
    scorer = Scorer(model, [margin], metric="dot", batch_tokens=batch_tokens)
    found = [0.0] * len(rows)
    for batch, part in scorer.stream(rows):
        for i, (gain,) in zip(batch, part.values.tolist(), strict=True):
            found[i] = -gain
        advance(len(batch))
    return found


def _difference(a: Gradient, b: Gradient) -> Gradient:
    return Gradient(
        {
            name: FactorGradient(g.A - b.factors[name].A, g.B - b.factors[name].B)
            for name, g in a.factors.items()
        }
    )


def compare(scores: Sequence[Score], losses: Sequence[float]) -> dict[str, Any]:
    """Return how well each score predicts what rows take from the margin: Spearman, raw and at fixed length.

    Every value comes with its 95 % bootstrap interval over rows; None where one side does not vary.
    """
    length = [float(score.tokens) for score in scores]
    names = [name for name in RANKINGS if name != "random"]
    return {
        "draws": DRAWS,
        "scores": {name: _correlation([RANKINGS[name](s) for s in scores], losses, length) for name in names},
    }


def _correlation(values: Sequence[float], losses: Sequence[float], length: Sequence[float]) -> dict[str, Any]:
    raw, with_length = spearman(values, losses), spearman(values, length)
    # Of length itself nothing is left once length is held fixed but rounding.
    given = math.nan if values == length else float(partial(raw, with_length, spearman(losses, length)))
    held = bootstrap(values, losses, given=length) if math.isfinite(given) else None
    return {
        "spearman": _finite(raw),
        "interval": bootstrap(values, losses),
        "given_length": {"spearman": _finite(given), "interval": held},
        "with_length": _finite(with_length),
    }


def rows_of(scores: Sequence[Score], losses: Sequence[float]) -> list[dict[str, Any]]:
    """Return what was measured, row by row: no text, fingerprints stand for it."""
    return [
        {
            "fingerprint": score.fingerprint,
            "margin_loss": loss,
            "sqsd": score.sqsd,
            "danger": score.danger,
            "safety": score.safety,
            "tokens": score.tokens,
            "loss": score.loss,
        }
        for score, loss in zip(scores, losses, strict=True)
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
