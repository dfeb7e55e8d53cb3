"""The counters themselves: each of them notices the work that it is there for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.counting import ComparedName, audited, lines_run, run_within_cpu_seconds


def test_lines_grow_with_the_work() -> None:
    def loop(times: int) -> None:
        for _ in range(times):
            pass

    assert lines_run(lambda: loop(1000)) > 9 * lines_run(lambda: loop(100))


def test_a_count_of_every_name_compares_all_pairs() -> None:
    names = [ComparedName(n) for n in range(50)]
    ComparedName.compared = 0
    assert all(names.count(ComparedName(name)) == 1 for name in names)
    assert ComparedName.compared >= 50 * 49


def test_files_and_processes_are_recorded_inside_the_block_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    with audited() as events:
        (tmp_path / "a").read_text()
        subprocess.run([sys.executable, "-c", ""], check=True)
    (tmp_path / "a").read_text()
    assert events.count(("open", str(tmp_path / "a"))) == 1
    assert [event for event, _ in events].count("subprocess.Popen") == 1


def test_endless_work_is_ended() -> None:
    with pytest.raises(AssertionError, match="exit -"):
        run_within_cpu_seconds("while True: pass", seconds=1)
