"""The engine alone, with a scorer that does what the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future

import pytest

from sqsd_lint.errors import ModelError
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.server.engine import GROUP_ROWS, Answered, Engine, QueueFullError, StoppedError
from sqsd_lint.server.wire import RowProblem, RowScore
from sqsd_lint.types import Message, Problem, Sample, Score, Where

SETTINGS: dict[str, object] = {"exact": False}


def sample(text: str) -> Sample:
    messages = (Message("assistant", text),)
    return Sample(fingerprint(messages, (True,)), messages, (True,), Where("x", 1, 0))


class FakeScorer:
    """Scores by the length of texts; "big" does not fit, "bad" is a problem, and `gate` holds everything."""

    model_notes = ("a note",)

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.asked: list[list[str]] = []
        self.made: list[Mapping[str, object]] = []
        self.known: dict[str, Score] = {}
        self.loaded = False

    def make(self, settings: Mapping[str, object]) -> FakeScorer:
        self.made.append(settings)
        return self

    def load(self, scorer: object) -> None:
        self.loaded = True

    def recall(self, samples: Mapping[str, Sample]) -> dict[str, Score]:
        return {key: self.known[key] for key in samples if key in self.known}

    def score(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Score | Problem]]:
        texts = [one.messages[0].content for one in samples]
        self.asked.append(texts)
        self.begun.set()
        assert self.gate.wait(30)
        if "big" in texts:
            raise ModelError("a row does not fit")
        for one, text in zip(samples, texts, strict=True):
            if text == "bad":
                yield one, Problem("SQSD301", one.where, "no answer", fingerprint=one.fingerprint)
            else:
                yield one, Score(one.fingerprint, float(len(text)), 0.0, float(len(text)), 1)

    def dropped(self, fingerprint: str) -> tuple[str, ...]:
        return ()

    def forget_dropped(self) -> None:
        pass


@pytest.fixture
def scorer() -> FakeScorer:
    return FakeScorer()


@pytest.fixture
def engine(scorer: FakeScorer) -> Iterator[Engine]:
    engine = Engine(scorer.make, SETTINGS, scorer.load, most_rows=10)
    engine.start()
    yield engine
    scorer.gate.set()
    engine.stop()
    assert not engine.alive


def rows_of(future: Future[Answered]) -> list[float | None]:
    return [row.sqsd for row in future.result(30).rows.values() if isinstance(row, RowScore)]


def hold(engine: Engine, scorer: FakeScorer) -> Future[Answered]:
    """Put the engine to work on one row until the gate opens, so that whatever comes next must wait."""
    scorer.gate.clear()
    held = engine.submit([sample("held")], SETTINGS)
    assert scorer.begun.wait(30)
    return held


def test_rows_of_waiting_requests_are_scored_together(engine: Engine, scorer: FakeScorer) -> None:
    hold(engine, scorer)
    one = engine.submit([sample("a"), sample("bb")], SETTINGS)
    two = engine.submit([sample("ccc"), sample("a")], SETTINGS)
    other = engine.submit([sample("dddd")], {"exact": True})
    scorer.gate.set()
    assert (rows_of(one), rows_of(two), rows_of(other)) == ([1.0, 2.0], [1.0, 3.0], [4.0])
    assert scorer.asked == [["held"], ["a", "bb", "ccc"], ["dddd"]]
    assert one.result().notes == ("a note",)
    assert scorer.made[-1] == {"exact": True}


def test_a_group_has_an_end(scorer: FakeScorer) -> None:
    engine = Engine(scorer.make, SETTINGS, scorer.load, most_rows=10_000)
    engine.start()
    hold(engine, scorer)
    futures = [engine.submit([sample(f"{i}-{j}") for j in range(100)], SETTINGS) for i in range(4)]
    scorer.gate.set()
    for future in futures:
        future.result(30)
    engine.stop()
    assert max(map(len, scorer.asked)) <= GROUP_ROWS


def test_what_the_cache_knows_is_not_scored(engine: Engine, scorer: FakeScorer) -> None:
    known = sample("known")
    scorer.known[known.fingerprint] = Score(known.fingerprint, 9.0, 0.0, 9.0, 1)
    answered = engine.submit([known, sample("new")], SETTINGS).result(30)
    assert scorer.asked == [["new"]]
    assert answered.cached == 1
    assert {row.sqsd for row in answered.rows.values() if isinstance(row, RowScore)} == {9.0, 3.0}
    assert (engine.counts.scored, engine.counts.cached) == (1, 1)


def test_a_full_queue_says_so_and_takes_more_once_it_is_not(engine: Engine, scorer: FakeScorer) -> None:
    held = hold(engine, scorer)
    engine.submit([sample(str(i)) for i in range(9)], SETTINGS)
    with pytest.raises(QueueFullError) as full:
        engine.submit([sample("one more")], SETTINGS)
    assert 1 <= full.value.retry_after <= 60
    scorer.gate.set()
    held.result(30)
    assert rows_of(engine.submit([sample(str(i)) for i in range(40)], SETTINGS)) == [1.0] * 10 + [2.0] * 30


def test_a_request_that_was_given_up_is_passed_by(engine: Engine, scorer: FakeScorer) -> None:
    hold(engine, scorer)
    gone = engine.submit([sample("gone")], SETTINGS)
    kept = engine.submit([sample("kept")], SETTINGS)
    assert gone.cancel()
    scorer.gate.set()
    kept.result(30)
    assert scorer.asked == [["held"], ["kept"]]
    assert engine.submit([sample("again")], SETTINGS).result(30)
    assert engine.rows == 0


def test_one_requests_row_does_not_fail_the_others(engine: Engine, scorer: FakeScorer) -> None:
    hold(engine, scorer)
    fits = engine.submit([sample("a")], SETTINGS)
    too_big = engine.submit([sample("big")], SETTINGS)
    bad = engine.submit([sample("bad")], SETTINGS)
    scorer.gate.set()
    assert rows_of(fits) == [1.0]
    with pytest.raises(ModelError, match="does not fit"):
        too_big.result(30)
    (problem,) = bad.result(30).rows.values()
    assert isinstance(problem, RowProblem)
    assert problem.message == "no answer"


def test_stopping_answers_what_is_at_work_and_fails_what_waits(scorer: FakeScorer) -> None:
    engine = Engine(scorer.make, SETTINGS, scorer.load, most_rows=10)
    engine.start()
    held = hold(engine, scorer)
    waits = engine.submit([sample("waits")], SETTINGS)
    stopping = threading.Thread(target=engine.stop)
    stopping.start()
    while not engine._stopping:
        time.sleep(0.01)
    with pytest.raises(StoppedError):
        engine.submit([sample("late")], SETTINGS)
    scorer.gate.set()
    stopping.join(30)
    assert rows_of(held) == [4.0]
    with pytest.raises(StoppedError):
        waits.result(30)
    assert not engine.alive


def test_a_model_that_cannot_be_loaded_is_told(scorer: FakeScorer) -> None:
    def broken(scorer: object) -> None:
        raise ModelError("no such weights")

    engine = Engine(scorer.make, SETTINGS, broken, most_rows=10)
    told = threading.Event()
    engine.on_failure = told.set
    engine.start()
    assert told.wait(30)
    assert engine.failure is not None
    assert not engine.ready
    engine.stop()
