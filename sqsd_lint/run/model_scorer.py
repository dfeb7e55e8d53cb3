"""A bundle and settings into scores of samples, with torch loaded only when a row needs it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.bundle.base_model import base_folder, base_place, check_base_model
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import HARM
from sqsd_lint.common.module_names import top_blocks
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.encode import windows
from sqsd_lint.errors import BundleCorruptError, UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.scoring.cache import ScoreCache, cache_path, scorer_key
from sqsd_lint.scoring.cpu import EMULATED
from sqsd_lint.scoring.device import resolve
from sqsd_lint.scoring.uncovered_parameters import recall, remember, uncovered_share
from sqsd_lint.types import BESIDE, Encoded, Problem, Sample, Score

if TYPE_CHECKING:
    from sqsd_lint.encode import Encoder
    from sqsd_lint.scoring import Direction, Scorer

# Measured: docs/large-models.md.
_FOUR_BITS = (
    "4-bit weights: such scores tell harmful rows from benign ones but hardly rank rows of one kind "
    "(Spearman with float32 on a 135M model: 0.95 over all rows, 0.78 over benign ones; 8bit: over 0.99)"
)


class ModelScorer:
    """A scorer of samples with one bundle under one setting.

    Args:
        cache_dir: the cache folder.
        cache_scores: keep scores there, and use those that it holds.
        exact: float32 and one row per batch, whatever the settings say: a score that no device,
            dtype or neighbour in a batch can move.

    Attributes:
        device, dtype: names, as the report's head shows them.
        metric, expansion: the settings' choice, else the bundle's.
        directions: danger and safety, once the model is loaded.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: Settings,
        *,
        cache_dir: Path,
        cache_scores: bool = True,
        progress: Progress | None = None,
        exact: bool = False,
    ) -> None:
        self.bundle = bundle
        self.exact = exact
        self._settings = settings
        self._progress = progress
        self.device, dtype = resolve(settings.device, settings.dtype, cache_dir)
        self.dtype = "float32" if exact else dtype
        self.metric = settings.metric or bundle.manifest.metric
        self.expansion = settings.expansion or bundle.manifest.expansion
        kinds = {direction.kind for direction in bundle.manifest.directions.values()}
        if "margin-gradient" in kinds and self.expansion != bundle.manifest.expansion:
            raise UsageError(
                f"--expansion {self.expansion}: {bundle.id} has gradients taken at the initial state",
                hint="leave --expansion out, or use a bundle whose directions are task vectors",
            )
        self._cache_dir = cache_dir
        path = cache_path(cache_dir) if cache_scores else None
        self.cache = ScoreCache(path, self._key({}), exact=exact)
        self._dropped: dict[str, tuple[str, ...]] = {}
        self.directions: tuple[Direction, ...] = ()
        self._loaded: tuple[Encoder, Scorer] | None = None
        self._rendered: tuple[str, ...] = ()  # notes on rendering by models that were let go

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
        return self.cache.of_scorer(self._key({"windows": self._worst_by}))

    @cached_property
    def _in_windows_dropped(self) -> ScoreCache:
        return self.cache.of_scorer(self._key({"windows": self._worst_by, "dropped": True}))

    @cached_property
    def calibration(self) -> ScoreCalibration | None:
        """The bundle's calibration, unless the settings ask for other scores."""
        manifest = self.bundle.manifest
        if manifest.calibration is None:
            return None
        if (self.metric, self.expansion) != (manifest.metric, manifest.expansion):
            return None
        return ScoreCalibration.from_json(manifest.calibration.to_json())

    @property
    def _worst_by(self) -> dict[str, object]:
        """What the windows of an answer are, and what they are compared by."""
        calibration = self.calibration
        curve = calibration.curve if calibration else None
        return {
            "context": windows.CONTEXT,
            "overlap": windows.OVERLAP,
            "most": windows.MOST,
            "harm_weight": calibration.harm_weight if calibration else self._harm_weight,
            "curve": [curve.tokens, curve.location, curve.scale] if curve else [],
        }

    @property
    def _harm_weight(self) -> float:
        harm = self.bundle.manifest.directions.get(HARM)
        return harm.weight if harm else 0.0

    def risk(self, score: Score) -> float:
        """Return what the windows of an answer are compared by; the highest for a score that is no number."""
        calibration = self.calibration
        risk = calibration.risk(score) if calibration else score.combined(self._harm_weight)
        return math.inf if math.isnan(risk) else risk

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores that the cache holds of samples, by fingerprint."""
        plain = [key for key, sample in samples.items() if not says_more(sample)]
        found = {
            key: score
            for key, score in self.cache.get(plain).items()
            if not score.truncated.startswith("prompt")
        }
        rest = [key for key in samples if key not in found]
        if rest:
            found.update(self._rendered_anew.get(rest))
        more = [key for key in rest if key not in found and says_more(samples[key])]
        if more:
            known = self._partly_dropped.get(more)
            found.update(known)
            for key in known:
                self._dropped[key] = tuple(_beside(samples[key]))
        if self._settings.long_answers == "windows":
            found = {key: score for key, score in found.items() if not score.response_lost}
            rest = [key for key in samples if key not in found]
            found.update(self._in_windows.get(rest) if rest else {})
            more = [key for key in rest if key not in found and says_more(samples[key])]
            known = self._in_windows_dropped.get(more) if more else {}
            found.update(known)
            for key in known:
                self._dropped[key] = tuple(_beside(samples[key]))
        return found

    def remember(self, scored: Iterable[tuple[Sample, Score]]) -> None:
        """Put scores into the cache and commit them; `note_dropped` must have been told before."""
        parts: dict[ScoreCache, list[Score]] = {}
        for sample, score in scored:
            parts.setdefault(self._cache_of(sample, score), []).append(score)
        for cache, scores in parts.items():
            cache.put(scores)

    def _cache_of(self, sample: Sample, score: Score) -> ScoreCache:
        if score.window:
            dropped = score.fingerprint in self._dropped
            return self._in_windows_dropped if dropped else self._in_windows
        if score.fingerprint in self._dropped:
            return self._partly_dropped
        if says_more(sample) or score.truncated.startswith("prompt"):
            return self._rendered_anew
        return self.cache

    def _key(self, more: Mapping[str, object]) -> bytes:
        arguments = self.bundle.manifest.template_arguments
        return scorer_key(
            {
                **more,
                "bundle": self.bundle.scoring_digest,
                "metric": self.metric,
                "expansion": self.expansion,
                "dtype": self.dtype,
                "max_length": self._settings.max_length,
                "turns": self._settings.turns,
                "exact": self.exact,
                **({"quantize": self._settings.quantize} if self._settings.quantize else {}),
                **({"template_arguments": dict(arguments)} if arguments else {}),
            }
        )

    @property
    def uncovered(self) -> float:
        """The share of the base model that no score covers, known once the model was loaded here."""
        return recall(self.bundle.scoring_digest, self._cache_dir)

    @property
    def notes(self) -> tuple[str, ...]:
        """How rows were rendered, and what packing or another dtype costs: what a report has to say of it."""
        rendering = dict.fromkeys((*self._rendered, *(self._loaded[0].notes if self._loaded else ())))
        packed = (_FOUR_BITS,) if self._settings.quantize == "4bit" else ()
        asked, used = self._settings.dtype, self.dtype
        emulated = (EMULATED,) if (asked, used) == ("bfloat16", "float32") and not self.exact else ()
        return (*rendering, *packed, *emulated, *self._dropped_notes())

    def note_dropped(self, sample: Sample, encoded: Encoded) -> None:
        """Keep what the chat template does not write of a sample, for `remember` and for the notes."""
        if encoded.dropped:
            self._dropped[sample.fingerprint] = encoded.dropped

    def _dropped_notes(self) -> Iterator[str]:
        """Yield how many rows hold what the template does not write."""
        if self._dropped:
            keys = Counter(key for lost in self._dropped.values() for key in lost)
            count = len(self._dropped)
            yield (
                f"{count:,} row{' holds' if count == 1 else 's hold'} text beside the answer that the chat"
                " template does not write, so that it is neither trained on nor scored:"
                f" {', '.join(sorted(keys))}"
            )

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Score samples that the cache does not know, batch by batch, each committed at once.

        Yields them in the scorer's order, not in the order given. A sample that the chat template
        refuses, or whose update is not finite, comes back as a Problem.
        """
        encoder, scorer = self._load()
        rows: list[tuple[Sample, list[Encoded]]] = []
        for sample in samples:
            parts = _encode(encoder, sample)
            if isinstance(parts, Problem):
                yield sample, parts
            else:
                self.note_dropped(sample, parts[0])
                rows.append((sample, parts))
        # Further windows of long answers come last: they must not change what other rows are batched with.
        first = [(i, parts[0]) for i, (_, parts) in enumerate(rows)]
        further = [(i, part) for i, (_, parts) in enumerate(rows) for part in parts[1:]]
        scores: dict[int, list[Score]] = {}
        for passed in filter(None, (first, further)):
            for batch, part in scorer.stream([encoded for _, encoded in passed]):
                done = []
                for at, projections, loss, (drift, *_) in zip(
                    batch, part.values.tolist(), part.loss.tolist(), part.drift.tolist(), strict=True
                ):
                    i, row = passed[at]
                    sample, parts = rows[i]
                    own = scores.setdefault(i, [])
                    own.append(Score.of(sample, row, projections, loss, drift, exact=self.exact))
                    if len(own) == len(parts):
                        done.append((sample, max(scores.pop(i), key=self.risk)))
                self.remember(done)
                yield from done

    @property
    def _named(self) -> str | None:
        """The base model that the settings name: with --proxy they name what the bundle stands in for."""
        return None if self._settings.proxy else self._settings.model

    @property
    def base_place(self) -> Path | None:
        """Where the base model is read from, if it is read at all; None where that is within the cache."""
        return base_place(self.bundle.manifest, self._named)

    def release(self) -> None:
        """Let go of the model, to make room for another; what it had to note stays."""
        if self._loaded:
            self._rendered = (*self._rendered, *self._loaded[0].notes)
        self._loaded = None

    def parts(self) -> tuple[Encoder, Scorer]:
        """The encoder and the scorer themselves, for commands that look inside a score."""
        return self._load()

    def _load(self) -> tuple[Encoder, Scorer]:
        if self._loaded is None:
            self._loaded = self._build()
        return self._loaded

    def base(self) -> tuple[Any, Any]:
        """The frozen base model, the bundle's base adapter merged, in the run's dtype, and its tokenizer."""
        manifest, settings = self.bundle.manifest, self._settings
        status = self._progress.status if self._progress else (lambda text: None)
        folder = base_folder(manifest, self._named, cache_dir=self._cache_dir, status=status)
        check_base_model(manifest, folder, cache_dir=self._cache_dir)
        status(f"loading {self._named or manifest.base_model.id} on {self.device} in {self.dtype}")

        from sqsd_lint.adapters.factors import check_shapes, load_adapter
        from sqsd_lint.encode import load_tokenizer
        from sqsd_lint.scoring.model import load_model, pick_device, pick_dtype

        device = pick_device(self.device)
        adapter = load_adapter(self.bundle.adapter_dir("base")) if manifest.base_adapter else None
        model = load_model(
            folder,
            device=device,
            dtype=pick_dtype(self.dtype, device),
            base_adapter=adapter,
            trust_remote_code=settings.trust_remote_code,
            device_map=settings.device_map,
            quantize=settings.quantize,
        )
        remember(uncovered_share(model), self.bundle.scoring_digest, self._cache_dir)
        if adapter is not None:
            check_shapes(adapter, model, self.bundle.adapter_dir("base"))
        return model, load_tokenizer(folder, trust_remote_code=settings.trust_remote_code)

    def _build(self) -> tuple[Encoder, Scorer]:
        manifest, settings = self.bundle.manifest, self._settings
        model, tokenizer = self.base()

        from sqsd_lint.adapters.factors import Adapter, load_adapter
        from sqsd_lint.encode import Encoder
        from sqsd_lint.scoring import Direction, Scorer
        from sqsd_lint.scoring.layers.gradient import Gradient

        adapters: dict[str | None, Adapter] = {
            name: load_adapter(self.bundle.adapter_dir(name), model)
            for name in manifest.adapters
            if name != manifest.base_adapter
        }
        if manifest.update == "full":
            adapters[None] = Adapter({})  # the model as it is
        directions = []
        for name, spec in manifest.ordered_directions():
            if spec.kind == "margin-gradient":
                vector = Gradient.of_adapter(adapters[spec.adapter])
                directions.append(Direction(name, vector, adapters[spec.expansion]))
                continue
            shared = self.expansion == "shared" or name == HARM
            initial = "initial" if "initial" in adapters or manifest.update == "lora" else None
            expansion = initial if shared else spec.expansion
            if expansion not in adapters:
                raise BundleCorruptError(
                    f"{self.bundle.root}: no adapter {expansion!r}, the expansion point of {name}"
                )
            directions.append(
                Direction(
                    name,
                    adapters[spec.adapter],
                    adapters[expansion],
                    None if shared else spec.scaling,
                )
            )
        self.directions = tuple(directions)
        names = {n for d in directions for n in d.vector.factors}
        scorer = Scorer(
            model,
            self.directions,
            metric=self.metric,
            batch_tokens=1 if self.exact else settings.batch_tokens,
            modules=scored_modules(names, manifest.modules),
            update=manifest.update,
            checkpointing=settings.checkpointing,
        )
        encoder = Encoder(
            tokenizer,
            max_length=settings.max_length,
            turns=settings.turns,
            template_arguments=manifest.template_arguments,
            long_answers=settings.long_answers,
        )
        return encoder, scorer


def scored_modules(names: set[str], modules: str | int) -> set[str] | None:
    """The modules of the top `modules` blocks, counted from the output; None for all of them."""
    return top_blocks(names, modules) if isinstance(modules, int) else None


def says_more(sample: Sample) -> bool:
    """Return whether a trained turn says something beside its content, which a template may drop."""
    return next(_beside(sample), None) is not None


def _beside(sample: Sample) -> Iterator[str]:
    for message, trained in zip(sample.messages, sample.mask, strict=True):
        if trained and message.role != "text":
            yield from (key for key in BESIDE if key in message.extra)
            if "</think>" in message.content:
                yield "<think>"


def _encode(encoder: Encoder, sample: Sample) -> list[Encoded] | Problem:
    from sqsd_lint.encode import UnencodableError

    try:
        return encoder.encode_parts(sample)
    except UnencodableError as error:
        return error.problem(sample)
