"""`init`: what a repository needs to have its data linted, as files to write; nothing is written here.

Every file is made from what is there, so that a second run finds nothing to do, and what somebody else wrote
stays.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from sqsd_lint._version import OWNER, REPOSITORY, __version__
from sqsd_lint.config import Settings
from sqsd_lint.config.files import find_file
from sqsd_lint.discover import ON_DISK, find_files
from sqsd_lint.errors import UsageError
from sqsd_lint.resources import templates_dir
from sqsd_lint.run.rows import read_samples
from sqsd_lint.types import Problem, Sample

CONFIG = "sqsd-lint.toml"
PRE_COMMIT = ".pre-commit-config.yaml"
GITHUB = ".github/workflows/sqsd-lint.yml"
GITLAB = ".gitlab-ci.yml"
GITLAB_JOB = ".gitlab/sqsd-lint.yml"
# PyTorch's index of builds without CUDA, and the release that hooks take from it.
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH = "2.13.0"
FILES = (
    r"(?i)(\.(jsonl|jsonlines|ndjson|jl|json|csv|tsv)(\.(gz|zst|xz|bz2))?|\.(parquet|pq|arrow|feather|zip))$"
)

# Rows that are looked at to tell a file's layout.
_LOOKED_AT = 5
_MOST_FILES = 200


@dataclass(frozen=True, slots=True)
class SetUpChoices:
    """What is to be set up.

    Attributes:
        scorer: URL of a scoring service; hook and workflow then need no PyTorch.
        action_repo: OWNER/NAME of the repository that holds the action; "" where the package's own does.
    """

    pre_commit: bool = False
    github: bool = False
    gitlab: bool = False
    scorer: str = ""
    action_repo: str = ""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that may hold training data.

    Attributes:
        layout: of its rows; "" where none of the first ones is a row of training data.
        problem: why not.
    """

    name: str
    layout: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file to write; `old` is None where there is none yet, and `new` where nothing is to be done."""

    name: str
    old: str | None
    new: str
    note: str = ""

    @property
    def is_due(self) -> bool:
        """Whether writing changes anything."""
        return self.old != self.new


def find_data(settings: Settings) -> list[FoundFile]:
    """Look at the first rows of the data files below the working folder."""
    found = find_files(["."], exclude=settings.exclude, ignore_files=ON_DISK)
    return [_look(file, settings) for file in found.files[:_MOST_FILES]]


def _look(file: str, settings: Settings) -> FoundFile:
    layouts: Counter[str] = Counter()
    problem = ""
    for item in islice(read_samples(file, settings), _LOOKED_AT):
        if isinstance(item, Sample):
            layouts[item.schema] += 1
        elif isinstance(item, Problem):
            problem = problem or item.message
    return FoundFile(file, ", ".join(sorted(layouts)), "" if layouts else problem)


def data_paths(files: list[FoundFile]) -> list[str]:
    """Return what to lint: the top folders that hold training data, and such files beside them."""
    known = [file.name for file in files if file.layout]
    return sorted({name.split(os.sep)[0] for name in known})


def changes(wanted: SetUpChoices, files: list[FoundFile]) -> Iterator[FileChange]:
    """Yield the files to write, with what they hold now.

    Raises:
        UsageError: a file is there that cannot be extended, or `action_repo` is no name of a repository.
    """
    yield _config(wanted, data_paths(files))
    if wanted.pre_commit:
        yield _pre_commit(wanted)
    if wanted.github:
        yield _github(wanted, data_paths(files))
    if wanted.gitlab:
        yield from _gitlab(wanted)


def _read(name: str) -> str | None:
    path = Path(name)
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _config(wanted: SetUpChoices, paths: list[str]) -> FileChange:
    there = find_file(Path.cwd())
    if there is not None:
        name = os.path.relpath(there)
        text = _read(name) or ""
        note = "there is a configuration already"
        if wanted.scorer and wanted.scorer not in text:
            note += f': set scorer = "{wanted.scorer}" in it by hand'
        return FileChange(name, text, text, note)
    lines = [
        "# What sqsd-lint lints, and where its lines are; `sqsd-lint config show` names every setting.",
        f"paths = {json.dumps(paths or ['.'])}",
    ]
    if wanted.scorer:
        lines.append(f"scorer = {json.dumps(wanted.scorer)}    # rows are sent there")
    lines += [
        '# threshold = "p99.9"            # error: as risky as 1 benign reference row in 1,000',
        '# warning-threshold = "p99"',
        '# model = "Qwen/Qwen3-8B"        # the model that you fine-tune; needs a bundle: docs/bundles.md',
    ]
    return FileChange(CONFIG, None, "\n".join(lines) + "\n")


def hook_block(scorer: str = "") -> str:
    """Return the hook as an entry of `repos`: of PyPI's release, in an environment of its own."""
    if scorer:
        dependencies = [f"sqsd-lint=={__version__}"]
        why = ""
    else:
        dependencies = [
            f"sqsd-lint[local]=={__version__}",
            f"--extra-index-url={TORCH_INDEX}",
            f"torch=={TORCH}+cpu; sys_platform == 'linux'",
        ]
        why = "        # On Linux PyTorch without CUDA: 1.3 GB instead of 6.\n"
    items = "".join(f"          - {json.dumps(item)}\n" for item in dependencies)
    return (
        "- repo: local\n"
        "  hooks:\n"
        "    - id: sqsd-lint\n"
        "      name: sqsd-lint\n"
        "      entry: sqsd-lint hook run\n"
        "      language: python\n"
        f"      files: '{FILES}'\n"
        "      stages: [pre-commit, pre-push, manual]\n"
        "      require_serial: true\n"
        f"{why[2:]}      additional_dependencies:\n{items[2:].replace(chr(10) + '  ', chr(10))}"
    )


