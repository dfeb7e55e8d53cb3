"""A real Ray cluster of two nodes on this machine: the same scores as one process, killed and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.distributed.ray_engine import _shape
from sqsd_lint.errors import UsageError
from sqsd_lint.run import score_shards
from sqsd_lint.run.score_shards import Plan, score_into
from tests.distributed.conftest import digests, finish

Run = Callable[..., Settings]
Command = Callable[..., list[str]]
MINUTES = 10


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes with one CPU each; they end with the module."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 << 20}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        made.add_node(**node)
        yield made.address
    finally:
        made.shutdown()


def wait_for_shards(folder: Path, count: int, running: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until so many shards are finished."""
    for _ in range(MINUTES * 600):
        if len(digests(folder)) >= count:
            return
        assert running is None or running.poll() is None, "the run has ended before"
        time.sleep(0.1)
    pytest.fail(f"{count} shards are not finished after {MINUTES} minutes")


@pytest.mark.slow
def test_two_nodes_score_as_one_process_does_and_a_killed_driver_loses_no_finished_shard(
    run: Run, command: Command, cluster: str, tmp_path: Path
) -> None:
    score_into(run(), Plan(tmp_path / "one", "1", rows=4))
    folder = tmp_path / "ray"
    more = ("--output-dir", str(folder), "--shard-rows", "4", "--no-progress")
    on_cluster = command("score", *more, "--engine", "ray", "--ray-address", cluster, "--workers", "2")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    driver = subprocess.Popen(on_cluster, stderr=subprocess.DEVNULL, env=environment)
    wait_for_shards(folder, 2, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    finished = digests(folder)
    # Rows of two faults have no score, so that the whole run exits with 3.
    said = finish(on_cluster, 3)
    resumed = int(said.split(" finished before")[0].rsplit(" ", 1)[1])
    assert resumed >= len(finished) >= 2
    assert f"15 shards: {15 - resumed} scored now" in said
    assert finished.items() <= digests(folder).items()
    assert digests(folder) == digests(tmp_path / "one")
    modified = {path: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()}
    assert "15 shards: 0 scored now, 15 finished before" in finish(on_cluster, 3)
    assert {path: path.stat().st_mtime_ns for path in (folder / "shards").iterdir()} == modified


class SlowToDie(score_shards.ShardWorker):
    """A worker that kills its process at the first shard that any worker begins, once."""

    def score(self, shard: object) -> object:  # type: ignore[override]
        mark = self._folder.path.with_name("killed")
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return super().score(shard)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_shard_scored_again(
    run: Run, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score_into(run(), Plan(tmp_path / "one", "1", rows=8))
    monkeypatch.setattr(score_shards, "ShardWorker", SlowToDie)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    plan = Plan(tmp_path / "ray", "2", rows=8, engine="ray", ray_address=cluster)
    outcome = score_into(run(), plan)
    assert (tmp_path / "killed").exists()
    assert (outcome.shards, outcome.computed, outcome.lost) == (8, 8, ())
    assert digests(tmp_path / "ray") == digests(tmp_path / "one")


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    plan = Plan(tmp_path / "ray", "1", engine="ray", ray_address="127.0.0.1:1")
    with pytest.raises(UsageError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        score_into(run(), plan)
    assert not (tmp_path / "ray").exists()


def test_without_ray_the_extra_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="Ray is not installed") as error:
        score_into(run(), Plan(tmp_path / "ray", engine="ray"))
    assert "sqsd-lint[ray]" in str(error.value.hint)


def test_workers_are_one_for_each_gpu_or_some_cores_of_each_node() -> None:
    nodes = [{"CPU": 16.0, "GPU": 4.0}, {"CPU": 16.0, "GPU": 8.0}, {"CPU": 2.0}]
    assert _shape("auto", True, nodes) == (12, {"num_gpus": 1, "num_cpus": 1})
    assert _shape("3", True, nodes) == (3, {"num_gpus": 1, "num_cpus": 1})
    assert _shape("auto", False, nodes) == (17, {"num_cpus": 2})
    assert _shape("auto", False, nodes[:2]) == (8, {"num_cpus": 4})
    assert _shape("2", False, [{"CPU": 1.0}, {"CPU": 1.0}]) == (2, {"num_cpus": 1})
