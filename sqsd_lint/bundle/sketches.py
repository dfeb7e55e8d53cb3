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
from sqsd_lint.bundle.write import update_bundle
from sqsd_lint.common import fields as f
from sqsd_lint.common.json_io import read_json, write_json
from sqsd_lint.errors import BundleCorruptError, UsageError

SKETCHES = "sketches.safetensors"
INDEX = "sketches.json"
ROLES = ("danger", "safety")
DIMS = 8192
"""Signs per sketch."""
_FORMAT = 1
_MAX_DIMS = 1 << 16
_REMAKE = "make them again with `sqsd-lint bundle sketch`"


@dataclass(frozen=True, slots=True)
class SketchedSet:
    """The rows of one training set, in its order."""

    name: str
    fingerprints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Near:
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
    sets: Mapping[str, tuple[SketchedSet, ...]]
    signs: Mapping[str, Any]

    @property
    def error(self) -> float:
        """Standard deviation of an estimated cosine."""
        return math.sqrt(math.pi / 2 / self.dims)

    def nearest(self, role: str, sketch: Any, count: int) -> tuple[Near, ...]:
        """The `count` rows of a role that are nearest to a sketch [D], the nearest first."""
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
            Near(set=rows[i][0], row=rows[i][1], fingerprint=rows[i][2], cosine=float(cosines[i]))
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
    for role in ROLES:
        rows = [row for _, sketches in sets.get(role, ()) for row in sketches]
        if not rows:
            raise UsageError(f"there are no rows of the {role} direction to sketch", hint=f"give --{role}")
        tensors[role] = np.packbits(np.stack(rows) > 0, axis=1)  # [n, D / 8]
    index = {
        "format_version": _FORMAT,
        "dims": dims,
        "scoring_digest": bundle.scoring_digest,
        "sets": {
            role: [{"name": one.name, "fingerprints": list(one.fingerprints)} for one, _ in sets[role]]
            for role in ROLES
        },
    }
    with TemporaryDirectory() as folder:
        save_file(tensors, Path(folder) / SKETCHES)
        write_json(Path(folder) / INDEX, index)
        files = {name: Path(folder) / name for name in (SKETCHES, INDEX)}
        return update_bundle(bundle, bundle.manifest, files)


def load_sketches(bundle: Bundle) -> Sketches | None:
    """The sketches of a bundle; None where it has none.

    Raises:
        BundleCorruptError: they are damaged, or belong to other adapters than the bundle's.
    """
    if SKETCHES not in bundle.manifest.files or INDEX not in bundle.manifest.files:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        dims, made_for, sets = _index(read_json(bundle.root / INDEX))
        signs = load_file(bundle.root / SKETCHES)
        for role in ROLES:
            rows = sum(len(one.fingerprints) for one in sets[role])
            matrix = signs.get(role)
            if matrix is None or matrix.dtype != "uint8" or matrix.shape != (rows, dims // 8):
                raise ValueError(
                    f"{role} is not the uint8 matrix of {rows} x {dims // 8} that {INDEX} describes"
                )
    except (OSError, ValueError, SafetensorError) as error:
        raise BundleCorruptError(f"{bundle.root / SKETCHES}: {error}", hint=_REMAKE) from error
    if made_for != bundle.scoring_digest:
        raise BundleCorruptError(
            f"{bundle.root / SKETCHES}: made with other adapters than the bundle's", hint=_REMAKE
        )
    return Sketches(dims, sets, signs)


def _index(raw: Any) -> tuple[int, str, dict[str, tuple[SketchedSet, ...]]]:
    top = f.Fields(raw, "")
    if top.take("format_version", f.count) != _FORMAT:
        raise f.FieldError(f"format_version: only {_FORMAT} is known; a newer sqsd-lint may read it")
    dims = top.take("dims", f.count)
    if not 8 <= dims <= _MAX_DIMS or dims & (dims - 1):
        raise f.FieldError(f"dims: expected a power of two up to {_MAX_DIMS}, got {dims}")
    digest = top.take("scoring_digest", f.hex64)
    sets = top.take("sets", f.Fields)
    found = {role: sets.take(role, f.items(_set)) for role in ROLES}
    sets.done()
    top.done()
    return dims, digest, found


def _set(value: Any, path: str) -> SketchedSet:
    top = f.Fields(value, path)
    one = SketchedSet(top.take("name", f.text), top.take("fingerprints", f.items(f.text)))
    top.done()
    return one
