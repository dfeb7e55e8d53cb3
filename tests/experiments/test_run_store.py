"""Runs outlive whatever comes after their training: a judge that fails, another one, a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sqsd_lint.discover import find_files
from sqsd_lint.errors import UsageError
from sqsd_lint.experiments.judges import Verdict
from sqsd_lint.experiments.run_store import Run, RunStore

PROMPTS = ["p", "q"]


class Fixed:
    """Says one verdict of everything, and counts how often it was asked; fails at the n-th time."""

    name = "fixed"
    kinds = (Verdict.ANSWERED, Verdict.REFUSED)

    def __init__(self, verdict: Verdict, *, fails_at: int = -1) -> None:
        self.key = f"fixed {verdict.value}"
        self.asked = 0
        self._verdict, self._fails_at = verdict, fails_at

    def verdicts(self, prompts: Sequence[str], answers: Sequence[str]) -> list[Verdict]:
        assert list(prompts) == PROMPTS
        self.asked += 1
        if self.asked == self._fails_at:
            raise UsageError("the judge is gone")
        return [self._verdict] * len(answers)


class Training:
    """Trains two runs whenever it is called."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> list[Run]:
        self.times += 1
        return [Run("sqsd", 0, seed, ("a", "\x1b[31m\u202eb"), 0.5, 10.0, (2.0, 1.0)) for seed in range(2)]


def test_what_is_trained_and_judged_is_neither_again(tmp_path: Path) -> None:
    train, judge = Training(), Fixed(Verdict.REFUSED)
    first = RunStore(tmp_path / "trial", ["key"], judge, PROMPTS).runs("sqsd", train)
    again = RunStore(tmp_path / "trial", ["key"], judge, PROMPTS).runs("sqsd", train)
    assert first == again
    assert (train.times, judge.asked) == (1, 2)
    assert again[1] == Run(
        "sqsd", 0, 1, ("a", "\x1b[31m\u202eb"), 0.5, 10.0, (2.0, 1.0), verdicts=(Verdict.REFUSED,) * 2
    )
    assert (again[0].unsafe, again[0].count(Verdict.REFUSED), again[0].prompts) == (0, 2, 2)
    assert (tmp_path / "trial/runs.json").read_bytes().isascii()


def test_a_judge_that_fails_costs_no_training(tmp_path: Path) -> None:
    train, judge = Training(), Fixed(Verdict.ANSWERED, fails_at=2)
    with pytest.raises(UsageError, match="the judge is gone"):
        RunStore(tmp_path, ["key"], judge, PROMPTS).runs("sqsd", train)
    runs = RunStore(tmp_path, ["key"], judge, PROMPTS).runs("sqsd", train)
    assert (train.times, judge.asked) == (1, 3)  # nor a verdict that was there
    assert [run.unsafe for run in runs] == [2, 2]


def test_every_judge_keeps_its_own_verdicts(tmp_path: Path) -> None:
    train, one, other = Training(), Fixed(Verdict.ANSWERED), Fixed(Verdict.REFUSED)
    for judge, unsafe in ((one, 2), (other, 0), (one, 2)):
        assert [run.unsafe for run in RunStore(tmp_path, ["key"], judge, PROMPTS).runs("sqsd", train)] == [
            unsafe
        ] * 2
    assert (train.times, one.asked, other.asked) == (1, 2, 2)


def test_another_experiment_is_refused(tmp_path: Path) -> None:
    judge = Fixed(Verdict.REFUSED)
    RunStore(tmp_path, ["key"], judge, PROMPTS).runs("sqsd", Training())
    with pytest.raises(UsageError, match="holds an experiment"):
        RunStore(tmp_path, ["other"], judge, PROMPTS)


@pytest.mark.parametrize("text", ["{", "[]", '{"key": 1}'])
def test_a_file_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text(text)
    with pytest.raises(UsageError, match=r"runs\.json: (damaged|holds an experiment)"):
        RunStore(tmp_path, ["key"], Fixed(Verdict.REFUSED), PROMPTS)


@pytest.mark.parametrize(
    "change",
    [
        {"verdicts": {"fixed refused": ["odd", "odd"]}},
        {"verdicts": {"fixed refused": ["refused"]}},
        {"verdicts": None},
        {"colour": 1},
        {"sqsd": None},
        {"margin": "x"},
        {"answers": ["a"]},
    ],
)
def test_a_damaged_run_is_named(change: dict[str, object], tmp_path: Path) -> None:
    judge = Fixed(Verdict.REFUSED)
    RunStore(tmp_path, ["key"], judge, PROMPTS).runs("sqsd", Training())
    state = json.loads((tmp_path / "runs.json").read_text())
    state["runs"]["sqsd"][0].update(change)
    (tmp_path / "runs.json").write_text(json.dumps(state))
    with pytest.raises(UsageError, match=r"runs\.json: damaged"):
        RunStore(tmp_path, ["key"], judge, PROMPTS).runs("sqsd", Training())


@pytest.mark.parametrize("there", [False, True])
def test_answers_to_harmful_prompts_are_no_data_to_check(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if there:  # as after --per-row
        (tmp_path / "trial").mkdir()
    RunStore(tmp_path / "trial", ["key"], Fixed(Verdict.REFUSED), PROMPTS).runs("sqsd", Training())
    (tmp_path / "trial/answers.jsonl").write_text("{}\n")
    (tmp_path / "data.jsonl").write_text("{}\n")
    assert [Path(str(found)).name for found in find_files(["."]).files] == ["data.jsonl"]


def test_a_judge_that_leaves_answers_out_is_named(tmp_path: Path) -> None:
    judge = Fixed(Verdict.REFUSED)
    judge.verdicts = lambda prompts, answers: [Verdict.REFUSED]  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="1 verdicts on 2 answers"):
        RunStore(tmp_path, ["key"], judge, PROMPTS).runs("sqsd", Training())
