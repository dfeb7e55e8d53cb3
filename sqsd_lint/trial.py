"""`sqsd-lint validate`: rows, scores and prompts brought together for the risk-window experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.bundle.build.data import position, prompt_of
from sqsd_lint.bundle.digests import write_json
from sqsd_lint.config import Settings
from sqsd_lint.errors import UsageError
from sqsd_lint.progress import Progress
from sqsd_lint.read import read_rows
from sqsd_lint.rows import read_samples
from sqsd_lint.session import CLEAN_REFERENCE, Session
from sqsd_lint.types import Problem, Sample

if TYPE_CHECKING:
    from sqsd_lint.validate.experiment import Plan


def validate(
    settings: Settings,
    plan: Plan,
    *,
    prompts: Path,
    output: Path,
    held_out: float = 0.0,
    rows: int | None = None,
    max_prompts: int = 100,
    answer_tokens: int = 40,
    judge: str = "phrases",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run the experiment on `settings.paths`; what is done already in `output` is not done again.

    Args:
        prompts: harmful prompts, a file whose rows have a column `prompt`.
        output: the folder for `runs.json` (every run), `result.json` and the pictures.
        held_out: rows and prompts whose prompt's hash lies below it are left out: a recipe's slices up to
            there were trained on.
        rows: at most so many rows of each file.

    Returns:
        The content of `result.json`.

    Raises:
        UsageError: a row that cannot be scored or encoded, too few rows or prompts, another experiment in
            `output`.
    """
    session = Session(settings, progress)
    samples = _samples(settings, held_out, rows)
    asked = _prompts(prompts, settings, held_out, max_prompts)
    scores = session.reference_scores(samples)
    if any(not math.isfinite(score.sqsd) for score in scores):
        raise UsageError("a row's score is not finite", hint=CLEAN_REFERENCE)
    session.engine.release()

    from sqsd_lint.encode import Encoder
    from sqsd_lint.validate.attack import Attack
    from sqsd_lint.validate.experiment import Experiment
    from sqsd_lint.validate.judges import make_judge
    from sqsd_lint.validate.plot import plot
    from sqsd_lint.validate.summary import summarise

    who = make_judge(judge)
    model, tokenizer = session.engine.base()
    encoder = Encoder(tokenizer, max_length=settings.max_length, turns=settings.turns)
    experiment = Experiment(
        model,
        Attack(tokenizer, asked, answer_tokens=answer_tokens),
        who,
        scores,
        [encoder.encode(sample) for sample in samples],
        folder=output,
        key=[
            session.bundle.scoring_digest,
            [session.engine.metric, session.engine.expansion, session.engine.dtype, settings.max_length],
            [sample.fingerprint for sample in samples],
            asked,
            [who.name, answer_tokens],
        ],
        progress=progress,
    )
    found = experiment.run(plan)
    if progress:
        progress.stop()
    manifest = session.bundle.manifest
    result = {
        **summarise(found),
        "base_model": manifest.base_model.id,
        "bundle": {"id": manifest.id, "digest": session.bundle.digest},
        "metric": session.engine.metric,
        "expansion": session.engine.expansion,
        "device": session.engine.device,
        "dtype": session.engine.dtype,
        "judge": who.name,
        "rows": len(samples),
        "files": list(settings.paths),
        "held_out": held_out,
    }
    write_json(output / "result.json", result)
    for name, dark in (("windows.png", False), ("windows.svg", False), ("windows-dark.svg", True)):
        plot(result, output / name, dark=dark, title=f"{manifest.id}: ")
    return result


def _samples(settings: Settings, held_out: float, rows: int | None) -> list[Sample]:
    """The rows of all files, each row once."""
    found: dict[str, Sample] = {}
    for file in settings.paths:
        kept = (s for s in _clean(file, settings) if position(prompt_of(s)) >= held_out)
        found.update({s.fingerprint: s for s in islice(kept, rows)})
    return list(found.values())


def _clean(file: str, settings: Settings) -> Sequence[Sample]:
    samples = []
    for item in read_samples(file, settings):
        if isinstance(item, Problem):
            raise UsageError(f"{item.where}: {item.message}", hint=CLEAN_REFERENCE)
        samples.append(item)
    # By hash, not as the file has them: the first rows of a file are often of one kind.
    return sorted(samples, key=lambda s: s.fingerprint)


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
