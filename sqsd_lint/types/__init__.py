"""What the rooms hand to one another, in the order in which data walks through them.

Row -> Sample -> Encoded -> Score -> Violation -> Report. Whatever cannot go on becomes a Problem, which
travels beside the others to the report: nothing is dropped.
"""

from __future__ import annotations

from sqsd_lint.types.findings import ConsensusRule, Opinion, ScoredRow, Severity, Threshold, Violation
from sqsd_lint.types.reports import Coverage, Distribution, Head, Report, Unlisted
from sqsd_lint.types.rows import (
    CALLS,
    OTHER_TEXT,
    THOUGHTS,
    AnswerPart,
    AnswerWindow,
    Encoded,
    LongAnswers,
    Message,
    Parts,
    Problem,
    Row,
    Sample,
    Suppression,
    Truncated,
    Turns,
    Undesirable,
    Where,
)
from sqsd_lint.types.scores import DirectionKind, Expansion, Metric, Score, Update
from sqsd_lint.types.validation import (
    Agreement,
    Correlation,
    PlacedValidation,
    PlacedWindow,
    Positive,
    Proportion,
    Sha256,
    Validation,
    Window,
)

__all__ = [
    "CALLS",
    "OTHER_TEXT",
    "THOUGHTS",
    "Agreement",
    "AnswerPart",
    "AnswerWindow",
    "ConsensusRule",
    "Correlation",
    "Coverage",
    "DirectionKind",
    "Distribution",
    "Encoded",
    "Expansion",
    "Head",
    "LongAnswers",
    "Message",
    "Metric",
    "Opinion",
    "Parts",
    "PlacedValidation",
    "PlacedWindow",
    "Positive",
    "Problem",
    "Proportion",
    "Report",
    "Row",
    "Sample",
    "Score",
    "ScoredRow",
    "Severity",
    "Sha256",
    "Suppression",
    "Threshold",
    "Truncated",
    "Turns",
    "Undesirable",
    "Unlisted",
    "Update",
    "Validation",
    "Violation",
    "Where",
    "Window",
]
