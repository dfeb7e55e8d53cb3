"""`sqsd-lint hook`: install and remove git hooks, and what pre-commit calls."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sqsd_lint.cli.options import Group
from sqsd_lint.errors import UsageError

_Names = Annotated[
    list[str] | None,
    typer.Option("--hook", metavar="NAME", help="pre-commit, pre-push or pre-receive.", show_default=False),
]


def install(
    hook: _Names = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            metavar=" ",
            help="Where another hook stands: keep it beside the new one, which runs it first.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Put hooks where git looks for them, so that a commit or push with risky rows is refused.

    Default: pre-commit; in a bare repository, as on a server, pre-receive.

    [cyan]sqsd-lint hook install --hook pre-commit --hook pre-push[/cyan]
    """
    from sqsd_lint.cli.hook_files import HookFiles

    files = HookFiles()
    for name in _known(hook) or files.default():
        _say(files.install(name, force=force))


def uninstall(hook: _Names = None) -> None:
    """Remove the hooks that sqsd-lint installed, all unless named, and put back what stood there before."""
    from sqsd_lint.cli.hook_files import NAMES, HookFiles

    files = HookFiles()
    for name in _known(hook) or NAMES:
        _say(files.uninstall(name))


def run(context: typer.Context) -> None:
    """Check the files that pre-commit or prek names, with the options of `check`.

    Only new rows count where it is known since when: staged files against HEAD, a push against what the
    remote has. Otherwise, as under `pre-commit run --all-files`, every row does.
    """
    from sqsd_lint.discover.not_read import NotRead, PathKind, kind_of
    from sqsd_lint.report.style.messages import print_note

    _refuse_replacement(os.environ.get("PRE_COMMIT_REMOTE_BRANCH", ""))
    root: Any = context.find_root()
    with root.command.commands["check"].make_context("check", context.args, parent=root) as inner:
        params: dict[str, Any] = inner.params
        # The frameworks name whatever has the extension; what a search passes by is passed by here, too.
        named, not_read = params["paths"] or (), NotRead(changed=True)
        params["paths"] = []
        for path in named:
            kind = kind_of(os.path.basename(path))
            if kind in (PathKind.SETTINGS, PathKind.QUARANTINE):
                not_read.add(kind, path, path)
            else:
                params["paths"].append(path)
        for note in not_read.notes:
            print_note(note)
        params["paths"] = _below_configured(inner)
        if not params["paths"]:
            return
        if not (params["staged"] or params["changed_since"]):
            since = os.environ.get("PRE_COMMIT_FROM_REF")
            params["staged"] = not since and _all_staged(params["paths"])
            params["changed_since"] = None if params["staged"] else since or "none"
        params["force_exclude"] = params["no_progress"] = True
        inner.command.invoke(inner)


GROUP = Group(
    help="Install and remove git hooks that judge what is committed or pushed.",
    commands={"install": install, "uninstall": uninstall, "run": run},
    context_settings={"run": {"allow_extra_args": True, "ignore_unknown_options": True}},
)


def _refuse_replacement(ref: str) -> None:
    """Raise UsageError for a push to a ref that makes git show another object in place of one."""
    if ref.startswith("refs/replace/"):
        raise UsageError(
            f"{ref} would show another object in place of one that was judged",
            hint="Push the commit to a branch instead.",
        )


def _below_configured(context: typer.Context) -> list[str]:
    """Return the named files that are below the configured `paths`; the others are named in a note."""
    from sqsd_lint.cli.settings import judged_settings_of
    from sqsd_lint.discover.not_read import listing
    from sqsd_lint.report.style.messages import print_note

    named: list[str] = context.params["paths"]
    context.params["paths"] = None
    folders = judged_settings_of(context)[0].paths
    if folders == (".",):  # as where nothing is configured
        return named
    below = [os.path.join(os.path.abspath(folder), "") for folder in folders]
    inside = [path for path in named if os.path.join(os.path.abspath(path), "").startswith(tuple(below))]
    outside = [path for path in named if path not in inside]
    if outside:
        words = ("file is outside of the configured paths", "files are outside of the configured paths")
        print_note(listing(outside, *words))
    return inside


def _all_staged(paths: Sequence[str]) -> bool:
    """Whether all of `paths` differ from HEAD in the index: the files of the commit that is being made."""
    from sqsd_lint.discover.git.repository import Git

    listed = Git("pre-commit").items("diff", "--cached", "-z", "--name-only", "--no-renames", "--relative")
    return {os.path.normpath(path) for path in paths} <= set(listed)


def _known(names: Sequence[str] | None) -> Sequence[str]:
    """Return the hooks that --hook names.

    Raises:
        UsageError: one that sqsd-lint does not have.
    """
    from sqsd_lint.cli.hook_files import NAMES

    for name in names or ():
        if name not in NAMES:
            raise UsageError(f"--hook: there is no hook {name!r}", hint=f"There is {', '.join(NAMES)}.")
    return names or ()


def _say(text: str) -> None:
    from sqsd_lint.common.escape import escape

    typer.echo(escape(text))
