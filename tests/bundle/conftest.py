"""A bundle imported from tiny adapters, once per session; tests that damage it work on a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sqsd_lint.bundle.importer import import_bundle
from sqsd_lint.bundle.load import Bundle, load_bundle


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of each test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SQSD_LINT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def imported(
    tiny_model_folder: Path, tiny_adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("bundles")
    bundle = import_bundle(
        str(tiny_model_folder),
        tiny_adapters["danger"],
        tiny_adapters["safety"],
        tiny_adapters["initial"],
        output=root / "tiny",
        notes=("small proxy",),
        proxy=True,
        cache_dir=root / "cache",
    )
    return bundle.root


@pytest.fixture
def folder(imported: Path, tmp_path: Path) -> Path:
    """A copy of the imported bundle that a test may damage."""
    return Path(shutil.copytree(imported, tmp_path / "tiny"))


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    return load_bundle(folder)
