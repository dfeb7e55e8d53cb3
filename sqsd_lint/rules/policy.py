"""The policy of a run, as checks read it: which rules are on, their severities, thresholds and options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqsd_lint.discover.ignore import Exclude
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.rules.fine_tune import FineTuneSettings
from sqsd_lint.types import DirectionKind, Severity, Threshold

# The rules whose thresholds are called the error threshold and the warning threshold, the gravest first.
LEVELS = {"SQSD101": Severity.ERROR, "SQSD102": Severity.WARNING}
_ERROR, _WARNING = LEVELS


class PerFileIgnores:
    """Patterns as in .gitignore, relative to the working folder, each with the rules that it leaves out.

    A file that fits several patterns loses the rules of all of them.

    Args:
        table: pattern -> whole codes.

    Raises:
        UsageError: a pattern that means nothing.
    """

    def __init__(self, table: Mapping[str, Iterable[str]] | None = None) -> None:
        items = sorted((table or {}).items())
        self._patterns = [(_pattern(text), frozenset(codes)) for text, codes in items]
        self._by_file: dict[str, frozenset[str]] = {}

    def __call__(self, file: str) -> frozenset[str]:
        """Return the codes that are left out for a file, named as `Where` names it."""
        if not self._patterns:
            return frozenset()
        if file not in self._by_file:
            path = os.path.abspath(file)
            self._by_file[file] = frozenset[str]().union(
                *(codes for pattern, codes in self._patterns if pattern.matches(path))
            )
        return self._by_file[file]


def _pattern(text: str) -> Exclude:
    try:
        return Exclude([text])
    except UsageError as error:
        raise UsageError(
            f"per-file-ignores: the pattern {text!a} means nothing", hint="Write it as in .gitignore."
        ) from error


@dataclass(frozen=True, slots=True)
class Policy:
    """What to report and how much it weighs.

    Attributes:
        severities: the rules that are selected and can be judged, by code.
        thresholds: resolved, by the code of the rule that compares scores with it. SQSD202 counts rows at the
            warning threshold, even where SQSD102 is off.
        calibration: that scores are placed by; None for scores without one.
        options: what the pack sets beside a rule's severity, by code and name.
        allow: rules whose unscored rows are accepted; their findings are warnings.
        notes: what the reader of a report must know about the thresholds.
        rates: how often benign rows reach them, in words.
        per_file: the rules that are left out for a file.
        fine_tune: the fine-tune that a file's drift is stated for.
        danger: the kind of the danger direction, which decides what the drift is measured in.
    """

    severities: Mapping[str, Severity]
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    calibration: ScoreCalibration | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    per_file: PerFileIgnores = field(default_factory=PerFileIgnores)
    fine_tune: FineTuneSettings = field(default_factory=FineTuneSettings)
    danger: DirectionKind = "task-vector"

    @property
    def error_threshold(self) -> Threshold | None:
        """Where SQSD101 begins; None where it is off."""
        return self.thresholds.get(_ERROR)

    @property
    def warning_threshold(self) -> Threshold | None:
        """Where SQSD102 begins; None where it is off."""
        return self.thresholds.get(_WARNING)

    @property
    def distinct_thresholds(self) -> tuple[Threshold, ...]:
        """Every threshold once, in order of the rules' codes."""
        return tuple(dict.fromkeys(self.thresholds[code] for code in sorted(self.thresholds)))

    @property
    def levels(self) -> tuple[Severity, ...]:
        """The severities that there is a threshold for, the gravest first."""
        return tuple(level for code, level in LEVELS.items() if code in self.thresholds)

    def severity(self, code: str, file: str) -> Severity | None:
        """Return how much a finding of a rule in a file weighs; None where the rule is off."""
        severity = self.severities.get(code)
        return severity if severity is not None and code not in self.per_file(file) else None
