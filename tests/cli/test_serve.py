from __future__ import annotations

from pathlib import Path

import pytest

from sqsd_lint.cli.app import main


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["serve", "--isolated", *map(str, arguments)]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "scorer.example.org"])
def test_others_need_a_token(capsys: pytest.CaptureFixture[str], host: str) -> None:
    assert "no token is needed" in refused(capsys, "--host", host)


@pytest.mark.parametrize(
    "text", ["", "# nothing but this\n", "short\n", "a-token-that-is-long-enough\nshort\n"]
)
def test_a_token_that_is_quickly_guessed_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    assert "16 or more" in refused(capsys, "--token-file", file)
    assert "cannot be read" in refused(capsys, "--token-file", tmp_path / "none")


@pytest.mark.parametrize("arguments", [("--queue", 0), ("--keep-models", 0), ("--port", 70_000)])
def test_numbers_out_of_range_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]
) -> None:
    refused(capsys, *arguments)
