"""Real repositories, a command that only writes down its arguments, and the real one on a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ROWS = [{"question": f"What is {i} plus {i}?", "answer": f"It is {2 * i}."} for i in range(8)]


def text(*rows: Mapping[str, str]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def clean_environment(home: Path) -> dict[str, str]:
    """The process's environment without settings of git or sqsd-lint, and with `home` as the home folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "SQSD_LINT_", "PRE_COMMIT"))}
    person = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"))
    }
    return {**kept, **person, "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "NO_COLOR": "1"}


@dataclass
class Repository:
    """A git repository, work tree or bare, and the environment that its commands run in."""

    path: Path
    env: dict[str, str] = field(repr=False)

    def run(
        self, *command: str | Path, expect: int | None = 0, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*map(str, command)],
            cwd=self.path,
            env={**self.env, **env},
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        if expect is not None:
            assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def git(self, *args: str | Path, expect: int | None = 0, **env: str) -> str:
        return self.run("git", *args, expect=expect, **env).stdout.strip()

    def write(self, name: str, content: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def commit(self, files: Mapping[str, str], *, message: str = "more") -> str:
        """Commits without hooks and returns the id."""
        for name, content in files.items():
            self.write(name, content)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--no-verify", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def put_hook(self, name: str) -> Path:
        """Copies a hook of ours by hand."""
        path = Path(self.git("rev-parse", "--absolute-git-dir")) / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "hooks" / name, path)
        return path


MakeRepository = Callable[..., Repository]


@pytest.fixture
def make_repository(tmp_path: Path) -> MakeRepository:
    """(name, bare=False) -> an empty repository with the branch main."""
    environment = clean_environment(tmp_path)

    def make(name: str = "work", *, bare: bool = False) -> Repository:
        path = tmp_path / name
        path.mkdir()
        made = Repository(path, dict(environment))
        made.git("init", "--quiet", "--initial-branch=main", *(["--bare"] if bare else []))
        return made

    return make


def script(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@dataclass
class Recorder:
    """A `sqsd-lint` that writes down its arguments and ends with the code that a file holds."""

    folder: Path

    def calls(self) -> list[list[str]]:
        log = self.folder / "calls"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [json.loads(line) for line in lines]

    def answer(self, *codes: int) -> None:
        """One exit code a call, the last one from then on."""
        (self.folder / "codes").write_text(" ".join(map(str, codes)))


@pytest.fixture
def recorder(tmp_path: Path, make_repository: MakeRepository) -> Recorder:
    folder = tmp_path / "recorder bin"  # a blank must do no harm
    source = f"""#!{sys.executable} -I
import json, pathlib, sys
folder = pathlib.Path({str(folder)!r})
with open(folder / "calls", "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
assert sys.stdin.read() == ""
done = len(open(folder / "calls").readlines())
codes = [int(code) for code in (folder / "codes").read_text().split()]
sys.exit(codes[min(done, len(codes)) - 1])
"""
    script(folder / "sqsd-lint", source)
    made = Recorder(folder)
    made.answer(0)
    return made


def use(repository: Repository, folder: Path) -> Repository:
    """The same repository with a folder in front of PATH."""
    return Repository(
        repository.path, {**repository.env, "PATH": f"{folder}{os.pathsep}{repository.env['PATH']}"}
    )


def without_torch(repository: Repository) -> dict[str, str]:
    """Environment in which a process that imports torch fails."""
    folder = repository.path.parent / "no-torch"
    folder.mkdir(exist_ok=True)
    (folder / "torch.py").write_text("raise ImportError('torch was imported')")
    return {"PYTHONPATH": str(folder)}


@dataclass(frozen=True)
class TinyLint:
    """The real command on a tiny model: a line that divides one risky row from benign ones."""

    benign: Sequence[Mapping[str, str]]
    risky: Mapping[str, str]
    config: str
    environment: Mapping[str, str] = field(repr=False)

    def repository(self, repository: Repository) -> Repository:
        """The same repository with the command on PATH and the model in the environment."""
        made = use(repository, BIN)
        made.env.update(self.environment, SQSD_LINT_CACHE_DIR=str(repository.path.parent / "cache"))
        return made


@pytest.fixture(scope="session")
def tiny_lint(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyLint:
    """Scores ROWS once and draws the line under the highest."""
    import sqsd_lint
    from sqsd_lint.types import ScoredRow

    folder = tmp_path_factory.mktemp("tiny-lint")
    (folder / "rows.jsonl").write_text(text(*ROWS))
    chosen = {
        "bundle": str(tiny_bundle),
        "model": str(tiny_model_folder),
        "device": "cpu",
        "dtype": "float32",
    }
    found = list(sqsd_lint.score([folder / "rows.jsonl"], cache=False, **chosen))
    scores = [row.score.sqsd for row in found if isinstance(row, ScoredRow)]
    order = sorted(range(len(ROWS)), key=scores.__getitem__)
    line = (scores[order[-1]] + scores[order[-2]]) / 2
    return TinyLint(
        benign=[ROWS[i] for i in order[:-1]],
        risky=ROWS[order[-1]],
        config=f"threshold = {line!r}\nwarning-threshold = {line!r}\n",
        environment={
            "SQSD_LINT_OUTPUT_FORMAT": "concise",
            **{f"SQSD_LINT_{key.upper()}": value for key, value in chosen.items()},
        },
    )
