"""Read full weights from disk, a few rows of one tensor at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.common.model_folder import weight_files
from sqsd_lint.common.safetensors_header import TensorInfo, read_header
from sqsd_lint.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_FLOATS = ("F64", "F32", "F16", "BF16")
_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.safetensors$")
_UNFINISHED = "a checkpoint that is still being written can be measured later"


class Weights:
    """The tensors of a model folder: model.safetensors, or the shards of its index.

    Attributes:
        folder: as given.
        shapes: by tensor name, as stored.

    Raises:
        ModelError: weights are missing, cut short, pickled or not in a floating-point dtype.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[Path, Any] = {}
        self._files: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        files = weight_files(folder)
        _check_shards(folder, files)
        for path in files:
            try:
                header = read_header(path)
            except (OSError, ValueError) as error:
                raise ModelError(f"{path}: {error}", hint=_UNFINISHED) from error
            for name, info in header.items():
                if info.dtype not in _FLOATS and not name.endswith("weight"):
                    continue  # a buffer, such as a causal mask: training does not move it
                _check_dtype(path, info)
                self._files[name] = path
                self.shapes[name] = info.shape

    def rows(self, name: str, start: int, end: int) -> Tensor:
        """Read rows `start` to `end` of a tensor's first dimension from disk, in float64."""
        path = self._files[name]
        if path not in self._open:
            from safetensors import safe_open

            try:
                self._open[path] = safe_open(path, framework="pt")
            except Exception as error:
                raise ModelError(f"{path}: {error}", hint=_UNFINISHED) from error
        part: Tensor = self._open[path].get_slice(name)[start:end]
        return part.double()


def _check_dtype(path: Path, info: TensorInfo) -> None:
    if info.dtype not in _FLOATS:
        raise ModelError(
            f"{path}: {info.name!r} is stored as {info.dtype}, expected one of {', '.join(_FLOATS)}",
            hint="quantised weights have no displacement; give the weights that were trained",
        )


def _check_shards(folder: Path, files: Iterable[Path]) -> None:
    """Refuse shards without their index: a save leaves them that has not come to its end."""
    shards = [(path, match[1]) for path in files if (match := _SHARD.search(path.name))]
    if shards and len(shards) != int(shards[0][1]):
        raise ModelError(f"{folder}: {len(shards)} of {int(shards[0][1])} shards", hint=_UNFINISHED)


def match_names(wanted: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return the stored name of each wanted tensor; a checkpoint may lack or add leading parts of a name.

    Returns:
        For each wanted name that is there, or is the end of exactly one name or ends in exactly one:
        "transformer.h.0.attn.c_attn.weight" is "h.0.attn.c_attn.weight" in OpenAI's own file.
    """
    names = set(names)
    by_end: dict[str, set[str]] = {}
    for name in names:
        for end in _ends(name):
            by_end.setdefault(end, set()).add(name)
    found = {}
    for name in wanted:
        near = {name} & names or by_end.get(name, set()) or {end for end in _ends(name) if end in names}
        if len(near) == 1:
            found[name] = next(iter(near))
    return found


def _ends(name: str) -> Iterable[str]:
    parts = name.split(".")
    # "weight" and "0.weight" alone would name anything.
    return (".".join(parts[k:]) for k in range(1, max(len(parts) - 2, 1)))


def stored_transposed(
    shapes: Mapping[str, tuple[int, ...]], layers: Mapping[str, tuple[int, int]], square: bool
) -> dict[str, bool]:
    """Return which layers lie on disk as [d_in, d_out], as GPT-2's Conv1D keeps them.

    Args:
        shapes: of the stored weights by module; layers: their (d_out, d_in).
        square: what holds for square layers where no other layer decides.

    Raises:
        ModelError: a weight has another shape.
    """
    for name, (d_out, d_in) in layers.items():
        if sorted(shapes[name]) != sorted((d_out, d_in)):
            stored = " x ".join(map(str, shapes[name]))
            raise ModelError(
                f"{name} is {stored} in the run, {d_out} x {d_in} in the bundle",
                hint="the run fine-tunes another model than the bundle was made for",
            )
    told = [tuple(shapes[name]) != shape for name, shape in layers.items() if shape[0] != shape[1]]
    transposed = told[0] if told else square
    return {name: transposed if d_out == d_in else shapes[name] != (d_out, d_in)
            for name, (d_out, d_in) in layers.items()}  # fmt: skip
