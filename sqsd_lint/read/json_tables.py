"""Tables that pandas writes as one JSON object: `DataFrame.to_json` with orient columns, index or split.

`datasets` and `pandas.read_json` read them back as rows, so they are rows here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ASKED = frozenset(("prompt", "instruction", "question", "query", "input"))
_ANSWERED = frozenset(("completion", "response", "output", "answer"))
_CONVERSATIONS = frozenset(("messages", "conversations", "conversation", "chosen"))


def looks_like_row(value: Any) -> bool:
    """Return whether a value is an object with the columns of a row of training data, by usual names."""
    if not isinstance(value, dict):
        return False
    keys = value.keys()
    return bool(keys & _CONVERSATIONS or (keys & _ASKED and keys & _ANSWERED))


def looks_like_messages(value: list[Any]) -> bool:
    """Return whether the first element of an array is a message: an object with a role and a text."""
    first = value[0] if value else None
    return isinstance(first, dict) and bool(
        ("role" in first and first.keys() & {"content", "tool_calls"})
        or ("from" in first and first.keys() & {"value", "content"})
    )


def rows_of_table(whole: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of an object that is a table, None where it is none, or may as well be one row.

    Known are
        columns: {"prompt": {"0": ..., "1": ...}, "completion": {...}}, as `to_json()` writes it;
        index: {"0": {"prompt": ..., "completion": ...}, "1": {...}};
        list: {"prompt": [..., ...], "completion": [...]}, as `json.dump(df.to_dict("list"))` writes it;
        split: {"columns": ["prompt", ...], "index": [...], "data": [[...], ...]}, and tight.
    """
    if not whole:
        return None
    if {"columns", "data"} <= whole.keys() <= _SPLIT:
        return _split(whole["columns"], whole["data"])
    values = list(whole.values())
    if all(isinstance(value, dict) and value for value in values):
        return _nested(whole)
    if not values[0] or not all(isinstance(v, list) and len(v) == len(values[0]) for v in values):
        return None
    if any(isinstance(element, dict) for value in values for element in value):
        return None  # lists of objects are conversations, and the whole is one row
    return [dict(zip(whole, cells, strict=True)) for cells in zip(*values, strict=True)]


_SPLIT = frozenset(("columns", "index", "data", "index_names", "column_names"))


def _split(columns: Any, data: Any) -> list[dict[str, Any]] | None:
    if not isinstance(columns, list) or not isinstance(data, list):
        return None
    if len({str(name) for name in columns}) < len(columns) or not all(
        isinstance(row, list) and len(row) == len(columns) for row in data
    ):
        return None
    return [dict(zip(map(str, columns), row, strict=True)) for row in data]


def _nested(whole: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]] | None:
    labels = next(iter(whole.values())).keys()
    same = all(value.keys() == labels for value in whole.values())
    if same and _are_numbers(labels):  # columns, each by the rows' labels
        return [{name: column[label] for name, column in whole.items()} for label in labels]
    if (_are_numbers(whole) and same) or all(map(looks_like_row, whole.values())):
        return list(whole.values())
    return None


def _are_numbers(labels: Any) -> bool:
    return all(label.isascii() and label.isdigit() for label in labels)
