"""The policy of a run: selected rules, their severities, the lines, what may stay unscored.

Rules that are left out for some files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqsd_lint.discover.ignore import Exclude
from sqsd_lint.errors import UsageError
from sqsd_lint.rules.budget import Training
from sqsd_lint.rules.calibration import Calibration
from sqsd_lint.rules.packs import Pack, PackRule
from sqsd_lint.rules.registry import LINE_RULES, RULES, UNSCORED_RULES, unknown_code
from sqsd_lint.rules.threshold import draw_lines, draw_share_line
from sqsd_lint.types import DirectionKind, Line, Severity


class PerFileIgnores:
    """Patterns as in .gitignore, relative to the working folder, each with the rules that it leaves out.

    A file that fits several patterns loses the rules of all of them.

    Args:
        table: pattern -> codes or prefixes.

    Raises:
        UsageError: an unknown code, or a pattern that means nothing.
    """

    def __init__(self, table: Mapping[str, Sequence[str]] | None = None) -> None:
        items = sorted((table or {}).items())
        self._patterns = [(_pattern(text), _codes(prefixes)) for text, prefixes in items]
        self._seen: dict[str, frozenset[str]] = {}

    def __call__(self, file: str) -> frozenset[str]:
        """The codes that are left out for a file, named as `Where` names it."""
        if not self._patterns:
            return frozenset()
        if file not in self._seen:
            path = os.path.abspath(file)
            self._seen[file] = frozenset[str]().union(
                *(codes for pattern, codes in self._patterns if pattern.matches(path))
            )
        return self._seen[file]


def _pattern(text: str) -> Exclude:
    try:
        return Exclude([text])
    except UsageError as error:
        raise UsageError(
            f"per-file-ignores: the pattern {text!a} means nothing", hint="Write it as in .gitignore."
        ) from error


def _codes(prefixes: Sequence[str]) -> frozenset[str]:
    found: set[str] = set()
    for prefix in prefixes:
        codes = [code for code in RULES if prefix and code.startswith(prefix)]
        if not codes:
            raise unknown_code(prefix)
        found.update(codes)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Share:
    """When a share is a finding: the largest p-value, and the least number of rows above the line."""

    significance: float = 0.0
    min_rows: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """What to report and how much it weighs.

    Attributes:
        severities: the rules that are selected and can be judged, by code.
        error_line, warning_line: where SQSD101 and SQSD102 begin; None for a rule that is off.
        allow: rules whose unscored rows are accepted; their findings are warnings.
        notes: what the reader of a report must know about the lines.
        share_line: the line whose rows SQSD202 counts: the warning line, drawn even where SQSD102 is off.
        per_file: the rules that are left out for a file.
        share: the significance level and the least number of rows of SQSD202.
        budget: the largest drift of SQSD201.
        training: the fine-tune that the drift is stated for.
        danger: the kind of the danger direction, which says what the drift is measured in.
    """

    severities: Mapping[str, Severity]
    error_line: Line | None = None
    warning_line: Line | None = None
    allow: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    share_line: Line | None = None
    per_file: PerFileIgnores = field(default_factory=PerFileIgnores)
    share: Share = Share()
    budget: float = math.inf
    training: Training = field(default_factory=Training)
    danger: DirectionKind = "task-vector"

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines that are drawn, the error line first."""
        drawn = (self.error_line, self.warning_line, self.share_line)
        return tuple(dict.fromkeys(line for line in drawn if line is not None))

    def severity(self, code: str, file: str) -> Severity | None:
        """How much a finding of a rule in a file weighs; None where the rule is off."""
        severity = self.severities.get(code)
        return severity if severity is not None and code not in self.per_file(file) else None


def make_policy(
    pack: Pack,
    calibration: Calibration | None,
    *,
    threshold: str | None = None,
    warning_threshold: str | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    allow: Iterable[str] = (),
    severity: Mapping[str, str] | None = None,
    per_file_ignores: Mapping[str, Sequence[str]] | None = None,
    training: Training | None = None,
    danger: DirectionKind = "task-vector",
) -> Policy:
    """Combines a pack with what the settings override.

    Args:
        threshold, warning_threshold: override the pack's for SQSD101 and SQSD102.
        select, ignore: codes or prefixes. The longer prefix wins, at equal length `ignore`.
        allow: whole codes, of SQSD301, SQSD303 and SQSD304.
        severity: "error" or "warning" by whole code; overrides the pack's, and yields to `allow`.
        per_file_ignores: codes or prefixes by pattern, see `PerFileIgnores`.

    Raises:
        UsageError: an unknown code, a selected rule that the pack does not hold, a wrong threshold or
            pattern.
        BundleError: a line is relative to a calibration that the bundle does not have.
    """
    allowed = _allowed(allow)
    severities = _severities(pack, select_rules(pack, select, ignore), severity or {}, allowed)
    lines, notes = draw_lines(pack, calibration, severities, threshold, warning_threshold)
    for code in LINE_RULES:
        if code not in lines:
            severities.pop(code, None)
    error, warning = lines.get("SQSD101"), lines.get("SQSD102")
    if error and warning and warning.value >= error.value:
        notes.append(f"the warning line ({warning.spec}) is not below the error line ({error.spec})")
    share_line = None
    if "SQSD202" in severities:
        share_line = draw_share_line(pack, calibration, warning, warning_threshold)
        if share_line is None:
            del severities["SQSD202"]
            notes.append("SQSD202 is off: there is no calibration, or no warning line, to judge a share by")
    share = pack.rules.get("SQSD202", PackRule(Severity.ERROR))
    return Policy(
        severities,
        error,
        warning,
        allowed,
        tuple(notes),
        share_line,
        PerFileIgnores(per_file_ignores or {}),
        Share(share.significance, share.min_rows),
        pack.rules["SQSD201"].budget if "SQSD201" in pack.rules else math.inf,
        training or Training(),
        danger,
    )


def _allowed(allow: Iterable[str]) -> frozenset[str]:
    allowed = frozenset(allow)
    for code in sorted(allowed.difference(UNSCORED_RULES)):
        if code not in RULES:
            raise unknown_code(code)
        raise UsageError(
            f"{code} cannot be allowed: its rows have a score", hint=f"Allow {', '.join(UNSCORED_RULES)}."
        )
    return allowed


def _severities(
    pack: Pack, codes: Iterable[str], overrides: Mapping[str, str], allowed: frozenset[str]
) -> dict[str, Severity]:
    for code in overrides:
        if code not in RULES:
            raise unknown_code(code)
    return {
        code: Severity.WARNING
        if code in allowed
        else Severity(overrides.get(code, pack.rules[code].severity.value))
        for code in codes
    }


def select_rules(pack: Pack, select: Sequence[str], ignore: Sequence[str]) -> tuple[str, ...]:
    """The codes of a pack that are selected and not ignored, in order.

    Raises:
        UsageError: a code or prefix that fits no rule, or that selects nothing of the pack.
    """
    for prefix in (*select, *ignore):
        if not prefix or not any(code.startswith(prefix) for code in RULES):
            raise unknown_code(prefix)
    for prefix in select:
        if not any(code.startswith(prefix) for code in pack.rules):
            raise UsageError(
                f"{prefix} is selected, but the rule pack {pack.name!a} does not hold it",
                hint="Add it to the pack, or choose another pack with --rules.",
            )
    return tuple(
        code
        for code in sorted(pack.rules)
        if _specificity(code, select or ("",)) > _specificity(code, ignore)
    )


def _specificity(code: str, prefixes: Sequence[str]) -> int:
    """The length of the longest prefix that fits; -1 if none does."""
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=-1)
