"""One thread that scores: rows of several requests in one batch, a queue with a limit.

The thread owns everything that torch or SQLite hold. Requests that wait and want the same settings are taken
together, up to `GROUP_ROWS`, and the scorer cuts their rows into batches by its token budget; each request is
answered as soon as its last row is scored.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from sqsd_lint.common.json_io import canonical
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.server.wire import RowProblem, RowScore, texts
from sqsd_lint.types import Problem, Sample, Score

GROUP_ROWS = 256
# What a client that finds the queue full is asked to wait, in seconds.
_SHORTEST_WAIT, _LONGEST_WAIT = 1, 60


class EngineScorer(Protocol):
    """What the engine needs of a scorer; `run.model_scorer.ModelScorer` is one."""

    @property
    def model_notes(self) -> tuple[str, ...]:
        """What a report has to say of how the model renders and computes."""

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        """Return the scores that are cached, by fingerprint."""

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        """Yield every sample once, in any order."""

    def dropped(self, fingerprint: str) -> tuple[str, ...]:
        """Return what the chat template does not write of a sample that was recalled or scored."""

    def forget_dropped(self) -> None:
        """Forget what `dropped` knows."""


class QueueFullError(Exception):
    """So many rows wait that a request would wait too long.

    Attributes:
        retry_after: seconds to wait before asking again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many rows wait")
        self.retry_after = retry_after


class StoppedError(Exception):
    """The service is shutting down."""


@dataclass(slots=True)
class Answered:
    """The answer to a request.

    Attributes:
        rows: by fingerprint.
        cached: how many of them the cache had.
        waited, computed: seconds in the queue, and from then to the last row.
    """

    rows: dict[str, RowScore | RowProblem] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cached: int = 0
    waited: float = 0.0
    computed: float = 0.0


@dataclass(slots=True, eq=False)
class _Job:
    samples: dict[str, Sample]
    settings: Mapping[str, object]
    key: str
    asked_at: float
    future: Future[Answered] = field(default_factory=Future)
    answer: Answered = field(default_factory=Answered)

    @property
    def open(self) -> bool:
        return not self.future.done()


@dataclass(slots=True)
class EngineCounts:
    """What the engine has done, for metrics; only its thread writes.

    Attributes:
        scored, cached, problems: rows.
        tokens: answer tokens of rows that were scored.
        busy: seconds with a group at work.
        groups: how many were.
    """

    scored: int = 0
    cached: int = 0
    problems: int = 0
    tokens: int = 0
    busy: float = 0.0
    groups: int = 0


