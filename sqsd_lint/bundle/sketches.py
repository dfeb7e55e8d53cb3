"""Sketches of the rows that the directions were trained on: which of them is a given row like?

Two files of a bundle, optional and named by its manifest as any other: `sketches.safetensors` holds a matrix
per direction, [rows, D / 8] uint8, the signs of each row's sketch (see `score.sketch`); `sketches.json` says
which rows those are: name of the set, number in it, fingerprint. No text of a training row is kept.

Only signs are kept, since more numbers are worth more than finer ones: a sketch's coordinates are nearly
normal, so that for a whole sketch q and the signs of another, sqrt(pi / 2D) <q, sign(r)> / ||q|| estimates
the cosine with a standard deviation of sqrt(pi / 2D): 0.014 for D = 8192 and 1 KiB a row, where a KiB of int8
would give 0.031. Most pairs of rows have a cosine below 0.1, so that makes the difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import DIRECTIONS, DirectionKey
from sqsd_lint.bundle.write import update_bundle
from sqsd_lint.common.formats import JsonModel, Sha256, check_version, read_as
from sqsd_lint.common.json_io import write_json
from sqsd_lint.common.strict_json import decode, read_bytes
from sqsd_lint.errors import BundleCorruptError, UsageError

SKETCHES = "sketches.safetensors"
INDEX = "sketches.json"
DIMS = 8192
"""Signs per sketch."""
_FORMAT = 1
_MAX_DIMS = 1 << 16
_MAX_INDEX = 64 << 20
_REMAKE = "make them again with `sqsd-lint bundle sketch`"


class SketchedSet(JsonModel, frozen=True):
    """The rows of one training set, in its order."""

    name: str
    fingerprints: tuple[str, ...]


class SketchIndex(JsonModel, frozen=True, tag_field="format_version", tag=_FORMAT):
    """The content of `sketches.json`: which rows the sketches are of.

    Attributes:
        dims: signs per sketch, a power of two.
        scoring_digest: of the bundle whose adapters they were made with.
        sets: by direction, in the order of the matrix's rows.
    """

    dims: int
    scoring_digest: Sha256
    sets: Mapping[DirectionKey, tuple[SketchedSet, ...]]

    def __post_init__(self) -> None:
        if not 8 <= self.dims <= _MAX_DIMS or self.dims & (self.dims - 1):
            raise ValueError(f".dims: expected a power of two up to {_MAX_DIMS}, got {self.dims}")
        for role in DIRECTIONS:
            if role not in self.sets:
                raise ValueError(f".sets.{role}: missing")


@dataclass(frozen=True, slots=True)
class NearRow:
    """A training row and how near it is: set, 1-based number in it, fingerprint, cosine."""

    set: str
    row: int
    fingerprint: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Sketches:
    """The sketches of a bundle.

    Attributes:
        sets: role -> its sets, in the order of the matrix's rows.
        signs: role -> [rows, D / 8] uint8, a numpy array.
    """

    dims: int
    sets: Mapping[DirectionKey, tuple[SketchedSet, ...]]
    signs: Mapping[str, Any]

    @property
    def error(self) -> float:
        """Standard deviation of an estimated cosine."""
        return math.sqrt(math.pi / 2 / self.dims)

    def nearest(self, role: str, sketch: Any, count: int) -> tuple[NearRow, ...]:
        """Return the `count` rows of a role that are nearest to a sketch [D], the nearest first."""
        import numpy as np

        signs = 2 * np.unpackbits(self.signs[role], axis=1).astype(np.float32) - 1  # [n, D]
        query = np.asarray(sketch, dtype=np.float32)
        length = float(np.linalg.norm(query))
        cosines = np.clip(signs @ query * (self.error / length if length else 0), -1, 1)
        rows = [
            (one.name, number, fingerprint)
            for one in self.sets[role]
            for number, fingerprint in enumerate(one.fingerprints, start=1)
        ]
        order = np.argsort(-cosines, kind="stable")[:count]
        return tuple(
            NearRow(set=rows[i][0], row=rows[i][1], fingerprint=rows[i][2], cosine=float(cosines[i]))
            for i in order
        )


def store_sketches(
    bundle: Bundle, sets: Mapping[str, Sequence[tuple[SketchedSet, Sequence[Any]]]], dims: int
) -> Bundle:
    """Write sketches into a bundle, in the place of earlier ones.

    Args:
        sets: role -> sets and the float sketches [D] of their rows.

    Returns:
        The bundle as it now is: another digest, the same scoring digest.

    Raises:
        UsageError: a role has no row.
    """
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {}
    for role in DIRECTIONS:
        rows = [row for _, sketches in sets.get(role, ()) for row in sketches]
        if not rows:
            raise UsageError(f"there are no rows of the {role} direction to sketch", hint=f"give --{role}")
        tensors[role] = np.packbits(np.stack(rows) > 0, axis=1)  # [n, D / 8]
    index = SketchIndex(
        dims, bundle.scoring_digest, {role: tuple(one for one, _ in sets[role]) for role in DIRECTIONS}
    )
    with TemporaryDirectory() as folder:
        save_file(tensors, Path(folder) / SKETCHES)
        write_json(Path(folder) / INDEX, index.to_json())
        files = {name: Path(folder) / name for name in (SKETCHES, INDEX)}
        return update_bundle(bundle, bundle.manifest, files)


def load_sketches(bundle: Bundle) -> Sketches | None:
    """Return the sketches of a bundle; None where it has none.

    Raises:
        BundleCorruptError: they are damaged, or belong to other adapters than the bundle's.
    """
    if SKETCHES not in bundle.manifest.files or INDEX not in bundle.manifest.files:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        index = _read_index(bundle.root / INDEX)
        signs = load_file(bundle.root / SKETCHES)
        for role in DIRECTIONS:
            rows = sum(len(one.fingerprints) for one in index.sets[role])
            matrix = signs.get(role)
            if matrix is None or matrix.dtype != "uint8" or matrix.shape != (rows, index.dims // 8):
                raise ValueError(
                    f"{role} is not the uint8 matrix of {rows} x {index.dims // 8} that {INDEX} describes"
                )
    except (OSError, ValueError, SafetensorError) as error:
        raise BundleCorruptError(f"{bundle.root / SKETCHES}: {error}", hint=_REMAKE) from error
    if index.scoring_digest != bundle.scoring_digest:
        raise BundleCorruptError(
            f"{bundle.root / SKETCHES}: made with other adapters than the bundle's", hint=_REMAKE
        )
    return Sketches(index.dims, index.sets, signs)


def _read_index(path: Path) -> SketchIndex:
    raw = decode(read_bytes(path, _MAX_INDEX))
    check_version(raw, "format_version", _FORMAT)
    return read_as(SketchIndex, raw)
