"""bfloat16 on a CPU that can only emulate it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import sqsd_lint
from sqsd_lint.scoring.cpu import CPU_LIMITS, EMULATED, cpu_has_bfloat16
from sqsd_lint.scoring.device import resolve
from sqsd_lint.scoring.model import pick_dtype

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CPU_LIMITS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("limit", ["AVX2", "avx2", "AVX512_CORE_VNNI"])
def test_what_would_be_emulated_is_float32(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert not cpu_has_bfloat16()
    assert pick_dtype("bfloat16", CPU) == pick_dtype("auto", CPU) == torch.float32
    assert resolve("cpu", "bfloat16", None) == ("cpu", "float32")


def test_bfloat16_stays_where_the_chip_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqsd_lint.scoring.model.cpu_has_bfloat16", lambda: True)
    assert pick_dtype("bfloat16", CPU) == pick_dtype("auto", CPU) == torch.bfloat16
    assert pick_dtype("float32", CPU) == torch.float32


def test_a_kept_answer_is_that_of_the_same_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sqsd_lint.scoring.model.cpu_has_bfloat16", lambda: True)
    assert resolve("cpu", "bfloat16", tmp_path)[1] == "bfloat16"
    monkeypatch.undo()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert resolve("cpu", "bfloat16", tmp_path)[1] == "float32"


def test_the_report_says_so(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"prompt": "What is it?", "completion": "It is so."}) + "\n")
    given = {"bundle": str(tiny_bundle), "model": str(tiny_model_folder), "threshold": "1e3"}
    cache = {"cache_dir": str(tmp_path / "cache"), "device": "cpu"}
    report = sqsd_lint.check(data, dtype="bfloat16", **given, **cache)
    assert report.head.dtype == "float32"
    assert EMULATED in report.head.notes
    assert EMULATED not in sqsd_lint.check(data, dtype="auto", **given, **cache).head.notes
