"""The files of a model folder: its configuration and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqsd_lint.common.json_io import read_json
from sqsd_lint.errors import ModelError, ModelNotFoundError


def read_config(folder: Path) -> dict[str, Any]:
    """Return the model's config.json.

    Raises:
        ModelNotFoundError: it is missing or not JSON.
    """
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(
            f"{folder}: not a model folder, config.json cannot be read: {error}",
            hint="give a folder with config.json and *.safetensors, as save_pretrained() writes it",
        ) from error
    return config if isinstance(config, dict) else {}


def weight_files(folder: Path) -> list[Path]:
    """Return what transformers loads: the index's shards, else model.safetensors, else all safetensors.

    Raises:
        ModelNotFoundError: there are none.
    """
    if (folder / _INDEX).is_file():
        try:
            shards = set(read_json(folder / _INDEX)["weight_map"].values())
            found = [folder / str(name) for name in sorted(shards)]
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{folder / _INDEX}: not a shard index: {error}") from error
    elif (folder / "model.safetensors").is_file():
        found = [folder / "model.safetensors"]
    else:
        found = sorted(folder.glob("*.safetensors"))
    missing = [path.name for path in found if not path.is_file()]
    if not found or missing:
        what = f"weights missing: {', '.join(missing)}" if missing else "no *.safetensors weights"
        raise ModelNotFoundError(
            f"{folder}: {what}",
            hint="give a model folder as save_pretrained() writes it; pickled .bin weights are never loaded",
        )
    return found


_INDEX = "model.safetensors.index.json"
