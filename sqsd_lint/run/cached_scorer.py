"""What all scorers of samples have in common: under which settings they score, and which scores are known.

A score is kept under all that it depends on besides the row (`scorer_settings`). The same table goes to
a scoring service, so that what is asked for, what is answered and what is cached cannot differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from sqsd_lint.bundle.load import BundleInfo
from sqsd_lint.bundle.manifest import HARM
from sqsd_lint.config import Settings
from sqsd_lint.encode import windows
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.scoring.cache import ScoreCache, scorer_key
from sqsd_lint.types import OTHER_TEXT, Expansion, Metric, Sample, Score


def scorer_settings(
    bundle: BundleInfo, settings: Settings, *, dtype: str, exact: bool, worst_part: bool = False
) -> dict[str, object]:
    """Return all that a score depends on besides the row: plain JSON, and equal where scores are.

    What a run sets has the name of its setting; `bundle` is the scoring digest. A key is left out where its
    value is the one that scores had before there was such a setting, so that they stay known.

    Args:
        dtype: what the model computes in, never "auto".
        exact: whether in exact mode.
        worst_part: whether scores are those of rows' worst parts.

    Raises:
        UsageError: the bundle has no scores under these settings.
    """
    arguments = bundle.manifest.template_arguments
    expansion = settings.expansion or bundle.manifest.expansion
    kinds = {direction.kind for direction in bundle.manifest.directions.values()}
    if "margin-gradient" in kinds and expansion != bundle.manifest.expansion:
        raise UsageError(
            f"--expansion {expansion}: {bundle.id} has gradients taken at the initial state",
            hint="leave --expansion out, or use a bundle whose directions are task vectors",
        )
    return {
        "bundle": bundle.scoring_digest,
        "metric": settings.metric or bundle.manifest.metric,
        "expansion": expansion,
        "dtype": dtype,
        "max_length": settings.max_length,
        "turns": settings.turns,
        "long_answers": settings.long_answers,
        "exact": exact,
        # Frequencies of rotary positions were rounded to bfloat16 before.
        **({"positions": "float32"} if dtype == "bfloat16" else {}),
        **({"worst_part": True} if worst_part else {}),
        **({"quantize": settings.quantize} if settings.quantize else {}),
        **({"template_arguments": dict(arguments)} if arguments else {}),
    }


def calibration_of(bundle: BundleInfo, metric: Metric, expansion: Expansion) -> ScoreCalibration | None:
    """Return a bundle's calibration, None where scores of another metric or expansion are asked for."""
    manifest = bundle.manifest
    if manifest.calibration is None or (metric, expansion) != (manifest.metric, manifest.expansion):
        return None
    return ScoreCalibration.from_json(manifest.calibration.to_json())


