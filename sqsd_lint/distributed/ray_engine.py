"""Workers on a Ray cluster: a pool of actors, each with its model loaded once, that are handed shards.

It is an actor pool and not Ray Data, since no data flows: a worker gets a descriptor of some hundred bytes
and leaves a file, and that a shard is finished is told by its file. So nothing goes through the object store,
a shard that is lost is one task to repeat, and a run that is started again asks the folder, not the cluster.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from sqsd_lint.distributed.shards import Shard
from sqsd_lint.distributed.table import Done
from sqsd_lint.distributed.workers import CORES, Lost, MakeWorker, Place, Queue, Worker
from sqsd_lint.errors import CannotScoreError, SqsdLintError, UsageError

_NO_RAY = 'pip install "sqsd-lint[ray]"'
# Bytes of the object store of a cluster that is started here: descriptors are small.
_STORE = 80 << 20
# A worker that cannot be started for so long is named, and waited for no more.
_PATIENCE_S = 600.0


class Actors:
    """An actor for each device of a cluster.

    Each has one shard at a time: no more are handed out than are worked on, a fast worker gets more of them,
    and with a lost one no other shard is lost. Ray starts it again, wherever there is room, and its shard is
    scored again.

    Args:
        address: "auto", or a URL; "" for RAY_ADDRESS, else a cluster of this machine that ends with the run.
        workers: "auto": one for each GPU of the cluster, else one for each 4 CPUs of each node; or how many.
        device: as the settings have it.

    Raises:
        UsageError: Ray is not installed, or no cluster answers.
        CannotScoreError: no worker starts.
    """

    def __init__(self, make: MakeWorker[Shard, Done], *, address: str, workers: str, device: str) -> None:
        try:
            import ray
        except ImportError:
            raise UsageError("--engine ray: Ray is not installed", hint=_NO_RAY) from None
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            self._connect(address)
        try:
            gpus = device in ("auto", "cuda") and ray.cluster_resources().get("GPU", 0) >= 1
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            count, resources = _shape(workers, gpus, nodes)
            actor = ray.remote(_Actor).options(
                max_restarts=-1, max_task_retries=0, max_concurrency=1, **resources
            )
            threads = None if gpus else max(1, int(resources["num_cpus"]))
            place = Place("cuda" if gpus else "", threads)
            self._actors = [actor.remote(make, place) for _ in range(count)]
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The process numbers of the actors, on whichever node each is."""
        return list(self._ray.get([actor.pid.remote() for actor in self._actors]))

    def _connect(self, address: str) -> None:
        named = address or os.environ.get("RAY_ADDRESS", "")
        more: dict[str, Any] = {} if named else {"object_store_memory": _STORE, "include_dashboard": False}
        try:
            self._ray.init(address=named or "local", log_to_driver=False, logging_level="ERROR", **more)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"--ray-address: no Ray cluster answers at {named or 'this machine'}: {str(error)[:200]}",
                hint="Start one with `ray start --head`, or name its address.",
            ) from None

    def facts(self) -> list[dict[str, Any]]:
        waiting = [actor.facts.remote() for actor in self._actors]
        ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=_PATIENCE_S)
        if not ready:
            raise CannotScoreError(
                f"no worker has started within {_PATIENCE_S:.0f} s",
                hint="`ray status` shows what the cluster waits for. Ask for fewer: --workers N.",
            )
        # Those that are late get shards once they are there, and refuse what they would score otherwise.
        return [self._answer(each) for each in ready]

    def _answer(self, reference: Any) -> Any:
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            raise CannotScoreError(
                f"a worker was lost: {_first_line(error)}", hint="See `ray logs`."
            ) from None
        if isinstance(answer, SqsdLintError):
            raise answer
        return answer

    def run(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, Done] | Lost[Shard]]:
        queue = Queue.of(shards)
        running: dict[Any, tuple[Any, Shard]] = {}
        errors = self._ray.exceptions

        def hand_out() -> None:
            free = [each for each in self._actors if all(each is not owner for owner, _ in running.values())]
            for actor in free:
                if queue.waiting:
                    shard = queue.waiting.popleft()
                    running[actor.score.remote(shard)] = (actor, shard)

        hand_out()
        while running:
            (reference, *_), _ = self._ray.wait(list(running), num_returns=1)
            _, shard = running.pop(reference)
            try:
                answer: Done | SqsdLintError = self._ray.get(reference)
            except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
                if lost := queue.lost_worker(shard, _first_line(error)):
                    yield lost
            else:
                if isinstance(answer, SqsdLintError):
                    yield Lost(shard, answer.message, answer)
                else:
                    yield shard, answer
            hand_out()

    def close(self) -> None:
        for actor in getattr(self, "_actors", ()):
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()


class _Actor:
    def __init__(self, make: MakeWorker[Shard, Done], place: Place) -> None:
        if place.threads is not None and "torch" not in sys.modules:
            os.environ["OMP_NUM_THREADS"] = str(place.threads)
        self._make = make
        self._place = place
        self._worker: Worker[Shard, Done] | None = None

    def pid(self) -> int:
        return os.getpid()

    def facts(self) -> dict[str, Any] | SqsdLintError:
        try:
            return self._loaded().facts()
        except SqsdLintError as error:  # as a value: Ray would wrap it
            return error

    def score(self, shard: Shard) -> Done | SqsdLintError:
        try:
            return self._loaded().score(shard)
        except SqsdLintError as error:
            return error

    def _loaded(self) -> Worker[Shard, Done]:
        self._worker = self._worker or self._make(self._place)
        return self._worker


def _shape(workers: str, gpus: bool, nodes: Sequence[dict[str, float]]) -> tuple[int, dict[str, float]]:
    """Return how many workers there are to be, and what each takes of a node."""
    if gpus:
        found = int(sum(node.get("GPU", 0) for node in nodes))
        return (found if workers == "auto" else int(workers)), {"num_gpus": 1, "num_cpus": 1}
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    if workers == "auto":
        least = min((each for each in cpus if each), default=1)
        each = min(CORES, least)
        return max(1, sum(node // each for node in cpus)), {"num_cpus": each}
    return int(workers), {"num_cpus": max(1, min(CORES, sum(cpus) // int(workers)))}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
