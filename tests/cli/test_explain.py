from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.config import Settings
from sqsd_lint.errors import CannotScoreError
from sqsd_lint.explain.row_reference import RowReference
from sqsd_lint.run import explain as explaining
from tests.cli.conftest import FakePipeline
from tests.report.explanation.explanations import FULL


@pytest.fixture
def asked(pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch) -> list[tuple[RowReference, Settings]]:
    """What `explain` was asked; it answers the same to everything."""
    calls: list[tuple[RowReference, Settings]] = []

    def explain(target: RowReference, settings: Settings, *, progress: Any = None) -> Any:
        calls.append((target, settings))
        if pipeline.error:
            raise pipeline.error
        return FULL

    monkeypatch.setattr(explaining, "explain", explain)
    return calls


def test_text_goes_to_standard_output(
    asked: list[tuple[RowReference, Settings]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "odd:name.jsonl:48", "--bundle", "b", "--top", "1"]) == 0
    out, err = capsys.readouterr()
    assert "3 other sentences" not in out
    assert "5 other sentences" in out
    assert err == ""
    ((target, settings),) = asked
    assert target == RowReference("odd:name.jsonl", 48)
    assert settings.bundle == "b"


def test_json_is_json(asked: list[tuple[RowReference, Settings]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "a.jsonl#abab", "--output-format", "json", "--redact"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["row"]["fingerprint"] == FULL.row.fingerprint
    assert all(part["text"] is None for part in found["words"])


def test_html_goes_to_a_file(asked: list[tuple[RowReference, Settings]]) -> None:
    assert main(["explain", "a.jsonl:48", "--output-format", "html", "-o", "why.html"]) == 0
    assert Path("why.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("args", [["a.jsonl"], ["a.jsonl:0"], ["a:1", "--top", "0"], ["a:1", "-o", "no/x"]])
def test_wrong_usage(asked: list[tuple[RowReference, Settings]], args: list[str]) -> None:
    assert main(["explain", *args]) == 2
    assert asked == []


def test_a_row_that_cannot_be_explained_leaves_no_file(
    asked: list[tuple[RowReference, Settings]], pipeline: FakePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.error = CannotScoreError("a.jsonl:2: the answer is empty", hint="remove the row")
    assert main(["explain", "a.jsonl:2", "-o", "why.html"]) == 3
    assert "the answer is empty" in capsys.readouterr().err
    assert not Path("why.html").exists()
