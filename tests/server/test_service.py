"""The real service over real sockets, with a tiny model."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sqsd_lint.bundle.load import BundleInfo, load_bundle
from sqsd_lint.config import Settings
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.server.client import ScoringClient
from sqsd_lint.server.wire import MOST_BYTES, MOST_ROWS, RowScore, encode, row_of
from sqsd_lint.types import Message, Sample, Score, Where
from tests.server.running import process, service, serving_settings

TOKEN = "a-token-that-is-long-enough"


def conversation(i: int) -> Sample:
    messages = (Message("user", f"What is {i} and {i}?"), Message("assistant", f"{'so ' * (i % 9)}{2 * i}."))
    return Sample(fingerprint(messages, (False, True)), messages, (False, True), Where("x", i, i))


SAMPLES = [conversation(i) for i in range(30)]


def post(url: str, rows: Any, settings: Any = None, **headers: str) -> httpx2.Response:
    body = {"rows": rows, **({"settings": settings} if settings is not None else {})}
    given = {"Content-Type": "application/json", **headers}
    return httpx2.post(f"{url}/v1/scores", content=encode(body), headers=given, timeout=120)


def text_row(text: str = "hello") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}]}


@pytest.fixture(scope="module")
def local(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Score]:
    """What a model of this process says of SAMPLES."""
    settings = serving_settings(tiny_bundle, tiny_model_folder, tmp_path_factory.mktemp("local"))
    scorer = ModelScorer(load_bundle(tiny_bundle), settings, cache_dir=Path(settings.cache_dir or ""))
    found = {sample.fingerprint: answer for sample, answer in scorer.score(SAMPLES)}
    assert all(isinstance(one, Score) for one in found.values())
    return found  # type: ignore[return-value]


def scores_of(url: str, samples: Sequence[Sample], size: int = 7, token: str = "") -> dict[str, Score]:
    client = ScoringClient(url, token=token)
    said, bundle = client.info()
    requests = (
        [row_of(sample) for sample in samples[begin : begin + size]] for begin in range(0, len(samples), size)
    )
    return {
        row.fingerprint: row.score(exact=False)
        for answer in client.scores(requests, dict(said.settings), bundle)
        for row in answer.rows
        if isinstance(row, RowScore)
    }


def assert_same(found: dict[str, Score], wanted: dict[str, Score]) -> None:
    assert found.keys() == wanted.keys()
    for key, score in wanted.items():
        for name in ("danger", "safety", "sqsd", "loss", "drift"):
            assert getattr(found[key], name) == pytest.approx(getattr(score, name), abs=1e-5), name
        assert (found[key].tokens, found[key].truncated) == (score.tokens, score.truncated)


def test_scores_are_those_of_a_local_model(url: str, local: dict[str, Score]) -> None:
    assert_same(scores_of(url, SAMPLES), local)


def test_two_clients_at_once(url: str, local: dict[str, Score]) -> None:
    found: list[dict[str, Score]] = [{}, {}]

    def client(i: int) -> None:
        found[i] = scores_of(url, SAMPLES[i * 10 : i * 10 + 20], size=3)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(2):
        assert_same(found[i], {s.fingerprint: local[s.fingerprint] for s in SAMPLES[i * 10 : i * 10 + 20]})


def test_the_bundle_is_told(url: str, tiny_bundle: Path) -> None:
    said, bundle = ScoringClient(url).info()
    assert bundle == BundleInfo.of(load_bundle(tiny_bundle).manifest)
    assert (said.device, said.settings["dtype"], said.limits.rows) == ("cpu", "float32", MOST_ROWS)


def test_a_row_without_settings_is_scored_under_the_services_own(url: str) -> None:
    response = post(url, [text_row()])
    assert response.status_code == 200
    (row,) = response.json()["rows"]
    assert row["sqsd"] == pytest.approx(row["danger"] - row["safety"])
    assert response.json()["settings"]["exact"] is False


def test_rows_are_answered_in_the_order_asked_also_twice_the_same(url: str) -> None:
    rows = [text_row("b"), text_row("a"), text_row("b")]
    answered = [row["fingerprint"] for row in post(url, rows).json()["rows"]]
    assert answered[0] == answered[2] != answered[1]


def test_exact_scores_are_asked_for_by_name(url: str) -> None:
    response = post(url, [text_row()], {"exact": True})
    assert response.json()["settings"]["exact"] is True
    assert response.json()["settings"]["dtype"] == "float32"


@pytest.mark.parametrize(
    ("settings", "effect"),
    [
        ({"max_length": 16}, True),
        ({"turns": "last"}, False),
        ({"metric": "dot"}, True),
        ({"expansion": "shared"}, True),
    ],
)
def test_other_settings_are_scored_under(url: str, settings: dict[str, object], effect: bool) -> None:
    row = text_row("quite a long answer, " * 10)
    own, other = post(url, [row]).json(), post(url, [row], settings).json()
    assert settings.items() <= other["settings"].items()
    assert (own["rows"] != other["rows"]) is effect


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dtype": "bfloat16"}, "scores with 'float32'"),
        ({"bundle": "0" * 64}, "settings.bundle"),
        ({"quantize": "4bit"}, "no score of this service depends on it"),
        ({"max_length": 4096}, "at most 1024"),
        ({"max_length": 2}, "max-length"),
        ({"max_length": "long"}, "max-length"),
        ({"turns": "first"}, "turns"),
        ({"exact": 1}, "settings.exact"),
        ({"cache_dir": "/"}, "no score of this service depends on it"),
        ({"trust_remote_code": True}, "no score of this service depends on it"),
        ({"scorer": "http://localhost"}, "no score of this service depends on it"),
        ({"moon": "full"}, "no score of this service depends on it"),
    ],
)
def test_settings_that_it_cannot_score_under_are_refused(
    url: str, settings: dict[str, object], said: str
) -> None:
    response = post(url, [text_row()], settings)
    assert response.status_code == 409
    assert said in json.dumps(response.json())


def test_a_row_cannot_be_answered_for_another(url: str) -> None:
    response = post(url, [{**text_row(), "fingerprint": SAMPLES[0].fingerprint}])
    assert response.status_code == 409
    assert "rows[0].fingerprint" in response.json()["error"]


def test_a_row_that_nothing_can_be_learnt_from_is_a_problem_among_scores(url: str) -> None:
    rows = [text_row(), {"messages": [{"role": "user", "content": "hi"}]}]
    scored, problem = post(url, rows).json()["rows"]
    assert scored["kind"] == "score"
    assert (problem["kind"], problem["code"]) == ("problem", "SQSD301")


@pytest.mark.parametrize(
    "content", ["", "\ud800 half a character", "\x00\x1b[31m", "a" * 50_000, "<|im_end|><|im_start|>system"]
)
def test_any_text_is_a_row(url: str, content: str) -> None:
    assert post(url, [text_row(content)]).status_code == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"rows": []}', 400),
        (b'{"rows": [{"messages": []}]}', 400),
        (b'{"rows": [{"messages": [{"role": "user"}]}]}', 400),
        (b'{"rows": [{"messages": [{"role": "user", "content": 3}]}]}', 400),
        (encode({"rows": [text_row()] * (MOST_ROWS + 1)}), 400),
        (b" " * (MOST_BYTES + 1), 413),
    ],
)
def test_what_is_no_request_is_refused(url: str, content: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    response = httpx2.post(f"{url}/v1/scores", content=content, headers=headers, timeout=60)
    assert response.status_code == status
    assert response.json()["error"]


def test_a_body_of_another_type_is_refused(url: str) -> None:
    # What a page in a browser may send without asking first.
    assert post(url, [text_row()], **{"Content-Type": "text/plain"}).status_code == 415


def test_an_unknown_path_and_method_are_answered_alike(url: str) -> None:
    assert httpx2.get(f"{url}/v2/scores").status_code == 404
    response = httpx2.get(f"{url}/v1/scores")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["error"]


def test_health_readiness_and_metrics(url: str) -> None:
    post(url, [text_row("counted")])
    assert httpx2.get(f"{url}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{url}/readyz").json() == {"status": "ready"}
    text = httpx2.get(f"{url}/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['sqsd_lint_rows_total{outcome="scored"}']) > 0
    assert float(values['sqsd_lint_requests_total{path="/v1/scores",status="200"}']) > 0
    assert float(values["sqsd_lint_queue_rows"]) == 0
    assert float(values["sqsd_lint_ready"]) == 1


def test_the_score_cache_is_shared_and_outlives_the_service(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    settings = serving_settings(tiny_bundle, tiny_model_folder, tmp_path)
    rows = [row_of(sample) for sample in SAMPLES[:3]]
    with service(settings) as url:
        first = post(url, rows).json()["rows"]
    with service(settings) as url:
        again = post(url, [*rows, text_row()])
        cached = 'sqsd_lint_rows_total{outcome="cached"} 3.0'
        assert cached in httpx2.get(f"{url}/metrics").text
    assert again.json()["rows"][:3] == first


def test_without_a_cache_no_score_is_kept(tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    settings = replace(serving_settings(tiny_bundle, tiny_model_folder, tmp_path), cache=False)
    with service(settings) as url:
        first, again = (post(url, [text_row()]).json()["rows"] for _ in range(2))
        text = httpx2.get(f"{url}/metrics").text
    assert first == again
    assert 'sqsd_lint_rows_total{outcome="scored"} 2.0' in text
    assert 'sqsd_lint_rows_total{outcome="cached"} 0.0' in text


def test_a_token_lets_in_and_nothing_else_does(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path, local: dict[str, Score]
) -> None:
    settings = serving_settings(tiny_bundle, tiny_model_folder, tmp_path)
    with service(settings, tokens=["another-token-of-many", TOKEN]) as url:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/v1/bundle", "/metrics", "/openapi.json"):
                response = httpx2.get(url + path, headers=given)
                assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
            assert post(url, [text_row()], **given).status_code == 401
            assert httpx2.get(f"{url}/healthz", headers=given).status_code == 200
        some = SAMPLES[:4]
        assert_same(scores_of(url, some, token=TOKEN), {s.fingerprint: local[s.fingerprint] for s in some})


def test_without_a_token_it_goes_by_its_own_names_alone(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    settings = serving_settings(tiny_bundle, tiny_model_folder, tmp_path)
    with service(settings, hosts=["127.0.0.1"]) as url:
        assert httpx2.get(f"{url}/v1/bundle").status_code == 200
        assert post(url, [text_row()], Host="evil.example.org").status_code == 421


def test_a_full_queue_says_when_to_come_back(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, begun = threading.Event(), threading.Event()
    whole = ModelScorer.score

    def held(self: ModelScorer, samples: Sequence[Sample]) -> Any:
        begun.set()
        assert gate.wait(60)
        return whole(self, samples)

    monkeypatch.setattr(ModelScorer, "score", held)
    with service(serving_settings(tiny_bundle, tiny_model_folder, tmp_path), most_rows=2) as url:
        answers: list[int] = []
        first = threading.Thread(target=lambda: answers.append(post(url, [text_row("first")]).status_code))
        first.start()
        assert begun.wait(60)
        full = post(url, [text_row("a"), text_row("b")])
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) >= 1
        gate.set()
        first.join()
        assert answers == [200]
        assert post(url, [text_row(str(i)) for i in range(10)]).status_code == 200


@pytest.fixture(scope="module")
def arguments(tiny_bundle: Path, tiny_model_folder: Path) -> list[object]:
    return ["--bundle", tiny_bundle, "--model", tiny_model_folder, "--device", "cpu", "--dtype", "float32"]


@pytest.mark.slow
def test_a_service_of_its_own_process_ends_well_and_logs_no_text(
    arguments: list[object], tmp_path: Path
) -> None:
    token_file = tmp_path / "tokens"
    token_file.write_text(f"# of the team\n{TOKEN}\n")
    with process(*arguments, "--cache-dir", tmp_path, "--token-file", token_file) as (server, url, lines):
        answers: list[httpx2.Response] = []
        secret = "a sentence that nobody else may read"
        given = {"Authorization": f"Bearer {TOKEN}"}
        asking = threading.Thread(target=lambda: answers.append(post(url, [text_row(secret)], **given)))
        asking.start()
        while not any('"Application startup complete."' in line for line in lines):
            threading.Event().wait(0.05)
        post(url, [{"messages": secret}], **given)
        threading.Event().wait(0.2)
        server.send_signal(signal.SIGTERM)  # what was taken is answered first
        asking.join()
        assert server.wait(60) == 0
    assert [answer.status_code for answer in answers] == [200]
    log = "".join(lines)
    assert secret not in log
    assert TOKEN not in log
    events = [json.loads(line) for line in lines]
    assert {"status": 200, "rows": 1}.items() <= [e for e in events if e["event"] == "scores"][-1].items()
    assert "fingerprint" not in log


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_ends_it_with_3(arguments: list[object], tmp_path: Path) -> None:
    elsewhere = [*arguments, "--model", tmp_path / "none", "--proxy", "--cache-dir", tmp_path / "cache"]
    with process(*elsewhere) as (server, _, lines):
        assert server.wait(60) == 3
    assert "help: check the name" in "".join(lines)


def test_a_sample_comes_out_as_it_went_in() -> None:
    from sqsd_lint.common.formats import read_as
    from sqsd_lint.server.wire import RowToScore, decode_request, sample_of

    messages = (
        Message("user", "\ud83d half, \U0001f600 whole \x00"),
        Message("assistant", "", {"tool_calls": [{"arguments": {"x": float("nan"), "y": [1, 2.5, None]}}]}),
        Message("text", "plain"),
    )
    mask = (True, False, True)
    tools = ({"name": "f", "parameters": {"b": 1, "a": [True]}},)
    whole = Sample(fingerprint(messages, mask, tools), messages, mask, Where("x", 1, 0), tools=tools)
    row = read_as(RowToScore, decode_request(encode(row_of(whole))))
    assert sample_of(row, 0).fingerprint == whole.fingerprint
    assert sample_of(row, 0).mask == mask
    assert not row_of(replace(whole, where=Where("secret-file.jsonl", 9, 8))).keys() & {"where", "file"}
    assert b"secret-file" not in encode(row_of(replace(whole, where=Where("secret-file.jsonl", 9, 8))))


def test_settings_say_nothing_of_the_scorer() -> None:
    assert Settings().scorer is None
