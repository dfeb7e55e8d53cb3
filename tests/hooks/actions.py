"""Just enough of GitHub's runner for the scripts of action.yml: expressions in `env:`, files of a step."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.hooks.conftest import ROOT, Repository

ACTION = ROOT / "action.yml"
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def load(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def evaluate(text: str, context: Mapping[str, Any]) -> str:
    """`text` with its expressions worked out; they may look things up and say `||`, no more."""

    def value(match: re.Match[str]) -> str:
        found: Any = None
        for term in match[1].split("||"):
            term = term.strip()
            if term.startswith("'"):
                found = term.strip("'")
            else:
                found = context
                for key in term.split("."):
                    found = found.get(key) if isinstance(found, Mapping) else None
            if found:
                break
        return "" if found is None else str(found)

    return _EXPRESSION.sub(value, text)


@dataclass
class Done:
    """How a step ended.

    Attributes:
        outputs, environment: what it wrote to GITHUB_OUTPUT, GITHUB_ENV.
        path, summary: the contents of GITHUB_PATH and GITHUB_STEP_SUMMARY.
    """

    code: int
    log: str
    outputs: dict[str, str]
    summary: str
    path: str


@dataclass
class Runner:
    """Runs steps of action.yml by name in the work tree of `repository`."""

    repository: Repository
    temp: Path
    inputs: dict[str, str] = field(default_factory=dict)
    github: dict[str, Any] = field(default_factory=dict)

    def run(self, name: str) -> Done:
        action = load(ACTION)
        (step,) = [step for step in action["runs"]["steps"] if step.get("name") == name]
        given = {key: str(each.get("default", "")) for key, each in action["inputs"].items()}
        assert set(self.inputs) <= set(given)
        context = {
            "inputs": {**given, **self.inputs},
            "github": {"action_path": str(ROOT), "repository": "us/data", **self.github},
            "runner": {"temp": str(self.temp), "os": "Linux"},
        }
        files = {key: self.temp / key for key in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
        self.temp.mkdir(exist_ok=True)
        for path in files.values():
            path.write_text("")
        env = {
            **self.repository.env,
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_ACTIONS": "true",
            **{key: str(path) for key, path in files.items()},
            **{key: evaluate(str(text), context) for key, text in step["env"].items()},
        }
        # As the runner starts `shell: bash`.
        script = self.temp / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.repository.path,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=300,
        )
        lines = files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines()
        return Done(
            code=done.returncode,
            log=done.stdout,
            outputs=dict(line.split("=", 1) for line in lines),
            summary=files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8"),
            path=files["GITHUB_PATH"].read_text(encoding="utf-8"),
        )
