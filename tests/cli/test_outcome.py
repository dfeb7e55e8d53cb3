from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest
import typer

from sqsd_lint.cli.exit import prepare_streams, run
from sqsd_lint.errors import BundleNotFoundError, ConfigError, ExitCode


def raising(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.fixture(autouse=True)
def no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQSD_LINT_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("wrong key", hint="use another"), 2, "error: wrong key\nhelp: use another\n"),
        (BundleNotFoundError("no bundle"), 3, "error: no bundle\n"),
        (typer.BadParameter("not that"), 2, "error: Invalid value: not that\n"),
        (KeyboardInterrupt(), 3, "error: interrupted\nhelp: Scores computed so far are kept"),
        (typer.Abort(), 3, "error: interrupted"),
        (
            PermissionError(13, "Permission denied", "x\x1b.jsonl"),
            3,
            "error: x\\x1b.jsonl: Permission denied",
        ),
        (ValueError("what\x1b[31m"), 3, "error: unexpected ValueError: what\\x1b[31m\nhelp: This is a bug"),
        (typer.Exit(1), 1, ""),
        (typer.Exit(3), 3, ""),
        (typer.Exit(77), 3, ""),
        (SystemExit(1), 3, ""),
    ],
)
def test_every_end_has_one_of_four_codes(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(raising(error))
    assert result == code
    assert result in tuple(ExitCode)
    assert capsys.readouterr().err.startswith(message)


def test_all_well_is_0() -> None:
    assert run(lambda: None) == 0


def test_the_traceback_comes_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(raising(ValueError("x")))
    assert "Traceback" not in capsys.readouterr().err
    run(raising(ValueError("x")), debug=True)
    assert "Traceback" in capsys.readouterr().err
    run(raising(ConfigError("x")), debug=True)
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("SQSD_LINT_DEBUG", "1")
    run(raising(ConfigError("x")))
    assert "Traceback" in capsys.readouterr().err


class Closed(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError

    def fileno(self) -> int:
        raise OSError


def test_a_reader_that_leaves_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    assert run(raising(typer.Exit(1))) == 1


def test_output_that_nobody_takes_is_not_all_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    assert run(lambda: None) == 3


def test_a_closed_standard_error_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Closed())
    assert run(raising(ConfigError("x"))) == 2


def test_streams_that_are_not_utf8_show_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    prepare_streams()
    print("é")
    stream.flush()
    assert buffer.getvalue() == b"\\xe9\n"
