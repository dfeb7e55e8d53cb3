"""`serve`: a bundle and settings into a scoring service.

A request may ask for other settings than the service's own. Which ones, no list says: they are put into the
settings that the service was started with, and the scorer that comes out must score under exactly what was
asked for (`cached_scorer.scorer_settings`); else the request is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from sqsd_lint._version import __version__
from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.common.json_io import canonical
from sqsd_lint.common.progress import Status
from sqsd_lint.common.schema import validate
from sqsd_lint.config import TABLE, Settings
from sqsd_lint.config.schema import schema_of
from sqsd_lint.config.settings import Dtype
from sqsd_lint.errors import UsageError
from sqsd_lint.run.cached_scorer import scorer_settings
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.scoring.device import resolve
from sqsd_lint.scoring.uncovered_parameters import recall
from sqsd_lint.server.app import Service
from sqsd_lint.server.engine import Engine, EngineScorer
from sqsd_lint.server.wire import MOST_BYTES, MOST_ROWS, ServiceInfo, ServiceLimits
from sqsd_lint.types import Problem, Sample, Score

# Scorers that are kept, each with its adapters; models are counted apart.
_MOST_SCORERS = 8


class SharingScorer(ModelScorer):
    """A scorer whose base model others of the same number format share.

    Without a score cache it keeps no score at all: what is kept for a run alone would grow for as long as the
    service lives.
    """

    def __init__(
        self, models: ModelStore, bundle: Bundle, settings: Settings, *, cache_scores: bool, **more: Any
    ) -> None:
        super().__init__(bundle, settings, cache_scores=cache_scores, **more)
        self._models = models
        self._cache_scores = cache_scores

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores that the cache holds of samples, by fingerprint."""
        return super().recall(samples) if self._cache_scores else {}

    def remember(self, scored: Iterable[tuple[Sample, Score]]) -> None:
        """Put scores into the cache, if there is one."""
        if self._cache_scores:
            super().remember(scored)

    def base(self, *, for_scoring: bool = False) -> tuple[Any, Any]:
        """Return the model and its tokenizer, loaded once for all scorers of its number format."""
        return self._models.base(self)

    def load_base(self) -> tuple[Any, Any]:
        """Load them."""
        return super().base(for_scoring=True)


class WorstParts:
    """A scorer whose scores of rows are those of their worst parts."""

    def __init__(self, scorer: ModelScorer) -> None:
        self._scorer = scorer

    @property
    def model_notes(self) -> tuple[str, ...]:
        """What a report has to say of how the model renders and computes."""
        return self._scorer.model_notes

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores that are cached, by fingerprint."""
        return self._scorer.recall_parts(samples)

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield every sample once, in any order."""
        return self._scorer.score_parts(samples)

    def dropped(self, fingerprint: str) -> tuple[str, ...]:
        """Return what the chat template does not write of a sample that was recalled or scored."""
        return self._scorer.dropped(fingerprint)

    def forget_dropped(self) -> None:
        """Forget what `dropped` knows."""
        self._scorer.forget_dropped()


class ModelStore:
    """The models and scorers of a service. Used by the engine's thread alone.

    Args:
        settings: of the service; `dtype` and `device` are resolved.
        most_models: number formats whose model is kept in memory: rows near a threshold are scored in
            float32, whatever the other rows are scored in.
    """

    def __init__(self, bundle: Bundle, settings: Settings, *, cache_dir: Path, most_models: int) -> None:
        self.bundle = bundle
        self.settings = settings
        self._cache_dir = cache_dir
        self._most = most_models
        self._bases: OrderedDict[str, tuple[Any, Any]] = OrderedDict()
        self._scorers: OrderedDict[str, SharingScorer] = OrderedDict()

    def scorer(self, asked: Mapping[str, object]) -> EngineScorer:
        """Return the scorer for complete settings."""
        rows = self._scorer({name: value for name, value in asked.items() if name != "worst_part"})
        return WorstParts(rows) if asked.get("worst_part") is True else rows

    def _scorer(self, asked: Mapping[str, object]) -> SharingScorer:
        """Return the scorer of rows as a whole for complete settings."""
        key = canonical(asked)
        if key not in self._scorers:
            while len(self._scorers) >= _MOST_SCORERS:
                self._scorers.popitem(last=False)
            self._scorers[key] = SharingScorer(
                self,
                self.bundle,
                settings_for(self.bundle, self.settings, asked),
                cache_dir=self._cache_dir,
                cache_scores=self.settings.cache,
                exact=asked["exact"] is True,
            )
        self._scorers.move_to_end(key)
        return self._scorers[key]

    def base(self, scorer: SharingScorer) -> tuple[Any, Any]:
        """Return the model of a scorer's number format; others are let go where there is no room."""
        if scorer.dtype not in self._bases:
            while len(self._bases) >= self._most:
                gone, _ = self._bases.popitem(last=False)
                for other in self._scorers.values():
                    if other.dtype == gone:
                        other.release()
            self._bases[scorer.dtype] = scorer.load_base()
        self._bases.move_to_end(scorer.dtype)
        return self._bases[scorer.dtype]


