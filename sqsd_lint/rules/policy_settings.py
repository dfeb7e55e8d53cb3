"""From a rule pack and the settings that override it to the policy of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqsd_lint.errors import UsageError
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.rules.fine_tune import FineTuneSettings
from sqsd_lint.rules.packs import Pack
from sqsd_lint.rules.policy import LEVELS, PerFileIgnores, Policy
from sqsd_lint.rules.registry import RULES, unknown_code
from sqsd_lint.rules.threshold import caution, parse_threshold, rate, resolve_threshold
from sqsd_lint.types import DirectionKind, Severity, Threshold

_ERROR, _WARNING = LEVELS
_SHARE = "SQSD202"


def make_policy(
    pack: Pack,
    calibration: ScoreCalibration | None,
    *,
    threshold: str | None = None,
    warning_threshold: str | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    allow: Iterable[str] = (),
    severity: Mapping[str, str] | None = None,
    per_file_ignores: Mapping[str, Sequence[str]] | None = None,
    fine_tune: FineTuneSettings | None = None,
    danger: DirectionKind = "task-vector",
) -> Policy:
    """Combine a pack with what the settings override.

    Args:
        threshold, warning_threshold: override the pack's for SQSD101 and SQSD102.
        select, ignore: codes or prefixes. The longer prefix wins, at equal length `ignore`.
        allow: whole codes, of rules whose rows have no score.
        severity: "error" or "warning" by whole code; overrides the pack's, and yields to `allow`.
        per_file_ignores: codes or prefixes by pattern, see `PerFileIgnores`.

    Raises:
        UsageError: an unknown code, a selected rule that the pack does not hold, a wrong threshold or
            pattern.
        BundleError: a threshold is relative to a calibration that the bundle does not have.
    """
    allowed = _allowed(allow)
    severities = _severities(pack, select_rules(pack, select, ignore), severity or {}, allowed)
    overrides = {_ERROR: threshold, _WARNING: warning_threshold}
    thresholds, notes, rates = _resolve_thresholds(pack, calibration, severities, overrides)
    for code in RULES.with_threshold:
        if code not in thresholds:
            severities.pop(code, None)
    error, warning = thresholds.get(_ERROR), thresholds.get(_WARNING)
    if error and warning and warning.value >= error.value:
        notes.append(f"the warning line ({warning.spec}) is not below the error line ({error.spec})")
    if _SHARE in severities:
        counted = _share_threshold(pack, calibration, warning, warning_threshold)
        if counted is None:
            del severities[_SHARE]
            notes.append(f"{_SHARE} is off: there is no calibration, or no warning line, to judge a share by")
        else:
            thresholds[_SHARE] = counted
    return Policy(
        severities,
        thresholds,
        calibration,
        {code: entry.options for code, entry in pack.rules.items()},
        allowed,
        tuple(notes),
        tuple(rates),
        PerFileIgnores({pattern: _codes(each) for pattern, each in (per_file_ignores or {}).items()}),
        fine_tune or FineTuneSettings(),
        danger,
    )


def select_rules(pack: Pack, select: Sequence[str], ignore: Sequence[str]) -> tuple[str, ...]:
    """Return the codes of a pack that are selected and not ignored, in order.

    Raises:
        UsageError: a code or prefix that fits no rule, or that selects nothing of the pack.
    """
    for prefix in (*select, *ignore):
        _codes([prefix])
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
    """Return the length of the longest prefix that fits; -1 if none does."""
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=-1)


def _codes(prefixes: Iterable[str]) -> frozenset[str]:
    """Return the codes that begin with one of the prefixes; a prefix of none is an error."""
    found: set[str] = set()
    for prefix in prefixes:
        codes = [code for code in RULES if prefix and code.startswith(prefix)]
        if not codes:
            raise unknown_code(prefix)
        found.update(codes)
    return frozenset(found)


def _allowed(allow: Iterable[str]) -> frozenset[str]:
    allowed, gaps = frozenset(allow), RULES.unscored
    for code in sorted(allowed.difference(gaps)):
        if code not in RULES:
            raise unknown_code(code)
        raise UsageError(f"{code} cannot be allowed: its rows have a score", hint=f"Allow {', '.join(gaps)}.")
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


def _resolve_thresholds(
    pack: Pack,
    calibration: ScoreCalibration | None,
    selected: Mapping[str, Severity],
    overrides: Mapping[str, str | None],
) -> tuple[dict[str, Threshold], list[str], list[str]]:
    """Return the thresholds of the selected rules, what to note about them, and how often rows reach them."""
    thresholds: dict[str, Threshold] = {}
    notes: list[str] = []
    rates: list[str] = []
    for code in RULES.with_threshold:
        # An override is parsed even where its rule is off, so that a slip never goes unnoticed.
        override = overrides.get(code)
        spec = parse_threshold(override) if override is not None else None
        if code not in selected:
            continue
        own = parse_threshold(pack.rules[code].options["threshold"])
        if spec is None and calibration is None and own.kind != "raw" and thresholds:
            # A raw --threshold suffices without a calibration: the pack's percentile for warnings then means
            # nothing, and is left out rather than made a condition.
            notes.append(f"{code} is off: there is no calibration to draw its line by")
            continue
        spec = spec or own
        thresholds[code] = resolve_threshold(spec, calibration)
        notes += filter(None, [caution(spec, calibration)])
        rates += filter(None, [rate(spec, calibration)])
    return thresholds, notes, rates


def _share_threshold(
    pack: Pack, calibration: ScoreCalibration | None, warning: Threshold | None, override: str | None
) -> Threshold | None:
    """Return the warning threshold, or the one that SQSD102 would have if it were on."""
    if calibration is None or warning is not None:
        return warning if calibration is not None else None
    text = override or (pack.rules[_WARNING].options["threshold"] if _WARNING in pack.rules else None)
    return resolve_threshold(parse_threshold(text), calibration) if text is not None else None
