"""What a check is said to take, and what is said to help."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.bundle.importer import import_bundle
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.config import Settings
from sqsd_lint.run.fit import Fit, estimate, remedies

GB = 10**9
LARGE = Fit("cpu", "float32", 8 * GB, 32 * GB, GB, 8 * GB, 2, 1024, False, 1e15, 1e12, 24 * GB)


@pytest.fixture(autouse=True)
def native_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU that only emulates it, bfloat16 would be float32."""
    monkeypatch.setattr("sqsd_lint.scoring.model.cpu_has_bfloat16", lambda: True)


def test_a_configuration_is_enough(tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_model_folder / "config.json").read_bytes())
    settings = Settings(device="cpu", dtype="float32", max_length=64, batch_tokens=256)
    found = estimate(load_bundle(tiny_bundle), tmp_path, settings)
    assert (found.rows, found.tokens, found.weights) == (4, 64, 4 * found.parameters)
    assert found.fits
    assert found.seconds > 0
    halved = estimate(load_bundle(tiny_bundle), tmp_path, replace(settings, dtype="bfloat16"))
    assert halved.weights * 2 == found.weights
    assert halved.activations < found.activations


def test_what_helps_is_what_fits() -> None:
    assert not LARGE.fits
    said = list(remedies(LARGE, Settings()))
    assert said[0] == "`--dtype bfloat16` (21.0 GB)"
    assert any(each.startswith("`--quantize 4bit`") for each in said)
    assert not any("--max-length" in each for each in said)  # the weights alone are too much
    close = replace(LARGE, weights=16 * GB, dtype="bfloat16")
    assert [each.split("`")[1] for each in remedies(close, Settings(device_map="auto"))] == [
        "--batch-tokens 1024",
        "--max-length 512",
    ]


def test_a_base_adapter_is_merged_in_float32(
    tiny_bundle: Path, tiny_model_folder: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    based = import_bundle(
        str(tiny_model_folder), **tiny_adapters, base=tiny_adapters["initial"], output=tmp_path / "based"
    )
    settings = Settings(device="cpu", dtype="bfloat16", max_length=16, batch_tokens=16)
    found = estimate(based, tiny_model_folder, settings)
    assert found.loading == 4 * found.parameters
    assert found.loading > found.weights
    packed = estimate(based, tiny_model_folder, replace(settings, quantize="8bit"))
    assert packed.loading == 0
    assert packed.adapters > found.adapters  # kept beside the packed weights
    assert estimate(load_bundle(tiny_bundle), tiny_model_folder, settings).loading == 0
    # Where loading is what does not fit, smaller batches and shorter rows are no help.
    short = replace(LARGE, dtype="bfloat16", weights=16 * GB, activations=2 * GB, loading=32 * GB)
    assert (short.running, short.total, short.fits) == (19 * GB, 32 * GB, False)
    assert [each.split("`")[1] for each in remedies(short, Settings())] == [
        "--quantize 4bit",
        "--device-map auto",
    ]


@pytest.mark.parametrize(("seconds", "rate"), [(1000.0, 1e12), (2000.0, 5e11)])
def test_time_is_work_by_rate(seconds: float, rate: float) -> None:
    assert replace(LARGE, rate=rate).seconds == seconds
