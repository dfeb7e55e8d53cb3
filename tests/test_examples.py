"""Files to copy: they are well formed, and what they call is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from sqsd_lint.cli.app import build

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "large-data"
SCRIPTS = sorted(FOLDER.glob("*.sh"))


def known_options() -> set[str]:
    group: Any = get_command(build())
    return {name for parameter in group.commands["score"].params for name in parameter.opts}


def used_options(text: str) -> set[str]:
    """The options of `sqsd-lint score` in a script, whose lines end in a backslash or are folded."""
    (call,) = re.findall(r"sqsd-lint score(?:[^\n]*\\\n|[^\n]*\n(?=\s+--))*[^\n]*", text)
    return set(re.findall(r"(?<= )--[a-z-]+", call))


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_a_script_is_one_and_calls_what_is_there(script: Path) -> None:
    shell = script.read_text().splitlines()[0].removeprefix("#!")
    assert subprocess.run([shell, "-n", script]).returncode == 0
    used = used_options(script.read_text())
    assert {"--bundle", "--model", "--dtype", "--output-dir"} <= used
    assert used <= known_options()


def test_the_job_of_kubernetes_counts_its_pods_once() -> None:
    path = FOLDER / "kubernetes.yaml"
    job = yaml.safe_load(path.read_text())
    spec = job["spec"]
    assert (job["kind"], spec["completionMode"]) == ("Job", "Indexed")
    (container,) = spec["template"]["spec"]["containers"]
    command = container["args"][0]
    assert f"/{spec['completions']}" in command
    assert used_options(command) <= known_options()
    assert subprocess.run(["sh", "-n", "-c", command]).returncode == 0
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
