"""Real git repositories for tests, deaf to the configuration of the machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SETTINGS = {
    "user.name": "Ann",
    "user.email": "ann@example.org",
    "init.defaultBranch": "main",
    "protocol.file.allow": "always",  # or no submodule could be cloned from a folder
    "commit.gpgSign": "false",
    "core.autocrlf": "false",
}
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_COUNT": str(len(SETTINGS)),
    **{f"GIT_CONFIG_KEY_{i}": key for i, key in enumerate(SETTINGS)},
    **{f"GIT_CONFIG_VALUE_{i}": value for i, value in enumerate(SETTINGS.values())},
}
# What a test runner inside of a hook or of a CI job would hand on.
FOREIGN = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_PREFIX", "GITHUB_ACTIONS", "GITLAB_CI")


def row(number: int | str) -> dict[str, str]:
    """A small benign row; rows of different numbers have different fingerprints."""
    return {"question": f"What is {number} and {number}?", "answer": f"It is twice {number}."}


def lines(*rows: object) -> str:
    """Rows as JSON Lines; numbers stand for `row(number)`."""
    return "".join(json.dumps(r if isinstance(r, dict) else row(r)) + "\n" for r in rows)  # type: ignore[arg-type]


class Repository:
    """A repository in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def here(cls, root: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
        """A new repository as the working folder, and git deaf for the process, too."""
        for name in FOREIGN:
            monkeypatch.delenv(name, raising=False)
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        made = cls.new(root)
        monkeypatch.chdir(root)
        return made

    @classmethod
    def new(cls, root: Path) -> Repository:
        root.mkdir(parents=True, exist_ok=True)
        made = cls(root)
        made.git("init", "-q")
        return made

    def git(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**os.environ, **ENVIRONMENT, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.strip()

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def rows(self, name: str, *rows: object) -> Path:
        return self.write(name, lines(*rows))

    def commit(self, message: str = "change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")
