"""`drift`: a run folder measured along a bundle's directions, from the start that belongs to its kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.errors import SqsdLintError, WrongBaseModelError
from sqsd_lint.run.drift import drift
from tests.drift.runs import save_adapters

Run = Callable[..., Settings]


def test_adapters_begin_at_nothing(
    tiny_run: Run, tiny_model_folder: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    vocab = json.loads((tiny_model_folder / "config.json").read_text())["vocab_size"]
    save_adapters(tmp_path / "run", {5: 1}, vocab)
    shutil.copytree(tiny_adapters["danger"], tmp_path / "run/checkpoint-9")
    found = drift(tmp_path / "run", tiny_run(model=None))
    assert [point.state.step for point in found.trajectory.points] == [5, 9]
    assert found.trajectory.kind == "adapter"
    last = found.trajectory.points[1].move.total
    assert last.danger.cosine == pytest.approx(1.0, abs=1e-6), "the danger adapter itself"
    assert abs(last.safety.cosine) < 0.5


def test_full_weights_begin_at_the_base_model(
    tiny_run: Run, tiny_model_folder: Path, tiny_folder: Callable[[str, str], Path], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoint-1").symlink_to(tiny_model_folder)
    found = drift(tmp_path / "run", tiny_run())
    assert found.trajectory.kind == "weights"
    assert found.trajectory.points[0].move.total.norm == 0.0
    with pytest.raises(WrongBaseModelError) as caught:
        drift(tmp_path / "run", tiny_run(model=str(tiny_folder("qwen2", "chatml"))))
    assert "--start" in (caught.value.hint or "")
    named = drift(tmp_path / "run", tiny_run(model="org/gone"), start=tiny_model_folder)
    assert named.trajectory.points[0].move.total.norm == 0.0


def test_a_folder_without_a_run_is_told_before_a_bundle_is_opened(tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(SqsdLintError, match=str(tmp_path)):
        drift(tmp_path, tiny_run(bundle="no-such-bundle"))
