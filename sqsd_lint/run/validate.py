"""`sqsd-lint validate`: rows, scores and prompts brought together for windows or the row-by-row yardstick."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.bundle.agreement import read_scores
from sqsd_lint.common.atomic import write_whole
from sqsd_lint.common.json_io import write_json
from sqsd_lint.common.progress import Progress
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.read import read_rows
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.rows import CLEAN_REFERENCE, clean_samples
from sqsd_lint.training.data import position, prompt_of
from sqsd_lint.types import Problem, Sample

if TYPE_CHECKING:
    from sqsd_lint.experiments.experiment import ExperimentPlan
    from sqsd_lint.experiments.run_store import Run


def validate(
    settings: Settings,
    plan: ExperimentPlan,
    *,
    prompts: Path,
    output: Path,
    held_out: float = 0.0,
    rows: int | None = None,
    max_prompts: int = 100,
    answer_tokens: int = 40,
    judge: str = "phrases",
    others: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run the experiment on `settings.paths`; what is done already in `output` is not done again.

    Args:
        prompts: harmful prompts, a file whose rows have a column `prompt`.
        output: the folder for `runs.json` (every run), `result.json`, `answers.jsonl` and the pictures.
        judge: another one judges the answers that are there; what is trained is not trained again.
        held_out: rows and prompts whose prompt's hash lies below it are left out: a recipe's slices up to
            there were trained on.
        rows: at most so many rows of each file.
        others: rankings by scores of another bundle, which `sqsd-lint score` wrote, by the name they get.

    Returns:
        The content of `result.json`.

    Raises:
        UsageError: a row that cannot be scored or encoded, too few rows or prompts, another experiment in
            `output`, or a row that one of `others` has no score for.
    """
    if plan.update == "full" and (settings.quantize or settings.device_map):
        raise UsageError(
            "--update full trains every parameter, and some are packed or spread over devices",
            hint="leave out --quantize and --device-map, or train adapters",
        )
    material = _Material(settings, prompts, held_out, rows, max_prompts, progress)
    bundle_run = material.bundle_run
    scorer = bundle_run.model_scorer
    ranked = {name: _scores_of(path, material.samples) for name, path in (others or {}).items()}

    from sqsd_lint.encode import Encoder
    from sqsd_lint.experiments.attack import Attack
    from sqsd_lint.experiments.experiment import Experiment
    from sqsd_lint.experiments.judges import make_judge
    from sqsd_lint.experiments.summary import plot, summarise

    who = make_judge(judge)
    scorer.release()
    model, tokenizer = scorer.base()
    encoder = Encoder(
        tokenizer,
        max_length=settings.max_length,
        turns=settings.turns,
        template_arguments=scorer.bundle.manifest.template_arguments,
    )
    experiment = Experiment(
        model,
        Attack(tokenizer, material.prompts, answer_tokens=answer_tokens),
        who,
        material.scores,
        [encoder.encode(sample) for sample in material.samples],
        folder=output,
        key=[
            bundle_run.bundle.scoring_digest,
            [scorer.metric, scorer.expansion, scorer.dtype, settings.max_length],
            [settings.turns, settings.quantize],
            [sample.fingerprint for sample in material.samples],
            material.prompts,
            answer_tokens,
        ],
        others=ranked,
        progress=progress,
    )
    found = experiment.run(plan)
    if progress:
        progress.stop()
    result = {**summarise(found, who.kinds), "judge": who.name, **material.facts()}
    write_json(output / "result.json", result)
    _write_answers(output / "answers.jsonl", [found.untrained, *found.runs], material.prompts)
    for name, dark in (("windows.png", False), ("windows.svg", False), ("windows-dark.svg", True)):
        plot(result, output / name, dark=dark, title=f"{bundle_run.bundle.id}: ")
    return result


