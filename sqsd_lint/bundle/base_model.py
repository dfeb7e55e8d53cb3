"""The base model that a bundle belongs to: where it lies, and whether it is the right one. No torch."""

from __future__ import annotations

import re
from pathlib import Path

from sqsd_lint.bundle.embedded import EMBEDDED_MODEL_ID
from sqsd_lint.bundle.manifest import BaseModel, Manifest
from sqsd_lint.bundle.model_digests import template_digest, tokenizer_digest, weights_digest
from sqsd_lint.common.model_folder import read_config
from sqsd_lint.common.progress import Status
from sqsd_lint.errors import ModelNotFoundError, WrongBaseModelError

# A Hub id with its owner. As a folder it would be one that a pull request can bring along.
_OWNED = re.compile(r"[\w.-]+/[\w.-]+\Z")
_WANTED = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]


def describe_model(
    name: str, folder: Path, *, revision: str | None = None, cache_dir: Path | None = None
) -> BaseModel:
    """Return what a manifest records of a base model. A folder is recorded by its last name only."""
    architectures = read_config(folder).get("architectures") or ["unknown"]
    return BaseModel(
        id=folder.resolve().name if Path(name).is_dir() else name,
        revision=revision,
        weights_digest=weights_digest(folder, cache_dir=cache_dir),
        tokenizer_digest=tokenizer_digest(folder, cache_dir=cache_dir),
        template_digest=template_digest(folder),
        architecture=str(architectures[0]),
    )


def check_base_model(
    manifest: Manifest, folder: Path, *, proxy: bool = False, cache_dir: Path | None = None
) -> tuple[str, ...]:
    """Compare the model in `folder` with the one that the bundle was made for.

    Returns:
        Notes for the report's head: empty, or with `proxy` what differs.

    Raises:
        WrongBaseModelError: weights, tokenizer or chat template differ, and `proxy` is not set.
    """
    base = manifest.base_model
    pairs = {
        "weights": (base.weights_digest, weights_digest(folder, cache_dir=cache_dir)),
        "tokenizer": (base.tokenizer_digest, tokenizer_digest(folder, cache_dir=cache_dir)),
        "chat template": (base.template_digest, template_digest(folder)),
    }
    differs = {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}
    if not differs:
        return ()
    if proxy:
        return (f"proxy: bundle {manifest.id} was made for {base.id}, not for {folder.name}",)
    details = "; ".join(
        f"{what} {want[:12]} wanted, {got[:12]} found" for what, (want, got) in differs.items()
    )
    raise WrongBaseModelError(
        f"bundle {manifest.id!r} was made for {base.id}, and {folder} is another model: {details}",
        hint="name the bundle's own base model, or build a bundle for this one; "
        "--proxy scores with the bundle all the same and says so in the report",
    )


def base_folder(
    manifest: Manifest,
    model: str | None = None,
    *,
    cache_dir: Path | None = None,
    status: Status | None = None,
) -> Path:
    """Return the local folder of a bundle's base model.

    Args:
        model: the one that the settings name; else it is the one that the manifest does, whose `org/name` is
            never a folder of the working folder.

    Raises:
        ModelNotFoundError: as `resolve_model`.
    """
    return resolve_model(
        model or manifest.base_model.id, own_folder=model is not None, cache_dir=cache_dir, status=status
    )


def base_place(manifest: Manifest, model: str | None = None) -> Path | None:
    """Return where `base_folder` would look, without the network; None where it is within the cache."""
    name = model or manifest.base_model.id
    if name == EMBEDDED_MODEL_ID:
        return None
    if local_folder(name, own_folder=model is not None) or not _is_hub_id(name):
        return Path(name)
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE, f"models--{name.replace('/', '--')}")


def resolve_model(
    name: str,
    *,
    revision: str | None = None,
    own_folder: bool = True,
    cache_dir: Path | None = None,
    status: Status | None = None,
) -> Path:
    """Return a model's local folder: a folder's own path, the embedded default, or a Hub id's snapshot.

    Args:
        own_folder: whether `org/name` may be a folder of the working folder.
        status: told what takes its time (converting, downloading).

    Raises:
        ModelNotFoundError: there is no such model, or it cannot be reached.
    """
    if name == EMBEDDED_MODEL_ID:
        from sqsd_lint.bundle.embedded import embedded_model

        return embedded_model(cache_dir=cache_dir, status=status)
    if path := local_folder(name, own_folder=own_folder):
        read_config(path)
        return path
    if not _is_hub_id(name):
        raise ModelNotFoundError(f"{name}: no such folder", hint="give a model folder or a Hub id (org/name)")
    return _snapshot(name, revision, status)


def local_folder(name: str, *, own_folder: bool = True) -> Path | None:
    """Return the folder that a model's name is, None for what is to be looked up on the Hub.

    Args:
        own_folder: as for `resolve_model`.
    """
    path = Path(name)
    return path if path.is_dir() and (own_folder or not _is_owned(name)) else None


def _is_owned(name: str) -> bool:
    return bool(_OWNED.match(name)) and not name.startswith(".")


def _is_hub_id(name: str) -> bool:
    return not (Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1)


def _snapshot(name: str, revision: str | None, status: Status | None) -> Path:
    from huggingface_hub import snapshot_download

    if status:
        status(f"fetching {name} from the Hub")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED))
    # The Hub client raises its own errors, those of its HTTP library and OSError, by version and cause.
    except Exception as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ModelNotFoundError(
            f"the model {name!r} is neither a folder nor can it be fetched from the Hub: {first}",
            hint="check the name and the network; gated models need `hf auth login`; offline, give a folder",
        ) from error
