"""How one finding is put into a line, for the formats that have only a line for it."""

from __future__ import annotations

from sqsd_lint.report import Options, numbers
from sqsd_lint.report.safe import escape, excerpt
from sqsd_lint.types import Opinion, Violation

# Rules of this family are about one row's score: the score says it all. Others say what is wrong.
_RISK = "SQSD1"
_LONGEST = 600


def is_scored(violation: Violation) -> bool:
    """Whether the finding is the row's score itself."""
    return violation.score is not None and violation.rule.startswith(_RISK)


def score_text(violation: Violation) -> str:
    """`11.84 (p99.98)`: the score and, where there is a calibration, its place among benign rows."""
    if violation.score is None:
        return ""
    rank = numbers.percentile(violation.percentile)
    return numbers.score(violation.score.sqsd) + (f" ({rank})" if rank else "")


def opinion_text(opinion: Opinion) -> str:
    """`qwen3-8b p99.98`: what one of several bundles says; without a calibration, the score itself."""
    place = numbers.percentile(opinion.percentile) or f"SQSD {numbers.score(opinion.score.sqsd)}"
    return f"{escape(opinion.bundle)} {place}"


def row_text(violation: Violation, options: Options, cells: int) -> str:
    """The start of the row's text, escaped; under `--redact` its fingerprint; empty where there is none."""
    if options.redact:
        return f"fingerprint {escape(violation.fingerprint)}" if violation.fingerprint else ""
    return excerpt(violation.excerpt, cells)


def sentence(text: str) -> str:
    """Escapes a message, cuts one that has no end, and sets a full stop."""
    shown = excerpt(text, _LONGEST)
    return shown if shown.endswith((".", "!", "?", "…")) else f"{shown}."
