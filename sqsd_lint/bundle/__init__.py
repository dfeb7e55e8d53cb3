"""Direction bundles: the format, where they are kept, and the base model that each belongs to."""

from sqsd_lint.bundle.basemodel import EMBEDDED_MODEL_ID, check_base_model, resolve_model
from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.manifest import Calibration, Direction, Manifest
from sqsd_lint.bundle.store import (
    Bundle,
    install,
    list_bundles,
    load_bundle,
    open_bundle,
    remove_bundle,
)

__all__ = [
    "EMBEDDED_MODEL_ID",
    "Bundle",
    "Calibration",
    "Direction",
    "Manifest",
    "cache_root",
    "check_base_model",
    "install",
    "list_bundles",
    "load_bundle",
    "open_bundle",
    "remove_bundle",
    "resolve_model",
]