def settings_for(bundle: Bundle, own: Settings, asked: Mapping[str, Any]) -> Settings:
    """Return the settings whose scores depend on exactly what is asked for, and on the service's own beside.

    Raises:
        UsageError: there are none: another bundle, number format or quantization, a setting that no score
            depends on, or a value that the setting cannot have.
    """
    changes = {}
    for name, value in asked.items():
        setting = TABLE.by_name.get(name)
        changeable = setting is not None and not setting.only_command_line
        if setting is not None and changeable and name not in ("bundle", "dtype", "quantize"):
            document = {setting.key: value}
            validate(document, schema_of(TABLE), source="settings", label=lambda path: path)
            changes[name] = value
    found = replace(own, **changes)
    exact = asked.get("exact", False)
    theirs = scorer_settings(
        bundle,
        found,
        dtype="float32" if exact is True else own.dtype,
        exact=exact is True,
        worst_part=asked.get("worst_part") is True,
    )
    for name, value in asked.items():
        if name not in theirs:
            raise UsageError(f"settings.{name}: no score of this service depends on it", hint=_REMEDY)
        if canonical(theirs[name]) != canonical(value):
            raise UsageError(
                f"settings.{name}: {value!a} is asked for, and this service scores with {theirs[name]!a}",
                hint=_REMEDY,
            )
    if found.max_length > own.max_length:
        raise UsageError(
            f"settings.max_length: {found.max_length} is asked for, and this service takes at most"
            f" {own.max_length}",
            hint="Start it with a larger --max-length.",
        )
    return found


_REMEDY = "Ask for what GET /v1/bundle says, or start the service so."


def complete(bundle: Bundle, own: Settings, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that scores depend on under the settings that are asked for.

    Raises:
        UsageError: as `settings_for`.
    """
    exact = asked.get("exact", False) is True
    found = settings_for(bundle, own, asked)
    return scorer_settings(
        bundle,
        found,
        dtype="float32" if exact else own.dtype,
        exact=exact,
        worst_part=asked.get("worst_part") is True,
    )


def make_service(
    settings: Settings,
    *,
    tokens: Sequence[str] = (),
    hosts: Sequence[str] = (),
    most_rows: int,
    most_models: int,
    status: Status | None = None,
) -> Service:
    """Return the service of a bundle; its model is loaded once the application starts.

    Args:
        tokens, hosts: see `server.app.Service`.
        most_rows: rows that may wait (`server.engine.Engine`).
        most_models: see `ModelStore`.

    Raises:
        BundleError: there is no such bundle, or it is not the locked one.
        UsageError: no such device or number format.
    """
    cache_dir = cache_root(Path(settings.cache_dir) if settings.cache_dir else None)
    bundle = open_for(settings, cache_dir=cache_dir, status=status)
    device, dtype = resolve(settings.device, settings.dtype, cache_dir)
    own = replace(settings, device=device, dtype=cast("Dtype", dtype))
    plain = complete(bundle, own, {})
    store = ModelStore(bundle, own, cache_dir=cache_dir, most_models=most_models)
    settled: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def load(scorer: object) -> None:
        assert isinstance(scorer, ModelScorer)
        scorer.parts()

    manifest = bundle.manifest.to_json()

    def info() -> ServiceInfo:
        return ServiceInfo(
            protocol=1,
            version=__version__,
            digest=bundle.digest,
            manifest=manifest,
            settings=plain,
            device=device,
            uncovered=recall(bundle.scoring_digest, cache_dir),
            parts=True,
            limits=ServiceLimits(MOST_ROWS, MOST_BYTES, own.max_length),
        )

    def settle(asked: Mapping[str, Any]) -> dict[str, Any]:
        # Every request of a run asks for the same, and checking it takes as long as scoring a short row.
        key = canonical(asked)
        if key not in settled:
            while len(settled) >= _MOST_SCORERS:
                settled.popitem(last=False)
            settled[key] = complete(bundle, own, asked)
        return settled[key]

    engine = Engine(store.scorer, plain, load, most_rows=most_rows)
    return Service(
        engine=engine,
        info=info,
        settle=settle,
        tokens=tuple(tokens),
        hosts=tuple(hosts),
    )
