"""What an experiment keeps: every run with its answers, from where a killed one goes on or is judged anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sqsd_lint.bundle.digests import digest, read_json, write_json
from sqsd_lint.errors import UsageError
from sqsd_lint.validate.judges import Judge, Verdict

T = TypeVar("T")
UNTRAINED = "untrained"


@dataclass(frozen=True, slots=True)
class Run:
    """One window trained with one seed, and what it did.

    Attributes:
        answers: to the harmful prompts, in their order. verdicts: on each, by `judge`.
        margin: mean token log-likelihood of refusing less that of complying, in nats.
        tokens: mean answer tokens of the window's rows. sqsd: their highest and lowest SQSD.
    """

    ranking: str
    window: int
    seed: int
    answers: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    judge: str
    margin: float
    tokens: float = 0.0
    sqsd: tuple[float, float] = (0.0, 0.0)

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
        """Every prompt with its answer and the verdict."""
        for prompt, answer, verdict in zip(prompts, self.answers, self.verdicts, strict=True):
            yield {"prompt": prompt, "answer": answer, "verdict": verdict.value}


class Kept:
    """`runs.json` of an experiment.

    Args:
        key: what the runs depend on; a folder holds runs of one key.

    Raises:
        UsageError: the folder holds another experiment.
    """

    def __init__(self, folder: Path, key: Any) -> None:
        self._path = folder / "runs.json"
        folder.mkdir(parents=True, exist_ok=True)
        self._state: dict[str, Any] = {"key": digest(key), "runs": {}}
        if self._path.is_file():
            found = read_json(self._path)
            if not isinstance(found, dict) or found.get("key") != self._state["key"]:
                raise UsageError(
                    f"{self._path}: holds an experiment on other rows, windows, seeds or prompts, "
                    "or with another bundle or version",
                    hint="choose another --output, or remove it",
                )
            self._state = found

    def runs(self, name: str, train: Callable[[], list[Run]]) -> list[Run]:
        """The runs of this name: those that are kept, or else new ones, kept from now on."""
        if name not in self._state["runs"]:
            self._state["runs"][name] = [asdict(run) for run in train()]
            self._write()
        return [_run(raw) for raw in self._state["runs"][name]]

    def value(self, name: str, work: Callable[[], T]) -> T:
        """Plain data by name, as with `runs`."""
        if name not in self._state:
            self._state[name] = work()
            self._write()
        found: T = self._state[name]
        return found

    def changed(self) -> None:
        """Write down what was changed in a value."""
        self._write()

    def judge_again(self, judge: Judge, prompts: Sequence[str]) -> None:
        """Ask the judge about the answers that another one judged; nothing is trained for that."""
        kept: dict[str, Any] = self._state["runs"]
        for name, runs in kept.items():
            if any(run["judge"] != judge.name for run in runs):
                kept[name] = [asdict(judged(_run(run), judge, prompts)) for run in runs]
                self._write()

    def _write(self) -> None:
        write_json(self._path, self._state)


def judged(run: Run, judge: Judge, prompts: Sequence[str]) -> Run:
    """The run with this judge's verdicts."""
    return replace(run, verdicts=tuple(judge.verdicts(prompts, run.answers)), judge=judge.name)


def _run(raw: dict[str, Any]) -> Run:
    lists = {
        "answers": tuple(raw["answers"]),
        "verdicts": tuple(Verdict(verdict) for verdict in raw["verdicts"]),
        "sqsd": tuple(raw["sqsd"]),
    }
    return Run(**{**raw, **lists})
