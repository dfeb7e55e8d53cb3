"""Heavy libraries stay in the rooms that compute; import-linter holds which way imports go (`make lint`)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sqsd_lint"

HEAVY = {"torch", "transformers", "datasets", "peft", "accelerate"}
HEAVY_HOMES = (
    *("adapters", "scoring", "encode", "training", "drift", "experiments"),
    *("bundle/embedded", "bundle/reach", "run/fit"),
)

SOURCES = sorted(PACKAGE.rglob("*.py"))


def imports(source: str) -> Iterator[tuple[str, int]]:
    """(module, line) of every import at any depth: statements, lazy ones, import_module("...")."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = (
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            )
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value, node.lineno


def breaches(source: str, part: str) -> list[str]:
    """The heavy imports of a module that is in none of their homes, one line each."""
    if any(part == home or part.startswith(f"{home}/") for home in HEAVY_HOMES):
        return []
    return [f"{part}:{line} imports {m}" for m, line in imports(source) if m.split(".")[0] in HEAVY]


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=[part_of(path) for path in SOURCES])
def test_heavy_imports_stay_in_their_homes(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8"), part_of(path)) == []


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("errors", "import torch"),
        ("rules/threshold", "def f():\n    from torch.nn import Linear"),
        ("bundle/load", "from importlib import import_module\nimport_module('transformers')"),
        ("run/check", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import peft"),
        ("trainings", "import torch"),
    ],
)
def test_a_breach_is_found(part: str, source: str) -> None:
    assert breaches(source, part)


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("training/train", "import torch"),
        ("scoring/linear", "from torch import nn"),
        ("read/jsonl", "import json, torchvision_free_name"),
    ],
)
def test_what_is_allowed_is_no_breach(part: str, source: str) -> None:
    assert breaches(source, part) == []


@pytest.mark.parametrize("module", ["sqsd_lint", "sqsd_lint.cli.app", "sqsd_lint.run.check"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    heavy = sorted({*HEAVY, "pyarrow", "numpy", "jsonschema", "pandas"})
    code = (
        f"import json, sys, {module}\nprint(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
