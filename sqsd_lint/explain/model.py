"""Hold an explanation in plain numbers: shares of spans and layers, nearest rows, a remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqsd_lint.types import Head, Sample, ScoredRow, Threshold


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a row's projections, in the metric's unit.

    Attributes:
        harm: of the projection on the bundle's fitted direction, times its weight; 0 where it has none.
    """

    danger: float = 0.0
    safety: float = 0.0
    harm: float = 0.0

    @property
    def sqsd(self) -> float:
        return self.danger - self.safety

    @property
    def combined(self) -> float:
        """SQSD and harm: what is placed among benign rows, and compared with thresholds."""
        return self.danger - self.safety + self.harm

    def __add__(self, other: Share) -> Share:
        return Share(self.danger + other.danger, self.safety + other.safety, self.harm + other.harm)


def total(shares: list[Share] | tuple[Share, ...]) -> Share:
    """Return the sum of shares."""
    return Share(sum(s.danger for s in shares), sum(s.safety for s in shares), sum(s.harm for s in shares))


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of an answer and its share.

    Attributes:
        message: index into `Sample.messages`.
        start, end: characters (code points) of that message's content.
        tokens: how many tokens begin in it.
    """

    message: int
    start: int
    end: int
    tokens: int
    share: Share


@dataclass(frozen=True, slots=True)
class Spans:
    """Where a row's projections come from; `parts`, `prompt` and `other` sum to them.

    Attributes:
        parts: pieces of the answers in order, without gaps or overlaps but for what was cut off.
        prompt: the positions that predict nothing trained on; through attention they take part in the update.
        other: trained tokens outside the answers' own words: the end of a turn, tool calls.
    """

    parts: tuple[Span, ...]
    prompt: Share
    other: Share


@dataclass(frozen=True, slots=True)
class SpannedRow:
    """A scored row and the spans of its answers."""

    row: ScoredRow
    spans: Spans


@dataclass(frozen=True, slots=True)
class ModuleShare:
    """A layer's term.

    Attributes:
        name: "model.layers.12.self_attn.q_proj".
        block: 12, counted from the input; None for a layer outside the blocks.
        kind: "self_attn.q_proj".
    """

    name: str
    block: int | None
    kind: str
    share: Share


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row that a direction was trained on.

    Attributes:
        set: name of the data set.
        row: its 1-based number in the set, as the set was trained on.
        cosine: estimated mean cosine of the two rows' updates over the layers (`score.sketch`).
    """

    set: str
    row: int
    fingerprint: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest rows of the two directions' training sets.

    Attributes:
        error: standard deviation of an estimated cosine.
    """

    danger: tuple[Neighbour, ...]
    safety: tuple[Neighbour, ...]
    error: float


@dataclass(frozen=True, slots=True)
class Remedy:
    """Which parts of the answer to leave out, and what that really gives.

    Attributes:
        threshold: the one to get under.
        parts: what is left out, the part with the largest share first.
        estimate: the risk of the score less those parts' shares: exact to first order in nothing but
            arithmetic, since all other tokens' shares change with them.
        masked: the risk of the row with those parts' tokens not trained on.
        removed: the risk of the row with those parts cut out of the text; None where nothing is left.
        masked_percentile, removed_percentile: of the calibration, if there is one.
        enough: whether `masked` is under the threshold.
    """

    threshold: Threshold
    parts: tuple[Span, ...]
    estimate: float
    masked: float
    removed: float | None
    masked_percentile: float | None
    removed_percentile: float | None
    enough: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a row has its score.

    Attributes:
        tokens: by token. `words` and `sentences` are the same shares in larger pieces.
        modules: in the model's order.
        nearest: None where the bundle carries no sketches.
        remedy: None where the row is under every line, or there is no line.
    """

    head: Head
    row: ScoredRow
    sample: Sample
    modules: tuple[ModuleShare, ...]
    tokens: Spans
    words: Spans
    sentences: Spans
    nearest: Nearest | None = None
    remedy: Remedy | None = None


_BLOCK = re.compile(r"\.(\d+)\.")


def module_shares(terms: Mapping[str, Sequence[float]]) -> tuple[ModuleShare, ...]:
    """Return terms by module name, (danger, safety[, weighted harm]) each, by block, others last."""
    shares = [_module_share(name, Share(*term)) for name, term in terms.items()]
    return tuple(sorted(shares, key=lambda m: (m.block is None, m.block or 0)))


def _module_share(name: str, share: Share) -> ModuleShare:
    match = _BLOCK.search(name)
    if match is None:
        return ModuleShare(name, None, name, share)
    return ModuleShare(name, int(match[1]), name[match.end() :], share)


def by_block(modules: Sequence[ModuleShare]) -> dict[int | None, Share]:
    """Return sums over the layers of each block, from the input to the output."""
    found: dict[int | None, list[Share]] = {}
    for module in modules:
        found.setdefault(module.block, []).append(module.share)
    return {block: total(shares) for block, shares in found.items()}


def by_kind(modules: Sequence[ModuleShare]) -> dict[str, Share]:
    """Return sums over blocks of each kind of layer, under the last word of its name where that is enough."""
    found: dict[str, list[Share]] = {}
    for module in modules:
        found.setdefault(module.kind, []).append(module.share)
    short = [kind.rpartition(".")[2] for kind in found]
    names = short if len(set(short)) == len(short) else list(found)
    return dict(zip(names, map(total, found.values()), strict=True))
