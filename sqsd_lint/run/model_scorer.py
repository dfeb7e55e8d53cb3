"""A bundle and settings into scores of samples, with torch loaded only when a row needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.bundle.base_model import base_folder, base_place, check_base_model
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import HARM
from sqsd_lint.common.extras import missing_extra, require
from sqsd_lint.common.module_names import top_blocks
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import BundleCorruptError
from sqsd_lint.run.cached_scorer import CachedScorer
from sqsd_lint.scoring.cache import ScoreCache, cache_path
from sqsd_lint.scoring.cpu import EMULATED
from sqsd_lint.scoring.device import resolve
from sqsd_lint.scoring.uncovered_parameters import recall, remember, uncovered_share
from sqsd_lint.types import Encoded, Problem, Sample, Score

if TYPE_CHECKING:
    from sqsd_lint.encode import Encoder
    from sqsd_lint.scoring import Direction, Scorer
    from sqsd_lint.scoring.llama import CausalLM

# Measured: docs/large-models.md.
_FOUR_BITS = (
    "4-bit weights: such scores tell harmful rows from benign ones but hardly rank rows of one kind "
    "(Spearman with float32 on a 135M model: 0.95 over all rows, 0.78 over benign ones; 8bit: over 0.99)"
)


class ModelScorer(CachedScorer):
    """A scorer of samples by a model in this process.

    Args:
        cache_dir: the cache folder.
        cache_scores: keep scores there, and use those that it holds.
        exact: float32 and one row per batch, whatever the settings say: a score that no device,
            dtype or neighbour in a batch can move.

    Attributes:
        directions: danger and safety, once the model is loaded.
        ready_at: when the model was in memory, by `time.perf_counter`; None before.
    """

    bundle: Bundle

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
        device, dtype = resolve(settings.device, settings.dtype, cache_dir)
        super().__init__(
            bundle,
            settings,
            device=device,
            dtype="float32" if exact else dtype,
            exact=exact,
            cache_path=cache_path(cache_dir) if cache_scores else None,
        )
        self._settings = settings
        self._progress = progress
        self._cache_dir = cache_dir
        self.directions: tuple[Direction, ...] = ()
        self._loaded: tuple[Encoder, Scorer] | None = None
        self.ready_at: float | None = None
        self._encoder: Encoder | None = None  # without a model
        self._rendered: tuple[str, ...] = ()  # notes on rendering by models that were let go

    @property
    def uncovered(self) -> float:
        """The share of the base model that no score covers, known once the model was loaded here."""
        return recall(self.bundle.scoring_digest, self._cache_dir)

    @property
    def notes(self) -> tuple[str, ...]:
        """How rows were rendered, and what packing or another dtype costs: what a report has to say of it."""
        return (*self.model_notes, *self.dropped_notes())

    @property
    def model_notes(self) -> tuple[str, ...]:
        """The notes that hold for all rows alike, whoever asked for them."""
        rendering = dict.fromkeys((*self._rendered, *(self._loaded[0].notes if self._loaded else ())))
        packed = (_FOUR_BITS,) if self._settings.quantize == "4bit" else ()
        asked, used = self._settings.dtype, self.dtype
        emulated = (EMULATED,) if (asked, used) == ("bfloat16", "float32") and not self.exact else ()
        return (*rendering, *packed, *emulated)

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Score samples that the cache does not know, batch by batch, each committed at once.

        Yields them in the scorer's order, not in the order given. A sample that the chat template
        refuses, or whose update is not finite, comes back as a Problem.
        """
        encoder, _ = self._load()
        yield from self._score(samples, encoder.encode_parts)

    def score_parts(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield the score of each sample's worst part, as `score` does; a sample of one part is that part."""
        encoder, _ = self._load()
        yield from self._score(samples, encoder.answer_parts)

    def _score(
        self, samples: Sequence[Sample], encode: Callable[[Sample], list[Encoded]]
    ) -> Iterator[tuple[Sample, Score | Problem]]:
        """Score what `encode` makes of samples, and yield for each the score of the highest risk."""
        _, scorer = self._load()
        rows: list[tuple[Sample, list[Encoded]]] = []
        for sample in samples:
            parts = _encode(encode, sample)
            if isinstance(parts, Problem):
                yield sample, parts
            else:
                self.note_dropped(sample, parts[0].dropped)
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

    def forget_rows(self) -> None:
        """Forget what rows before have left behind: notes, and a smaller batch where memory ran out."""
        self.forget_dropped()
        if self._loaded:
            encoder, scorer = self._loaded
            encoder.forget_rows()
            if self._settings.batch_tokens and not self.exact:
                scorer.batch_tokens = self._settings.batch_tokens

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

    def encoder(self) -> Encoder:
        """Return the encoder; no model is loaded for it."""
        if self._loaded:
            return self._loaded[0]
        if self._encoder is None:
            status = self._progress.status if self._progress else (lambda text: None)
            manifest = self.bundle.manifest
            folder = base_folder(manifest, self._named, cache_dir=self._cache_dir, status=status)
            check_base_model(manifest, folder, cache_dir=self._cache_dir)

            from sqsd_lint.encode import load_tokenizer

            tokenizer = load_tokenizer(folder, trust_remote_code=self._settings.trust_remote_code)
            self._encoder = self._encoder_of(tokenizer)
        return self._encoder

    def _encoder_of(self, tokenizer: Any) -> Encoder:
        from sqsd_lint.encode import Encoder

        settings = self._settings
        return Encoder(
            tokenizer,
            max_length=settings.max_length,
            turns=settings.turns,
            template_arguments=self.bundle.manifest.template_arguments,
            long_answers=settings.long_answers,
        )

    def estimates(self, screen: str) -> ScoreCache:
        """Return where the cache keeps estimates of risks by a screen, apart from all scores.

        Args:
            screen: SHA-256 of its file.
        """
        return self.cache.of_scorer(self._key({"screen": screen}))

    def parts(self) -> tuple[Encoder, Scorer]:
        """Return the encoder and the scorer themselves, for commands that look inside a score."""
        return self._load()

    def _load(self) -> tuple[Encoder, Scorer]:
        if self._loaded is None:
            try:
                self._loaded = self._build()
            except ImportError as error:
                raise missing_extra(error) or error from None
            self.ready_at = time.perf_counter()
        return self._loaded

    def base(self, *, for_scoring: bool = False) -> tuple[Any, Any]:
        """Return the frozen base model in the run's dtype, the base adapter merged, and its tokenizer.

        Args:
            for_scoring: nothing but the scorer runs the model, so that it need not be transformers' own.
        """
        require("torch")
        manifest, settings = self.bundle.manifest, self._settings
        status = self._progress.status if self._progress else (lambda text: None)
        folder = base_folder(manifest, self._named, cache_dir=self._cache_dir, status=status)
        check_base_model(manifest, folder, cache_dir=self._cache_dir)
        status(f"loading {self._named or manifest.base_model.id} on {self.device} in {self.dtype}")

        from sqsd_lint.adapters.factors import check_shapes, load_adapter
        from sqsd_lint.encode import load_tokenizer
        from sqsd_lint.scoring.model import load_model, load_plain, pick_device, pick_dtype

        device = pick_device(self.device)
        dtype = pick_dtype(self.dtype, device)
        adapter = load_adapter(self.bundle.adapter_dir("base")) if manifest.base_adapter else None
        model: CausalLM | None = None
        if for_scoring and not (settings.device_map or settings.quantize):
            model = load_plain(folder, device=device, dtype=dtype, base_adapter=adapter)
        if model is None:
            model = load_model(
                folder,
                device=device,
                dtype=dtype,
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
        model, tokenizer = self.base(for_scoring=True)

        from sqsd_lint.adapters.factors import Adapter, load_adapter
        from sqsd_lint.scoring import Direction, Scorer
        from sqsd_lint.scoring.layers.lora import Gradient

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
        return self._encoder_of(tokenizer), scorer


def scored_modules(names: set[str], modules: str | int) -> set[str] | None:
    """Return the modules of the top `modules` blocks, counted from the output; None for all of them."""
    return top_blocks(names, modules) if isinstance(modules, int) else None


def _encode(encode: Callable[[Sample], list[Encoded]], sample: Sample) -> list[Encoded] | Problem:
    from sqsd_lint.encode import UnencodableError

    try:
        return encode(sample)
    except UnencodableError as error:
        return error.problem(sample)
