"""Rows and their scores as a table, for people who work with data frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqsd_lint.types.findings import ScoredRow
from sqsd_lint.types.rows import Problem, Where

if TYPE_CHECKING:
    import pandas

_NOWHERE = Where("", 0, -1)


def record(row: ScoredRow | Problem) -> dict[str, Any]:
    """Return a row's place, scores and text; one without a score has None for them.

    A row that was screened has no score, and what its risk lies below as `bound`.
    """
    bound = row.score.bound if isinstance(row, ScoredRow) else None
    score = row.score if isinstance(row, ScoredRow) and bound is None else None
    return {
        "file": row.where.file,
        "line": row.where.line or None,
        "index": row.where.index if row.where.index >= 0 else None,
        "fingerprint": row.fingerprint or None,
        "sqsd": _finite(score.sqsd) if score else None,
        "danger": _finite(score.danger) if score else None,
        "safety": _finite(score.safety) if score else None,
        "harm": _finite(score.harm) if score and score.harm is not None else None,
        "risk": _finite(score.risk) if score else None,
        "bound": bound,
        "percentile": row.percentile,
        "tokens": score.tokens if score else None,
        "text": row.excerpt,
        "problem": f"{row.code}: {row.message}" if isinstance(row, Problem) else None,
    }


def to_pandas(
    rows: Iterable[ScoredRow | Problem], rules: Mapping[tuple[str, int], str] | None = None
) -> pandas.DataFrame:
    """Return a data frame with a line for each row.

    Args:
        rules: what was found in rows, by file and index: the column "rules".

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas() needs pandas: `pip install pandas`") from error
    items = list(rows)
    columns = list(record(Problem("", _NOWHERE, "")))
    frame = pandas.DataFrame([record(item) for item in items], columns=columns)
    if rules is not None:
        frame["rules"] = [rules.get((item.where.file, item.where.index), "") for item in items]
    return frame


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
