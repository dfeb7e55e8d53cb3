"""`sqsd-lint init`."""

from __future__ import annotations

import difflib
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.output import progress
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import SqsdLintError

if TYPE_CHECKING:
    from sqsd_lint.config import Settings
    from sqsd_lint.run.set_up import FileChange, FoundFile, SetUpChoices

_SAMPLE = 20

_PreCommit = Annotated[bool, o.flag("--pre-commit", help="Write the hook for pre-commit and prek.")]
_GitHub = Annotated[bool, o.flag("--github", help="Write a workflow for GitHub.")]
_GitLab = Annotated[bool, o.flag("--gitlab", help="Write a job for GitLab.")]
_Scorer = Annotated[
    str,
    o.text("--scorer", metavar="URL", help="Rows are scored by this service: nothing here needs PyTorch."),
]
_ActionRepo = Annotated[
    str,
    o.text(
        "--action-repo",
        metavar="OWNER/NAME",
        help="The repository of the action for --github; without one the release on PyPI is installed.",
    ),
]
_Baseline = Annotated[bool, o.flag("--baseline", help="Score all rows and accept what is found in them.")]
_Diff = Annotated[bool, o.flag("--diff", help="Show what would be written, and write nothing.")]
_NoSample = Annotated[bool, o.flag("--no-sample", help=f"Do not lint a sample of {_SAMPLE} rows.")]
_Yes = Annotated[bool, o.flag("--yes", "-y", help="Ask nothing.")]


