"""Direction bundles: the format, where they are kept, and the base model that each belongs to."""

from sqsd_lint.bundle.base_model import check_base_model, resolve_model
from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.embedded import EMBEDDED_MODEL_ID
from sqsd_lint.bundle.installed import install, list_bundles, remove_bundle
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.manifest import DirectionSpec, Manifest, StoredCalibration
from sqsd_lint.bundle.resolve import open_bundle

__all__ = [
    "EMBEDDED_MODEL_ID",
    "Bundle",
    "DirectionSpec",
    "Manifest",
    "StoredCalibration",
    "cache_root",
    "check_base_model",
    "install",
    "list_bundles",
    "load_bundle",
    "open_bundle",
    "remove_bundle",
    "resolve_model",
]