def per_row(
    settings: Settings,
    *,
    prompts: Path,
    output: Path,
    held_out: float = 0.0,
    rows: int | None = None,
    max_prompts: int = 100,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare scores with what each row takes from the refusal margin to first order; nothing is trained.

    Args:
        output: the folder for `per-row.json`.
        prompts, held_out, rows, max_prompts: as in `validate`.

    Returns:
        The content of `per-row.json`.

    Raises:
        UsageError: as in `validate`, or a bundle whose update is that of whole weights.
    """
    material = _Material(settings, prompts, held_out, rows, max_prompts, progress)
    bundle_run = material.bundle_run
    if bundle_run.bundle.manifest.update == "full":
        raise UsageError(
            f"--per-row: {bundle_run.bundle.id} scores updates of whole weights",
            hint="a step is measured on LoRA factors; use a bundle whose update is `lora`",
        )

    from sqsd_lint.experiments.attack import Attack
    from sqsd_lint.experiments.row_effect import compare, margin_losses, rows_of

    encoder, scorer = bundle_run.model_scorer.parts()
    if progress:
        progress.start(len(material.samples))
        progress.status("the margin's gradient")
    losses = margin_losses(
        scorer.model,
        bundle_run.model_scorer.directions[0],
        Attack(encoder.tokenizer, material.prompts),
        [encoder.encode(sample) for sample in material.samples],
        batch_tokens=settings.batch_tokens,
        advance=progress.advance if progress else lambda done: None,
    )
    if progress:
        progress.stop()
    result = {
        "version": 1,
        **compare(material.scores, losses),
        "sources": {
            file: compare([material.scores[i] for i in own], [losses[i] for i in own])["scores"]
            for file, own in material.by_file().items()
        },
        "prompts": len(material.prompts),
        **material.facts(),
        "per_row": rows_of(material.scores, losses),
    }
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "per-row.json", result)
    return result


def _write_answers(path: Path, runs: Sequence[Run], prompts: Sequence[str]) -> None:
    """Write what the models said, for people and for judges outside: one answer a line."""
    from sqsd_lint.experiments.run_store import UNTRAINED

    lines = [
        {"ranking": run.ranking, "window": number, "seed": run.seed if number else None, **answer}
        for run in runs
        for number in (run.window + 1 if run.ranking != UNTRAINED else None,)
        for answer in run.each(prompts)
    ]
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))


class _Material:
    """What both experiments start from: rows with their scores, and harmful prompts."""

    def __init__(
        self,
        settings: Settings,
        prompts: Path,
        held_out: float,
        rows: int | None,
        max_prompts: int,
        progress: Progress | None,
    ) -> None:
        # The model is trained here, so no service scores; rows are scored as they are trained on: cut.
        own = replace(settings, scorer=None, long_answers="cut")
        self.bundle_run = BundleRun(own, progress)
        self.held_out = held_out
        self.prompts = _prompts(prompts, settings, held_out, max_prompts)
        self.samples = _samples(settings, held_out, rows)
        self.scores = [
            self.bundle_run.with_risk(score) for score in self.bundle_run.reference_scores(self.samples)
        ]
        if progress:
            progress.stop()
        if any(not math.isfinite(score.sqsd) for score in self.scores):
            raise UsageError("a row's score is not finite", hint=CLEAN_REFERENCE)

    def by_file(self) -> dict[str, list[int]]:
        """Which rows come from which file: over several kinds of rows, a correlation may be that of kinds."""
        found: dict[str, list[int]] = {}
        for i, sample in enumerate(self.samples):
            found.setdefault(sample.where.file, []).append(i)
        return found

    def facts(self) -> dict[str, Any]:
        """Return what a result says about where it comes from."""
        bundle_run, settings = self.bundle_run, self.bundle_run.settings
        bundle, scorer = bundle_run.bundle, bundle_run.scorer
        return {
            "base_model": bundle.manifest.base_model.id,
            "bundle": {"id": bundle.id, "digest": bundle.digest, "scoring_digest": bundle.scoring_digest},
            **{key: getattr(scorer, key) for key in ("metric", "expansion", "device", "dtype")},
            "max_length": settings.max_length,
            "turns": settings.turns,
            "rows": len(self.samples),
            "files": list(settings.paths),
            "held_out": self.held_out,
        }


def _samples(settings: Settings, held_out: float, rows: int | None) -> list[Sample]:
    """Return the rows of all files, each row once, at most `rows` of a file."""
    found: dict[str, Sample] = {}
    for file in settings.paths:
        # By hash, not as the file has them: the first rows of a file are often of one kind.
        ordered = sorted(clean_samples(file, settings), key=lambda s: s.fingerprint)
        kept = (s for s in ordered if position(prompt_of(s)) >= held_out)
        found.update({s.fingerprint: s for s in islice(kept, rows)})
    if not found:
        raise UsageError("no rows left", hint="lower --held-out")
    return list(found.values())


def _scores_of(path: Path, samples: Sequence[Sample]) -> dict[str, float]:
    """SQSD by fingerprint of the rows that are ranked.

    Raises:
        UsageError: one of them has no score in the file.
    """
    scores = read_scores(path)
    missing = [sample for sample in samples if sample.fingerprint not in scores]
    if missing:
        raise UsageError(
            f"{path}: no score of {missing[0].where}, and of {len(missing)} rows in all",
            hint="score the same files with the same columns: `sqsd-lint score --bundle OTHER FILE ...`",
        )
    return {sample.fingerprint: scores[sample.fingerprint] for sample in samples}


def _prompts(path: Path, settings: Settings, held_out: float, limit: int) -> list[str]:
    column = settings.columns.get("prompt", "prompt")
    found: list[str] = []
    for row in read_rows(str(path), stdin_format=settings.stdin_format):
        text = None if isinstance(row, Problem) or not isinstance(row.raw, dict) else row.raw.get(column)
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{row.where}: no text in column {column!r}", hint="one harmful prompt a row")
        if position(text) >= held_out:
            found.append(text)
    if not found:
        raise UsageError(f"{path}: no prompts left", hint="lower --held-out")
    return sorted(found, key=position)[-limit:]
