"""The embedded bundle through the real service: the scores and verdicts of a local run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.run import check as run_check
from sqsd_lint.types import Report
from tests.server.running import process
from tests.test_default_bundle import EXAMPLES, needs_model

ROWS = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some of the benign examples, and elevated ones on both sides of both lines, a file each."""
    folder = tmp_path_factory.mktemp("rows")
    made = []
    for name, first in (("benign.jsonl", 0), ("elevated.jsonl", 3)):
        lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines()
        made.append(folder / name)
        made[-1].write_text("\n".join(lines[first : first + ROWS]) + "\n", encoding="utf-8")
    return made


def verdicts(report: Report) -> list[tuple[str, str, str]]:
    return [(each.rule, each.severity, str(each.where)) for each in report.violations]


def at_once(*works: Callable[[], Report]) -> list[Report]:
    found: dict[int, Report] = {}
    threads = [
        threading.Thread(target=lambda i=i, work=work: found.update({i: work()}))  # type: ignore[misc]
        for i, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[i] for i in range(len(works))]


@needs_model
@pytest.mark.slow
def test_two_clients_have_the_scores_and_verdicts_of_local_runs(files: list[Path], tmp_path: Path) -> None:
    local = Settings(cache=False, device="cpu", dtype="float32")
    here = [run_check.check(replace(local, paths=(str(file),))) for file in files]
    with process("--device", "cpu", "--dtype", "float32", "--no-cache") as (_, url, lines):
        remote = Settings(scorer=url, cache_dir=str(tmp_path / "cache"))
        there = at_once(
            *(lambda file=file: run_check.check(replace(remote, paths=(str(file),))) for file in files)
        )
    for one, other in zip(there, here, strict=True):
        assert verdicts(one) == verdicts(other)
        assert one.exit_code == other.exit_code
        assert one.coverage.scored == other.coverage.scored == ROWS
        assert one.head.bundle_digest == other.head.bundle_digest
        for a, b in zip(one.rows, other.rows, strict=True):
            assert a.fingerprint == b.fingerprint
            assert a.score.exact == b.score.exact
            for name in ("danger", "safety", "sqsd", "harm", "risk", "loss"):
                assert getattr(a.score, name) == pytest.approx(getattr(b.score, name), abs=1e-5), name
    assert {rule for rule, _, _ in verdicts(here[1])} == {"SQSD101", "SQSD102"}
    assert sum('"scores"' in line for line in lines) >= len(files)
