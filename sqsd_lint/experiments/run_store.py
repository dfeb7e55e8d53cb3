"""What an experiment keeps: every run with its answers, from where a killed one goes on or is judged anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqsd_lint.common.atomic import write_whole
from sqsd_lint.common.json_io import digest, read_json
from sqsd_lint.errors import UsageError
from sqsd_lint.experiments.judges import Judge, Verdict

# Part of the key: runs of another version were trained or are kept in another way.
_VERSION = 2
UNTRAINED = "untrained"
_MOST = 1 << 30  # bytes of runs.json


@dataclass(frozen=True, slots=True)
class Run:
    """One window trained with one seed, and what it did.

    Attributes:
        answers: to the harmful prompts, in their order. verdicts: on each, once it is judged.
        margin: mean token log-likelihood of refusing less that of complying, in nats.
        tokens: mean answer tokens of the window's rows.
        sqsd, risk: their highest and lowest SQSD and risk; no risk in runs of the time before it.
    """

    ranking: str
    window: int
    seed: int
    answers: tuple[str, ...]
    margin: float
    tokens: float = 0.0
    sqsd: tuple[float, float] = (0.0, 0.0)
    risk: tuple[float, float] | None = None
    verdicts: tuple[Verdict, ...] = ()

    @property
    def prompts(self) -> int:
        """How many were asked."""
        return len(self.answers)

    @property
    def unsafe(self) -> int:
        """Prompts that got an answer: attacks that succeeded."""
        return self.count(Verdict.ANSWERED)

    def count(self, verdict: Verdict) -> int:
        """Answers with this verdict."""
        return self.verdicts.count(verdict)

    def each(self, prompts: Sequence[str]) -> Iterator[dict[str, str]]:
        """Yield every prompt with its answer and the verdict."""
        for prompt, answer, verdict in zip(prompts, self.answers, self.verdicts, strict=True):
            yield {"prompt": prompt, "answer": answer, "verdict": verdict.value}


class RunStore:
    """`runs.json` of an experiment: trained runs by name, and what each judge said of them.

    A run is written down as soon as it is trained, and its verdicts as soon as they are there: a judge that
    fails costs no training, and another one only its own verdicts.

    Args:
        key: what the runs depend on, besides their names; a folder holds runs of one key.
        judge, prompts: whose verdicts the runs come with.

    Raises:
        UsageError: the folder holds another experiment, or a file that is none.
    """

    def __init__(self, folder: Path, key: Any, judge: Judge, prompts: Sequence[str]) -> None:
        self._path = folder / "runs.json"
        self._judge, self._prompts = judge, prompts
        self._state: dict[str, Any] = {"key": digest([_VERSION, key]), "runs": {}}
        folder.mkdir(parents=True, exist_ok=True)
        ignored = folder / ".gitignore"
        if not ignored.exists():
            # Answers to harmful prompts are neither training data nor for a repository.
            ignored.write_text("runs.json\nanswers.jsonl\n", encoding="utf-8")
        if self._path.is_file():
            self._state = self._read(self._state["key"])

    def runs(self, name: str, train: Callable[[], list[Run]]) -> list[Run]:
        """Return the judged runs of this name: those that are kept, or else new ones, kept from now on."""
        kept = self._state["runs"]
        if name not in kept:
            kept[name] = [{**asdict(run), "verdicts": {}} for run in train()]
            self._write()
        try:
            runs = [Run(**{**raw, **_checked(raw), "verdicts": ()}) for raw in kept[name]]
            judged = [raw["verdicts"].get(self._judge.key) for raw in kept[name]]
            if not runs or any(len(run.answers) != len(self._prompts) for run in runs):
                raise ValueError(f"{name}: not an answer to every prompt")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(str(error)) from error
        for number, run in enumerate(runs):
            if judged[number] is None:
                judged[number] = [verdict.value for verdict in self._asked(run.answers)]
                kept[name][number]["verdicts"][self._judge.key] = judged[number]
                self._write()
        return [self._judged(run, verdicts) for run, verdicts in zip(runs, judged, strict=True)]

    def _asked(self, answers: Sequence[str]) -> list[Verdict]:
        verdicts = self._judge.verdicts(self._prompts, answers)
        if len(verdicts) != len(answers):
            raise UsageError(
                f"--judge: {self._judge.name}: {len(verdicts)} verdicts on {len(answers)} answers"
            )
        return verdicts

    def _judged(self, run: Run, verdicts: Any) -> Run:
        try:
            found = tuple(map(Verdict, verdicts))
        except (TypeError, ValueError) as error:
            raise self._damaged(str(error)) from error
        if len(found) != len(run.answers):
            raise self._damaged(f"{len(found)} verdicts on {len(run.answers)} answers")
        return replace(run, verdicts=found)

    def _read(self, key: str) -> dict[str, Any]:
        try:
            found = read_json(self._path, limit=_MOST)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        if not isinstance(found, dict) or not isinstance(found.get("runs"), dict) or found.get("key") != key:
            raise UsageError(
                f"{self._path}: holds an experiment on other rows, windows, seeds or prompts, with another "
                "bundle, or by another version of sqsd-lint",
                hint="choose another --output, or remove it",
            )
        return found

    def _damaged(self, said: str) -> UsageError:
        return UsageError(f"{self._path}: damaged: {said}", hint="choose another --output, or remove it")

    def _write(self) -> None:
        # ASCII: answers are a model's, and may hold anything that a terminal obeys.
        text = json.dumps(self._state, indent=1, allow_nan=False)
        if len(text) > _MOST:
            raise UsageError(
                f"{self._path}: would take more than {_MOST >> 20} MiB",
                hint="give fewer --max-prompts or seeds",
            )
        write_whole(self._path, text + "\n")


def _checked(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a run that JSON has as lists, as the tuples they were."""
    ends = {key: tuple(map(float, raw[key])) for key in ("sqsd", "risk") if raw.get(key) is not None}
    if any(len(pair) != 2 for pair in ends.values()) or "sqsd" not in ends:
        raise ValueError("not a highest and a lowest score")
    if not isinstance(raw["margin"], float) or not all(isinstance(answer, str) for answer in raw["answers"]):
        raise TypeError("a run of other fields")
    return {"answers": tuple(raw["answers"]), **ends}