class Engine:
    """Score the rows of requests in a thread of its own.

    Args:
        make: returns the scorer for settings; called in the thread, and again for every group.
        first: the settings whose scorer is made, and its model loaded, before any request.
        load: loads the model of a scorer.
        most_rows: rows that may wait or be at work; a request that finds no other waiting is always taken.

    Attributes:
        counts: what was done.
        ready: whether the model is loaded.
        failure: why it could not be loaded.
        on_failure: told of that in the thread.
    """

    def __init__(
        self,
        make: Callable[[Mapping[str, object]], EngineScorer],
        first: Mapping[str, object],
        load: Callable[[EngineScorer], object],
        *,
        most_rows: int,
    ) -> None:
        self._make = make
        self._first = first
        self._load = load
        self._most_rows = most_rows
        self._queue: deque[_Job] = deque()
        self._rows = 0  # waiting or at work
        self._changed = threading.Condition()
        self._stopping = False
        self._rate = 0.0  # rows a second, of late
        self.counts = EngineCounts()
        self.ready = False
        self.failure: SqsdLintError | None = None
        self.on_failure: Callable[[], None] = lambda: None
        # A daemon: a batch that never ends must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="sqsd-lint-engine", daemon=True)

    def start(self) -> None:
        """Start the thread, which loads the model first."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs; false before `start` and after `stop`."""
        return self._thread.is_alive()

    @property
    def rows(self) -> int:
        """How many rows wait or are at work."""
        return self._rows

    def submit(self, samples: Sequence[Sample], settings: Mapping[str, object]) -> Future[Answered]:
        """Put rows into the queue; a future that is cancelled before its turn is passed by.

        Args:
            settings: complete and checked: what the scorer's cache key is made of.

        Raises:
            QueueFullError: too many rows wait.
            StoppedError: the service is shutting down.
        """
        unique = {sample.fingerprint: sample for sample in samples}
        job = _Job(unique, settings, canonical(settings), time.monotonic())
        with self._changed:
            if self._stopping:
                raise StoppedError
            if self._rows and self._rows + len(unique) > self._most_rows:
                raise QueueFullError(self._wait())
            self._queue.append(job)
            self._rows += len(unique)
            self._changed.notify_all()
        return job.future

    def stop(self) -> None:
        """Fail what waits, end after the batch at work, and wait a little for that."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def _wait(self) -> int:
        seconds = self._rows / self._rate if self._rate else _SHORTEST_WAIT
        return round(min(max(seconds / 2, _SHORTEST_WAIT), _LONGEST_WAIT))

    def _run(self) -> None:
        try:
            self._load(self._make(self._first))
            self.ready = True
        except SqsdLintError as error:
            self.failure = error
            self.on_failure()
        while (group := self._take()) is not None:
            self._work(group)
        for job in self._queue:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(StoppedError())

    def _take(self) -> list[_Job] | None:
        """Return the first job that waits and others with the same settings; None once the engine stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping)
            if self._stopping:
                return None
            group: list[_Job] = []
            rest: deque[_Job] = deque()
            rows = 0
            for job in self._queue:
                fits = not group or (job.key == group[0].key and rows + len(job.samples) <= GROUP_ROWS)
                if job.future.cancelled():
                    self._rows -= len(job.samples)
                elif fits and job.future.set_running_or_notify_cancel():
                    group.append(job)
                    rows += len(job.samples)
                else:
                    rest.append(job)
            self._queue = rest
            return group

    def _work(self, group: list[_Job]) -> None:
        begun = time.monotonic()
        for job in group:
            job.answer.waited = begun - job.asked_at
        try:
            self._score(group)
        except Exception as error:
            # One request's row must not fail the others': whoever is left is scored alone.
            left = [job for job in group if job.open]
            if len(group) == 1 or self._stopping:
                for job in left:
                    job.future.set_exception(error)
            else:
                for job in left:
                    job.answer = Answered(waited=job.answer.waited)
                    self._work_alone(job)
        seconds = time.monotonic() - begun
        rows = sum(len(job.samples) for job in group)
        with self._changed:
            self._rows -= rows
            if seconds > 0 and group:
                now = rows / seconds
                self._rate = now if not self._rate else 0.7 * self._rate + 0.3 * now
        self.counts.busy += seconds
        self.counts.groups += bool(group)

    def _work_alone(self, job: _Job) -> None:
        try:
            self._score([job])
        except Exception as error:
            job.future.set_exception(error)

    def _score(self, group: list[_Job]) -> None:
        """Answer jobs of the same settings.

        Raises:
            Exception: what the scorer raises; jobs that are complete by then have their answer.
        """
        if not group:
            return
        begun = time.monotonic()
        scorer = self._make(group[0].settings)
        samples = {key: sample for job in group for key, sample in job.samples.items()}
        wanted: dict[str, list[_Job]] = {}
        for job in group:
            for key in job.samples:
                wanted.setdefault(key, []).append(job)

        def deliver(key: str, row: RowScore | RowProblem, *, cached: bool = False) -> None:
            for job in wanted[key]:
                job.answer.rows[key] = row
                job.answer.cached += cached
                if len(job.answer.rows) == len(job.samples):
                    job.answer.notes = texts(scorer.model_notes)
                    job.answer.computed = time.monotonic() - begun
                    job.future.set_result(job.answer)

        known = scorer.recall(samples)
        self.counts.cached += len(known)
        for key, score in known.items():
            deliver(key, RowScore.of(score, scorer.dropped(key)), cached=True)
        missing = [sample for key, sample in samples.items() if key not in known]
        for sample, found in scorer.score(missing) if missing else ():
            key = sample.fingerprint
            if isinstance(found, Problem):
                self.counts.problems += 1
                deliver(key, RowProblem.of(key, found))
            else:
                self.counts.scored += 1
                self.counts.tokens += found.tokens
                deliver(key, RowScore.of(found, scorer.dropped(key)))
            if self._stopping:
                raise StoppedError
        scorer.forget_dropped()
