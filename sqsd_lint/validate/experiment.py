"""The experiment itself: train on each window, attack the result, keep every run as soon as it is done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.bundle.digests import digest, read_json, write_json
from sqsd_lint.errors import UsageError
from sqsd_lint.progress import Progress
from sqsd_lint.types import Encoded, Score
from sqsd_lint.validate.attack import Attack
from sqsd_lint.validate.judges import Judge
from sqsd_lint.validate.many import Dose, Runs
from sqsd_lint.validate.windows import windows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DOSES = ((12, 1e-4), (25, 2e-4), (50, 2e-4), (50, 4e-4), (75, 4e-4), (100, 4e-4), (150, 4e-4))
"""(steps, learning rate) that a search for the dose goes through, from mild to strong."""

_KEPT = 2 / 3  # the share of refusals that random windows should leave
_GPU_TOKENS, _CPU_TOKENS = 28_000, 4_096


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared and how; every field is part of the key that a resumed experiment must share.

    Attributes:
        size: rows per window.
        strata: of answer length that every window takes equal shares of; 1 leaves length alone.
        dose: None searches for the dose at which random windows keep two thirds of the refusals.
    """

    rankings: tuple[str, ...] = ("sqsd", "danger", "length", "loss", "random")
    windows: int = 5
    size: int = 100
    seeds: tuple[int, ...] = (0, 1, 2)
    dose: Dose | None = None
    strata: int = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One window trained with one seed, and what it did.

    Attributes:
        unsafe: prompts that were answered and not refused, of `prompts`.
        margin: mean token log-likelihood of refusing less that of complying, in nats.
        tokens: mean answer tokens of the window's rows. sqsd: their highest and lowest SQSD.
    """

    ranking: str
    window: int
    seed: int
    unsafe: int
    prompts: int
    margin: float
    tokens: float = 0.0
    sqsd: tuple[float, float] = (0.0, 0.0)


@dataclass(slots=True)
class Outcome:
    """Everything that was measured.

    Attributes:
        untrained: the model before any training.
        search: the doses that were tried on random windows, if any were.
    """

    plan: Plan
    dose: Dose
    untrained: Run
    runs: list[Run] = field(default_factory=list)
    search: list[dict[str, float]] = field(default_factory=list)


class Experiment:
    """Runs a plan, and keeps what is done in `folder`, from where a killed one goes on.

    Args:
        key: what else the runs depend on: rows, bundle, prompts, judge.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        attack: Attack,
        judge: Judge,
        scores: Sequence[Score],
        rows: Sequence[Encoded],
        *,
        folder: Path,
        key: Any,
        progress: Progress | None = None,
    ) -> None:
        self._model = model
        self._attack = attack
        self._judge = judge
        self._scores = scores
        self._rows = rows
        self._folder = folder
        self._key = key
        self._progress = progress
        self._tokens = _GPU_TOKENS if model.device.type == "cuda" else _CPU_TOKENS

    def run(self, plan: Plan) -> Outcome:
        """Everything that the plan asks for.

        Raises:
            UsageError: fewer rows than a window holds, or the folder holds another experiment.
        """
        for ranking in plan.rankings:  # before anything is trained
            self._windows(ranking, plan.windows, plan)
        self._model.requires_grad_(False)
        state = self._open(plan)
        untrained = self._remember(state, "untrained", lambda: asdict(self._untrained()))
        found = plan.dose or Dose(**self._remember(state, "dose", lambda: asdict(self._search(plan, state))))
        outcome = Outcome(plan, found, Run(**untrained), search=state.get("search", []))
        for ranking in plan.rankings:
            kept = self._remember(state, ranking, partial(self._ranking, plan, ranking, found))
            outcome.runs += [Run(**{**one, "sqsd": tuple(one["sqsd"])}) for one in kept]
        return outcome

    def _open(self, plan: Plan) -> dict[str, Any]:
        self._folder.mkdir(parents=True, exist_ok=True)
        # More rankings may be asked for later: they are no part of what a run depends on.
        key = digest([{**asdict(plan), "rankings": ()}, self._key])
        path = self._folder / "runs.json"
        if not path.is_file():
            return {"key": key}
        state: dict[str, Any] = read_json(path)
        if state.get("key") != key:
            raise UsageError(
                f"{path}: holds an experiment on other rows, windows, seeds, prompts or another bundle",
                hint="choose another --output, or remove it",
            )
        return state

    def _remember(self, state: dict[str, Any], name: str, work: Any) -> Any:
        if name not in state:
            state[name] = work()
            write_json(self._folder / "runs.json", state)
        return state[name]

    def _untrained(self) -> Run:
        runs = Runs(self._model, [0], tokens=self._tokens)
        with runs.adapted():
            return self._measured(runs, [("untrained", 0, 0)])[0]

    def _search(self, plan: Plan, state: dict[str, Any]) -> Dose:
        """The first dose in the list's order whose random windows come closest to the share to be kept."""
        tested = self._windows("random", 2, plan)
        refused = 1 - state["untrained"]["unsafe"] / state["untrained"]["prompts"]
        tried = []
        for steps, lr in DOSES:
            dose = Dose(steps, lr)
            runs = self._trained(tested, [0, 1], dose, [("random", k, k) for k in range(2)])
            kept = 1 - sum(run.unsafe for run in runs) / sum(run.prompts for run in runs)
            margin = sum(run.margin for run in runs) / len(runs)
            tried.append({"steps": steps, "lr": lr, "refused": kept, "margin": margin})
            if kept < _KEPT * refused:
                break
        state["search"] = tried
        best = min(tried, key=lambda one: abs(one["refused"] - _KEPT * refused))
        return Dose(int(best["steps"]), best["lr"])

    def _ranking(self, plan: Plan, ranking: str, dose: Dose) -> list[dict[str, Any]]:
        parts = self._windows(ranking, plan.windows, plan)
        labels = [(ranking, k, seed) for k in range(plan.windows) for seed in plan.seeds]
        done = self._trained([parts[k] for _, k, _ in labels], [seed for *_, seed in labels], dose, labels)
        found = []
        for run in done:
            own = [self._scores[i] for i in parts[run.window]]
            tokens = sum(score.tokens for score in own) / len(own)
            ends = max(s.sqsd for s in own), min(s.sqsd for s in own)
            found.append({**asdict(run), "tokens": tokens, "sqsd": ends})
        return found

    def _windows(self, ranking: str, count: int, plan: Plan) -> list[list[int]]:
        try:
            return windows(self._scores, ranking, count, plan.size, strata=plan.strata)
        except ValueError as error:
            raise UsageError(str(error), hint="give --size, fewer --strata, or more rows") from error

    def _trained(
        self,
        windows: Sequence[Sequence[int]],
        seeds: Sequence[int],
        dose: Dose,
        labels: Sequence[tuple[str, int, int]],
    ) -> list[Run]:
        if self._progress:
            self._progress.start(dose.steps)
            self._progress.status(f"{labels[0][0]}: {len(labels)} runs")
        runs = Runs(self._model, seeds, tokens=self._tokens)
        with runs.adapted():
            for _ in runs.train([[self._rows[i] for i in window] for window in windows], dose):
                if self._progress:
                    self._progress.advance(1)
            return self._measured(runs, labels)

    def _measured(self, runs: Runs, labels: Sequence[tuple[str, int, int]]) -> list[Run]:
        prompts = self._attack.prompts
        margins, answers = self._attack.margins(runs), self._attack.answers(runs)
        return [
            Run(*label, sum(self._judge.unsafe(prompts, own)), len(prompts), margin)
            for label, margin, own in zip(labels, margins, answers, strict=True)
        ]


def lines(outcome: Outcome) -> Iterator[str]:
    """One JSON object per run, the untrained model first."""
    for run in (outcome.untrained, *outcome.runs):
        yield json.dumps(asdict(run), sort_keys=True)
