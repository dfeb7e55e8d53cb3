"""`sqsd-lint validate`."""

from __future__ import annotations

import re
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import UsageError

_PANEL = "Experiment"
_OF_WINDOWS = (
    *("rank_by", "ranking", "windows", "size", "strata", "seeds"),
    *("update", "steps", "lr", "answer_tokens", "judge"),
)


class Update(str, Enum):
    LORA = "lora"
    FULL = "full"


_LR = {Update.LORA: 4e-4, Update.FULL: 2e-5}


def _option(
    *names: str, metavar: str, help: str, minimum: int | None = None, show_default: bool = True
) -> object:
    return typer.Option(
        *names,
        metavar=metavar,
        rich_help_panel=_PANEL,
        help=help,
        min=minimum,
        show_default=show_default,
    )


def validate(
    context: typer.Context,
    paths: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Rows to rank and train on.", show_default=False)
    ],
    prompts: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_PANEL,
            help="Harmful prompts, one a row, in column `prompt`.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            rich_help_panel=_PANEL,
            help="For every run, the result and the pictures; a killed experiment goes on from there.",
            show_default=False,
        ),
    ],
    rank_by: Annotated[
        str,
        _option(
            "--rank-by",
            metavar="NAME,...",
            help="sqsd, danger, safety, length, loss, random; NAME/length: within strata of length. "
            "Default: sqsd, sqsd/length, danger, length, loss, random.",
            show_default=False,
        ),
    ] = "sqsd,sqsd/length,danger,length,loss,random",
    ranking: Annotated[
        list[str] | None,
        _option(
            "--ranking",
            metavar="NAME=SCORES",
            help="Rank also by another bundle's scores, as `score` wrote them. May be repeated.",
        ),
    ] = None,
    per_row: Annotated[
        bool,
        typer.Option(
            "--per-row",
            metavar=" ",
            rich_help_panel=_PANEL,
            help="Train on nothing: compare scores with what each row does to refusals to first order.",
            show_default=False,
        ),
    ] = False,
    windows: Annotated[int, _option("--windows", metavar="N", help="Per ranking.", minimum=2)] = 5,
    size: Annotated[int, _option("--size", metavar="ROWS", help="Rows per window.", minimum=1)] = 100,
    strata: Annotated[
        int,
        _option(
            "--strata",
            metavar="N",
            help="Cut windows within N quantiles of answer length, so that every window has the same mix.",
            minimum=1,
        ),
    ] = 1,
    seeds: Annotated[int, _option("--seeds", metavar="N", help="Runs per window.", minimum=1)] = 3,
    update: Annotated[
        Update,
        _option(
            "--update",
            metavar="lora|full",
            help="Train an adapter on each window, or every parameter of the model.",
        ),
    ] = Update.LORA,
    steps: Annotated[
        int | None,
        _option(
            "--steps", metavar="N", help="Training steps. Default: searched on random windows.", minimum=1
        ),
    ] = None,
    lr: Annotated[
        float | None,
        _option("--lr", metavar="FLOAT", help="With --steps. Default: 4e-4, or 2e-5 for --update full."),
    ] = None,
    rows: Annotated[
        int | None, _option("--rows", metavar="N", help="At most so many rows of each file.", minimum=1)
    ] = None,
    held_out: Annotated[
        float,
        _option(
            "--held-out",
            metavar="FROM",
            help="Leave out rows and prompts in a recipe's slices below this: they were trained on.",
        ),
    ] = 0.0,
    max_prompts: Annotated[
        int, _option("--max-prompts", metavar="N", help="Asked per run.", minimum=1)
    ] = 100,
    answer_tokens: Annotated[
        int, _option("--answer-tokens", metavar="N", help="Length of an answer.", minimum=1)
    ] = 40,
    judge: Annotated[
        str,
        _option(
            "--judge",
            metavar="JUDGE",
            help="phrases (refusals and evasions), refusals, hf:MODEL, or a service's address. Another one "
            "judges the answers that are there; with --steps, nothing is trained for it.",
        ),
    ] = "phrases",
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Test whether a high score costs safety: train on windows of rows by rank, then ask harmful prompts.

    [cyan]sqsd-lint validate data/*.jsonl --prompts harmful-prompts.jsonl -o trial/[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint.report.views.windows import print_windows, print_yardstick
    from sqsd_lint.run import validate as trial

    if per_row:
        _refuse_window_options(context)
        with progress(not no_progress) as bar:
            result = trial.per_row(
                settings,
                prompts=prompts,
                output=output,
                held_out=held_out,
                rows=rows,
                max_prompts=max_prompts,
                progress=bar,
            )
        print_yardstick(result, output, sys.stdout)
        return
    from sqsd_lint.experiments.experiment import ExperimentPlan
    from sqsd_lint.experiments.runs import Dose
    from sqsd_lint.experiments.windows import RANKINGS, WITHIN_LENGTH

    named = [_named(each) for each in ranking or ()]
    others = dict(named)
    if len(others) < len(named):
        raise UsageError("--ranking: one name twice", hint="give every ranking a name of its own")
    rankings = tuple(name.strip() for name in rank_by.split(",") if name.strip())
    for name in rankings:
        if name.removesuffix(WITHIN_LENGTH) not in (*RANKINGS, *others):
            known = ", ".join((*RANKINGS, *others))
            raise UsageError(f"--rank-by: no ranking {name!r}", hint=f"choose from {known}")
    if clash := next((name for name in others if name in RANKINGS), None):
        raise UsageError(f"--ranking {clash}: that ranking is there already", hint="choose another name")
    rankings = (*rankings, *(name for name in others if name not in rankings))
    if lr is not None and steps is None:
        raise UsageError("--lr without --steps", hint="give both, or neither and the dose is searched")
    if lr is not None and not 0 < lr < 1:
        raise UsageError(f"--lr {lr:g}: expected more than 0 and less than 1", hint="--lr 4e-4")
    dose = Dose(steps, lr or _LR[update]) if steps else None
    plan = ExperimentPlan(rankings, windows, size, tuple(range(seeds)), dose, strata, update.value)
    with progress(not no_progress, unit="step") as bar:
        result = trial.validate(
            settings,
            plan,
            prompts=prompts,
            output=output,
            held_out=held_out,
            rows=rows,
            max_prompts=max_prompts,
            answer_tokens=answer_tokens,
            judge=judge,
            others=others,
            progress=bar,
        )
    print_windows(result, output, sys.stdout)


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not re.fullmatch(r"[\w.-]+", name) or not path or name == "untrained":
        raise UsageError(f"--ranking {text}: expected NAME=SCORES", hint="--ranking proxy=scores.jsonl")
    return name, Path(path)


def _refuse_window_options(context: typer.Context) -> None:
    """No option may be given and do nothing."""
    for name in _OF_WINDOWS:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--{name.replace('_', '-')} is about windows, and --per-row cuts none",
                hint="leave one of the two out",
            )
