"""The two rules about imports: they go one way, and the heavy libraries stay in the rooms that compute."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sqsd_lint"

# In the order in which data walks through them: a room may import those before it, never those after.
ROOMS = (
    *("config", "discover", "read", "samples", "encode", "score", "bundle", "judge"),
    *("explain", "drift", "report"),
    *("quarantine", "validate"),
)
# Below every room: what all may import and what imports nothing but its like.
GROUND = {"types", "heads", "tried", "errors", "progress", "resources", "_version"}
# Above every room, from the ground up: what puts the rooms together.
ROOF = (
    "rows",
    "rulebook",
    "engine",
    "session",
    "panel",
    "trial",
    "fit",
    "doctor",
    "pipeline",
    "sketching",
    "explaining",
    "drifting",
    "spanning",
    "trial",
    "consensus",
    "__init__",
    "cli",
    "__main__",
)

# Reading a bundle is no business of the model's: only these two parts of `bundle` look at rows and scores.
BUNDLE_PARTS_WITH_SCORES = ("bundle/build", "bundle/calibrate")

HEAVY = {"torch", "transformers", "datasets", "peft", "accelerate"}
HEAVY_HOMES = ("score", "encode", "bundle/build", "drift", "validate")

SOURCES = sorted(PACKAGE.rglob("*.py"))


@dataclass(frozen=True)
class Import:
    """`module` as it is imported at `line`, dots and all: "torch.nn", "sqsd_lint.judge.lines"."""

    module: str
    line: int


def imports(source: str, part: str) -> Iterator[Import]:
    """Every import of a module at any depth: statements, lazy or for type checkers, and import_module("...").

    Args:
        part: the module's place in the package, such as "bundle/build/train" or "judge/__init__".
    """
    package = ["sqsd_lint", *part.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            # `from sqsd_lint import judge` names a room after the keyword.
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "sqsd_lint" else [base]
            for name in names:
                yield Import(name, node.lineno)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = (
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            )
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield Import(node.args[0].value, node.lineno)


def inside(part: str, homes: tuple[str, ...]) -> bool:
    return any(part == home or part.startswith(f"{home}/") for home in homes)


def storey(name: str) -> int:
    """How far up a room or a top-level module stands; the ground is 0."""
    return 0 if name in GROUND else ((*ROOMS, *ROOF).index(name) + 1)


def breaches(source: str, part: str) -> list[str]:
    """What a module does against the rules, one line each."""
    found = []
    own = part.split("/")[0]
    for each in imports(source, part):
        top, *below = each.module.split(".")
        if top in HEAVY and not inside(part, HEAVY_HOMES):
            found.append(f"{part}:{each.line} imports {top}, which only {', '.join(HEAVY_HOMES)} may")
        if top != "sqsd_lint" or not below:
            continue
        # A name that is no module, as in `from sqsd_lint import check`, is the package's own.
        target = below[0] if below[0] in (*ROOMS, *ROOF, *GROUND) else "__init__"
        if target == "__init__" and below[0] == "__version__":
            target = "_version"
        if target != own and storey(target) >= max(1, storey(own)):
            found.append(f"{part}:{each.line} imports {target}, which stands above {own}")
        if own == "bundle" and target in ("encode", "score") and not inside(part, BUNDLE_PARTS_WITH_SCORES):
            found.append(
                f"{part}:{each.line} imports {target}, which only bundle/build and bundle/calibrate may"
            )
    return found


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=[part_of(path) for path in SOURCES])
def test_a_module_keeps_the_rules(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8"), part_of(path)) == []


def test_every_module_has_its_place() -> None:
    tops = {part_of(path).split("/")[0] for path in SOURCES}
    assert tops <= {*ROOMS, *ROOF, *GROUND}


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("read/jsonl", "from sqsd_lint.judge import judge"),
        ("read/jsonl", "from ..judge import lines"),
        ("read/jsonl", "from sqsd_lint import judge"),
        ("read/jsonl", "from sqsd_lint import pipeline"),
        ("read/jsonl", "def f():\n    from sqsd_lint.cli.app import main"),
        ("score/scorer", "import sqsd_lint.bundle.store"),
        ("bundle/store", "from sqsd_lint.score.cache import Cache"),
        ("types", "from sqsd_lint.config import Settings"),
        ("types", "from sqsd_lint import check"),
        ("errors", "import torch"),
        ("judge/lines", "def f():\n    from torch.nn import Linear"),
        ("bundle/store", "from importlib import import_module\nimport_module('transformers')"),
        ("pipeline", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import peft"),
        ("bundle/builder", "import torch"),
    ],
)
def test_a_breach_is_found(part: str, source: str) -> None:
    assert breaches(source, part)


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("judge/lines", "from sqsd_lint.types import Line\nfrom .policy import Policy\nfrom . import packs"),
        ("judge/lines", "from sqsd_lint.config.validate import validate"),
        (
            "bundle/build/train",
            "import torch\nfrom sqsd_lint.encode import Encoder\nfrom ..store import load",
        ),
        ("bundle/calibrate", "from sqsd_lint.read import read_rows"),
        ("cli/check", "from sqsd_lint import __version__, pipeline"),
        ("bundle/write", "from sqsd_lint import __version__"),
        ("score/linear", "from torch import nn"),
        ("read/jsonl", "import json, torchvision_free_name"),
    ],
)
def test_what_is_allowed_is_no_breach(part: str, source: str) -> None:
    assert breaches(source, part) == []


@pytest.mark.parametrize("module", ["sqsd_lint", "sqsd_lint.cli.app", "sqsd_lint.pipeline"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    heavy = sorted({*HEAVY, "pyarrow", "numpy", "jsonschema", "pandas"})
    code = (
        f"import json, sys, {module}\nprint(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
