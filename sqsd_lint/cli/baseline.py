"""`sqsd-lint baseline`: accept the findings that are there, so that only new ones fail."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import check_output_file, progress, replacing
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from sqsd_lint.config import Settings
    from sqsd_lint.rules import Baseline
    from sqsd_lint.types import Report, Violation


class Action(str, Enum):
    """What to do with the baseline."""

    CREATE = "create"
    UPDATE = "update"
    PRUNE = "prune"
    AUDIT = "audit"


_Action = Annotated[
    Action,
    typer.Argument(
        metavar="ACTION",
        help="create: accept every finding. update: also accept new ones, drop those that are gone. "
        "prune: only drop those that are gone. audit: go through them, and accept, reject or move each.",
        show_default=False,
    ),
]
_All = Annotated[
    bool,
    typer.Option(
        "--all", metavar=" ", help="audit: also the findings that are in the baseline.", show_default=False
    ),
]
_Force = Annotated[
    bool,
    typer.Option("--force", metavar=" ", help="create: replace a baseline that exists.", show_default=False),
]


def baseline(
    context: typer.Context,
    action: _Action,
    force: _Force = False,
    every: _All = False,
    no_progress: o.NoProgress = False,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Accept the findings that are there, so that only new ones fail a check.

    [cyan]sqsd-lint baseline create data/[/cyan]
    [cyan]sqsd-lint baseline audit data/[/cyan]
    Rows without a score are never accepted. Commit the file: sqsd-lint check finds it.
    """
    settings = settings_of(context)
    from sqsd_lint.rules import DEFAULT_BASELINE, Baseline, read_baseline
    from sqsd_lint.run import check as run_check

    name = settings.baseline or DEFAULT_BASELINE
    _check(name, action, force)
    if every and action is not Action.AUDIT:
        raise UsageError(f"--all says nothing to {action.value}", hint="Leave it out.")
    if action is Action.CREATE or (action is Action.AUDIT and not os.path.lexists(name)):
        old = Baseline(name, os.path.dirname(os.path.abspath(name)))
        settings = replace(settings, baseline="")
    else:
        old = read_baseline(name)
        settings = replace(settings, baseline=name)
    # Of every file the whole: what a comparison with an older version passes by would seem to be gone.
    settings = replace(settings, staged=False, changed_since=None, screen="off")
    with progress(not no_progress) as bar:
        report, remaining = run_check.examine(settings, progress=bar)
    if action is Action.AUDIT:
        new = _audit(old, remaining.acceptable, settings, every=every)
        _write(Path(name), new.dump(), keep_none=True)
        for line in _summary(name, old, new, report):
            typer.echo(line)
        raise typer.Exit(ExitCode.OK if report.coverage.complete else ExitCode.CANNOT_SCORE)
    new = old.pruned(remaining.acceptable, remaining.stale)
    if action is not Action.PRUNE:
        new = new.with_findings(remaining.acceptable)
    _write(Path(name), new.dump())
    for line in _summary(name, old, new, report):
        typer.echo(line)
    raise typer.Exit(ExitCode.OK if report.coverage.complete else ExitCode.CANNOT_SCORE)


def _check(name: str, action: Action, force: bool) -> None:
    """Refuses what cannot be done before a long run rather than after it."""
    exists = os.path.lexists(name)
    if force and action is not Action.CREATE:
        raise UsageError(f"--force says nothing to {action.value}", hint="Leave it out.")
    if action is Action.CREATE and exists and not force:
        raise UsageError(
            f"{name} exists already",
            hint="Add to it with `sqsd-lint baseline update`, or replace it with --force.",
        )
    if action not in (Action.CREATE, Action.AUDIT) and not exists:
        raise UsageError(f"there is no baseline {name}", hint="Make it with `sqsd-lint baseline create`.")
    check_output_file(name)


def _audit(old: Baseline, acceptable: Sequence[Violation], settings: Settings, *, every: bool) -> Baseline:
    """Ask about each finding, move the rows that are to go, and return the baseline as it is then."""
    import sys

    from sqsd_lint.cli.audit import Answer, ask, keys
    from sqsd_lint.common.escape import escape
    from sqsd_lint.common.numbers import count
    from sqsd_lint.fix import apply, plan
    from sqsd_lint.run.rows import reading_of
    from sqsd_lint.types import Severity

    asked = [violation for violation in acceptable if every or violation not in old]
    with keys() as read_key:
        decided = ask(asked, old.__contains__, sys.stdout, read_key, redact=settings.redact)
    rejected, moving = decided.of(Answer.REJECT), decided.of(Answer.MOVE)
    moves = plan(moving, severities=tuple(Severity), reading=reading_of(settings))
    for left in moves.left:
        typer.echo(f"{escape(str(left.violation.where))}: not moved: {escape(left.reason)}")
    for moved in apply(moves):
        typer.echo(f"{escape(moved.file)}: {count(moved.rows, 'row')} moved to {escape(moved.quarantine)}")
    for violation in rejected:
        typer.echo(f"{escape(str(violation.where))}: {violation.rule} rejected: it fails until it is mended")
    if decided.open:
        typer.echo(f"{count(decided.open, 'finding')} not decided")
    gone = {(violation.fingerprint, violation.rule) for violation in (*rejected, *moving)}
    kept = frozenset(entry for entry in old.entries if (entry.fingerprint, entry.rule) not in gone)
    return replace(old, entries=kept).with_findings(decided.of(Answer.ACCEPT))


def _write(path: Path, data: bytes, *, keep_none: bool = False) -> None:
    """Replace a file at once; one that holds these bytes already is not touched.

    Args:
        keep_none: where there is no file, do not make one that accepts nothing.
    """
    if path.is_file() and path.read_bytes() == data:
        return
    if keep_none and not path.exists() and b'"findings": {}' in data:
        return
    with replacing(path) as whole:
        whole.write_bytes(data)


def _summary(name: str, old: Baseline, new: Baseline, report: Report) -> Iterator[str]:
    from sqsd_lint.common.escape import escape
    from sqsd_lint.common.numbers import count, listing
    from sqsd_lint.rules.registry import RULES

    files = count(len({entry.file for entry in new.entries}), "file")
    added, dropped = len(new.entries - old.entries), len(old.entries - new.entries)
    changes = f"{added:,} added, {dropped:,} dropped" if added or dropped else "unchanged"
    yield f"{escape(name)}: {count(len(new.entries), 'finding')} in {files} ({changes})"
    gaps = sorted({one.rule for one in report.violations if one.rule in RULES.unscored})
    if gaps:
        yield f"not accepted: {listing(gaps)}, since a baseline holds no rows without a score; see --allow"
    yield f"scored {report.coverage.scored} of {report.coverage.rows} rows"
