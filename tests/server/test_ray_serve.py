"""Ray Serve on a real local cluster, by the example's own file: replicas score as the plain service does."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
import yaml

from sqsd_lint.errors import ModelError, UsageError
from sqsd_lint.run.ray_serve import ScoringReplica, app
from sqsd_lint.types import Score
from tests.server.running import free_port, served
from tests.server.test_examples import FOLDER
from tests.server.test_service import SAMPLES, TOKEN, assert_same, scores_of

MINUTES = 10
REPLICAS = 2


def need_ray_serve() -> None:
    # A ray without the parts of Serve is there, but cannot import it.
    reason = "the extra `ray-serve` is not installed"
    pytest.importorskip("ray.serve.scripts", reason=reason, exc_type=ImportError)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a node with a CPU for each replica; it ends with the module."""
    need_ray_serve()
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # else a busy machine leaves workers nothing
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")  # 5, which a busy machine exceeds
        patch.setenv("OMP_NUM_THREADS", "1")
        node = {"num_cpus": REPLICAS, "object_store_memory": 80 << 20, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=node)
        try:
            yield made.address
        finally:
            made.shutdown()


@pytest.fixture(scope="module")
def replicas(
    cluster: str, tiny_bundle: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of the application of examples/service/ray-serve.yaml, with the tiny bundle on the CPU."""
    folder = tmp_path_factory.mktemp("ray-serve")
    tokens = folder / "tokens"
    tokens.write_text(TOKEN)
    document = yaml.safe_load((FOLDER / "ray-serve.yaml").read_text())
    document["http_options"]["port"] = free_port()
    (application,) = document["applications"]
    application["args"]["token_file"] = str(tokens)
    application["runtime_env"]["env_vars"].update(
        SQSD_LINT_BUNDLE=str(tiny_bundle),
        SQSD_LINT_MODEL=str(tiny_model_folder),
        SQSD_LINT_CACHE_DIR=str(folder / "cache"),
        SQSD_LINT_DEVICE="cpu",
        SQSD_LINT_DTYPE="float32",
    )
    (deployment,) = application["deployments"]
    deployment.update(num_replicas=REPLICAS, ray_actor_options={"num_cpus": 1})
    file = folder / "serve.yaml"
    file.write_text(yaml.safe_dump(document))
    url = f"http://{document['http_options']['host']}:{document['http_options']['port']}"
    command = [sys.executable, "-m", "ray.serve.scripts", "run", "--address", cluster, str(file)]
    log = folder / "log"
    with log.open("wb") as lines, subprocess.Popen(command, stdout=lines, stderr=lines) as running:
        try:
            # One is ready; rows that come to another wait until its model is loaded.
            for _ in range(MINUTES * 120):
                if is_ready(url):
                    break
                assert running.poll() is None, log.read_text()
                time.sleep(0.5)
            else:
                pytest.fail(log.read_text())
            yield url
        finally:
            running.terminate()
            running.wait()


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx2.HTTPError:
        return False


def answer_tokens(url: str) -> float:
    """The answer tokens that one of the replicas has scored, whichever Serve asks."""
    text = httpx2.get(f"{url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60).text
    (line,) = [line for line in text.splitlines() if line.startswith("sqsd_lint_answer_tokens_total ")]
    return float(line.rpartition(" ")[2])


@pytest.mark.slow
def test_two_replicas_score_as_one_service_does(replicas: str, url: str) -> None:
    plain = scores_of(url, SAMPLES)
    found: list[dict[str, Score]] = [{}, {}]

    def client(i: int) -> None:
        found[i] = scores_of(replicas, SAMPLES[i * 15 : i * 15 + 15], size=1, token=TOKEN)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same({**found[0], **found[1]}, plain)
    names = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    assert sum("ServeReplica:sqsd-lint:ScoringReplica" in name for name in names) == REPLICAS
    # Each of them has scored some of the rows, and no row was scored twice.
    scored = {answer_tokens(replicas) for _ in range(40)}
    assert min(scored) > 0
    assert sum(scored) * REPLICAS / len(scored) == sum(score.tokens for score in plain.values())


@pytest.mark.slow
def test_the_replicas_let_in_who_has_a_token(replicas: str) -> None:
    assert httpx2.get(f"{replicas}/v1/bundle", timeout=60).status_code == 401
    wrong = {"Authorization": "Bearer wrong-token-of-somebody"}
    assert httpx2.get(f"{replicas}/v1/bundle", headers=wrong, timeout=60).status_code == 401


@pytest.mark.parametrize("arguments", [{"tokens": "x"}, {"queue": "many"}, {"keep_models": None}])
def test_an_argument_that_is_none_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="token_file, queue, keep_models"):
        app(arguments)


@pytest.fixture
def environment(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A replica's settings but for its model."""
    changes = {"BUNDLE": tiny_bundle, "CACHE_DIR": tmp_path, "DEVICE": "cpu", "DTYPE": "float32"}
    for name, value in changes.items():
        monkeypatch.setenv(f"SQSD_LINT_{name}", str(value))
    return monkeypatch


def until(condition: Callable[[], bool]) -> None:
    for _ in range(MINUTES * 600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it has not come to that")


def test_a_replica_without_a_model_is_not_healthy(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("SQSD_LINT_MODEL", str(tmp_path / "none"))
    replica = ScoringReplica({})
    replica.check_health()
    with served(replica.__serve_build_asgi_app__()) as url:
        until(lambda: "cannot be loaded" in httpx2.get(f"{url}/readyz", timeout=60).text)
        with pytest.raises(ModelError):
            replica.check_health()


def test_a_replica_without_a_token_is_for_this_machine(
    environment: pytest.MonkeyPatch, tiny_model_folder: Path
) -> None:
    environment.setenv("SQSD_LINT_MODEL", str(tiny_model_folder))
    replica = ScoringReplica({})
    with served(replica.__serve_build_asgi_app__()) as url:
        until(lambda: is_ready(url))
        replica.check_health()
        assert httpx2.get(f"{url}/v1/bundle", timeout=60).status_code == 200
        other = httpx2.get(f"{url}/v1/bundle", headers={"Host": "scorer.example.org"}, timeout=60)
        assert other.status_code == 421
