"""Runs whose scores come from a service: what they report, what they refuse, what they keep."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sqsd_lint._version import __version__
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.lock import Lock, Locked
from sqsd_lint.bundle.manifest import digest_of_json
from sqsd_lint.config import Settings
from sqsd_lint.config.settings import TOKEN_VARIABLE
from sqsd_lint.errors import BundleError, ScorerError, UsageError, WrongBaseModelError
from sqsd_lint.explain.row_reference import RowReference
from sqsd_lint.run import check as run_check
from sqsd_lint.run import explain as run_explain
from sqsd_lint.run import score as run_score
from sqsd_lint.run import spans as run_spans
from sqsd_lint.run.model_scorer import ModelScorer
from sqsd_lint.server.client import ScoringClient
from sqsd_lint.types import Report, ScoredRow
from tests.discover.policies import load
from tests.repository import Repository
from tests.run.conftest import ROWS, write
from tests.run.test_long_answers import LONG, TURNS
from tests.server.running import Reply, answering, process, reply, service, serving_settings

HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "peft",
    "accelerate",
    "gguf",
    "matplotlib",
    "fastapi",
    "uvicorn",
)


@pytest.fixture(scope="module")
def calibrated(two_bundles: tuple[str, str]) -> str:
    return two_bundles[0]


@pytest.fixture(scope="module")
def url(calibrated: str, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service of a calibrated tiny bundle."""
    cache = tmp_path_factory.mktemp("served")
    with service(serving_settings(Path(calibrated), tiny_model_folder, cache)) as found:
        yield found


@pytest.fixture
def remote(url: str, rows_file: Path, tmp_path: Path) -> Settings:
    return Settings(paths=(str(rows_file),), scorer=url, threshold="p60", cache_dir=str(tmp_path / "cache"))


@pytest.fixture
def local(calibrated: str, tiny_model_folder: Path, rows_file: Path, tmp_path: Path) -> Settings:
    settings = serving_settings(Path(calibrated), tiny_model_folder, tmp_path / "local")
    return replace(settings, paths=(str(rows_file),), threshold="p60")


def found(report: Report) -> list[tuple[str, str, str]]:
    return [(each.rule, str(each.where), each.message) for each in report.violations]


def test_the_verdict_is_that_of_a_local_run(remote: Settings, local: Settings, url: str) -> None:
    there, here = run_check.check(remote), run_check.check(local)
    assert found(there) == found(here)
    assert len(found(there)) > 0
    assert there.exit_code == here.exit_code == 1
    assert (there.coverage.scored, there.coverage.cached) == (8, 0)
    for a, b in zip(there.rows, here.rows, strict=True):
        assert a.score.sqsd == pytest.approx(b.score.sqsd, abs=1e-5)
        assert a.score.exact == b.score.exact
        assert a.percentile == b.percentile
    same = ("base_model", "bundle_id", "bundle_digest", "metric", "expansion", "dtype", "error_threshold")
    for name in same:
        assert getattr(there.head, name) == getattr(here.head, name)
    assert there.head.device == f"cpu at {url.removeprefix('http://')}"
    assert f"8 rows were sent to {url}" in there.head.notes


def test_rows_near_a_line_are_scored_again_exactly_there(remote: Settings, local: Settings) -> None:
    (row, *_) = [each for each in run_score.score(local) if isinstance(each, ScoredRow)]
    line = str(row.score.sqsd)
    calls: list[bool] = []
    whole = ModelScorer.score

    def counted(self: ModelScorer, samples: Any) -> Any:
        calls.append(self.exact)
        return whole(self, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelScorer, "score", counted)
        report = run_check.check(replace(remote, threshold=line, warning_threshold=line))
    assert True in calls
    assert [each.score.exact for each in report.rows if each.fingerprint == row.fingerprint] == [True]


def test_answers_are_kept_and_not_asked_for_again(remote: Settings, url: str) -> None:
    first = run_check.check(remote)
    again = run_check.check(remote)
    assert found(first) == found(again)
    assert again.coverage.cached == 8
    note = f"0 rows were sent to {url}, the local cache has its answers for 8"
    assert note in again.head.notes
    kept_nothing = run_check.check(replace(remote, cache=False))
    assert kept_nothing.coverage.cached == 0


def test_a_models_own_scores_and_a_services_are_kept_apart(remote: Settings, local: Settings) -> None:
    run_check.check(replace(local, cache_dir=remote.cache_dir))
    assert run_check.check(remote).coverage.cached == 0


