"""PEFT adapter folders, judged by their configuration and safetensors headers: no weights, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.adapters.registry import AdapterKind, AdapterSource, Shape, Use, kind_of
from sqsd_lint.common.json_io import read_json
from sqsd_lint.common.model_folder import weight_files
from sqsd_lint.common.safetensors_header import read_header
from sqsd_lint.errors import AdapterError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_FILES = (CONFIG, WEIGHTS, "adapter_model.bin")


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What an adapter folder holds.

    Attributes:
        kind: of adapter.
        source: its folder, its configuration, and what reads its tensors.
        shapes: per module of the bare model, (d_out, r, d_in).
    """

    kind: AdapterKind
    source: AdapterSource
    shapes: Mapping[str, Shape]

    @property
    def config(self) -> Mapping[str, Any]:
        """The content of adapter_config.json."""
        return self.source.config


def is_adapter(folder: Path) -> bool:
    """Return whether a folder is a PEFT adapter's, finished or not, pickled or not."""
    return any((folder / name).is_file() for name in _FILES)


def inspect_adapter(
    folder: Path, use: Use = "a part of a bundle", *, start: Path | None = None
) -> AdapterInfo:
    """Read the kind and the shapes of an adapter.

    Args:
        use: what the adapter is read for.
        start: the adapter that was saved before the training, if it is known.

    Raises:
        AdapterError: a file is missing or damaged, no kind knows the adapter, its kind cannot be used so, or
            its tensors are not those that its configuration promises.
    """
    source = source_of(folder)
    kind = kind_of(source.config, folder / CONFIG)
    kind.check_use(use, folder, source.config, start=start is not None)
    if start is not None and kind.needs_start:
        check_start(kind, source_of(start), folder)
    path = _weights_of(folder)
    try:
        header = read_header(path)
    except (OSError, ValueError) as error:
        pointer = _is_pointer(path)
        raise AdapterError(
            f"{path}: {'a Git LFS pointer, not the weights' if pointer else error}",
            hint="fetch the weights: `git lfs pull`" if pointer else None,
        ) from error
    return AdapterInfo(kind, source, kind.shapes(source, {name: info.shape for name, info in header.items()}))


def source_of(folder: Path) -> AdapterSource:
    """Return an adapter's folder, configuration, and reader of its tensors.

    Raises:
        AdapterError: the configuration is missing or damaged.
    """
    path = folder / CONFIG
    try:
        config = read_json(path)
    except (OSError, ValueError) as error:
        raise AdapterError(
            f"{path}: not a readable PEFT configuration: {error}",
            hint="give the folder that PEFT's save_pretrained() wrote",
        ) from error
    if not isinstance(config, dict):
        raise AdapterError(f"{path}: holds no JSON object, expected PEFT's configuration")
    return AdapterSource(folder, config, lambda: _load_tensors(folder))


def check_start(kind: AdapterKind, start: AdapterSource, folder: Path) -> None:
    """Raise AdapterError unless a start is of the kind that began there."""
    of_start = kind_of(start.config, start.folder / CONFIG)
    if of_start is not kind:
        raise AdapterError(
            f"{start.folder}: is {of_start.name}, so {folder}, which is {kind.name}, did not start there",
            hint="give the adapter that was saved right before the training",
        )


def _weights_of(folder: Path) -> Path:
    path = folder / WEIGHTS
    if not path.is_file():
        raise AdapterError(
            f"{folder}: {WEIGHTS} is missing",
            hint="save the adapter with save_pretrained(); pickled adapter_model.bin files are never loaded",
        )
    return path


def _load_tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    path = _weights_of(folder)
    try:
        return load_file(path)
    except Exception as error:  # the library has errors of its own besides OSError, by version
        raise AdapterError(f"{path}: not a readable safetensors file: {error}") from error


def _is_pointer(path: Path) -> bool:
    """Return whether a file is what Git LFS leaves in place of one."""
    try:
        with path.open("rb") as file:
            return file.read(24) == b"version https://git-lfs."
    except OSError:
        return False


def check_fits(info: AdapterInfo, adapter: Path, model: Path) -> None:
    """Compare an adapter's modules with the weights of a base model, by headers alone.

    Raises:
        AdapterError: a module is not in the base model, or has another shape there.
    """
    weights = {
        name.removesuffix(".weight"): tensor.shape
        for path in weight_files(model)
        for name, tensor in read_header(path).items()
        if name.endswith(".weight")
    }
    for module, (d_out, _, d_in) in info.shapes.items():
        shape = _find(weights, module)
        hint = f"the adapter belongs to another base model: {info.config.get('base_model_name_or_path')!r}"
        if shape is None:
            raise AdapterError(f"{adapter}: the model in {model} has no layer {module!r}", hint=hint)
        # GPT-2's Conv1D keeps its weight as (in, out), and PEFT says so.
        wanted = (d_in, d_out) if info.config.get("fan_in_fan_out") else (d_out, d_in)
        if shape != wanted:
            raise AdapterError(
                f"{adapter}: {module} is {wanted[0]} x {wanted[1]}, but {shape} in the model in {model}",
                hint=hint,
            )


def _find(weights: Mapping[str, tuple[int, ...]], module: str) -> tuple[int, ...] | None:
    """Return the shape of a module's weight; a checkpoint may leave out or add leading parts of the name."""
    if module in weights:
        return weights[module]
    ends = [shape for name, shape in weights.items() if _ends(module, name) or _ends(name, module)]
    return ends[0] if len(ends) == 1 else None


def _ends(longer: str, shorter: str) -> bool:
    return longer.endswith("." + shorter)
