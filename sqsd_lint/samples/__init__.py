"""Row -> Sample: the layouts of fine-tuning data in one form, and the fingerprint of their content."""

from __future__ import annotations

from sqsd_lint.samples.columns import Columns, Reading
from sqsd_lint.samples.convert import UNKNOWN, excerpt, fold, to_sample, trained_form
from sqsd_lint.samples.fingerprint import fingerprint
from sqsd_lint.samples.layouts import LAYOUTS

__all__ = [
    "LAYOUTS",
    "UNKNOWN",
    "Columns",
    "Reading",
    "excerpt",
    "fingerprint",
    "fold",
    "to_sample",
    "trained_form",
]
