"""The screen of a bundle: a part of its calibration, in the manifest and in `screen.safetensors`.

Neither scores nor thresholds depend on it, so it is no part of a bundle's two digests: caches and locks stay
valid. It has a digest of its own, which locks and heads of reports name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import asdict, replace

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import SCREEN, StoredScreen, StoredTextRange
from sqsd_lint.bundle.write import update_bundle
from sqsd_lint.common.screen import BUCKETS, Screen, TextRange
from sqsd_lint.errors import BundleCorruptError

_TENSORS = {"weights": ("int8", (BUCKETS,)), "held_out": ("float16", None)}


def store_screen(bundle: Bundle, screen: Screen, rows: int, exact: Mapping[str, float]) -> Bundle:
    """Store a screen with a bundle's calibration.

    Args:
        rows: how many reference rows it was fitted on.
        exact: by recall, the share of the benign reference rows' tokens that are scored for it.

    Returns:
        The bundle as it now is: the same digests, but that of the screen.
    """
    from safetensors.numpy import save_file

    covered = screen.covered
    stored = StoredScreen(
        rows,
        screen.line,
        screen.scale,
        screen.length,
        StoredTextRange(
            covered.tokens, covered.characters, covered.letters, covered.longest_word, covered.scripts
        ),
        {recall: round(share, 4) for recall, share in exact.items()},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SCREEN
        save_file({"weights": screen.weights, "held_out": screen.held_out}, path)
        return update_bundle(bundle, replace(bundle.manifest, screen=stored), {SCREEN: path})


def load_screen(bundle: Bundle) -> Screen | None:
    """Return the screen of a bundle, None where it has none.

    Raises:
        BundleCorruptError: its tensors are not those of a screen.
    """
    stored = bundle.manifest.screen
    if stored is None:
        return None
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = bundle.root / SCREEN
    try:
        found = load_file(path)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleCorruptError(f"{path}: cannot be read: {error}", hint=_AGAIN) from error
    for name, (dtype, shape) in _TENSORS.items():
        tensor = found.get(name)
        if (
            tensor is None
            or (str(tensor.dtype), tensor.ndim) != (dtype, 1)
            or shape not in (None, tensor.shape)
        ):
            raise BundleCorruptError(f"{path}: expected a tensor `{name}` of {dtype}", hint=_AGAIN)
    held_out = found["held_out"]
    if not np.isfinite(held_out).all() or (np.diff(held_out) < 0).any():
        raise BundleCorruptError(f"{path}: `held_out` must be finite and ascend", hint=_AGAIN)
    return Screen(
        found["weights"],
        stored.scale,
        stored.length,
        stored.line,
        held_out,
        TextRange(**asdict(stored.covered)),
    )


_AGAIN = "calibrate the bundle again with `sqsd-lint bundle calibrate`"
