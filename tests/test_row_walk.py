"""How many files of the package a row walks through, from `check` to a finding in the text report.

    python -m pytest tests/test_row_walk.py -s     prints them

A file takes part in a row's walk if more rows mean more calls of its functions.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

import sqsd_lint
from sqsd_lint.cli.app import main

PACKAGE = Path(sqsd_lint.__file__).parent
# A bound, not an aim: what a reader must open to follow a row from its file to a finding.
MOST = 72


def calls_by_file(function: Callable[[], object]) -> Counter[str]:
    """Return how often functions of each file of the package are called while `function` runs."""
    counts: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            counts[frame.f_code.co_filename] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    root = f"{PACKAGE}{os.sep}"
    return Counter({name.removeprefix(root): n for name, n in counts.items() if name.startswith(root)})


def test_a_row_walks_through_few_files(
    two_bundles: tuple[str, str],
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")

    def check(rows: int) -> Counter[str]:
        file = tmp_path / f"{rows}.jsonl"
        file.write_text(
            "".join(
                json.dumps({"instruction": f"Count to {i}.", "output": f"Here it goes: {'1 ' * (1 + i % 5)}"})
                + "\n"
                for i in range(rows)
            )
        )
        where = ["--bundle", two_bundles[0], "--model", str(tiny_model_folder)]
        how = ["--cache-dir", str(tmp_path / f"cache-{rows}"), "--batch-tokens", "64", "--device", "cpu"]
        code = []
        counts = calls_by_file(
            lambda: code.append(main(["check", file.name, "--threshold", "-9", *where, *how]))
        )
        out, err = capsys.readouterr()
        assert (code, out.count("✗ SQSD101")) == ([1], rows), out + err
        return counts

    check(2)  # what the first call in a process imports and makes once
    few, many = check(4), check(16)
    walk = sorted(name for name, n in many.items() if n > few[name])
    print(f"\n{len(walk)} of {len(many)} files:", *walk, sep="\n")
    assert {"samples", "scoring", "rules", "report"} <= {name.split(os.sep)[0] for name in walk}
    assert len(walk) <= MOST
