"""Lay out rows with the spans that their scores come from, as `score --emit-spans` writes them."""

from __future__ import annotations

from typing import Any

from sqsd_lint.explain.model import SpannedRow
from sqsd_lint.report import fields, rows
from sqsd_lint.report.views.explanation.json import remainder_fields, span_fields
from sqsd_lint.types import Problem


def row(value: SpannedRow | Problem) -> dict[str, Any]:
    """Return a row's fields with `spans`, `prompt` and `other`, which sum to its scores; null without any."""
    plain = fields.row(value if isinstance(value, Problem) else value.row)
    if isinstance(value, Problem) or plain["sqsd"] is None:
        return {**plain, "prompt": None, "other": None, "spans": None}
    return {**plain, **remainder_fields(value.spans), "spans": [span_fields(p) for p in value.spans.parts]}


def columns() -> dict[str, Any]:
    """Return the columns of a table of such rows and their Arrow types."""
    import pyarrow

    share = [(name, pyarrow.float64()) for name in ("danger", "safety", "sqsd", "harm")]
    place = [(name, pyarrow.int64()) for name in ("message", "start", "end", "tokens")]
    return {
        **rows.columns(),
        "prompt": pyarrow.struct(share),
        "other": pyarrow.struct(share),
        "spans": pyarrow.list_(pyarrow.struct(place + share)),
    }
