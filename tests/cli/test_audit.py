"""`baseline audit` and `suppress`: findings answered one by one, in real files."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.cli.audit import Answer, ask
from sqsd_lint.rules import DEFAULT_BASELINE, DEFAULT_SUPPRESSIONS, read_baseline, read_suppressions
from tests.report.reports import FULL, high_risk

ROWS = [{"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 4)}{2 * i}."} for i in range(5)]


@pytest.fixture
def folder(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working folder with a configuration under which every row is an error."""
    for name in [name for name in os.environ if name.startswith("SQSD_LINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "sqsd-lint.toml").write_text(
        f'paths = ["data"]\nbundle = "{tiny_bundle}"\nmodel = "{tiny_model_folder}"\n'
        'device = "cpu"\ndtype = "float32"\ncache-dir = "cache"\n'
        "threshold = -1000\nwarning-threshold = -1001\n"
    )
    (tmp_path / "data").mkdir()
    write(ROWS[:3])
    return tmp_path


def write(rows: Sequence[object]) -> None:
    Path("data/a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def lines(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_findings_are_accepted_rejected_and_moved(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines("a\nm\nr\n", monkeypatch)
    assert main(["baseline", "audit", "--no-progress"]) == 0
    out = capsys.readouterr().out
    assert "1 of 3  data/a.jsonl:1" in out
    assert "│ What is 0 and 0? → It is 0." in out
    assert "data/a.jsonl: 1 row moved to data/a.quarantine.jsonl" in out
    assert "data/a.jsonl:3: SQSD101 rejected" in out
    assert f"{DEFAULT_BASELINE}: 1 finding in 1 file (1 added, 0 dropped)" in out
    assert Path("data/a.jsonl").read_text().splitlines() == [json.dumps(ROWS[0]), json.dumps(ROWS[2])]
    assert Path("data/a.quarantine.jsonl").read_text().splitlines() == [json.dumps(ROWS[1])]
    assert main(["check", "--no-progress", "--output-format", "concise"]) == 1
    assert capsys.readouterr().out.count("SQSD101") == 1

    # What is in the baseline is asked about with --all alone, and a rejection takes it out.
    lines("q\n", monkeypatch)
    assert main(["baseline", "audit", "--no-progress"]) == 0
    assert "1 of 1  data/a.jsonl:2" in capsys.readouterr().out
    lines("r\ns\n", monkeypatch)
    assert main(["baseline", "audit", "--all", "--no-progress"]) == 0
    out = capsys.readouterr().out
    assert "1 of 2  data/a.jsonl:1 · in the baseline" in out
    assert "1 finding not decided" in out
    assert read_baseline(DEFAULT_BASELINE).entries == frozenset()


def test_without_an_answer_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Path("data/a.jsonl").read_bytes()
    lines("", monkeypatch)
    assert main(["baseline", "audit", "--no-progress"]) == 0
    assert not Path(DEFAULT_BASELINE).exists()
    assert Path("data/a.jsonl").read_bytes() == before


def test_keys_go_back_and_are_told_when_they_mean_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found = [high_risk("a.jsonl", line, 7.0, 99.95, f"row {line}\x1b[2J") for line in (1, 2, 3)]
    keys = iter(["b", "a", "x", "A", "b", "r", "s", "q"])
    decided = ask(found, lambda violation: False, sys.stdout, lambda: next(keys, ""))
    out = capsys.readouterr().out
    assert "'b' is none of these keys" in out  # the first has nothing before it
    assert "'x' is none of these keys" in out
    assert "2 of 3  a.jsonl:2 · accept" in out
    assert "\x1b[2J" not in out
    assert decided.of(Answer.ACCEPT) == [found[0]]
    assert decided.of(Answer.REJECT) == [found[1]]
    assert decided.open == 1


def test_a_file_cannot_be_moved_and_redacted_text_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    file = FULL.violations[4]
    ask([file], lambda violation: True, sys.stdout, lambda: "")
    assert "[m]" not in capsys.readouterr().out
    ask(
        [high_risk("a", 1, 7.0, None, "secret")], lambda violation: False, sys.stdout, lambda: "", redact=True
    )
    out = capsys.readouterr().out
    assert "secret" not in out
    assert f"fingerprint {1:032x}" in out


@pytest.mark.slow
def test_on_a_terminal_a_key_needs_no_return(folder: Path) -> None:
    main(["check", "--no-progress", "--quiet"])  # scores are cached: the process below needs no model
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sqsd_lint", "baseline", "audit", "--no-progress"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    shown = ""
    for key in ("a", "s", "q"):
        while not shown.endswith("> "):
            shown += process.stdout.read(1)
        os.write(ours, key.encode())
        shown += process.stdout.read(1)
    rest = process.stdout.read()
    assert process.wait() == 0, shown + rest
    assert len(read_baseline(DEFAULT_BASELINE).entries) == 1


def test_a_row_is_suppressed_by_its_content(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = 'quoted "so", reviewed\tby ü'
    assert main(["suppress", "data/a.jsonl:2", "--reason", reason, "--no-progress"]) == 0
    out = capsys.readouterr().out
    assert "SQSD101" in out
    assert f"data/a.jsonl:2: SQSD101 suppressed in {DEFAULT_SUPPRESSIONS}" in out
    (entry,) = read_suppressions(DEFAULT_SUPPRESSIONS).entries.values()
    assert (entry.suppression.codes, entry.suppression.reason) == (("SQSD101",), reason)
    assert entry.file == "data/a.jsonl"
    write([ROWS[1], ROWS[0]])
    assert main(["check", "--no-progress", "--output-format", "concise"]) == 1
    out = capsys.readouterr().out
    assert "data/a.jsonl:2: SQSD101" in out
    assert "data/a.jsonl:1:" not in out
    assert "1 is suppressed" in out


def test_suppressing_again_changes_the_reason_and_no_other_byte(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in (1, 2):
        assert main(["suppress", f"data/a.jsonl:{line}", "--reason", "one", "--no-progress"]) == 0
    path = Path(DEFAULT_SUPPRESSIONS)
    path.write_text(path.read_text().replace("\n\n[", "\n# a remark\n\n[") + "# the end\n")
    before = path.read_text()
    capsys.readouterr()
    assert main(["suppress", "data/a.jsonl:1", "--reason", "one", "--no-progress"]) == 0
    assert "already suppressed" in capsys.readouterr().out
    assert path.read_text() == before
    args = ["--reason", "two", "--rule", "SQSD305", "--no-progress"]
    assert main(["suppress", "data/a.jsonl:1", *args]) == 0
    expected = before.replace('ignore = ["SQSD101"]', 'ignore = ["SQSD101", "SQSD305"]', 1)
    assert path.read_text() == expected.replace('reason = "one"', 'reason = "two"', 1)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["data/a.jsonl:1", "--reason", "  "], "it is empty"),
        (["data/a.jsonl:9", "--reason", "x"], "no such row"),
        (["data/a.jsonl:1", "--reason", "x", "--rule", "SQSD303"], "SQSD303 cannot be suppressed"),
        (["data/a.jsonl:1", "--reason", "x", "--rule", "SQSD9"], "no rule is called"),
        (["data/a.jsonl", "--reason", "x"], "names no row"),
    ],
)
def test_what_cannot_be_suppressed_is_refused(
    folder: Path, args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suppress", *args, "--no-progress"]) == 2
    assert said in capsys.readouterr().err
    assert not Path(DEFAULT_SUPPRESSIONS).exists()


def test_a_harmless_row_needs_no_suppression(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Path("sqsd-lint.toml")
    config.write_text(config.read_text().replace("-1000", "1000").replace("-1001", "999"))
    assert main(["suppress", "data/a.jsonl:1", "--reason", "x", "--no-progress"]) == 2
    assert "nothing is found in this row" in capsys.readouterr().err


def test_a_file_in_a_form_of_its_own_is_not_damaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suppress", "data/a.jsonl:1", "--reason", "one", "--no-progress"]) == 0
    (digest,) = read_suppressions(DEFAULT_SUPPRESSIONS).entries
    odd = f'{digest} = {{ ignore = ["SQSD101"], reason = "one" }}\n'
    Path(DEFAULT_SUPPRESSIONS).write_text(odd)
    assert main(["suppress", "data/a.jsonl:1", "--reason", "two", "--no-progress"]) == 2
    assert "Write it by hand" in capsys.readouterr().err
    assert Path(DEFAULT_SUPPRESSIONS).read_text() == odd
