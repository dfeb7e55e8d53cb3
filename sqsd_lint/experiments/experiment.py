"""Train on each window, attack the result, and keep every run as soon as it is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.common.json_io import digest
from sqsd_lint.common.progress import Progress
from sqsd_lint.errors import UsageError
from sqsd_lint.experiments.attack import Attack
from sqsd_lint.experiments.judges import Judge
from sqsd_lint.experiments.run_store import UNTRAINED, Run, RunStore
from sqsd_lint.experiments.runs import Dose, Runs
from sqsd_lint.experiments.updates import FullRun, LoraRuns
from sqsd_lint.experiments.windows import WITHIN_LENGTH, windows
from sqsd_lint.scoring.lm_head import LossHead
from sqsd_lint.types import Encoded, Score

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DOSES = ((12, 1e-4), (25, 2e-4), (50, 2e-4), (50, 4e-4), (75, 4e-4), (100, 4e-4), (150, 4e-4))
"""(steps, learning rate) that a search for the dose goes through, from mild to strong."""

_FULL_LR = 0.05  # of LoRA's learning rate, where every parameter is trained

_KEPT = 2 / 3  # of the prompts that are not answered before training, to be left so by random windows
_GPU_TOKENS, _CPU_TOKENS = 28_000, 2_048
_Label = tuple[str, int, int]  # ranking, window, seed


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """What is compared and how; every field is part of the key that a resumed experiment must share.

    Attributes:
        size: rows per window.
        strata: of answer length that every window takes equal shares of; 1 leaves length alone.
        dose: None searches for the dose at which random windows leave two thirds of the prompts unanswered.
        update: "lora" trains an adapter on each window, "full" every parameter of the model.
    """

    rankings: tuple[str, ...] = ("sqsd", "danger", "length", "loss", "random")
    windows: int = 5
    size: int = 100
    seeds: tuple[int, ...] = (0, 1, 2)
    dose: Dose | None = None
    strata: int = 1
    update: str = "lora"


@dataclass(slots=True)
class Outcome:
    """Everything that was measured.

    Attributes:
        untrained: the model before any training.
        search: the doses that were tried on random windows, if any were.
    """

    plan: ExperimentPlan
    dose: Dose
    untrained: Run
    runs: list[Run] = field(default_factory=list)
    search: list[dict[str, float]] = field(default_factory=list)


def _text(dose: Dose) -> str:
    return f"{dose.steps} x {dose.lr:g}"


class Experiment:
    """Run a plan and keep what is done in `folder`, from where a killed one goes on.

    Args:
        key: what else the runs depend on: rows, bundle, prompts.
        others: rankings by scores that came from elsewhere: value by fingerprint, of every row.
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
        others: Mapping[str, Mapping[str, float]] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._model = model
        self._attack = attack
        self._judge = judge
        self._scores = scores
        self._rows = rows
        self._folder = folder
        self._key = key
        self._others = others or {}
        self._progress = progress
        self._tokens = _GPU_TOKENS if model.device.type == "cuda" else _CPU_TOKENS

    def run(self, plan: ExperimentPlan) -> Outcome:
        """Run everything that is in the plan.

        Raises:
            UsageError: fewer rows than a window holds, or the folder holds another experiment.
            ModelError: the model makes its logits in an unknown way.
        """
        for ranking in plan.rankings:  # before anything is trained
            self._windows(ranking, plan.windows, plan)
        self._model.requires_grad_(False)
        LossHead(self._model).check(self._model, self._model.base_model)
        # More rankings may be asked for later, and another judge: they are no part of what a run depends on.
        key = [{**asdict(plan), "rankings": ()}, self._key]
        store = RunStore(self._folder, key, self._judge, self._attack.prompts)
        untrained = store.runs(UNTRAINED, lambda: [self._untrained()])[0]
        dose, search = (plan.dose, []) if plan.dose else self._search(store, plan, untrained)
        outcome = Outcome(plan, dose, untrained, search=search)
        for ranking in plan.rankings:
            outcome.runs += self._ranking(store, plan, ranking, dose)
        return outcome

    def _name(self, ranking: str) -> str:
        """Return the name that a ranking's runs are stored under; other scores make another ranking."""
        other = self._others.get(ranking.removesuffix(WITHIN_LENGTH))
        return ranking if other is None else f"{ranking}@{digest(other)[:12]}"

    def _untrained(self) -> Run:
        runs = LoraRuns(self._model, [0], tokens=self._tokens)  # which start as the model itself
        with runs.adapted():
            return self._measured(runs, [(UNTRAINED, 0, 0)])[0]

    def _search(
        self, store: RunStore, plan: ExperimentPlan, untrained: Run
    ) -> tuple[Dose, list[dict[str, float]]]:
        """Return the dose whose random windows leave closest to two thirds unanswered, and all doses tried.

        It depends on this judge's verdicts: another one may choose another dose.
        """
        tested = self._windows("random", 2, plan)
        wanted = _KEPT * (1 - untrained.unsafe / untrained.prompts)
        tried: list[dict[str, float]] = []
        for steps, lr in DOSES:
            if tried and tried[-1]["unanswered"] < wanted:
                break
            dose = Dose(steps, lr * _FULL_LR if plan.update == "full" else lr)
            runs: list[Run] = []
            for number, part in enumerate(self._together(plan, [("random", k, k) for k in range(2)])):
                train = partial(self._trained, tested, part, dose, plan)
                runs += store.runs(f"search#{number} at {_text(dose)}", train)
            unanswered = 1 - sum(run.unsafe for run in runs) / sum(run.prompts for run in runs)
            margin = sum(run.margin for run in runs) / len(runs)
            tried.append({"steps": steps, "lr": dose.lr, "unanswered": unanswered, "margin": margin})
        best = min(tried, key=lambda one: abs(one["unanswered"] - wanted))
        return Dose(int(best["steps"]), best["lr"]), tried

    def _ranking(self, store: RunStore, plan: ExperimentPlan, ranking: str, dose: Dose) -> list[Run]:
        parts = self._windows(ranking, plan.windows, plan)
        labels = [(ranking, k, seed) for k in range(plan.windows) for seed in plan.seeds]
        found: list[Run] = []
        name, together = self._name(ranking), self._together(plan, labels)
        for number, each in enumerate(together):
            key = name if len(together) == 1 else f"{name}#{number}"
            found += store.runs(f"{key} at {_text(dose)}", partial(self._described, parts, each, dose, plan))
        return found

    @staticmethod
    def _together(plan: ExperimentPlan, labels: Sequence[_Label]) -> list[Sequence[_Label]]:
        """Return the runs that are trained side by side; one that takes the whole model is alone."""
        return [[label] for label in labels] if plan.update == "full" else [labels]

    def _described(
        self, parts: Sequence[Sequence[int]], labels: Sequence[_Label], dose: Dose, plan: ExperimentPlan
    ) -> list[Run]:
        found = []
        for run in self._trained(parts, labels, dose, plan):
            own = [self._scores[i] for i in parts[run.window]]
            tokens = sum(score.tokens for score in own) / len(own)
            sqsd = max(s.sqsd for s in own), min(s.sqsd for s in own)
            risk = max(s.risk for s in own), min(s.risk for s in own)
            found.append(replace(run, tokens=tokens, sqsd=sqsd, risk=risk))
        return found

    def _windows(self, ranking: str, count: int, plan: ExperimentPlan) -> list[list[int]]:
        try:
            return windows(self._scores, ranking, count, plan.size, strata=plan.strata, others=self._others)
        except ValueError as error:
            raise UsageError(str(error), hint="give --size, fewer --strata, or more rows") from error

    def _trained(
        self, windows: Sequence[Sequence[int]], labels: Sequence[_Label], dose: Dose, plan: ExperimentPlan
    ) -> list[Run]:
        """Train a run for each label, side by side, and measure all of them."""
        if self._progress:
            self._progress.start(dose.steps)
            self._progress.status(f"{labels[0][0]}: {len(labels)} runs")
        runs = self._runs(plan, [seed for *_, seed in labels])
        with runs.adapted():
            for _ in runs.train([[self._rows[i] for i in windows[k]] for _, k, _ in labels], dose):
                if self._progress:
                    self._progress.advance(1)
            return self._measured(runs, labels)

    def _runs(self, plan: ExperimentPlan, seeds: Sequence[int]) -> Runs:
        if plan.update == "full":
            return FullRun(self._model, seeds[0], tokens=self._tokens)
        return LoraRuns(self._model, seeds, tokens=self._tokens)

    def _measured(self, runs: Runs, labels: Sequence[_Label]) -> list[Run]:
        margins, answers = self._attack.margins(runs), self._attack.answers(runs)
        for label, margin in zip(labels, margins, strict=True):
            if not math.isfinite(margin):
                ranking, window, seed = label
                raise UsageError(
                    f"training diverged: margin {margin} after {ranking}, window {window + 1}, seed {seed}",
                    hint="give a lower --lr with --steps",
                )
        return [
            Run(*label, tuple(own), margin)
            for label, margin, own in zip(labels, margins, answers, strict=True)
        ]
