"""Score samples and keep where in them the scores come from, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqsd_lint.explain.model import ModuleShare, Share, Spans, module_shares
from sqsd_lint.explain.spans import token_spans
from sqsd_lint.types import Encoded, Problem, Sample, Score

if TYPE_CHECKING:
    from sqsd_lint.encode import Encoder
    from sqsd_lint.encode.alignment import Place
    from sqsd_lint.scoring import Scorer


@dataclass(frozen=True, slots=True)
class Attributed:
    """A sample's score and its parts.

    Attributes:
        places: by token of `encoded`.
        tokens: spans of single tokens.
    """

    sample: Sample
    encoded: Encoded
    places: Sequence[Place | None]
    score: Score
    tokens: Spans
    modules: tuple[ModuleShare, ...]


def attributed(
    encoder: Encoder,
    scorer: Scorer,
    samples: Sequence[Sample],
    *,
    exact: bool = False,
    harm_weight: float = 0.0,
) -> Iterator[tuple[Sample, Attributed | Problem]]:
    """Score samples and keep where the scores come from, batch by batch, in the scorer's order.

    Args:
        exact: the value of `Score.exact`.
        harm_weight: what the projection on `harm` counts beside SQSD.
    """
    from sqsd_lint.encode import UnencodableError
    from sqsd_lint.scoring.attribution import attribute

    kept: list[tuple[Sample, Encoded, list[Place | None]]] = []
    for sample in samples:
        try:
            kept.append((sample, *encoder.encode_located(sample)))
        except UnencodableError as error:
            yield sample, error.problem(sample)
    for batch, found in attribute(scorer, [encoded for _, encoded, _ in kept]):
        for i, one in zip(batch, found, strict=True):
            sample, encoded, places = kept[i]
            score = Score.of(sample, encoded, one.values, one.loss, one.drift[0], exact=exact)
            trained = [label != -100 for label in encoded.labels]
            shares = [Share(*_weighted(each, harm_weight)) for each in one.tokens]
            tokens = token_spans(places, shares, trained, Share(*_weighted(one.rest, harm_weight)))
            modules = module_shares(
                {name: _weighted(each, harm_weight) for name, each in one.modules.items()}
            )
            yield sample, Attributed(sample, encoded, places, score, tokens, modules)


def _weighted(projections: Sequence[float], harm_weight: float) -> tuple[float, float, float]:
    """Return danger, safety and weighted harm; no harm where the bundle has no such direction."""
    danger, safety, *harm = projections
    return danger, safety, harm_weight * sum(harm)
