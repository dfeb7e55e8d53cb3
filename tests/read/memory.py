"""How much memory it takes to read a file, measured in a process that does nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]

_CODE = """
import json, resource, sys
import numpy, pyarrow, pyarrow.parquet
from sqsd_lint.read import Limits, read_rows
from sqsd_lint.types import Row
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
limits = Limits(**json.loads(sys.argv[1]))
for path in sys.argv[2:]:
    rows, problems = 0, []
    for item in read_rows(path, limits=limits):
        if isinstance(item, Row):
            rows += 1
        elif len(problems) < 10:
            problems.append([item.code, item.message])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([rows, problems, (peak - before) * (1 if sys.platform == "darwin" else 1024)]))
"""


class Reading(NamedTuple):
    """What came of a file.

    Attributes:
        rows: how many.
        problems: (code, message) of the first ones.
        peak: bytes of memory beyond what the process had before, the files before it included.
    """

    rows: int
    problems: list[tuple[str, str]]
    peak: int


def read_apart(paths: list[Path], **limits: int) -> list[Reading]:
    """Read files one after another in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, json.dumps(limits), *map(str, paths)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ARROW_DEFAULT_MEMORY_POOL": "system"},
        check=True,
        capture_output=True,
        text=True,
    )
    found: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    return [Reading(rows, [tuple(problem) for problem in problems], peak) for rows, problems, peak in found]