def test_another_services_answers_are_not_this_ones(remote: Settings, url: str) -> None:
    run_check.check(remote)
    by_name = replace(remote, scorer=url.replace("127.0.0.1", "localhost"))
    assert run_check.check(by_name).coverage.cached == 0


def test_a_row_that_cannot_be_scored_there_is_none_here(remote: Settings, tmp_path: Path) -> None:
    rows = [ROWS[0], {"question": "Why?", "answer": ""}]
    report = run_check.check(replace(remote, paths=(str(write(tmp_path / "odd.jsonl", *rows)),)))
    assert report.exit_code == 3
    assert (report.coverage.rows, report.coverage.scored) == (2, 1)


def test_scores_go_row_by_row(remote: Settings, local: Settings) -> None:
    there, here = list(run_score.score(remote)), list(run_score.score(local))
    for a, b in zip(there, here, strict=True):
        assert isinstance(a, ScoredRow)
        assert isinstance(b, ScoredRow)
        assert (a.where, a.fingerprint) == (b.where, b.fingerprint)
        assert a.score.danger == pytest.approx(b.score.danger, abs=1e-5)


def test_what_looks_into_the_model_is_refused(remote: Settings, rows_file: Path) -> None:
    with pytest.raises(UsageError, match="looks inside the model") as refused:
        run_explain.explain(RowReference(str(rows_file), 1), remote)
    assert "--no-scorer" in (refused.value.hint or "")
    with pytest.raises(UsageError, match="looks inside the model"):
        list(run_spans.score(remote, "word"))


@pytest.mark.parametrize("dtype", ["bfloat16"])
def test_another_number_format_is_refused(remote: Settings, dtype: Any) -> None:
    with pytest.raises(UsageError, match=r"--dtype bfloat16: .* has float32"):
        run_check.check(replace(remote, dtype=dtype))


def test_more_than_the_service_takes_is_refused(remote: Settings) -> None:
    with pytest.raises(ScorerError, match=r"refuses .*max_length.*at most 1024"):
        run_check.check(replace(remote, max_length=2048))


def test_a_shorter_length_is_scored_under(remote: Settings, local: Settings) -> None:
    there = run_check.check(replace(remote, max_length=16))
    assert found(there) == found(run_check.check(replace(local, max_length=16)))


# Which bundle


def lock_of(path: Path, bundle: str, digest: str) -> str:
    manifest = load_bundle(Path(bundle)).manifest
    locked = Locked(id=manifest.id, source="hf://org/name@v1", revision=None, digest=digest)
    Lock(str(path), {manifest.base_model.id: locked}).write()
    return str(path)


def test_a_lock_pins_the_bundle_of_the_service(remote: Settings, calibrated: str, tmp_path: Path) -> None:
    lock = lock_of(tmp_path / "sqsd-lint.lock", calibrated, load_bundle(Path(calibrated)).digest)
    assert run_check.check(replace(remote, lock=lock)).coverage.scored == 8
    lock = lock_of(tmp_path / "sqsd-lint.lock", calibrated, "0" * 64)
    with pytest.raises(BundleError, match=r"expected .* 000000000000 .* found the scoring service"):
        run_check.check(replace(remote, lock=lock))


def test_a_named_bundle_must_be_that_of_the_service(
    remote: Settings, calibrated: str, two_bundles: tuple[str, str]
) -> None:
    assert run_check.check(replace(remote, bundle=calibrated)).coverage.scored == 8
    with pytest.raises(BundleError, match=r"scores with .* is named"):
        run_check.check(replace(remote, bundle=two_bundles[1]))
    with pytest.raises(BundleError, match="no bundle of it here"):
        run_check.check(replace(remote, bundle="hf://org/name@v1"))
    with pytest.raises(UsageError, match="several are named"):
        run_check.check(replace(remote, bundle=calibrated, opinions=two_bundles))


def test_a_named_model_must_be_that_of_the_bundle(remote: Settings, tiny_model_folder: Path) -> None:
    assert run_check.check(replace(remote, model=str(tiny_model_folder))).coverage.scored == 8
    with pytest.raises(WrongBaseModelError, match="org/other"):
        run_check.check(replace(remote, model="org/other"))
    proxy = run_check.check(replace(remote, model="org/other", proxy=True))
    assert proxy.head.proxy_for == "org/other"


