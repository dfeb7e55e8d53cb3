"""Parts of sqsd-lint that are installed apart: what belongs to which, and the command that brings it."""

from __future__ import annotations

from importlib.util import find_spec

from sqsd_lint.errors import CannotScoreError

# By the name that is imported; a package of a package counts as its own (`torch.nn`: torch).
EXTRAS = {
    "accelerate": "local",
    "gguf": "local",
    "peft": "local",
    "tokenizers": "local",
    "torch": "local",
    "transformers": "local",
    "matplotlib": "plots",
    "datasets": "train",
    "fastapi": "server",
    "prometheus_client": "server",
    "uvicorn": "server",
    "bitsandbytes": "quantized",
    "ray": "ray",
}


class MissingExtraError(CannotScoreError):
    """A part of sqsd-lint that is needed is not installed."""

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(
            f"{module} is not installed: it comes with the extra {extra!r}",
            hint=f'`pip install "sqsd-lint[{extra}]"`',
        )


def require(module: str) -> None:
    """Refuse to go on without a package, before something that takes longer finds another thing missing.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec(module) is None:
        raise MissingExtraError(EXTRAS[module], module)


def missing_extra(error: ImportError) -> MissingExtraError | None:
    """Return the error that names the extra which brings a missing package; None of any other import."""
    name = (error.name or "").partition(".")[0]
    # A package that is there, but broken, is no missing one.
    if isinstance(error, ModuleNotFoundError) and name in EXTRAS:
        return MissingExtraError(EXTRAS[name], name)
    return None
