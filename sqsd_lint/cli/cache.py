"""`sqsd-lint cache`: scores moved between the caches of several machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import check_output_file, replacing
from sqsd_lint.cli.settings import cache_of, settings_of
from sqsd_lint.errors import ExitCode, UsageError


def export(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where to: FILE.parquet or FILE.jsonl.", show_default=False)
    ],
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Write the scores of the cache to a file, each with its keys and a checksum; texts are not in it.

    [cyan]sqsd-lint cache export scores.parquet[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint.bundle.cache import cache_root
    from sqsd_lint.common.escape import escape
    from sqsd_lint.common.numbers import count
    from sqsd_lint.report.style.messages import print_note
    from sqsd_lint.run.cache import EXPORTS, export_scores

    suffix = Path(file).suffix
    if suffix not in EXPORTS:
        raise UsageError(f"{file}: no format to export to", hint=f"End the name in {' or '.join(EXPORTS)}.")
    check_output_file(file, "FILE")
    with replacing(Path(file)) as path:
        found = export_scores(cache_root(cache_of(settings)), path, suffix)
    for note in found.notes:
        print_note(note)
    by = count(found.scorers, "combination")
    typer.echo(f"{escape(file)}: {count(found.scores, 'score')} by {by} of bundle and settings")


def merge(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="What cache export wrote, or the scores.sqlite or scores.damaged of a cache.",
            show_default=False,
        ),
    ],
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Add the scores of files to the cache; one that it has already stays as it is.

    A row that does not fit its checksum is refused and counted, and the exit code is 3. Merge only files that
    you trust: a score says whether a row passes.

    [cyan]sqsd-lint cache merge gpu1.parquet gpu2.parquet[/cyan]
    """
    settings = settings_of(context)
    from sqsd_lint.bundle.cache import cache_root
    from sqsd_lint.common.escape import escape
    from sqsd_lint.common.numbers import count
    from sqsd_lint.report.style.messages import print_note
    from sqsd_lint.run.cache import merge_scores

    refused = 0
    told: set[str] = set()
    for merged, notes in merge_scores(cache_root(cache_of(settings)), files):
        for note in notes:
            if note not in told:
                print_note(note)
        told.update(notes)
        known = f"{merged.known:,} known already"
        if merged.differing:
            known += f" ({merged.differing:,} with another score, which was not taken)"
        typer.echo(f"{escape(merged.file)}: {count(merged.added, 'score')} added, {known}")
        if merged.refused:
            more = "; ..." if merged.refused > len(merged.faults) else ""
            reasons = "; ".join(merged.faults) + more
            print_note(f"{merged.file}: {count(merged.refused, 'row')} refused: {reasons}")
        refused += merged.refused
    raise typer.Exit(ExitCode.CANNOT_SCORE if refused else ExitCode.OK)


GROUP = o.Group(
    help="Move scores between the caches of several machines.",
    commands={"export": export, "merge": merge},
)