def test_a_change_cannot_send_rows_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    repo = Repository.here(tmp_path / "repo", monkeypatch)
    repo.write("sqsd-lint.toml", f'scorer = "{url}"\n')
    base = repo.commit()
    repo.write("sqsd-lint.toml", 'scorer = "https://evil.example.org"\n')
    repo.commit()
    assert load(base)[0].scorer == url
    repo.write("sqsd-lint.toml", "")
    none = repo.commit()
    repo.write("sqsd-lint.toml", 'scorer = "https://evil.example.org"\n')
    repo.commit()
    assert load(none)[0].scorer is None


def test_the_environment_outweighs_a_configuration(tmp_path: Path) -> None:
    from sqsd_lint.config import load_settings

    (tmp_path / "sqsd-lint.toml").write_text('scorer = "https://evil.example.org"\n')
    environ = {"SQSD_LINT_SCORER": "https://scorer.example.org", TOKEN_VARIABLE: "secret"}
    resolved = load_settings({}, cwd=tmp_path, environ=environ)
    assert resolved.settings.scorer == "https://scorer.example.org"
    assert "secret" not in repr(resolved)


def test_the_token_of_the_environment_lets_in(
    remote: Settings,
    calibrated: str,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = serving_settings(Path(calibrated), tiny_model_folder, tmp_path / "served")
    with service(settings, tokens=["a-token-of-the-service"]) as guarded:
        asked = replace(remote, scorer=guarded)
        with pytest.raises(ScorerError, match="does not let this client in"):
            run_check.check(asked)
        monkeypatch.setenv(TOKEN_VARIABLE, "a-token-of-the-service")
        assert run_check.check(asked).coverage.scored == 8


# What a service does to a run


def test_a_run_ends_without_a_verdict_where_the_service_is_gone(
    remote: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqsd_lint.server.client.PAUSES", ())
    with answering(lambda path, body: Reply(hang_up=True)) as dead:
        pass
    with pytest.raises(ScorerError, match="cannot be reached") as gone:
        run_check.check(replace(remote, scorer=dead))
    assert gone.value.exit_code == 3


def test_answers_that_came_before_a_fault_are_kept(
    remote: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqsd_lint.run.remote_scorer._REQUEST_ROWS", 1)
    client = ScoringClient(url)
    said, bundle = client.info()
    asked: list[int] = []

    def passing_on(path: str, body: Any) -> Reply:
        if body is None:
            return reply(said.to_json())
        asked.append(len(body["rows"]))
        if len(asked) > 4:
            return reply({"error": "enough"}, 500)
        (answer,) = client.scores(iter([body["rows"]]), body["settings"], bundle)
        return reply(answer.to_json())

    with answering(passing_on) as middle:
        broken = replace(remote, scorer=middle)
        with pytest.raises(ScorerError, match="enough"):
            run_check.check(broken)
        asked.clear()
        monkeypatch.setattr("sqsd_lint.run.remote_scorer._REQUEST_ROWS", 64)
        assert 0 < run_check.check(broken).coverage.cached <= 4


@pytest.mark.slow
def test_a_service_that_is_killed_at_work_ends_a_run_with_3(
    calibrated: str, tiny_model_folder: Path, remote: Settings, tmp_path: Path
) -> None:
    rows = [{"question": f"{i}?", "answer": "word " * 700 + str(i)} for i in range(600)]
    file = write(tmp_path / "many.jsonl", *rows)
    arguments = [
        "--bundle",
        calibrated,
        "--model",
        tiny_model_folder,
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    with process(*arguments, "--cache-dir", tmp_path / "served") as (server, address, lines):

        def kill_at_work() -> None:
            while not any('"scores"' in line for line in lines):
                threading.Event().wait(0.02)
            server.kill()

        killer = threading.Thread(target=kill_at_work)
        killer.start()
        with pytest.raises(ScorerError, match="cannot be reached"):
            run_check.check(replace(remote, scorer=address, paths=(str(file),)))
        killer.join()


def test_nothing_heavy_is_needed(remote: Settings, url: str, rows_file: Path, tmp_path: Path) -> None:
    arguments = ["check", str(rows_file), "--isolated", "--scorer", url, "--threshold", "p60"]
    arguments += ["--cache-dir", str(tmp_path / "cold"), "--output-format", "json"]
    code = (
        f"import sys\nfor name in {HEAVY!r}: sys.modules[name] = None\n"
        f"from sqsd_lint.cli.app import main\nsys.exit(main({arguments!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["coverage"]["scored"] == 8


# Where the settings of both sides differ


@pytest.fixture(scope="module")
def contrary(
    calibrated: str, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A service whose own settings are all others than a client's."""
    settings = serving_settings(
        Path(calibrated),
        tiny_model_folder,
        tmp_path_factory.mktemp("contrary"),
        metric="dot",
        expansion="shared",
        turns="last",
        max_length=2048,
        long_answers="cut",
        batch_tokens=300,
    )
    with service(settings) as found:
        yield found


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"long_answers": "cut", "max_length": 128},
        {"long_answers": "windows", "max_length": 128},
        {"turns": "last"},
        {"metric": "dot"},
        {"expansion": "shared"},
    ],
    ids=str,
)
def test_a_client_has_scores_under_its_own_settings(
    remote: Settings, local: Settings, contrary: str, tmp_path: Path, asked: dict[str, Any]
) -> None:
    file = write(tmp_path / "long.jsonl", *ROWS, LONG, TURNS)
    changes = {"paths": (str(file),), "threshold": "0", "warning_threshold": "0", **asked}
    there = list(run_score.score(replace(remote, scorer=contrary, **changes)))
    here = list(run_score.score(replace(local, **changes)))
    for a, b in zip(there, here, strict=True):
        assert isinstance(a, ScoredRow)
        assert isinstance(b, ScoredRow)
        # The service's batches are others; what no length is divided out of moves with its size.
        digits = {"rel": 1e-4} if asked.get("metric") == "dot" else {"rel": 0.0, "abs": 1e-5}
        assert a.score.sqsd == pytest.approx(b.score.sqsd, **digits)
        same = ("fingerprint", "tokens", "truncated", "response_lost", "window")
        assert [getattr(a.score, name) for name in same] == [getattr(b.score, name) for name in same]
    report, own = (run_check.check(replace(s, **changes)) for s in (replace(remote, scorer=contrary), local))
    assert [each[:2] for each in found(report)] == [each[:2] for each in found(own)]
    assert len(found(own)) > 0
    assert (report.exit_code, report.coverage.scored) == (own.exit_code, own.coverage.scored)


def test_rows_without_settings_are_scored_under_those_of_the_service(contrary: str) -> None:
    said, _ = ScoringClient(contrary).info()
    own = {"metric": "dot", "expansion": "shared", "turns": "last", "max_length": 2048, "long_answers": "cut"}
    assert own.items() <= said.settings.items()


def test_a_service_of_another_version_is_told(remote: Settings, url: str) -> None:
    client = ScoringClient(url)
    said, bundle = client.info()

    def passing_on(path: str, body: Any) -> Reply:
        if body is None:
            return reply({**said.to_json(), "version": "0.0.1\x1b[31m"})
        (answer,) = client.scores(iter([body["rows"]]), body["settings"], bundle)
        return reply(answer.to_json())

    assert not any("sqsd-lint" in note for note in run_check.check(remote).head.notes)
    with answering(passing_on) as older:
        notes = run_check.check(replace(remote, scorer=older)).head.notes
    (note,) = [note for note in notes if "sqsd-lint" in note]
    assert r"has sqsd-lint 0.0.1\x1b[31m, and this is" in note


NEW = {"version": "99.1", "surprise": {"exit_code": 0}, "violations": []}
DIGESTS: dict[str, str] = {}  # of the bundle as the newer service tells of it, by the bundle's own


def passing_on(url: str, change: Callable[[str, Any], Any]) -> Callable[[str, Any], Reply]:
    """Pass what a real service answers on, changed: by path and answer."""

    def answer(path: str, body: Any) -> Reply:
        told = httpx2.request("POST" if body else "GET", url + path, json=body)
        return reply(change(path, told.json()), told.status_code)

    return answer


def newer(path: str, told: Any) -> Any:
    """Return an answer as a newer service would give it, with keys beside every known one."""
    if path == "/v1/scores":
        for row in told["rows"]:
            row.update(NEW, Danger=-9.0, allow=True, severity="warning")
        return {**told, **NEW, "bundle": DIGESTS[told["bundle"]]}
    manifest = told["manifest"]
    manifest["target"]["thresholds"] = manifest["base_model"]["rules"] = {"SQSD101": "off"}
    manifest["calibration"]["sets"]["more"] = manifest["allow"] = ["SQSD101"]
    told["limits"]["violations"] = 0
    DIGESTS[told["digest"]] = digest_of_json(manifest)
    return {**told, **NEW, "digest": DIGESTS[told["digest"]]}


def older(path: str, told: Any) -> Any:
    """Return an answer as a service before the optional keys would give it."""
    for key in ("uncovered", "parts", "notes"):
        told.pop(key, None)
    for row in told.get("rows", ()):
        for key in ("dropped", "window"):
            row.pop(key, None)
    return {**told, "version": "0.0.1"} if path == "/v1/bundle" else told


@pytest.mark.parametrize("change", [newer, older])
def test_a_newer_or_older_service_changes_no_verdict(
    remote: Settings, url: str, change: Callable[[str, Any], Any]
) -> None:
    here = run_check.check(remote)
    with answering(passing_on(url, change)) as other:
        there = run_check.check(replace(remote, scorer=other))
    assert found(there) == found(here)
    assert len(found(here)) > 0
    assert there.exit_code == here.exit_code == 1
    assert [row.score for row in there.rows] == [row.score for row in here.rows]
    assert there.coverage == here.coverage
    assert there.head.error_threshold == here.head.error_threshold
    left_out = [note for note in there.head.notes if "does not know and leaves out" in note]
    if change is newer:
        (note,) = left_out
        assert note.endswith("leaves out: limits.violations, surprise, violations and 11 more")
        assert there.head.bundle_digest != here.head.bundle_digest  # the unknown is in it
    else:
        assert left_out == []


@pytest.mark.parametrize(
    ("told", "said", "side"),
    [
        ({"protocol": 2, "version": "99.1"}, "speaks protocol 2", "this machine"),
        ({"protocol": 0, "version": "0.0.1"}, "speaks protocol 0", "the service"),
        (
            {"settings": {"mood": 1}, "version": "99.1"},
            "differ from those here: mood",
            "this machine",
        ),
        ({"limits": {}, "version": "0.0.1"}, "limits.rows: missing", "the service"),
    ],
)
def test_what_cannot_be_passed_over_names_the_side_to_upgrade(
    remote: Settings, url: str, told: dict[str, Any], said: str, side: str
) -> None:
    def change(path: str, answer: Any) -> Any:
        more = {**answer["settings"], **told["settings"]} if "settings" in told else answer["settings"]
        return {**answer, **told, "settings": more}

    with answering(passing_on(url, change)) as other, pytest.raises(ScorerError) as refused:
        run_check.check(replace(remote, scorer=other))
    assert said in refused.value.message
    assert refused.value.exit_code == 3
    versions = f"the service has {told['version']}, and this is {__version__}"
    assert refused.value.hint == f"upgrade sqsd-lint on {side}: {versions}"


def test_a_key_that_rows_may_be_judged_by_is_not_passed_over(remote: Settings, url: str) -> None:
    def change(path: str, answer: Any) -> Any:
        answer["manifest"]["calibration"]["shift"] = -99.0
        return {**answer, "version": "99.1", "digest": digest_of_json(answer["manifest"])}

    with answering(passing_on(url, change)) as other, pytest.raises(ScorerError) as refused:
        run_check.check(replace(remote, scorer=other))
    assert "calibration.shift: unknown key, and rows may be judged by it" in refused.value.message
    assert "upgrade sqsd-lint on this machine" in (refused.value.hint or "")


def test_a_service_that_cannot_read_a_newer_request_is_the_one_to_upgrade(remote: Settings, url: str) -> None:
    def change(path: str, answer: Any) -> Any:
        return {**answer, "version": "0.0.1"} if path == "/v1/bundle" else answer

    whole = ScoringClient.scores

    def scores(self: ScoringClient, requests: Any, settings: Any, bundle: Any) -> Any:
        return whole(self, ([{**row, "mood": 1} for row in rows] for rows in requests), settings, bundle)

    with answering(passing_on(url, change)) as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScoringClient, "scores", scores)
        with pytest.raises(ScorerError) as refused:
            run_check.check(replace(remote, scorer=other))
    assert "HTTP status 400" in refused.value.message
    assert "mood: unknown key" in refused.value.message
    assert "upgrade sqsd-lint on the service: the service has 0.0.1" in (refused.value.hint or "")
