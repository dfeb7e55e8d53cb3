"""Attribute a projection to tokens (docs/method.md section 5): an exact sum over positions.

A layer's inner product with a direction is a sum over the positions of the sequence,

    <dW, V> = sum_t -s0 ( d_t . P h_t + (d_t B0) . Q x_t )      of a LoRA update,
    <dW, V> = sum_t -(d_t Bv) . (Av x_t)                        of a full one,

and a metric only multiplies it with a constant of the layer and the row, known once the row is done. Summed
over layers, every position has its own share of the projection, and the shares add up to it.

The share belongs to the position at which the layers compute, which is the one that predicts the *next*
token: position t answers for token t + 1. Positions that predict nothing trained on (the prompt, and what
stands between two answers) take part through attention: later losses flow back into them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from sqsd_lint.scoring.batching import pad
from sqsd_lint.scoring.projections import ProjectionSum
from sqsd_lint.types import Encoded, Metric

if TYPE_CHECKING:
    from torch import Tensor

    from sqsd_lint.scoring.projections import Layer
    from sqsd_lint.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Attribution:
    """Where one sample's projections come from, in the metric's unit.

    Attributes:
        values: [K] the projection on each direction.
        loss: mean token cross-entropy at the first direction's expansion point, in nats.
        modules: module name -> [K] its term; they sum to `values`.
        tokens: [t, K] the share of the position that predicts each token of `Encoded.ids`; 0 for the tokens
            that are not trained on.
        rest: [K] the share of all other positions. `tokens` and `rest` sum to `values`.
        drift: [K] see `Projections`.
    """

    values: tuple[float, ...]
    loss: float
    modules: dict[str, tuple[float, ...]]
    tokens: tuple[tuple[float, ...], ...]
    rest: tuple[float, ...]
    drift: tuple[float, ...]


class TokenSum(ProjectionSum):
    """A ProjectionSum that also keeps every layer's inner product apart by position."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens: list[Tensor] = []  # [b, t, K] each

    def take(self, name: str, layer: Layer, x: Tensor, h: Tensor, d: Tensor, u: Tensor) -> None:
        super().take(name, layer, x, h, d, u)
        dots = layer.token_dots(x, h, d, u)  # layers may be on several devices
        self._tokens.append(dots.to(self._tokens[0].device) if self._tokens else dots)

    def token_terms(self, metric: Metric) -> Tensor:
        """Return each position's share of the projection, all layers together, [b, t, K] float32."""
        scale, live = self.scales(metric)
        total = torch.zeros_like(self._tokens[0])
        for dots, factor, counts in zip(self._tokens, scale[:, :, None], live[:, :, None], strict=True):
            total += torch.where(counts, dots * factor, 0)
        return total


def attribute(scorer: Scorer, rows: Sequence[Encoded]) -> Iterator[tuple[list[int], list[Attribution]]]:
    """Yield attributions of samples, batch by batch: (indices into rows, one for each).

    It costs a scoring pass and two thin products per layer and direction.

    Raises:
        ValueError: a sample without a response token.
        ModelError: a single row does not fit into memory.
    """
    return scorer.batches(rows, partial(_attribute_batch, scorer))


def _attribute_batch(scorer: Scorer, rows: Sequence[Encoded]) -> list[Attribution]:
    ids, labels = pad(rows, scorer.device)
    b, t, k = *ids.shape, scorer.columns
    tokens = torch.zeros(b, t, k, dtype=torch.float64)
    values = torch.zeros(b, k, dtype=torch.float64)
    drift = torch.full((b, k), torch.nan, dtype=torch.float64)
    modules: dict[str, Tensor] = {}
    losses = []
    for point in scorer.points:
        sums = TokenSum()
        losses.append(scorer.run(ids, labels, point, sums).cpu())
        terms = sums.terms(scorer.metric)
        if not terms:
            continue
        columns = list(point.columns)
        values[:, columns] = torch.stack(tuple(terms.values())).sum(0).cpu().double()
        drift[:, columns] = sums.drift().cpu().double()
        tokens[:, :, columns] = sums.token_terms(scorer.metric).cpu().double()
        for name, term in terms.items():
            modules.setdefault(name, torch.zeros(b, k))[:, columns] = term.cpu()
    # From the position that computes to the token that it predicts.
    predicted = torch.cat([torch.zeros(b, 1, k, dtype=torch.float64), tokens[:, :-1]], dim=1)
    trained = (labels != -100).cpu()
    trained[:, 0] = False
    predicted = torch.where(trained[..., None], predicted, 0)
    rest = tokens.sum(1) - predicted.sum(1)
    return [
        Attribution(
            values=tuple(values[i].tolist()),
            loss=float(losses[0][i]),
            modules={name: tuple(term[i].tolist()) for name, term in modules.items()},
            tokens=tuple(map(tuple, predicted[i, : len(row.ids)].tolist())),
            rest=tuple(rest[i].tolist()),
            drift=tuple(drift[i].tolist()),
        )
        for i, row in enumerate(rows)
    ]
