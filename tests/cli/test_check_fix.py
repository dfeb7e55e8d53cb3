"""`check --fix` and `--diff` on real files with a tiny model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.config import Settings
from sqsd_lint.run import check as run_check
from tests.repository import Repository, lines

Check = Callable[..., int]
DATA = Path("data.jsonl")


@pytest.fixture
def check(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Check:
    """Runs `check` with a line that exactly one of six rows exceeds, in a repository that holds them."""
    for name in [name for name in os.environ if name.startswith("SQSD_LINT_")]:
        monkeypatch.delenv(name)
    repo = Repository.here(tmp_path / "repo", monkeypatch)
    repo.rows(str(DATA), *range(6))
    chosen = {
        "bundle": str(tiny_bundle),
        "model": str(tiny_model_folder),
        "cache_dir": str(tmp_path / "cache"),
    }
    settings = Settings(**chosen, device="cpu", dtype="float32", threshold="1000", warning_threshold="999")  # type: ignore[arg-type]
    rows = sorted(run_check.check(settings).rows, key=lambda row: -row.score.sqsd)
    line = (rows[0].score.sqsd + rows[1].score.sqsd) / 2
    options = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", value)]
    options += ["--device", "cpu", "--dtype", "float32", "--no-progress"]
    options += [
        "--threshold",
        repr(line),
        "--warning-threshold",
        repr(line - 1e-4),
        "--select",
        "SQSD1,SQSD3",
    ]

    def run(*args: str) -> int:
        return main(["check", *options, *args])

    run.worst = rows[0].where.line  # type: ignore[attr-defined]
    return run


def test_diff_shows_and_fix_moves(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    worst: int = check.worst  # type: ignore[attr-defined]
    before = DATA.read_bytes()
    assert check("--diff") == 1
    out = capsys.readouterr().out
    assert "+++ data.quarantine.jsonl" in out
    assert f"@@ -{worst} @@ SQSD101" in out
    assert (DATA.read_bytes(), os.path.exists("data.quarantine.jsonl")) == (before, False)

    assert check("--fix") == 0
    captured = capsys.readouterr()
    assert "SQSD101" in captured.out
    assert "1 row moved to data.quarantine.jsonl" in captured.err
    rest = [line for number, line in enumerate(before.splitlines(True), 1) if number != worst]
    assert DATA.read_bytes() == b"".join(rest)
    assert Path("data.quarantine.jsonl").read_bytes() == before.splitlines(True)[worst - 1]
    # The quarantine is no data, unless it is named.
    assert check("--fix") == 0
    assert check("data.quarantine.jsonl") == 1


def test_what_is_left_still_fails(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    DATA.write_text(DATA.read_text() + "{\n")
    assert check("--fix") == 3
    assert check() == 3


def test_exit_zero(check: Check) -> None:
    assert check("--diff", "--exit-zero") == 0


def test_with_the_index(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    os.system("git add data.jsonl")
    assert check("--staged", "--fix") == 1
    assert "`git add` the files again" in capsys.readouterr().err
    os.system("git add data.jsonl")
    assert check("--staged") == 0
    # Where the row on disk is not the one that was judged, nothing is touched.
    DATA.write_bytes(Path("data.quarantine.jsonl").read_bytes())
    os.system("git add data.jsonl")
    DATA.write_text(lines(7))
    assert check("--staged", "--fix") == 3
    assert "is not the one that was scored" in capsys.readouterr().err
    assert DATA.read_text() == lines(7)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--fix", "-"), "standard input"),
        (("--fix", "--changed-since", "HEAD...HEAD"), "--fix"),
        (("--diff", "--output-format", "json"), "both go to standard output"),
    ],
)
def test_what_is_refused_before_a_run(
    args: tuple[str, ...], said: str, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(*args) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