class CachedScorer:
    """The settings and the score cache of a scorer with one bundle.

    Args:
        cache_path: the database of scores; None keeps none.
        origin: where scores come from if not from a model of this machine: they are kept apart from its own.

    Attributes:
        device, dtype: names, as the report's head shows them.
        metric, expansion: the settings' choice, else the bundle's.
        asked: what every score depends on besides the row (`scorer_settings`).
        why_no_parts: why it cannot score rows part by part, "" where it can.
    """

    why_no_parts = ""

    def __init__(
        self,
        bundle: BundleInfo,
        settings: Settings,
        *,
        device: str,
        dtype: str,
        exact: bool,
        cache_path: Path | None,
        origin: str = "",
    ) -> None:
        self.bundle = bundle
        self.exact = exact
        self.device = device
        self.dtype = dtype
        self.metric = settings.metric or bundle.manifest.metric
        self.expansion = settings.expansion or bundle.manifest.expansion
        self.asked = scorer_settings(bundle, settings, dtype=dtype, exact=exact)
        self._origin = origin
        self.cache = ScoreCache(cache_path, self._key({}), exact=exact)
        self._dropped: dict[str, tuple[str, ...]] = {}

    # Scores of rows that were rendered otherwise before have keys of their own: rows whose prompt was cut,
    # which kept no head, and rows with text beside their answers. The last are those of which a template
    # dropped some of that text.
    @cached_property
    def _rendered_anew(self) -> ScoreCache:
        return self.cache.of_scorer(self._key({"rendering": 2}))

    @cached_property
    def _partly_dropped(self) -> ScoreCache:
        return self.cache.of_scorer(self._key({"rendering": 2, "dropped": True}))

    # Rows whose answers are longer than a sequence have keys of their own, too, with all that decides which
    # of their windows is the worst; other rows have the same score whatever is done with long answers.
    @cached_property
    def _in_windows(self) -> ScoreCache:
        return self.cache.of_scorer(self._key({"windows": self.worst_by}))

    @cached_property
    def _in_windows_dropped(self) -> ScoreCache:
        return self.cache.of_scorer(self._key({"windows": self.worst_by, "dropped": True}))

    # What is judged of a row besides the row as a whole. It is the same whether all rows are looked at so
    # closely or some.
    @cached_property
    def _worst_parts(self) -> ScoreCache:
        pieces = [windows.PART, windows.PART_CONTEXT, windows.PART_OVERLAP]
        return self.cache.of_scorer(self._key({"parts": pieces, "windows": self.worst_by}))

    @cached_property
    def calibration(self) -> ScoreCalibration | None:
        """The bundle's calibration, unless the settings ask for other scores."""
        return calibration_of(self.bundle, self.metric, self.expansion)

    @property
    def worst_by(self) -> dict[str, object]:
        """What the windows of an answer are, and what they are compared by."""
        calibration = self.calibration
        curve = calibration.curve if calibration else None
        return {
            "context": windows.CONTEXT,
            "overlap": windows.OVERLAP,
            "most": windows.MOST,
            "harm_weight": calibration.harm_weight if calibration else self._harm_weight,
            "curve": [curve.tokens, curve.scores] if curve else [],
        }

    @property
    def _harm_weight(self) -> float:
        harm = self.bundle.manifest.directions.get(HARM)
        return harm.weight if harm else 0.0

    def risk(self, score: Score) -> float:
        """Return what windows and parts of an answer are compared by; the highest where that is no number."""
        calibration = self.calibration
        risk = calibration.risk(score) if calibration else score.combined(self._harm_weight)
        return math.inf if math.isnan(risk) else risk

    def _key(self, more: Mapping[str, object]) -> bytes:
        origin = {"origin": self._origin} if self._origin else {}
        asked = {name: value for name, value in self.asked.items() if name != "long_answers"}
        return scorer_key({**more, **asked, **origin})

    @property
    def cache_notes(self) -> tuple[str, ...]:
        """What the reader of a report has to know about the score cache."""
        return self.cache.notes

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores that the cache holds of samples, by fingerprint."""
        plain = [key for key, sample in samples.items() if not has_other_text(sample)]
        found = {
            key: score
            for key, score in self.cache.get(plain).items()
            if not score.truncated.startswith("prompt")
        }
        rest = [key for key in samples if key not in found]
        if rest:
            found.update(self._rendered_anew.get(rest))
        more = [key for key in rest if key not in found and has_other_text(samples[key])]
        if more:
            known = self._partly_dropped.get(more)
            found.update(known)
            for key in known:
                self._dropped[key] = tuple(_other_text(samples[key]))
        if self.asked["long_answers"] == "windows":
            found = {key: score for key, score in found.items() if not score.response_lost}
            rest = [key for key in samples if key not in found]
            found.update(self._in_windows.get(rest) if rest else {})
            more = [key for key in rest if key not in found and has_other_text(samples[key])]
            known = self._in_windows_dropped.get(more) if more else {}
            found.update(known)
            for key in known:
                self._dropped[key] = tuple(_other_text(samples[key]))
        return found

    def recall_parts(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores of samples' worst parts that the cache holds, by fingerprint."""
        return self._worst_parts.get(samples)

    def remember(self, scored: Iterable[tuple[Sample, Score]]) -> None:
        """Put scores into the cache and commit them; `note_dropped` must have been told before."""
        parts: dict[ScoreCache, list[Score]] = {}
        for sample, score in scored:
            parts.setdefault(self._cache_of(sample, score), []).append(score)
        for cache, scores in parts.items():
            cache.put(scores)

    def _cache_of(self, sample: Sample, score: Score) -> ScoreCache:
        if score.part:
            return self._worst_parts
        if score.window:
            dropped = score.fingerprint in self._dropped
            return self._in_windows_dropped if dropped else self._in_windows
        if score.fingerprint in self._dropped:
            return self._partly_dropped
        if has_other_text(sample) or score.truncated.startswith("prompt"):
            return self._rendered_anew
        return self.cache

    def note_dropped(self, sample: Sample, dropped: Sequence[str]) -> None:
        """Keep what the chat template does not write of a sample, for `remember` and for the notes."""
        if dropped:
            self._dropped[sample.fingerprint] = tuple(dropped)

    def dropped(self, fingerprint: str) -> tuple[str, ...]:
        """Return what the chat template does not write of a sample that was recalled or scored."""
        return self._dropped.get(fingerprint, ())

    def forget_dropped(self) -> None:
        """Forget what templates did not write, of rows that nobody asks about any more."""
        self._dropped.clear()

    def dropped_notes(self) -> Iterator[str]:
        """Yield how many rows hold what the template does not write."""
        if self._dropped:
            keys = Counter(key for lost in self._dropped.values() for key in lost)
            count = len(self._dropped)
            yield (
                f"{count:,} row{' holds' if count == 1 else 's hold'} text beside the answer that the chat"
                " template does not write, so that it is neither trained on nor scored:"
                f" {', '.join(sorted(keys))}"
            )


def has_other_text(sample: Sample) -> bool:
    """Return whether a trained turn says something beside its content, which a template may drop."""
    return next(_other_text(sample), None) is not None


def _other_text(sample: Sample) -> Iterator[str]:
    for message, trained in zip(sample.messages, sample.mask, strict=True):
        if trained and message.role != "text":
            yield from (key for key in OTHER_TEXT if key in message.extra)
            if "</think>" in message.content:
                yield "<think>"
