"""Workers on a Ray cluster: a pool of actors, each with its model loaded once, that are handed shards.

It is an actor pool and not Ray Data, since no data flows: a worker gets a descriptor of some hundred bytes
and leaves a file, and that a shard is finished is told by its file. So nothing goes through the object store,
a shard that is lost is one task to repeat, and a run that is started again asks the folder, not the cluster.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sqsd_lint.common.extras import missing_extra
from sqsd_lint.distributed.shards import Shard
from sqsd_lint.distributed.table import Done
from sqsd_lint.distributed.workers import ATTEMPTS, CORES, Lost, MakeWorker, Queue, Worker, WorkerPlace
from sqsd_lint.errors import CannotScoreError, SqsdLintError, UsageError

# Bytes of the object store of a cluster that is started here: descriptors are small.
_STORE = 80 << 20
# A worker that cannot be started for so long is named, and waited for no more.
_PATIENCE_S = 600.0
_CONNECT_S = 10.0
_GRACE_S = 10.0


class Actors:
    """An actor for each device of a cluster.

    Each has one shard at a time: no more are handed out than are worked on, a fast worker gets more of them,
    and with a lost one no other shard is lost. Another takes its place, wherever there is room, and its shard
    is scored again.

    Args:
        address: "auto", or a URL; "" for RAY_ADDRESS, else a cluster of this machine that ends with the run.
        workers: "auto": one for each GPU of the cluster, else one for each 4 CPUs of each node; or how many.
        device: as the settings have it.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: no cluster answers.
    """

    def __init__(self, make: MakeWorker[Shard, Done], *, address: str, workers: str, device: str) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise missing_extra(error) or error from None
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            self._connect(address)
        try:
            gpus = device in ("auto", "cuda") and ray.cluster_resources().get("GPU", 0) >= 1
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            count, resources = _shape(workers, gpus, nodes)
            threads = None if gpus else max(1, int(resources["num_cpus"]))
            # A call of an actor that Ray starts again fails at once: a lost one is replaced instead.
            kind = ray.remote(_Actor).options(max_restarts=0, max_task_retries=0, **resources)
            self._start = partial(kind.remote, make, WorkerPlace("cuda" if gpus else "", threads))
            self._actors = [self._start() for _ in range(count)]
        except BaseException:
            self.close()
            raise

    def _connect(self, address: str) -> None:
        named = address or os.environ.get("RAY_ADDRESS", "")
        if named and not _answers(named):
            raise _no_cluster(named, "the connection was refused, or took too long")
        more: dict[str, Any] = {} if named else {"object_store_memory": _STORE, "include_dashboard": False}
        try:
            self._ray.init(address=named or "local", log_to_driver=False, logging_level="ERROR", **more)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(named or "this machine", str(error)[:200]) from None

    def facts(self) -> list[dict[str, Any]]:
        waiting = [actor.facts.remote() for actor in self._actors]
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=_PATIENCE_S)
        if not ready:
            raise CannotScoreError(
                f"no worker has started within {_PATIENCE_S:.0f} s",
                hint="`ray status` shows what the cluster waits for. Ask for fewer: --workers N.",
            )
        # Those that are later get shards once they are there, and refuse what they would score otherwise.
        ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=_GRACE_S)
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
        ray, errors = self._ray, self._ray.exceptions
        queue = Queue.of(shards)
        # Only an actor that is there gets a shard: one that waits for room must not keep it from others.
        starting = {actor.pid.remote(): actor for actor in self._actors}
        running: dict[Any, tuple[Any, Shard]] = {}
        free: list[Any] = []
        failed = 0
        while queue.waiting or running:
            while free and queue.waiting:
                actor, shard = free.pop(), queue.waiting.popleft()
                running[actor.score.remote(shard)] = (actor, shard)
            (reference, *_), _ = ray.wait([*running, *(starting if queue.waiting else ())], num_returns=1)
            shard_of = running.pop(reference, None)
            actor = shard_of[0] if shard_of else starting.pop(reference)
            try:
                answer: Done | SqsdLintError = ray.get(reference)
            except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
                new = self._replace(actor)
                starting[new.pid.remote()] = new
                if shard_of is None:
                    failed += 1
                    if failed >= ATTEMPTS * len(self._actors):
                        raise CannotScoreError(
                            f"{failed} workers were lost before they began: {_first_line(error)}",
                            hint="`ray logs` may tell why.",
                        ) from None
                elif lost := queue.lost_worker(shard_of[1], _first_line(error)):
                    yield lost
                continue
            free.append(actor)
            if shard_of is None:
                continue
            if isinstance(answer, SqsdLintError):
                yield Lost(shard_of[1], answer.message, answer)
            else:
                yield shard_of[1], answer

    def _replace(self, actor: Any) -> Any:
        """Start another actor in the place of a lost one, and return it."""
        with contextlib.suppress(Exception):
            self._ray.kill(actor)
        new = self._start()
        self._actors[self._actors.index(actor)] = new
        return new

    def close(self) -> None:
        for actor in getattr(self, "_actors", ()):
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()


class _Actor:
    def __init__(self, make: MakeWorker[Shard, Done], place: WorkerPlace) -> None:
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


def _answers(address: str) -> bool:
    """Tell whether anything listens at an address with a port: Ray itself would try for minutes."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        port = parts.port
    except ValueError:
        return False
    if not port or not parts.hostname:
        return True  # "auto", or a form of address that Ray knows
    try:
        socket.create_connection((parts.hostname, port), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


def _no_cluster(address: str, why: str) -> UsageError:
    return UsageError(
        f"--ray-address: no Ray cluster answers at {address}: {why}",
        hint="Start one with `ray start --head`, or name its address.",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