def init(
    context: typer.Context,
    pre_commit: _PreCommit = False,
    github: _GitHub = False,
    gitlab: _GitLab = False,
    scorer_url: _Scorer = "",
    action_repo: _ActionRepo = "",
    make_baseline: _Baseline = False,
    diff: _Diff = False,
    no_sample: _NoSample = False,
    yes: _Yes = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Set up a repository: find its data, write the configuration, hook and workflow, lint a sample.

    [cyan]sqsd-lint init --pre-commit --github[/cyan]

    On a terminal it asks. What is there already is left as it is: run it as often as you like.
    """
    settings = settings_of(context)
    from sqsd_lint.run.set_up import SetUpChoices, changes, data_paths, find_data

    wanted = SetUpChoices(pre_commit, github or bool(action_repo), gitlab, scorer_url, action_repo)
    files = find_data(settings)
    _print_files(files)
    asks = sys.stdin.isatty() and not (yes or diff)
    if asks and not (wanted.pre_commit or wanted.github or wanted.gitlab):
        wanted = _asked(wanted)
    found = list(changes(wanted, files))
    if diff:
        _print_diff(found)
        return
    due = [change for change in found if change.is_due]
    if asks and due and not typer.confirm(f"Write {', '.join(change.name for change in due)}?", default=True):
        raise typer.Abort
    for change in found:
        _write(change)
    settings = settings_of(context)
    paths = data_paths(files)
    if scorer_url:
        settings = replace(settings, scorer=scorer_url)
    if paths and not no_sample:
        _lint_sample(settings, paths, no_progress=no_progress)
    if make_baseline:
        _make_baseline(settings, no_progress=no_progress)
    _print_next(wanted, paths, [change.name for change in due])


def _print_files(files: Sequence[FoundFile]) -> None:
    from sqsd_lint.common.escape import escape
    from sqsd_lint.common.numbers import count

    folders: Counter[tuple[str, str]] = Counter()
    for file in files:
        folder = os.path.dirname(file.name) or "."
        folders[folder, file.layout or file.problem or "no rows"] += 1
    for (folder, layout), number in sorted(folders.items()):
        typer.echo(f"{escape(folder)}: {count(number, 'file')}, {escape(layout)}")
    if not files:
        typer.echo("no data files below this folder yet")
    if any(not file.layout and file.problem for file in files):
        typer.echo("Name columns that are not known under [columns] in the configuration.")


def _asked(wanted: SetUpChoices) -> SetUpChoices:
    from sqsd_lint.run.set_up import GITLAB, PRE_COMMIT

    return replace(
        wanted,
        pre_commit=typer.confirm("A hook for pre-commit or prek?", default=os.path.exists(PRE_COMMIT)),
        github=typer.confirm("A workflow for GitHub?", default=os.path.exists(".github")),
        gitlab=typer.confirm("A job for GitLab?", default=os.path.exists(GITLAB)),
    )


def _print_diff(found: Sequence[FileChange]) -> None:
    from sqsd_lint.common.escape import escape

    for change in found:
        old = (change.old or "").splitlines(keepends=True)
        before = change.name if change.old is not None else os.devnull
        for line in difflib.unified_diff(old, change.new.splitlines(keepends=True), before, change.name):
            typer.echo(escape(line.rstrip("\n")))


def _write(change: FileChange) -> None:
    from sqsd_lint.common.atomic import write_whole
    from sqsd_lint.common.escape import escape

    if change.is_due:
        path = Path(change.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(os.path.realpath(path)), change.new)
        typer.echo(f"{escape(change.name)}: {'written' if change.old is None else 'extended'}")
    else:
        typer.echo(f"{escape(change.name)}: {escape(change.note or 'unchanged')}")


def _lint_sample(settings: Settings, paths: Sequence[str], *, no_progress: bool) -> None:
    """Check a few rows, and say what all of them cost; what goes wrong is said, and is no error of `init`."""
    from sqsd_lint.common import numbers
    from sqsd_lint.report.style.messages import print_note
    from sqsd_lint.report.views.plan import announcement
    from sqsd_lint.run import check as run_check
    from sqsd_lint.run.plan import plan
    from sqsd_lint.run.set_up import sample_settings
    from sqsd_lint.types import Severity

    try:
        with progress(not no_progress) as bar:
            looked_at = sample_settings(settings, list(paths), _SAMPLE)
            report = run_check.check(looked_at, progress=bar, keep_rows=False)
        counts = Counter(violation.severity for violation in report.violations)
        typer.echo(
            f"a sample: scored {report.coverage.scored} of {report.coverage.rows} rows, "
            f"{numbers.count(counts[Severity.ERROR], 'error')} and "
            f"{numbers.count(counts[Severity.WARNING], 'warning')}"
        )
        whole = plan(replace(looked_at, sample=None))
        typer.echo(f"all rows: {announcement(whole) or 'their scores are in the cache'}")
    except (SqsdLintError, ImportError) as error:
        message, hint = str(error), getattr(error, "hint", None)
        print_note(f"no sample was linted: {message}{f' ({hint})' if hint else ''}")


def _make_baseline(settings: Settings, *, no_progress: bool) -> None:
    from sqsd_lint.common.numbers import count
    from sqsd_lint.rules import DEFAULT_BASELINE, Baseline
    from sqsd_lint.run import check as run_check

    name = settings.baseline or DEFAULT_BASELINE
    if os.path.lexists(name):
        typer.echo(f"{name}: is there already; `sqsd-lint baseline update` adds to it")
        return
    every = replace(settings, baseline="", staged=False, changed_since=None, sample=None)
    with progress(not no_progress) as bar:
        _, remaining = run_check.examine(every, progress=bar)
    made = Baseline(name, os.path.dirname(os.path.abspath(name))).with_findings(remaining.acceptable)
    Path(name).write_bytes(made.dump())
    typer.echo(f"{name}: {count(len(made.entries), 'finding')} accepted")


def _print_next(wanted: SetUpChoices, paths: Sequence[str], written: Sequence[str]) -> None:
    from sqsd_lint.common.escape import escape

    steps = [f"`git add {' '.join(map(escape, written))}`"] if written else []
    if wanted.pre_commit:
        steps.append("`pre-commit install` (or `prek install`) puts the hook in place")
    if wanted.scorer and (wanted.github or wanted.gitlab):
        steps.append("give the job the service's token as the secret SQSD_LINT_SCORER_TOKEN")
    if wanted.github or wanted.gitlab:
        steps.append("commit and push, and make the new check required")
    if paths:
        steps.append("`sqsd-lint` lints everything")
    for step in steps:
        typer.echo(f"next: {step}")
