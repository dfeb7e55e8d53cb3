"""One bundle's scores by several processes of this machine, each with a model on a device of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.config import Settings
from sqsd_lint.errors import CannotScoreError
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.types import Problem, Sample, Score

if TYPE_CHECKING:
    from sqsd_lint.distributed.workers import Processes, WorkerPlace

# Samples that a worker gets at once: enough for batches of rows of like length, and few enough that no worker
# waits long for the last one. It does not depend on how many workers there are, so neither does a score.
CHUNK = 256


@dataclass(frozen=True, slots=True)
class SampleChunk:
    """Samples that a worker scores together.

    Attributes:
        name: what tells it from others of the run.
        parts: whether their worst parts are scored, not the rows as a whole.
    """

    name: str
    samples: tuple[Sample, ...]
    parts: bool = False


@dataclass(frozen=True, slots=True)
class ChunkScores:
    """The scores of a chunk, by fingerprint, what templates did not write of its samples, and notes."""

    scores: dict[str, Score | Problem]
    dropped: dict[str, tuple[str, ...]]
    notes: tuple[str, ...]


class ChunkWorker:
    """Scores chunks in a process of its own; the cache is the parent's."""

    def __init__(self, bundle: Bundle, settings: Settings, cache_dir: Path, place: WorkerPlace) -> None:
        settings = replace(settings, device=place.device or settings.device)
        self._scorer = ModelScorer(bundle, settings, cache_dir=cache_dir, cache_scores=False)

    def facts(self) -> dict[str, Any]:
        """Return what scores depend on here."""
        return self._scorer.asked

    def score(self, chunk: SampleChunk) -> ChunkScores:
        """Score the samples of a chunk."""
        self._scorer.forget_rows()
        score = self._scorer.score_parts if chunk.parts else self._scorer.score
        scores = {sample.fingerprint: answer for sample, answer in score(chunk.samples)}
        lost = {key: dropped for key in scores if (dropped := self._scorer.dropped(key))}
        return ChunkScores(scores, lost, self._scorer.model_notes)


class SpreadScorer(ModelScorer):
    """A scorer that uses all devices that the settings allow: one process each, where there are several.

    A model of this process is loaded where there is one device, and for what looks inside of it.
    """

    def __init__(self, bundle: Bundle, settings: Settings, *, cache_dir: Path, **more: Any) -> None:
        super().__init__(bundle, settings, cache_dir=cache_dir, **more)
        self._places: list[WorkerPlace] | None = None
        self._pool: Processes[SampleChunk, ChunkScores] | None = None
        self._chunks = 0
        self._worker_notes: dict[str, None] = {}

    @property
    def model_notes(self) -> tuple[str, ...]:
        """The notes that hold for all rows alike, of all workers."""
        return tuple(dict.fromkeys((*super().model_notes, *self._worker_notes)))

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield samples with their scores, chunk by chunk, each committed at once.

        Raises:
            CannotScoreError: a worker cannot load the model, or a chunk has cost several of them.
        """
        if self._in_this_process:
            yield from super().score(samples)
        else:
            yield from self._spread(samples)

    def score_parts(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield the score of each sample's worst part, otherwise as `score` does.

        Raises:
            CannotScoreError: as `score`.
        """
        if self._in_this_process:
            yield from super().score_parts(samples)
        else:
            yield from self._spread(samples, parts=True)

    @property
    def _in_this_process(self) -> bool:
        return len(self._where) == 1

    @property
    def _where(self) -> list[WorkerPlace]:
        if self._places is None:
            self._places = local_places(self._settings, self._settings.workers)
        return self._places

    def _spread(
        self, samples: Sequence[Sample], *, parts: bool = False
    ) -> Iterator[tuple[Sample, Score | Problem]]:
        from sqsd_lint.distributed.workers import Lost

        by_key = {sample.fingerprint: sample for sample in samples}
        for ended in self._workers(self._where).run(self._cut(samples, parts)):
            if isinstance(ended, Lost):
                raise ended.error or CannotScoreError(
                    f"rows could not be scored: {ended.message}", hint="Score with --workers 1 to see why."
                )
            _, found = ended
            self._worker_notes.update(dict.fromkeys(found.notes))
            answers = [(by_key[key], answer) for key, answer in found.scores.items()]
            for sample, _ in answers:
                self.note_dropped(sample, found.dropped.get(sample.fingerprint, ()))
            self.remember((sample, answer) for sample, answer in answers if isinstance(answer, Score))
            yield from answers

    def _cut(self, samples: Sequence[Sample], parts: bool) -> list[SampleChunk]:
        found = []
        for begin in range(0, len(samples), CHUNK):
            self._chunks += 1
            found.append(SampleChunk(str(self._chunks), tuple(samples[begin : begin + CHUNK]), parts))
        return found

    def _workers(self, places: Sequence[WorkerPlace]) -> Processes[SampleChunk, ChunkScores]:
        if self._pool is None:
            from sqsd_lint.distributed.workers import Processes

            if self._progress:
                self._progress.status(f"starting {len(places)} workers")
            make = partial(ChunkWorker, self.bundle, self._settings, self._cache_dir)
            self._pool = Processes(make, places)
            if any(facts != self.asked for facts in self._pool.facts()):
                raise CannotScoreError(
                    "a worker would score otherwise than another", hint="Name --dtype and --device."
                )
        return self._pool

    def release(self) -> None:
        """End the workers, and let go of the model."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        super().release()


def local_places(settings: Settings, workers: str) -> list[WorkerPlace]:
    """Return where workers run on this machine.

    Args:
        workers: "auto" is one for each CUDA device, and one alone where there is none; or how many.
    """
    from sqsd_lint.distributed.workers import places_of

    devices = _cuda_devices(settings) if workers != "1" else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return places_of(max(1, len(devices)) if workers == "auto" else int(workers), devices, cores)


def _cuda_devices(settings: Settings) -> list[str]:
    """Return the CUDA devices that workers may have; none where the settings name one or spread a model."""
    if settings.device not in ("auto", "cuda") or settings.device_map:
        return []
    from sqsd_lint.scoring.device import cuda_devices

    return cuda_devices()
