"""What does the work: a worker, the order of its jobs, and the processes of one machine that do them.

A job is a shard, or rows that are scored together; what it is does not matter here.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar

from sqsd_lint.errors import CannotScoreError, SqsdLintError

# How often a shard may cost its worker before it is given up: once may be chance, three times is the shard.
ATTEMPTS = 3
# CPU cores of a worker where nobody says how many: with more, a model's threads gain little.
CORES = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs.

    Attributes:
        device: name of the device that it computes on; "" as the settings say.
        threads: CPU threads that it may use; None as many as it finds.
    """

    device: str = ""
    threads: int | None = None


class Job(Protocol):
    """What is done at once, and repeated where a worker is lost."""

    @property
    def name(self) -> str:
        """What tells it from the others of a run."""


J = TypeVar("J", bound=Job)
R = TypeVar("R")
J_in = TypeVar("J_in", bound=Job, contravariant=True)
R_out = TypeVar("R_out", covariant=True)


class Worker(Protocol[J_in, R_out]):
    """Does jobs, one after the other, with one model."""

    def facts(self) -> dict[str, Any]:
        """Return what scores depend on here, in plain JSON; the model is not loaded for it."""

    def score(self, job: J_in, /) -> R_out:
        """Do a job."""


MakeWorker = Callable[[Place], Worker[J, R]]


@dataclass(frozen=True, slots=True)
class Lost(Generic[J]):
    """A job that is given up.

    Attributes:
        error: the error that it ends in; None where it costs every worker that tries.
    """

    job: J
    message: str
    error: SqsdLintError | None = None


class Pool(Protocol[J, R_out]):
    """Workers that are there: processes of this machine, or actors of a cluster."""

    def facts(self) -> list[dict[str, Any]]:
        """Return the facts of every worker."""

    def run(self, jobs: Sequence[J]) -> Iterator[tuple[J, R_out] | Lost[J]]:
        """Yield jobs with what they give, in the order in which they end."""

    def close(self) -> None:
        """End the workers."""


@dataclass
class Queue(Generic[J]):
    """The jobs of a run that wait, and how often each has cost a worker."""

    waiting: deque[J]
    attempts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, jobs: Sequence[J]) -> Queue[J]:
        return cls(deque(jobs))

    def lost_worker(self, job: J, why: str) -> Lost[J] | None:
        """Put the job of a lost worker in front again, or give it up."""
        tried = self.attempts[job.name] = self.attempts.get(job.name, 0) + 1
        if tried >= ATTEMPTS:
            return Lost(job, f"it has cost {tried} workers: {why}")
        self.waiting.appendleft(job)
        return None


class InProcess(Generic[J, R]):
    """One worker, in this very process."""

    def __init__(self, make: MakeWorker[J, R], place: Place) -> None:
        self._worker = make(place)

    def facts(self) -> list[dict[str, Any]]:
        return [self._worker.facts()]

    def run(self, jobs: Sequence[J]) -> Iterator[tuple[J, R] | Lost[J]]:
        for job in jobs:
            try:
                yield job, self._worker.score(job)
            except SqsdLintError as error:
                yield Lost(job, error.message, error)

    def close(self) -> None:
        return


class Processes(Generic[J, R]):
    """A process for each place on this machine.

    A process that dies is replaced, and its job is done again. One whose parent dies ends after its job.
    """

    def __init__(self, make: MakeWorker[J, R], places: Sequence[Place]) -> None:
        self._make = make
        # A fork would take over threads and the state of CUDA.
        self._context = multiprocessing.get_context("spawn")
        self._workers = [self._start(place) for place in places]

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that are there."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def facts(self) -> list[dict[str, Any]]:
        found = []
        for worker in self._workers:
            worker.connection.send(None)
        for worker in self._workers:
            try:
                answer = worker.connection.recv()
            except EOFError:
                raise CannotScoreError(
                    f"a worker ended with the exit code {worker.exit_code()} before it had begun",
                    hint="Score with --workers 1 to see why.",
                ) from None
            if isinstance(answer, Exception):
                raise answer
            found.append(answer)
        return found

    def run(self, jobs: Sequence[J]) -> Iterator[tuple[J, R] | Lost[J]]:
        queue = Queue.of(jobs)
        self._hand_out(queue)
        while busy := [worker for worker in self._workers if worker.job is not None]:
            ready = wait([worker.connection for worker in busy])
            for worker in [each for each in busy if each.connection in ready]:
                job, worker.job = worker.job, None
                assert job is not None
                try:
                    answer = worker.connection.recv()
                except (EOFError, ConnectionError):
                    code = worker.exit_code()
                    self._workers[self._workers.index(worker)] = self._start(worker.place)
                    lost = queue.lost_worker(job, f"the last ended with the exit code {code}")
                    if lost:
                        yield lost
                    continue
                if isinstance(answer, SqsdLintError):
                    yield Lost(job, answer.message, answer)
                elif isinstance(answer, Exception):
                    raise answer
                else:
                    yield job, answer
            self._hand_out(queue)

    def _hand_out(self, queue: Queue[J]) -> None:
        for at, worker in enumerate(self._workers):
            if worker.job is not None or not queue.waiting:
                continue
            job = queue.waiting.popleft()
            try:
                worker.connection.send(job)
            except (BrokenPipeError, ConnectionError):  # it has died in idleness
                worker = self._workers[at] = self._start(worker.place)
                worker.connection.send(job)
            worker.job = job

    def close(self) -> None:
        for worker in self._workers:
            worker.connection.close()
            if worker.job is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def _start(self, place: Place) -> _Process[J]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._make, place, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Process(place, process, ours)


@dataclass
class _Process(Generic[J]):
    place: Place
    process: BaseProcess
    connection: Connection
    job: J | None = None

    def exit_code(self) -> int | None:
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _serve(make: MakeWorker[Any, Any], place: Place, connection: Connection) -> None:
    """Answer jobs with what they give, until the other end is closed."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    if place.threads is not None:  # before anything imports torch
        os.environ["OMP_NUM_THREADS"] = str(place.threads)
    worker: Worker[Any, Any] | None = None
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        answer: Any
        try:
            worker = worker or make(place)
            answer = worker.facts() if job is None else worker.score(job)
        except SqsdLintError as error:
            answer = error
        except Exception:  # a fault of the program: its traceback has to reach the parent, whatever it is
            answer = RuntimeError(f"a worker failed:\n{traceback.format_exc()}")
        try:
            connection.send(answer)
        except (BrokenPipeError, ConnectionError):
            return


def places_of(workers: int, devices: Sequence[str], cores: int) -> list[Place]:
    """Return a place for each worker: a device each, or its part of the CPU cores.

    Args:
        devices: names of the devices to spread workers over; none where they share the CPU.
    """
    if devices:
        return [Place(devices[number % len(devices)]) for number in range(workers)]
    if workers == 1:
        return [Place()]
    return [Place("", max(1, cores // workers)) for _ in range(workers)]
