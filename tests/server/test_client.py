"""The client against services that are slow, gone, or do not tell the truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.bundle.load import BundleInfo, load_bundle
from sqsd_lint.errors import ScorerError, UsageError
from sqsd_lint.server.client import ScoringClient, checked_url
from sqsd_lint.server.wire import ScoreResponse, row_of
from tests.server.running import Reply, answering, reply
from tests.server.test_engine import sample

SETTINGS: dict[str, object] = {"exact": False, "dtype": "float32"}
ROWS = [row_of(sample(text)) for text in ("one", "two", "three")]
QUICK = (0.01, 0.01)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> BundleInfo:
    return BundleInfo.of(load_bundle(tiny_bundle).manifest)


def info_of(bundle: BundleInfo, **changes: Any) -> dict[str, Any]:
    said = {
        "protocol": 1,
        "version": "0",
        "digest": bundle.digest,
        "manifest": bundle.manifest.to_json(),
        "settings": SETTINGS,
        "device": "cpu",
        "limits": {"rows": 256, "bytes": 1 << 20, "max_length": 1024},
    }
    return {**said, **changes}


def answer_of(by: BundleInfo, rows: Any = ROWS, **changes: Any) -> dict[str, Any]:
    scored = [
        {
            "kind": "score",
            "fingerprint": row["fingerprint"],
            "danger": 2.0,
            "safety": 0.5,
            "sqsd": 1.5,
            "tokens": 3,
            "truncated": "",
            "response_lost": 0,
            "harm": None,
            "loss": 0.1,
            "drift": None,
        }
        for row in rows
    ]
    return {"bundle": by.digest, "settings": SETTINGS, "rows": scored, **changes}


def ask(url: str, bundle: BundleInfo, *, timeout: float = 20.0, **more: Any) -> list[ScoreResponse]:
    client = ScoringClient(url, timeout=timeout, pauses=QUICK, **more)
    return list(client.scores(iter([ROWS]), SETTINGS, bundle))


def test_an_answer_is_read(bundle: BundleInfo) -> None:
    with answering(lambda path, body: reply(answer_of(bundle, body["rows"]))) as url:
        (answer,) = ask(url, bundle)
    assert [row.sqsd for row in answer.rows] == [1.5] * 3  # type: ignore[union-attr]


def changed_row(bundle: BundleInfo, **changes: Any) -> dict[str, Any]:
    answer = answer_of(bundle)
    answer["rows"][1].update(changes)
    return answer


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda b: answer_of(b, ROWS[:2]), "1 missing"),
        (lambda b: answer_of(b, [*ROWS, ROWS[0]]), "4|other rows"),
        (lambda b: answer_of(b, [ROWS[1], ROWS[0], ROWS[2]]), "other rows"),
        (lambda b: answer_of(b, bundle="0" * 64), "scored with the bundle 000000000000"),
        (lambda b: answer_of(b, settings={**SETTINGS, "turns": "last"}), "other settings"),
        (lambda b: changed_row(b, danger=float("nan")), "NaN is no JSON number"),
        (lambda b: changed_row(b, danger=float("inf")), "Infinity is no JSON number"),
        (lambda b: changed_row(b, sqsd=-7.0), "SQSD is not danger less safety"),
        (lambda b: changed_row(b, harm=0.3), "harm is there"),
        (lambda b: changed_row(b, danger="2.0"), "expected"),
        (lambda b: changed_row(b, tokens=-1), "tokens"),
        (lambda b: changed_row(b, kind="bound"), "expected"),
        (lambda b: [], "expected an object"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(
    bundle: BundleInfo, lie: Callable[[BundleInfo], Any], said: str
) -> None:
    with (
        answering(lambda path, body: reply(lie(bundle))) as url,
        pytest.raises(ScorerError, match=said) as refused,
    ):
        ask(url, bundle)
    assert url in refused.value.message
    assert refused.value.exit_code == 3


def test_what_is_unknown_in_an_answer_is_left_out_and_named(bundle: BundleInfo) -> None:
    told = {**answer_of(bundle, surprise={"deep": [1]}), "notes": ["a note"]}
    for row in told["rows"]:
        row.update({"colour": "red", "Danger": 99.0, "sqsd\x1b[31m": 99.0})
    with answering(lambda path, body: reply(told)) as url:
        client = ScoringClient(url, pauses=QUICK)
        (answer,) = client.scores(iter([ROWS]), SETTINGS, bundle)
    with answering(lambda path, body: reply(answer_of(bundle, notes=["a note"]))) as url:
        assert [answer] == ask(url, bundle)
    assert list(client.passed_over) == [
        *("rows[].colour", "rows[].Danger", r'rows[]["sqsd\u001b[31m"]', "surprise"),
    ]


def endless() -> Iterator[bytes]:
    return itertools.repeat(b"x" * (1 << 16))


@pytest.mark.parametrize(
    "huge",
    [
        lambda: Reply(parts=endless()),
        lambda: Reply(parts=endless(), headers=(("Content-Length", str(10 << 30)),)),
        lambda: Reply(500, parts=endless()),
    ],
)
def test_an_endless_answer_is_not_read(bundle: BundleInfo, huge: Callable[[], Reply]) -> None:
    with answering(lambda path, body: huge()) as url, pytest.raises(ScorerError, match="more than"):
        ask(url, bundle)


def test_a_compressed_answer_is_not_read(bundle: BundleInfo) -> None:
    bomb = Reply(parts=[b"\x1f\x8b"], headers=(("Content-Encoding", "gzip"),))
    with answering(lambda path, body: bomb) as url, pytest.raises(ScorerError, match="encoding"):
        ask(url, bundle)


def test_an_answer_that_never_ends_is_given_up(bundle: BundleInfo) -> None:
    drip = Reply(parts=itertools.repeat(b" "), pause=0.05)
    with (
        answering(lambda path, body: drip) as url,
        pytest.raises(ScorerError, match=r"more than 0\.5 seconds"),
    ):
        ask(url, bundle, timeout=0.5)


def test_a_service_that_is_not_there_is_tried_again_and_given_up(bundle: BundleInfo) -> None:
    asked: list[str] = []

    def hang_up(path: str, body: Any) -> Reply:
        asked.append(path)
        return Reply(hang_up=True)

    with answering(hang_up) as url, pytest.raises(ScorerError, match="cannot be reached"):
        ask(url, bundle)
    assert len(asked) == 1 + len(QUICK)
    with pytest.raises(ScorerError, match="cannot be reached"):
        ask(url, bundle)  # nobody listens there any more


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_service_that_is_busy_is_asked_again(bundle: BundleInfo, status: int) -> None:
    busy = iter([reply({"error": "later"}, status, Retry_After="0.01")] * 2)

    def answer(path: str, body: Any) -> Reply:
        return next(busy, None) or reply(answer_of(bundle, body["rows"]))

    with answering(answer) as url:
        assert len(ask(url, bundle)) == 1


def test_a_queue_that_stays_full_is_given_up_in_time(bundle: BundleInfo) -> None:
    full = reply({"error": "too many rows wait"}, 429, Retry_After="0.05")
    with (
        answering(lambda path, body: full) as url,
        pytest.raises(ScorerError, match=r"more than 0\.4 seconds .*: too many rows wait"),
    ):
        ask(url, bundle, timeout=0.4)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(bundle: BundleInfo, status: int) -> None:
    reached: list[str] = []

    def elsewhere(path: str, body: Any) -> Reply:
        reached.append(path)
        return reply(answer_of(bundle, body["rows"]))

    with answering(elsewhere) as other:

        def sends_on(path: str, body: Any) -> Reply:
            return reply({}, status, Location=f"{other}{path}")

        with answering(sends_on) as url, pytest.raises(ScorerError, match="no other place"):
            ask(url, bundle)
    assert reached == []


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "SQSD_LINT_SCORER_TOKEN"), (403, "SQSD_LINT_SCORER_TOKEN"), (409, ""), (500, "")],
)
def test_a_refusal_is_told_and_not_tried_again(bundle: BundleInfo, status: int, said: str) -> None:
    asked: list[str] = []

    def refuse(path: str, body: Any) -> Reply:
        asked.append(path)
        return reply({"error": "no \x1b[31m entry", "hint": "go away"}, status)

    with (
        answering(refuse) as url,
        pytest.raises(ScorerError, match=r"no \\x1b\[31m entry. go away") as refused,
    ):
        ask(url, bundle)
    assert len(asked) == 1
    assert said in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"digest": "1" * 64}, "its bundle is 111111111111"),
        ({"surprise": 1, "digest": "1" * 64}, "its bundle is 111111111111"),
        ({"protocol": 2}, "speaks protocol 2"),
        ({"manifest": {}}, "format_version"),
        ({"device": 3}, "device"),
        ({"settings": None}, "settings"),
    ],
)
def test_what_a_service_says_of_itself_must_hold(
    bundle: BundleInfo, changes: dict[str, Any], said: str
) -> None:
    with (
        answering(lambda path, body: reply(info_of(bundle, **changes))) as url,
        pytest.raises(ScorerError, match=said),
    ):
        ScoringClient(url, pauses=QUICK).info()


def test_digests_are_computed_from_the_manifest(bundle: BundleInfo) -> None:
    with answering(lambda path, body: reply(info_of(bundle))) as url:
        said, found = ScoringClient(url, pauses=QUICK).info()
    assert found == bundle
    assert said.device == "cpu"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://scorer.example.org", "in the clear"),
        ("http://192.168.0.7:8765", "in the clear"),
        ("http://localhost.example.org", "in the clear"),
        ("ftp://localhost", "not the URL"),
        ("localhost:8765", "not the URL"),
        ("https://", "not the URL"),
        ("https://me:secret@scorer.example.org", "host and path"),
        ("https://scorer.example.org/?a=1", "host and path"),
        ("https://scorer.example.org:port", "(?i)port"),
    ],
)
def test_a_url_that_would_leak_or_means_nothing_is_refused(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        checked_url(url)
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://scorer.example.org/", "https://scorer.example.org"),
        ("https://scorer.example.org:8443/team/a/", "https://scorer.example.org:8443/team/a"),
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://[::1]:8765/", "http://[::1]:8765"),
    ],
)
def test_a_url_is_kept_without_its_last_slash(url: str, kept: str) -> None:
    assert checked_url(url) == kept


def test_a_token_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="SQSD_LINT_SCORER_TOKEN"):
        ScoringClient("http://localhost:1", token="a\nb")
