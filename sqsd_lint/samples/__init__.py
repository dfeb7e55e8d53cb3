"""Row -> Sample: the schemas of fine-tuning data in one form, and the fingerprint of their content."""

from __future__ import annotations

from sqsd_lint.samples.columns import Columns
from sqsd_lint.samples.convert import excerpt, to_sample
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.samples.layouts import SCHEMAS

__all__ = ["SCHEMAS", "Columns", "excerpt", "fingerprint", "to_sample"]
