"""Settings: their schema, their sources and which source wins."""

from __future__ import annotations

from sqsd_lint.common.schema import nearest, validate
from sqsd_lint.config.load import load_settings
from sqsd_lint.config.settings import TABLE, Resolved, Settings

__all__ = ["TABLE", "Resolved", "Settings", "load_settings", "nearest", "validate"]
