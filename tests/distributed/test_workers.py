"""Processes that do jobs: all are done once, whoever dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.distributed.workers import ATTEMPTS, InProcess, Lost, Place, Processes, Queue, places_of
from sqsd_lint.errors import ModelError, SqsdLintError


@dataclass(frozen=True)
class Job:
    name: str


class Counter:
    """Notes every job that it begins in a file, and ends, fails or dies as the job's name says."""

    def __init__(self, log: Path, place: Place) -> None:
        self._log, self._place = log, place

    def facts(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "device": self._place.device}

    def score(self, job: Job) -> str:
        with self._log.open("a") as log:
            log.write(job.name + "\n")
        if job.name.startswith("fail"):
            raise ModelError("it does not fit", hint="make room")
        if job.name.startswith("bug"):
            raise ZeroDivisionError("a fault")
        once = job.name.startswith("once") and self._log.read_text().split().count(job.name) == 1
        if once or job.name.startswith("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        return job.name.upper()


@contextmanager
def processes(log: Path, count: int = 2) -> Iterator[Processes[Job, str]]:
    pool: Processes[Job, str] = Processes(partial(Counter, log), [Place(f"d{i}") for i in range(count)])
    try:
        yield pool
    finally:
        pool.close()
        assert all(worker.process.exitcode is not None for worker in pool._workers)


def jobs(*names: str) -> list[Job]:
    return [Job(name) for name in names]


def begun(log: Path) -> list[str]:
    return sorted(log.read_text().split())


def test_every_job_is_done_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with processes(log) as pool:
        facts = pool.facts()
        assert [each["device"] for each in facts] == ["d0", "d1"]
        assert [each["pid"] for each in facts] == pool.pids
        done = dict(each for each in pool.run(jobs(*"abcdefg")) if not isinstance(each, Lost))
        assert {job.name: answer for job, answer in done.items()} == {
            name: name.upper() for name in "abcdefg"
        }
        assert list(pool.run([])) == []
    assert begun(log) == list("abcdefg")


def test_a_worker_that_dies_costs_its_job_one_attempt_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with processes(log) as pool:
        before = set(pool.pids)
        found = list(pool.run(jobs("a", "once1", "b", "deadly", "c", "once2", "d")))
        assert len(set(pool.pids) - before) >= 1
    lost = [each for each in found if isinstance(each, Lost)]
    assert [each.job.name for each in lost] == ["deadly"]
    assert lost[0].error is None
    assert f"{ATTEMPTS} workers" in lost[0].message
    assert f"exit code -{signal.SIGKILL.value}" in lost[0].message
    done = sorted(each[0].name for each in found if not isinstance(each, Lost))
    assert done == ["a", "b", "c", "d", "once1", "once2"]
    assert begun(log) == ["a", "b", "c", "d", *["deadly"] * ATTEMPTS, *["once1"] * 2, *["once2"] * 2]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_job_ends_that_job_alone(tmp_path: Path, workers: int) -> None:
    log = tmp_path / "log"
    if workers == 1:
        found = list(InProcess(partial(Counter, log), Place()).run(jobs("a", "fail", "b")))
    else:
        with processes(log) as pool:
            found = list(pool.run(jobs("a", "fail", "b")))
    (lost,) = [each for each in found if isinstance(each, Lost)]
    assert (lost.job.name, lost.message) == ("fail", "it does not fit")
    assert isinstance(lost.error, SqsdLintError)
    assert lost.error.hint == "make room"
    assert len(found) == 3


def test_a_fault_of_the_program_is_raised_with_its_traceback(tmp_path: Path) -> None:
    with processes(tmp_path / "log") as pool, pytest.raises(RuntimeError, match="ZeroDivisionError: a fault"):
        list(pool.run(jobs("bug")))


def test_a_worker_that_died_in_idleness_is_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with processes(log, 1) as pool:
        pool.facts()
        os.kill(pool.pids[0], signal.SIGKILL)
        pool._workers[0].process.join()
        ((job, answer),) = [each for each in pool.run(jobs("a")) if not isinstance(each, Lost)]
    assert (job.name, answer) == ("a", "A")


def test_a_job_is_tried_a_few_times_and_comes_first_again() -> None:
    queue: Queue[Job] = Queue.of(jobs("a", "b"))
    first = queue.waiting.popleft()
    assert queue.lost_worker(first, "x") is None
    assert [job.name for job in queue.waiting] == ["a", "b"]
    for _ in range(ATTEMPTS - 2):
        assert queue.lost_worker(queue.waiting.popleft(), "x") is None
    lost = queue.lost_worker(queue.waiting.popleft(), "x")
    assert lost is not None
    assert lost.job.name == "a"


def test_workers_share_devices_or_cores() -> None:
    assert places_of(1, [], 8) == [Place()]
    assert places_of(3, [], 8) == [Place("", 2)] * 3
    assert places_of(9, [], 8) == [Place("", 1)] * 9
    assert places_of(2, ["cuda:0", "cuda:1"], 8) == [Place("cuda:0"), Place("cuda:1")]
    assert places_of(3, ["cuda:0", "cuda:1"], 8)[2] == Place("cuda:0")
