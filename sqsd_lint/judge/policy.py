"""The policy of a run: selected rules, their severities, the lines, what may stay unscored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqsd_lint.errors import UsageError
from sqsd_lint.judge.calibration import Calibration
from sqsd_lint.judge.catalogue import RULES, UNSCORED_RULES, unknown_code
from sqsd_lint.judge.packs import Pack
from sqsd_lint.judge.threshold import caution, parse, resolve
from sqsd_lint.types import Line, Severity


@dataclass(frozen=True, slots=True)
class Policy:
    """What to report and how much it weighs.

    Attributes:
        severities: the selected rules, by code.
        error_line, warning_line: where SQSD101 and SQSD102 begin; None for a rule that is not selected.
        allow: rules whose unscored rows are accepted; their findings are warnings.
        notes: what the reader of a report must know about the lines.
    """

    severities: Mapping[str, Severity]
    error_line: Line | None = None
    warning_line: Line | None = None
    allow: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines that are drawn, the error line first."""
        return tuple(line for line in (self.error_line, self.warning_line) if line is not None)


def make_policy(
    pack: Pack,
    calibration: Calibration | None,
    *,
    threshold: str | None = None,
    warning_threshold: str | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    allow: Iterable[str] = (),
) -> Policy:
    """Combines a pack with what the settings override.

    Args:
        threshold, warning_threshold: override the pack's for SQSD101 and SQSD102.
        select, ignore: codes or prefixes. The longer prefix wins, at equal length `ignore`.
        allow: whole codes, of SQSD301, SQSD303 and SQSD304.

    Raises:
        UsageError: an unknown code, a selected rule that the pack does not hold, or a wrong threshold.
        BundleError: a line is relative to a calibration that the bundle does not have.
    """
    allowed = frozenset(allow)
    for code in sorted(allowed.difference(UNSCORED_RULES)):
        if code not in RULES:
            raise unknown_code(code)
        raise UsageError(
            f"{code} cannot be allowed: its rows have a score", hint=f"Allow {', '.join(UNSCORED_RULES)}."
        )
    severities = {
        code: Severity.WARNING if code in allowed else pack.rules[code].severity
        for code in select_rules(pack, select, ignore)
    }
    lines: dict[str, Line] = {}
    notes: list[str] = []
    for code, override in (("SQSD101", threshold), ("SQSD102", warning_threshold)):
        # An override is parsed even where its rule is off, so that a slip never goes unnoticed.
        spec = parse(override) if override is not None else None
        if code not in severities:
            continue
        own = parse(pack.rules[code].threshold or "")
        if spec is None and calibration is None and own.kind != "raw" and lines:
            # A raw --threshold suffices without a calibration: the pack's percentile for warnings then says
            # nothing, and is left out rather than made a condition.
            notes.append(f"{code} is off: there is no calibration to draw its line by")
            continue
        spec = spec or own
        lines[code] = resolve(spec, calibration)
        notes += filter(None, [caution(spec, calibration)])
    error, warning = lines.get("SQSD101"), lines.get("SQSD102")
    if error and warning and warning.value >= error.value:
        notes.append(f"the warning line ({warning.spec}) is not below the error line ({error.spec})")
    return Policy(severities, error, warning, allowed, tuple(notes))


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
