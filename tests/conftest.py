"""What every test folder shares: one thread, no network, and tiny models made once per session."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sqsd_lint.config import Settings

# Before anything imports torch: tiny tensors gain nothing from threads, and the hub must never be asked.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile(
    "sqsd-lint",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("sqsd-lint")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """(architecture, tokenizer kind) -> a saved tiny model folder with its tokenizer, made once."""
    from tests import tiny, tiny_tokenizer

    made: dict[tuple[str, str], Path] = {}

    def folder(arch: str = "llama", kind: str = "chatml") -> Path:
        if (arch, kind) not in made:
            path = tmp_path_factory.mktemp(f"{arch}-{kind}")
            made[arch, kind] = tiny.save_model(path, tiny_tokenizer.make_tokenizer(kind), arch=arch)
        return made[arch, kind]

    return folder


@pytest.fixture(scope="session")
def tiny_model_folder(tiny_folder: Callable[[str, str], Path]) -> Path:
    """A tiny Llama with a ChatML tokenizer, as `--model` takes it."""
    return tiny_folder("llama", "chatml")


@pytest.fixture(scope="session")
def tiny_adapters(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """danger, safety and initial adapters for `tiny_model_folder`."""
    from transformers import AutoConfig

    from tests import tiny

    root = tmp_path_factory.mktemp("adapters")
    sizes = {"vocab_size": AutoConfig.from_pretrained(tiny_model_folder).vocab_size}
    return {
        name: tiny.save_adapter(root / name, seed=seed, sizes=sizes)
        for seed, name in enumerate(("danger", "safety", "initial"), start=11)
    }


@pytest.fixture(scope="session")
def tiny_bundle(
    tiny_model_folder: Path, tiny_adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An uncalibrated bundle of `tiny_adapters` for `tiny_model_folder`."""
    from sqsd_lint.bundle.importer import import_bundle

    out = tmp_path_factory.mktemp("bundle") / "tiny"
    import_bundle(str(tiny_model_folder), **tiny_adapters, output=out)
    return out


@pytest.fixture(scope="session")
def two_bundles(
    tiny_bundle: Path,
    tiny_model_folder: Path,
    tiny_adapters: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, str]:
    """Two calibrated bundles, tiny and two; danger and safety of the second one are exchanged."""
    import json
    import shutil

    from sqsd_lint.bundle.importer import import_bundle
    from sqsd_lint.config import Settings
    from sqsd_lint.run import calibrate as run_calibrate
    from sqsd_lint.run.rows import clean_samples

    root = tmp_path_factory.mktemp("two")
    one = Path(shutil.copytree(tiny_bundle, root / "one"))
    other = dict(tiny_adapters, danger=tiny_adapters["safety"], safety=tiny_adapters["danger"])
    two = import_bundle(str(tiny_model_folder), **other, output=root / "two").root
    rows = [
        {"question": f"What is {i} and {i}? Now?", "answer": f"It is {'so ' * (i % 3)}{2 * i}."}
        for i in range(8)
    ]
    benign = root / "benign.jsonl"
    benign.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = Settings(
        model=str(tiny_model_folder), device="cpu", dtype="float32", cache_dir=str(root / "cache")
    )
    samples = list(clean_samples(str(benign), settings))
    for each in (one, two):
        run_calibrate.calibrate(str(each), {"benign": {"b": samples}}, settings)
    return str(one), str(two)


@pytest.fixture
def tiny_run(tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with an uncalibrated tiny bundle on the CPU, and thresholds that no row reaches."""
    base = Settings(
        bundle=str(tiny_bundle),
        model=str(tiny_model_folder),
        device="cpu",
        dtype="float32",
        threshold="1000",
        warning_threshold="999",
        cache_dir=str(tmp_path / "cache"),
    )

    def run_settings(*paths: Path, **changes: object) -> Settings:
        chosen: dict[str, object] = {"paths": tuple(map(str, paths))} if paths else {}
        return replace(base, **(chosen | changes))  # type: ignore[arg-type]

    return run_settings
