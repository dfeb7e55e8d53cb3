"""`sqsd-lint bundle import`: a bundle out of adapters, whole models or a published release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from sqsd_lint.cli.bundle_make import Install, Output, tell
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import cache_of, settings_of
from sqsd_lint.errors import UsageError
from sqsd_lint.types import Expansion, Metric, Update

_ROLES = ("danger", "safety", "initial")


def _folder(help: str, metavar: str = "DIR") -> object:
    return typer.Option(metavar=metavar, help=help, show_default=False)


def import_(
    context: typer.Context,
    output: Output,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "--base-model",
            metavar="MODEL",
            help="The base model: a folder or a Hub id. Default with --release: Qwen/Qwen3-8B.",
            show_default=False,
        ),
    ] = None,
    release: Annotated[
        str | None,
        _folder("Adapters laid out like the paper's: a folder, or hf://Wxxxx/SQSD.", "SOURCE"),
    ] = None,
    danger: Annotated[
        str | None,
        _folder("The adapter fine-tuned on harmful answers; with --release its name there.", "DIR|NAME"),
    ] = None,
    safety: Annotated[Path | None, _folder("The adapter fine-tuned on safe answers.")] = None,
    initial: Annotated[Path | None, _folder("The adapter fine-tuned on benign rows.")] = None,
    danger_model: Annotated[Path | None, _folder("A whole model instead of --danger.")] = None,
    safety_model: Annotated[Path | None, _folder("A whole model instead of --safety.")] = None,
    initial_model: Annotated[Path | None, _folder("A whole model instead of --initial.")] = None,
    base: Annotated[Path | None, _folder("An adapter to merge into the model first.")] = None,
    start: Annotated[
        Path | None, _folder("What PiSSA or OLoRA adapters were before training, as PEFT saved it.")
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Singular values to keep of what a whole model moved. Default: 32.",
            show_default=False,
        ),
    ] = None,
    update: Annotated[
        str | None,
        typer.Option(
            metavar="lora|full",
            help="What the fine-tuning to be judged moves. Default: full with whole models, else lora.",
            show_default=False,
        ),
    ] = None,
    safety_scaling: Annotated[
        float, typer.Option(metavar="FLOAT", help="Scaling at the safety expansion point.")
    ] = 1.0,
    metric: Annotated[
        str, typer.Option(metavar="METRIC", help="How scores are made: cosine, projection or dot.")
    ] = "cosine",
    expansion: Annotated[
        str, typer.Option(metavar="paper|shared", help="Where the safety update is taken.")
    ] = "paper",
    name: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The bundle's id. Default: the folder's name.", show_default=False),
    ] = None,
    proxy: Annotated[
        bool,
        typer.Option(
            "--proxy", metavar=" ", help="It stands in for other models; reports say so.", show_default=False
        ),
    ] = False,
    install: Install = False,
) -> None:
    """Make a bundle from PEFT adapters, from whole fine-tuned models, or from the paper's release.

    [cyan]sqsd-lint bundle import --model Qwen/Qwen3-8B --danger D --safety S --initial I -o my-bundle[/cyan]

    [cyan]sqsd-lint bundle import --release hf://Wxxxx/SQSD --danger Beaver-Danger -o qwen3-8b[/cyan]

    [cyan]sqsd-lint bundle import --model BASE --danger-model D --safety-model S -o my-bundle[/cyan]
    """
    cache = cache_of(settings_of(context))
    adapters = {"danger": danger, "safety": safety, "initial": initial}
    models = {"danger": danger_model, "safety": safety_model, "initial": initial_model}
    with progress() as bar:
        settings: dict[str, Any] = {
            "output": output,
            "safety_scaling": safety_scaling,
            "metric": cast(Metric, metric),
            "expansion": cast(Expansion, expansion),
            "update": cast("Update | None", update),
            "name": name,
            "proxy": proxy,
            "cache_dir": cache,
            "status": bar.status if bar else None,
        }
        if release is not None:
            given = {
                "--safety": safety,
                "--initial": initial,
                "--base": base,
                "--start": start,
                "--rank": rank,
            }
            given |= {f"--{role}-model": models[role] for role in _ROLES}
            if named := [option for option, value in given.items() if value is not None]:
                raise UsageError(f"--release brings all adapters, so it does not go with {', '.join(named)}")
            from sqsd_lint.bundle.remote.paper_release import MODEL, import_release

            made = import_release(release, model=model or MODEL, danger=danger, **settings)
        else:
            folders = _folders(adapters, models)
            if model is None:
                raise UsageError("no base model", hint="give --model MODEL, a folder or a Hub id")
            if rank is not None and not any(models.values()):
                raise UsageError("--rank is of whole models; an adapter has a rank of its own")
            from sqsd_lint.bundle.importer import import_bundle

            made = import_bundle(
                model,
                folders["danger"],
                folders["safety"],
                folders.get("initial"),
                base,
                checkpoints=[role for role in _ROLES if models[role]],
                rank=rank,
                start=start,
                **settings,
            )
    tell(made.root, install, cache, made.manifest.reach)


def _folders(adapters: dict[str, Any], models: dict[str, Path | None]) -> dict[str, Path]:
    """The folder of each role, adapter or model; the initial state may be missing."""
    found = {}
    for role in _ROLES:
        given = [each for each in (adapters[role], models[role]) if each is not None]
        if len(given) == 2:
            raise UsageError(f"--{role} and --{role}-model: give one of the two")
        if given:
            found[role] = Path(given[0])
        elif role != "initial":
            raise UsageError(
                f"no {role} direction", hint=f"give --{role} DIR, --{role}-model DIR, or --release SOURCE"
            )
    return found
