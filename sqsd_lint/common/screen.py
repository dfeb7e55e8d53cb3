"""A cheap estimate of a row's risk from its words, and a bound on the exact one.

A linear model on hashed counts of tokens, and in the answer of pairs of neighbouring ones, fitted by ridge
regression on the exact risks of a calibration's reference rows. No model runs. The bound is calibrated on the
estimates of rows at or above the warning line, each by a fit to other prompts (split conformal, for that
class): a new row like them lies below it with a chance of at most 1 - RECALL. docs/speed.md has what that
costs, and what it misses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqsd_lint.common.reference_range import main_script

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

BUCKETS = 6144
PENALTY = 1.0  # of the ridge
# What a row at or above the line counts: there are few, and the bound goes by the lowest estimates of them.
ABOVE = 10.0
# Terms of the length stand beside the buckets: log2 tokens less this, scaled to the size of bucket values.
_MIDDLE, _LENGTH_SCALE = 6.0, 0.15
# Risks beyond these count as these: how far above or below the lines a row lies does not matter.
LOWEST, HIGHEST = 0.0, 3.5
# Folds of prompts: no row helps to estimate itself, nor another answer to its own prompt.
FOLDS = 5
# The share at either end of the reference rows that may be called unlike the rest.
_TAIL = 0.005
# A script counts from this share of the rows on; the text of others is not looked at by a fit.
_SCRIPT_SHARE = 0.2
_MULTIPLIER = 0x9E3779B97F4A7C15  # of Fibonacci hashing
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class AnswerText:
    """What the screen reads of a row.

    Attributes:
        ids, prompt_ids: the response tokens, and all others.
        text: the trained turns' content.
        prompt: what tells rows of one prompt: their fold is the same.
    """

    ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    text: str
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class TextRange:
    """What the rows of a fit are like; a row outside is scored exactly.

    Attributes:
        tokens: the shortest and the longest answer.
        characters: the fewest and the most characters of a token, as the mean of an answer.
        letters: the least share of letters among the characters that are no blanks.
        longest_word: in characters.
        scripts: what the rows are written in.
    """

    tokens: tuple[int, int]
    characters: tuple[float, float]
    letters: float
    longest_word: int
    scripts: tuple[str, ...]

    def holds(self, row: AnswerText) -> bool:
        """Tell whether a row is like those of the fit."""
        tokens, characters, letters, word = _measures(row)
        return (
            self.tokens[0] <= tokens <= self.tokens[1]
            and self.characters[0] <= characters <= self.characters[1]
            and letters >= self.letters
            and word <= self.longest_word
            and main_script(row.text) in self.scripts
        )


@dataclass(frozen=True, eq=False)
class Screen:
    """A fitted screen.

    Attributes:
        weights: [BUCKETS] int8, in units of `scale`.
        scale: risk per unit.
        length: what the terms of the length count (`_length_terms`).
        line: the risk from which on rows count as found: the warning line that the bound was calibrated for.
        held_out: [p] estimates of the rows at or above the line by fits to other prompts, ascending.
        covered: rows that it may speak of.
    """

    weights: NDArray[np.int8]
    scale: float
    length: tuple[float, float, float]
    line: float
    held_out: NDArray[np.float16]
    covered: TextRange

    def estimate(self, row: AnswerText) -> float:
        """Return the estimate of a row's risk."""
        import numpy as np

        buckets, values = features(row)
        own = float(values @ self.weights[buckets].astype(np.float64)) * self.scale
        return own + sum(c * term for c, term in zip(self.length, _length_terms(row), strict=True))

    def margin(self, recall: float) -> float:
        """Return what is added to an estimate: a row at the line then stays below it in 1 - recall of cases.

        Raises:
            ValueError: the reference has too few rows above the line to promise that.
        """
        allowed = misses_allowed(len(self.held_out), recall)
        if allowed < 1:
            raise ValueError(f"{len(self.held_out):,} reference rows above the line are too few")
        return self.line - float(self.held_out[allowed - 1])

    @property
    def highest_recall(self) -> float:
        """The highest recall that there are reference rows for."""
        return 1 - 1 / (len(self.held_out) + 1)


def misses_allowed(rows: int, recall: float) -> int:
    """Return the rank of the estimate below which a new row of so many lies with a chance of 1 - recall."""
    return math.floor((rows + 1) * (1 - recall) + 1e-9)


def features(row: AnswerText) -> tuple[Whole, Floats]:
    """Return buckets and values of a row: log(1 + count) of tokens and pairs, of length 1 together."""
    import numpy as np

    one, asked = (np.asarray(ids, dtype=np.uint64) for ids in (row.ids, row.prompt_ids))
    pairs = one[:-1] * np.uint64(65537) + one[1:] + np.uint64(1 << 40)
    apart = [one, pairs, asked + np.uint64(1 << 41)]  # the same token is another feature in the prompt
    mixed = (np.concatenate(apart) + np.uint64(977)) * np.uint64(_MULTIPLIER)
    buckets, counts = np.unique((mixed >> np.uint64(40)) % np.uint64(BUCKETS), return_counts=True)
    values = np.log1p(counts.astype(np.float64))
    return buckets.astype(np.int64), values / np.sqrt((values**2).sum())


