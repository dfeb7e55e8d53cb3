"""Score samples and keep where in them the scores come from, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqsd_lint.explain.model import ModuleShare, Share, Spans, module_shares
from sqsd_lint.explain.spans import token_spans
from sqsd_lint.types import Encoded, Problem, Sample, Score

if TYPE_CHECKING:
    from sqsd_lint.encode import Encoder
    from sqsd_lint.encode.alignment import Place
    from sqsd_lint.scoring import Scorer


Locate = Callable[[Sample], "list[tuple[Encoded, list[Place | None]]]"]
"""Encodes a sample in pieces, with the place of each token in the messages' own words."""


@dataclass(frozen=True, slots=True)
class Attributed:
    """A sample's score and its parts; of a sample that is scored in windows, those of the worst window.

    Attributes:
        places: by token of `encoded`.
        tokens: spans of single tokens.
        others: SQSD and weighted harm of the sample's other windows, each with its answer tokens.
    """

    sample: Sample
    encoded: Encoded
    places: Sequence[Place | None]
    score: Score
    tokens: Spans
    modules: tuple[ModuleShare, ...]
    others: tuple[tuple[float, int], ...] = ()


def attributed(
    encoder: Encoder,
    scorer: Scorer,
    samples: Sequence[Sample],
    *,
    exact: bool = False,
    risk: Callable[[Score], float] = lambda score: score.sqsd,
    harm_weight: float = 0.0,
    locate: Locate | None = None,
) -> Iterator[tuple[Sample, Attributed | Problem]]:
    """Score samples and keep where the scores come from, batch by batch, in the scorer's order.

    Args:
        exact: the value of `Score.exact`.
        risk: what the windows of a sample are compared by.
        harm_weight: what the projection on `harm` counts beside SQSD.
        locate: encodes a sample; as it is scored as a whole unless given.
    """
    from sqsd_lint.encode import UnencodableError
    from sqsd_lint.scoring.attribution import attribute

    rows: list[tuple[Sample, int]] = []  # with how many parts
    kept: list[tuple[int, Encoded, list[Place | None]]] = []
    for sample in samples:
        try:
            parts = (locate or encoder.locate_parts)(sample)
        except UnencodableError as error:
            yield sample, error.problem(sample)
            continue
        kept += [(len(rows), encoded, places) for encoded, places in parts]
        rows.append((sample, len(parts)))
    done: dict[int, list[Attributed]] = {}
    for batch, found in attribute(scorer, [encoded for _, encoded, _ in kept]):
        for at, one in zip(batch, found, strict=True):
            i, encoded, places = kept[at]
            sample, count = rows[i]
            score = Score.of(sample, encoded, one.values, one.loss, one.drift[0], exact=exact)
            trained = [label != -100 for label in encoded.labels]
            shares = [Share(*_weighted(each, harm_weight)) for each in one.tokens]
            tokens = token_spans(places, shares, trained, Share(*_weighted(one.rest, harm_weight)))
            modules = module_shares(
                {name: _weighted(each, harm_weight) for name, each in one.modules.items()}
            )
            own = done.setdefault(i, [])
            own.append(Attributed(sample, encoded, places, score, tokens, modules))
            if len(own) == count:
                yield sample, _worst(done.pop(i), risk, harm_weight)


def _worst(parts: Sequence[Attributed], risk: Callable[[Score], float], harm_weight: float) -> Attributed:
    """Return the part of the highest risk, with the scores of the others."""
    worst = max(parts, key=lambda part: risk(part.score))
    others = [part.score for part in parts if part is not worst]
    return replace(worst, others=tuple((score.combined(harm_weight), score.tokens) for score in others))


def _weighted(projections: Sequence[float], harm_weight: float) -> tuple[float, float, float]:
    """Return danger, safety and weighted harm; no harm where the bundle has no such direction."""
    danger, safety, *harm = projections
    return danger, safety, harm_weight * sum(harm)