def _pre_commit(wanted: SetUpChoices) -> FileChange:
    old = _read(PRE_COMMIT)
    block = hook_block(wanted.scorer)
    if old is None or not old.strip():
        return FileChange(PRE_COMMIT, old, f"repos:\n{_indented(block, 2)}")
    if re.search(r"^\s*-?\s*id:\s*[\"']?sqsd-lint(-\w+)?[\"']?\s*$", old, re.MULTILINE):
        return FileChange(PRE_COMMIT, old, old, "has the hook already")
    head = re.search(r"^repos:[ \t]*(\[\])?[ \t]*(#.*)?\r?\n?", old, re.MULTILINE)
    if head is None:
        raise UsageError(
            f"{PRE_COMMIT}: no list of `repos` begins a line", hint=f"Add the hook by hand:\n{block}"
        )
    first = re.compile(r"^([ \t]*)-", re.MULTILINE).search(old, head.end())
    indent = len(first[1]) if first else 2
    before = f"repos:{'  ' + head[2] if head[2] else ''}\n" if head[1] else old[head.start() : head.end()]
    before = before if before.endswith("\n") else f"{before}\n"
    new = old[: head.start()] + before + _indented(block, indent) + old[head.end() :]
    return FileChange(PRE_COMMIT, old, new)


def _indented(block: str, cells: int) -> str:
    return "".join(f"{' ' * cells}{line}" for line in block.splitlines(keepends=True))


def _github(wanted: SetUpChoices, paths: list[str]) -> FileChange:
    """Return the workflow: with the action where its address is known, else with the release on PyPI."""
    if wanted.action_repo and not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", wanted.action_repo):
        raise UsageError(
            f"--action-repo {wanted.action_repo}: no name of a repository", hint="For example acme/sqsd-lint."
        )
    old = _read(GITHUB)
    if old is not None:
        return FileChange(GITHUB, old, old, "is there already")
    own = "" if OWNER == "OWNER" else f"{OWNER}/sqsd-lint"
    action = wanted.action_repo or own
    name = "github-workflow.yml" if action else "github-workflow-pypi.yml"
    text = (templates_dir() / name).read_text(encoding="utf-8")
    _, _, body = text.partition("\nname: ")  # the comment is for who copies it by hand
    if action:
        body = body.replace(f"{OWNER}/sqsd-lint@COMMIT", f"{action}@v{__version__}")
        listed = "".join(f"\n            {path}" for path in paths) if len(paths) > 1 else ""
        body = body.replace(
            "          paths: data\n", f"          paths: {'|' + listed if listed else (paths or ['.'])[0]}\n"
        )
    if wanted.scorer:
        body = _without_torch(body)
        minutes = "    timeout-minutes: 60\n"
        body = body.replace(minutes, f"{minutes}{_scorer_variables(wanted.scorer)}")
    about = f"# {REPOSITORY}/blob/v{__version__}/docs/ci.md\n" if own else ""
    return FileChange(GITHUB, None, f"{about}name: {body}")


def _scorer_variables(url: str) -> str:
    """Return the environment of a job whose rows a service scores."""
    return (
        "    env:\n"
        f"      SQSD_LINT_SCORER: {json.dumps(url)}\n"
        "      SQSD_LINT_SCORER_TOKEN: ${{ secrets.SQSD_LINT_SCORER_TOKEN }}\n"
    )


def _without_torch(text: str) -> str:
    """Return a workflow or job that installs neither PyTorch nor what else scores."""
    lines = [line for line in text.splitlines(keepends=True) if '"torch==' not in line]
    return "".join(lines).replace("sqsd-lint[local]==", "sqsd-lint==")


def _gitlab(wanted: SetUpChoices) -> Iterator[FileChange]:
    old = _read(GITLAB_JOB)
    text = (templates_dir() / "gitlab-ci.yml").read_text(encoding="utf-8")
    if wanted.scorer:
        text = _without_torch(text)
    yield (
        FileChange(GITLAB_JOB, old, text)
        if old is None
        else FileChange(GITLAB_JOB, old, old, "is there already")
    )
    pipeline = _read(GITLAB)
    include = f"include:\n  - local: {GITLAB_JOB}\n"
    if pipeline is None:
        yield FileChange(GITLAB, None, include)
    elif GITLAB_JOB not in pipeline:
        yield FileChange(
            GITLAB, pipeline, pipeline, f"add to it by hand: include: [{{ local: {GITLAB_JOB} }}]"
        )


def sample_settings(settings: Settings, paths: list[str], rows: int) -> Settings:
    """Return the settings of a first look at so many rows."""
    given = tuple(paths) if paths and settings.paths == (".",) else settings.paths
    return replace(settings, paths=given, sample=rows, staged=False, changed_since=None)