def fit(rows: Sequence[AnswerText], risks: Sequence[float], line: float) -> tuple[Screen, Floats]:
    """Fit a screen to reference rows, and return it with the estimates of all rows by fits to other prompts.

    Args:
        rows, risks: [n], with risks of exact scores; rows in scripts of few rows take no part.
        line: the warning line, as a risk.
    """
    import numpy as np

    scripts = [main_script(row.text) for row in rows]
    common = tuple(sorted(s for s in set(scripts) if s and scripts.count(s) >= _SCRIPT_SHARE * len(rows)))
    taken = np.array([script in common for script in scripts])
    risk, table = np.asarray(risks, float), design(rows)
    y, counts = np.clip(risk, LOWEST, HIGHEST), np.where(risk >= line, ABOVE, 1.0)
    fold = folds([row.prompt for row in rows])
    held_out = np.full(len(rows), np.nan)
    for each in range(FOLDS):
        learned, asked = taken & (fold != each), fold == each
        held_out[asked] = table[asked] @ ridge(table[learned], y[learned], counts[learned])
    found = ridge(table[taken], y[taken], counts[taken])
    scale = max(float(np.abs(found[:BUCKETS]).max()) / 127, 1e-9)
    constant, slope, square = found[BUCKETS:].tolist()
    covered = _range([row for row, each in zip(rows, taken, strict=True) if each], common)
    positive = taken & (risk >= line)
    positive &= np.array([covered.holds(row) for row in rows])
    own = held_out[positive].astype(np.float16)
    own = np.where(own > held_out[positive], np.nextafter(own, np.float16(-np.inf)), own)
    return Screen(
        np.round(found[:BUCKETS] / scale).astype(np.int8),
        scale,
        (constant, slope, square),
        line,
        np.sort(own),
        covered,
    ), held_out


def design(rows: Sequence[AnswerText]) -> Floats:
    """Return the table of a fit: [n, BUCKETS + 3], buckets, constant, and the two terms of the length."""
    import numpy as np

    table = np.zeros((len(rows), BUCKETS + 3))
    for i, row in enumerate(rows):
        buckets, values = features(row)
        table[i, buckets] = values
        table[i, BUCKETS:] = _length_terms(row)
    return table


def ridge(table: Floats, y: Floats, counts: Floats) -> Floats:
    """Return the coefficients of a ridge regression; the constant is hardly penalized.

    Solved for as many unknowns as there are rows, of which there are fewer than columns:
    w = P^-1 X^T (X P^-1 X^T + C^-1)^-1 y with the penalties P and what rows count C.
    """
    import numpy as np

    eased = np.full(table.shape[1], 1 / PENALTY)
    eased[BUCKETS] = 1e3
    kernel = (table * eased) @ table.T
    kernel[np.diag_indices(len(kernel))] += 1 / counts
    found: Floats = eased * (table.T @ np.linalg.solve(kernel, y))
    return found


def folds(prompts: Sequence[str]) -> Whole:
    """Return the fold of each prompt: the same for equal prompts, as if by chance for others."""
    import numpy as np

    _, order = np.unique(np.asarray(prompts), return_inverse=True)
    shuffled = np.random.default_rng(0).permutation(int(order.max()) + 1)
    found: Whole = shuffled[order.ravel()] % FOLDS
    return found


def _length_terms(row: AnswerText) -> tuple[float, float, float]:
    """Return one, the logarithm of the answer's length, and its square."""
    doublings = math.log2(len(row.ids)) - _MIDDLE
    return 1.0, _LENGTH_SCALE * doublings, _LENGTH_SCALE * doublings**2 / 2


def _measures(row: AnswerText) -> tuple[int, float, float, int]:
    """Return tokens, characters a token, share of letters and the longest word of an answer."""
    dense = "".join(row.text.split())
    letters = sum(map(str.isalpha, dense)) / max(len(dense), 1)
    longest = max((len(word) for word in _WORD.findall(row.text)), default=0)
    return len(row.ids), len(row.text) / max(len(row.ids), 1), letters, longest


def _range(rows: Sequence[AnswerText], scripts: tuple[str, ...]) -> TextRange:
    import numpy as np

    tokens, characters, letters, words = (
        np.array(column) for column in zip(*map(_measures, rows), strict=True)
    )
    low, high = np.quantile(characters, (_TAIL, 1 - _TAIL))
    return TextRange(
        (int(tokens.min()), int(tokens.max())),
        (_outward(low, math.floor), _outward(high, math.ceil)),
        _outward(np.quantile(letters, _TAIL), math.floor),
        int(np.quantile(words, 1 - _TAIL)),
        scripts,
    )


def _outward(value: float, rounded: Callable[[float], int]) -> float:
    """Return a bound in three decimals that shuts nothing out."""
    return rounded(1000 * float(value)) / 1000
