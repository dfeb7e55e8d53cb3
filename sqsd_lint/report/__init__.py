"""A report in the formats that people and programs read: `write(report, "text", sys.stdout)`.

Each format is a module of its own with one function, `write(report, stream, options)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import IO

from sqsd_lint.errors import UsageError
from sqsd_lint.types import Report

FORMATS = ("text", "json", "jsonl")


@dataclass(frozen=True)
class Options:
    """How much a report shows.

    Attributes:
        redact: no text of a row, its fingerprint instead.
        quiet: violations only, and the coverage line where it is not complete (text).
        verbose: fingerprints, tokens, danger and safety apart, hints, timing (text).
        statistics: counts per rule and the distribution of the scores instead of the rows (text).
        width: cells to lay the page out for; None asks the terminal (text).
    """

    redact: bool = False
    quiet: bool = False
    verbose: bool = False
    statistics: bool = False
    width: int | None = None


def write(report: Report, format: str, stream: IO[str], options: Options | None = None) -> None:
    """Writes `report` to `stream` in one of `FORMATS`.

    Raises:
        UsageError: no such format.
    """
    if format not in FORMATS:
        raise UsageError(f"no report format {format!r}", hint=f"choose one of: {', '.join(FORMATS)}")
    import_module(f"{__name__}.{format}").write(report, stream, options or Options())
