"""Reading an agreement in `bundle.json`."""

from __future__ import annotations

from typing import Any

from sqsd_lint.bundle import fields as f
from sqsd_lint.types import Agreement


def from_fields(value: Any, path: str) -> Agreement:
    """The agreement in a JSON value; raises FieldError."""
    top = f.Fields(value, path)
    found = Agreement(
        target=top.take("target", f.text),
        bundle_digest=top.take("bundle_digest", f.optional(f.hex64)),
        rows=top.take("rows", f.count),
        **{name: top.take(name, f.number) for name in ("spearman", "low", "high", "top_decile")},
    )
    top.done()
    return found
