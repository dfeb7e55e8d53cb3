"""Scores by a service elsewhere: what is asked, what is kept, and what a report says of where rows went."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from sqsd_lint._version import __version__
from sqsd_lint.bundle.load import BundleInfo
from sqsd_lint.bundle.resolve import check_served
from sqsd_lint.common.escape import escape
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.config.settings import TOKEN_VARIABLE, Quantize
from sqsd_lint.errors import UsageError
from sqsd_lint.run.cached_scorer import CachedScorer, scorer_settings
from sqsd_lint.scoring.cache import cache_path
from sqsd_lint.server.client import ScoringClient
from sqsd_lint.server.wire import RowScore, ServiceInfo, encode, row_of
from sqsd_lint.types import Problem, Sample, Score

# What a request holds: enough to fill a batch, and little enough to be answered while others wait. A token
# of text is about four characters.
_REQUEST_ROWS = 64
_REQUEST_TOKENS = 4096
_CHARACTERS_PER_TOKEN = 4


class RemoteScorer(CachedScorer):
    """A scorer of samples by a service.

    Args:
        served: what the service said that it scores with.
        cache_dir: the cache folder; answers are kept there, apart from scores by models of this machine.
    """

    base_place: Path | None = None

    def __init__(
        self,
        client: ScoringClient,
        served: ServiceInfo,
        bundle: BundleInfo,
        settings: Settings,
        *,
        cache_dir: Path,
        cache_scores: bool,
        progress: Progress | None,
        exact: bool,
    ) -> None:
        dtype = "float32" if exact else str(served.settings.get("dtype"))
        super().__init__(
            bundle,
            settings,
            device=f"{served.device} at {urlsplit(client.url).netloc}",
            dtype=dtype,
            exact=exact,
            cache_path=cache_path(cache_dir) if cache_scores else None,
            origin=client.url,
        )
        self._client = client
        self._limits = served.limits
        self._max_length = settings.max_length
        self._progress = progress
        self.uncovered = served.uncovered
        self.why_no_parts = "" if served.parts else f"{client.url} scores whole rows alone"
        self._sent = 0
        self._recalled: set[str] = set()
        self._notes: dict[str, None] = {}
        if served.version != __version__:
            # Scores are the same unless one of the two renders or cuts rows otherwise, which no setting says.
            self._notes[
                f"{client.url} has sqsd-lint {escape(served.version)}, and this is {__version__}: where they"
                " differ in how rows are rendered, scores are the service's"
            ] = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Where rows went, how they were rendered there, and what templates drop."""
        sent = f"{self._sent:,} row{' was' if self._sent == 1 else 's were'} sent to {self._client.url}"
        known = f", the local cache has its answers for {len(self._recalled):,}" if self._recalled else ""
        return (f"{sent}{known}", *self._notes, *self.dropped_notes())

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the answers that the local cache holds, by fingerprint."""
        found = super().recall(samples)
        self._recalled.update(found)
        return found

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Have samples scored that the cache does not know; each answer is committed as it comes.

        Yields them as the service answers. One that is larger than the service takes comes back as a Problem.

        Raises:
            ScorerError: the service cannot be reached, refuses, or does not answer as it must.
        """
        yield from self._ask(samples, self.asked)

    def score_parts(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield the score of each sample's worst part, otherwise as `score` does.

        Raises:
            ScorerError: as `score`.
        """
        yield from self._ask(samples, {**self.asked, "worst_part": True})

    def _ask(
        self, samples: Sequence[Sample], asked: Mapping[str, object]
    ) -> Iterator[tuple[Sample, Score | Problem]]:
        if self._progress:
            self._progress.status(f"{len(samples):,} rows go to {self._client.url}")
        by_key = {sample.fingerprint: sample for sample in samples}
        too_large: list[Sample] = []
        requests = self._requests(samples, too_large)
        for answer in self._client.scores(requests, dict(asked), self.bundle):
            self._notes.update(dict.fromkeys(answer.notes))
            answered: list[tuple[Sample, Score | Problem]] = []
            for row in answer.rows:
                sample = by_key[row.fingerprint]
                if isinstance(row, RowScore):
                    self.note_dropped(sample, row.dropped)
                    answered.append((sample, row.score(exact=self.exact)))
                else:
                    problem = Problem(
                        row.code, sample.where, row.message, row.hint, fingerprint=row.fingerprint
                    )
                    answered.append((sample, problem))
            self.remember((sample, one) for sample, one in answered if isinstance(one, Score))
            yield from answered
        for sample in too_large:
            yield (
                sample,
                Problem(
                    "SQSD301",
                    sample.where,
                    f"the row is larger than the {self._limits.bytes:,} bytes that the scoring service takes",
                    "cut the row, or score here: --no-scorer",
                    fingerprint=sample.fingerprint,
                ),
            )

    def _requests(self, samples: Sequence[Sample], too_large: list[Sample]) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows of each request, rows of like length together; what fits into none is set apart."""
        rows: list[dict[str, Any]] = []
        tokens = size = 0
        most = min(_REQUEST_ROWS, self._limits.rows)
        room = self._limits.bytes - 4096 - len(encode(self.asked))
        for sample in sorted(samples, key=_length, reverse=True):
            row = row_of(sample)
            row_size = len(encode(row)) + 1
            if row_size > room:
                too_large.append(sample)
                continue
            row_tokens = min(_length(sample) // _CHARACTERS_PER_TOKEN + 1, self._max_length)
            full = tokens + row_tokens > _REQUEST_TOKENS or size + row_size > room
            if rows and (len(rows) == most or full):
                self._sent += len(rows)
                yield rows
                rows, tokens, size = [], 0, 0
            rows.append(row)
            tokens += row_tokens
            size += row_size
        if rows:
            self._sent += len(rows)
            yield rows

    def release(self) -> None:
        """Do nothing: no model is held here."""


class ScoringService:
    """Scores by the service that the settings name, with the bundle that it has.

    Raises:
        ScorerError: it cannot be reached, or does not say what it scores with.
        BundleError: its bundle is not the locked or named one.
        UsageError: settings that it cannot score under, or several bundles.
    """

    def __init__(self, settings: Settings, *, cache_dir: Path, progress: Progress | None = None) -> None:
        assert settings.scorer
        if len(settings.opinions) > 1:
            raise UsageError(
                f"--scorer {settings.scorer} has one bundle, and several are named",
                hint="name one bundle, or score here: --no-scorer",
            )
        self._client = ScoringClient(
            settings.scorer,
            token=os.environ.get(TOKEN_VARIABLE, "").strip(),
            timeout=settings.scorer_timeout,
        )
        if progress:
            progress.status(f"asking {self._client.url} what it scores with")
        self._served, self.bundle = self._client.info()
        if progress:
            progress.stop()
        check_served(self.bundle, settings, f"the scoring service {self._client.url}", cache_dir=cache_dir)
        self._settings = self._as_served(settings)
        self._cache_dir = cache_dir
        self._progress = progress

    def scorer(self, *, exact: bool, cache_scores: bool) -> RemoteScorer:
        """Return a scorer; nothing is sent before a row is scored."""
        return RemoteScorer(
            self._client,
            self._served,
            self.bundle,
            self._settings,
            cache_dir=self._cache_dir,
            cache_scores=cache_scores,
            progress=self._progress,
            exact=exact,
        )

    def float32_scorer(self, *, cache_scores: bool) -> None:
        """Return none: the service chooses what it computes in."""

    def _as_served(self, settings: Settings) -> Settings:
        """Return the settings with what is the service's to choose: number format and quantization.

        Raises:
            UsageError: others are asked for; or the service does not say under which settings it scores.
        """
        said = self._served.settings
        for name, value in (("dtype", settings.dtype), ("quantize", settings.quantize)):
            if value not in (None, "auto") and value != said.get(name):
                raise UsageError(
                    f"--{name} {value}: the scoring service {self._client.url} has"
                    f" {said.get(name) or 'no such weights'}",
                    hint=f"leave --{name} out, or start the service so",
                )
        quantize = said.get("quantize")
        if quantize not in (None, "4bit", "8bit") or not isinstance(said.get("dtype"), str):
            raise self._client.error("does not say under which settings it scores")
        found = replace(settings, quantize=cast("Quantize | None", quantize))
        own = scorer_settings(self.bundle, replace(found, metric=None, expansion=None), dtype="", exact=False)
        # It would score under what is its own and not asked for here; what only is asked for it can refuse.
        if unknown := sorted(set(said) - set(own)):
            raise self._client.error(
                f"scores under settings that differ from those here: {', '.join(unknown)}",
                "use the same version of sqsd-lint and the same settings on both sides",
            )
        return found


def _length(sample: Sample) -> int:
    return sum(len(message.content) for message in sample.messages)
