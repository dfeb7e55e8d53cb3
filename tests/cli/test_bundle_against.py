"""`bundle calibrate --against` as a user runs it: a target's scores, the proxy's rows, the report's head."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.cli.app import main

HERE = ["--device", "cpu", "--dtype", "float32"]
ROWS = [
    {"question": f"What is {i} plus {i * i}?", "answer": f"It is {i + i * i}." * (1 + i % 3)}
    for i in range(40)
]


@pytest.fixture
def proxy(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A bundle of its own in an empty working folder, with rows that the target has scored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    shutil.copytree(tiny_bundle, tmp_path / "proxy")
    Path(tiny_model_folder.name).symlink_to(tiny_model_folder)  # by this name the bundle knows its base
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return tmp_path / "proxy"


def calibrate(*more: str) -> int:
    return main(["bundle", "calibrate", "proxy", "--rows-of", "data.jsonl", *HERE, "--no-progress", *more])


def test_the_agreement_is_measured_stored_and_shown(
    proxy: Path, tiny_bundle: Path, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["--bundle", str(tiny_bundle), "--model", str(tiny_model_folder), *HERE]
    # By another metric the same bundle ranks rows nearly, but not quite, as the proxy does.
    assert main(["score", "data.jsonl", *target, "--metric", "dot", "--output-file", "scores.jsonl"]) == 0
    before = load_bundle(proxy)
    assert calibrate("--against", "scores.jsonl", "--model", "org/big") == 0
    said = " ".join(capsys.readouterr().out.split())
    after = load_bundle(proxy)
    (found,) = after.manifest.agreements
    assert (found.target, found.rows) == ("org/big", len(ROWS))
    assert -1 <= found.low < found.spearman < found.high <= 1
    assert f"agrees with org/big: Spearman {found.spearman:.2f}" in said
    assert after.scoring_digest == before.scoring_digest
    assert after.digest != before.digest

    def head(model: str) -> str:
        main(
            [
                "check",
                "data.jsonl",
                "--bundle",
                "proxy",
                "--proxy",
                "--model",
                model,
                *HERE,
                "--threshold",
                "9",
            ]
        )
        return " ".join(capsys.readouterr().out.split())

    assert f"Spearman {found.spearman:.2f}" in head("org/big")
    assert "agreement unknown" in head("org/other")


def test_what_is_wrong_is_named(proxy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = load_bundle(proxy).digest
    scores = Path("scores.jsonl")
    scores.write_text('{"fingerprint": "a", "sqsd": 1}\n', encoding="utf-8")
    assert calibrate("--against", "scores.jsonl") == 2
    assert "the target's name is missing" in capsys.readouterr().err
    assert calibrate("--against", "scores.jsonl", "--model", "org/big") == 2  # no row of the data is in it
    assert "only 0 rows" in capsys.readouterr().err
    assert calibrate("--against", "scores.jsonl", "--model", "org/big", "--benign", "data.jsonl") == 2
    assert "no reference sets" in " ".join(capsys.readouterr().err.split())
    assert main(["bundle", "calibrate", "proxy", "--against", "scores.jsonl"]) == 2
    assert "--against needs --rows-of" in " ".join(capsys.readouterr().err.split())
    scores.write_text("{\n", encoding="utf-8")
    assert calibrate("--against", "scores.jsonl", "--model", "org/big") == 2
    assert "scores.jsonl:1" in capsys.readouterr().err
    assert load_bundle(proxy).digest == digest
