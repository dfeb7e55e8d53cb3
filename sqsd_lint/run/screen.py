"""Rows that a run passes by, since a cheap estimate bounds their risk below the lines (`--screen`).

A row is passed by if its bound lies below the line that the screen was calibrated for; higher lines in force
change nothing, since the estimate does not tell rows above that line from one another.

What is passed by has a score that holds the bound alone (`Score.bound`), so that no part of a report can take
it for a projection. The cache keeps estimates under a key of their own, which names the screen's file: no
estimate is ever found as a score, and none of another screen as one of this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqsd_lint.bundle.lock import read_lock
from sqsd_lint.bundle.manifest import SCREEN
from sqsd_lint.bundle.screen import load_screen
from sqsd_lint.common.screen import AnswerText, Screen
from sqsd_lint.config import Settings
from sqsd_lint.encode.windows import PART
from sqsd_lint.errors import UsageError
from sqsd_lint.run.cached_scorer import has_other_text
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.samples.invisible import invisible_characters
from sqsd_lint.training.data import prompt_of
from sqsd_lint.types import Encoded, Sample, Score, Threshold

OFF = "off"
AUTO, AUTO_RECALL = "auto", 0.98
_CALIBRATED = ("max_length", "turns", "long_answers")


def recall_of(setting: str) -> float | None:
    """Return the recall that `--screen` asks for, None where it is off."""
    return None if setting == OFF else AUTO_RECALL if setting == AUTO else float(setting)


def answer_of(sample: Sample, encoded: Encoded) -> AnswerText:
    """Return what the screen reads of a sample and its tokens."""
    ids = tuple(label for label in encoded.labels if label != -100)
    before = tuple(i for i, label in zip(encoded.ids, encoded.labels, strict=True) if label == -100)
    text = "\n".join(m.content for m, trained in zip(sample.messages, sample.mask, strict=True) if trained)
    return AnswerText(ids, before, text, " ".join(prompt_of(sample).casefold().split()))


@dataclass
class RowScreen:
    """The screen of a run.

    Args:
        recall: the share of rows at or above the line that are to be scored.
        parts: whether rows are judged by their worst part; then those that have parts are scored, since the
            estimate is one of whole rows.

    Attributes:
        passed: how many rows were passed by.
    """

    screen: Screen
    scorer: ModelScorer
    recall: float
    parts: bool = False
    passed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        stored = self.scorer.bundle.manifest
        self._margin = self.screen.margin(self.recall)
        self._estimates = self.scorer.estimates(stored.files[SCREEN])

    def pass_by(self, samples: Sequence[Sample]) -> dict[str, Score]:
        """Return what stands for the scores of samples whose bound lies below the line, by fingerprint."""
        known = self._estimates.get([sample.fingerprint for sample in samples])
        fresh, found = [], {}
        for sample in samples:
            if not _may_pass(sample):
                continue
            kept = known.get(sample.fingerprint)
            if kept is None:
                kept = self._estimate(sample)
                if kept is not None:
                    fresh.append(kept)
            if kept is None or (self.parts and _has_parts(sample, kept.tokens)):
                continue
            if (bound := kept.danger + self._margin) < self.screen.line:
                nan = math.nan
                found[sample.fingerprint] = Score(
                    sample.fingerprint, nan, nan, nan, kept.tokens, risk=bound, bound=bound
                )
        self._estimates.put(fresh)
        self.passed += len(found)
        return found

    def _estimate(self, sample: Sample) -> Score | None:
        """Return the estimate as the cache keeps it, in place of danger; None of rows unlike the fit."""
        from sqsd_lint.encode import UnencodableError

        try:
            parts = self.scorer.encoder().encode_parts(sample)
        except UnencodableError:
            return None  # the scorer says why
        first = parts[0]
        if len(parts) > 1 or first.truncated or first.response_lost or first.dropped:
            return None
        answer = answer_of(sample, first)
        if not answer.ids or not self.screen.covered.holds(answer):
            return None
        estimate = self.screen.estimate(answer)
        return Score(sample.fingerprint, estimate, 0.0, estimate, first.response_tokens)


def _has_parts(sample: Sample, tokens: int) -> bool:
    """Tell whether a row may be judged by a part of it."""
    return sum(sample.mask) > 1 or tokens > PART


def _may_pass(sample: Sample) -> bool:
    """Tell whether a row is a plain one: of others, rules ask more than a bound, or the fit saw none."""
    return not (
        sample.suppression
        or sample.tools
        or sample.remarks
        or has_other_text(sample)
        or invisible_characters(sample)
    )


def open_screen(
    settings: Settings,
    scorer: object,
    thresholds: Sequence[Threshold],
    *,
    bundles: int = 1,
    parts: bool = False,
) -> tuple[RowScreen | None, str]:
    """Return the screen that the settings ask for, or None and why every row is scored.

    Args:
        scorer: of the run.
        thresholds: in force.
        bundles: how many judge.
        parts: whether rows are judged by their worst part.

    Raises:
        UsageError: the bundle's reference rows cannot promise the recall.
    """
    recall = recall_of(settings.screen)
    if recall is None:
        return None, ""
    if reason := _why_off(settings, scorer, thresholds, bundles):
        return None, f"screen: off, every row is scored: {reason}"
    assert isinstance(scorer, ModelScorer)
    screen = load_screen(scorer.bundle)
    assert screen is not None
    if recall > screen.highest_recall:
        raise UsageError(
            f"--screen {settings.screen}: {len(screen.held_out):,} reference rows above the line can promise"
            f" {math.floor(1000 * screen.highest_recall) / 1000:g} at most",
            hint="ask for less, or leave the screen off",
        )
    name = str(scorer.bundle.manifest.screen_digest)[:12]
    note = (
        f"screen {name}: rows are passed by whose risk, estimated from their words, lies below the"
        f" warning line by a margin; of rows above it, like the {len(screen.held_out):,} reference rows"
        f" there, at most {100 * (1 - recall):.3g} % are expected to be missed;"
        f"{' rows with parts are all scored (`--parts off` judges them as a whole);' if parts else ''}"
        " `--screen off` scores every row"
    )
    return RowScreen(screen, scorer, recall, parts), note


def _why_off(settings: Settings, scorer: object, thresholds: Sequence[Threshold], bundles: int) -> str:
    if bundles > 1:
        return "several bundles judge"
    if not isinstance(scorer, ModelScorer):
        return "the scores of this run come from elsewhere"
    manifest = scorer.bundle.manifest
    stored = manifest.screen
    if stored is None:
        return f"{manifest.id} has no screen (`sqsd-lint bundle calibrate` fits one)"
    lock = read_lock(settings)
    if lock and not any(
        (each.digest, each.screen) == (scorer.bundle.digest, manifest.screen_digest)
        for each in lock.bundles.values()
    ):
        return f"{lock.path} does not name this screen (`sqsd-lint lock` writes its digest)"
    if scorer.calibration is None or settings.quantize:
        return "the screen was fitted to scores of another metric, expansion or precision"
    if manifest.calibration and _differ(manifest.calibration.settings, settings):
        return "the calibration was made with other settings"
    if not thresholds:
        return "no line is in force"
    if min(each.value for each in thresholds) < stored.line - 1e-9:
        return f"a line lies below the one that the screen was made for ({stored.line:.2f})"
    return ""


def _differ(measured: Mapping[str, object], settings: Settings) -> bool:
    return any(measured.get(key, getattr(settings, key)) != getattr(settings, key) for key in _CALIBRATED)
