"""`--help` on a terminal of 80 columns: nothing is cut, and nothing is wider than the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len
from typer.main import get_command

from sqsd_lint.cli.app import build, main


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = dict(commands(get_command(build())))


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(path) or "sqsd-lint")
def test_help_at_80_columns_cuts_nothing(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert "…" not in text
    assert max(map(cell_len, text.splitlines())) <= 80
    flat = re.sub(r"[\s│╭╮╰╯─]+", "", text)
    for parameter in ALL[path].params:
        shown = [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else []
        for word in [
            *shown,
            *(parameter.metavar or "").split(),
            *(getattr(parameter, "help", None) or "").split(),
        ]:
            assert re.sub(r"\[/?[a-z ]+\]|\s", "", word) in flat, word
