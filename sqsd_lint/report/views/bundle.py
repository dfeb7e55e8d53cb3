"""A bundle on a terminal: in full, and what is wrong with it; `bundle_list` has the list of all.

What scores cost when they were tried: the table of `bundle show`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any

from rich.text import Text

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.reach import reach_text, reach_warnings
from sqsd_lint.bundle.show import CANDIDATES
from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.report import fields
from sqsd_lint.report.head import short_digest
from sqsd_lint.report.style.page import Page, open_page
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.rules.threshold import parse_threshold, resolve_threshold
from sqsd_lint.types import Agreement, Threshold

_VALIDATION_LABEL = 13


def print_validation(page: Page, facts: Mapping[str, Any] | None) -> None:
    """Print the part of `bundle show` about it; nothing where the bundle was not tried.

    Args:
        facts: a `Validation` as plain data.
    """
    if facts is None:
        return
    page.line()
    cut = f" within {facts['strata']} strata of answer length" if facts["strata"] > 1 else ""
    _validation_fact(
        page,
        "validation",
        f"windows of {facts['size']} of {facts['rows']:,} rows by {facts.get('ranking', 'sqsd')}{cut}, "
        f"{numbers.count(facts['runs'], 'run')} each, "
        f"{facts['steps']} steps at lr {facts['lr']:g}",
    )
    _validation_fact(page, "", f"{facts['prompts']} harmful prompts, judged by {facts['judge']}")
    said = [f"{numbers.share(facts['before'])} answered before training"]
    if facts["random"] is not None:
        low, high = map(numbers.share, facts.get("random_range") or (facts["random"],) * 2)
        said.append(f"{low}{f' to {high}' if high != low else ''} after random windows")
    if facts["spearman"] is not None:
        interval = facts["spearman_interval"]
        between = f" ({interval[0]:+.2f} to {interval[1]:+.2f})" if interval else ""
        said.append(f"Spearman of place and answers {facts['spearman']:+.2f}{between}")
    _validation_fact(page, "", ", ".join(said))
    page.line()
    page.line(Text(f"  {'window':<7}{'percentile':>16}{'SQSD':>20}{'answered':>11}{'95 %':>12}", "dim"))
    for place, window in enumerate(facts["windows"], 1):
        low, high = (numbers.score(value) for value in window["sqsd"])
        interval = " to ".join(numbers.share(value) for value in window["interval"])
        page.line(
            Text.assemble(
                (f"  {place:<7}", "bold"),
                f"{numbers.places(window['percentiles']):>16}{f'{low} to {high}':>20}",
                f"{numbers.share(window['attack_success']):>11}{interval:>12}",
            )
        )


def _validation_fact(page: Page, label: str, value: str) -> None:
    page.line(
        Text.assemble((f"  {label:<{_VALIDATION_LABEL}}", "dim"), escape(value)), hang=_VALIDATION_LABEL + 2
    )


_LABEL = 13


def print_bundle(facts: Mapping[str, Any], thresholds: Sequence[Threshold], stream: IO[str]) -> None:
    """Print one bundle in full.

    Args:
        facts: `bundle.show.describe(bundle)`.
        thresholds: candidates, each with the shares of the calibration sets at or above it.
    """
    page = open_page(stream)
    base = facts["base_model"]
    page.line(Text.assemble((escape(facts["id"]), "bold"), (f"@{short_digest(facts['digest'])}", "dim")))
    _fact(page, "base model", f"{base['id']} ({base['architecture']})")
    if facts["base_adapter"]:
        _fact(page, "", "with the adapter base/ merged into it")
    for name, direction in facts["directions"].items():
        scaling = "" if direction["scaling"] is None else f", scaling {direction['scaling']:g}"
        at = f"expansion point {direction['expansion']}/" if direction["expansion"] else "model as it is"
        _fact(page, name, f"{direction['adapter']}/ at the {at}{scaling}")
    modules = "all layers" if facts["modules"] == "all" else f"top {facts['modules']} blocks"
    update = ", full update" if facts["update"] == "full" else ""
    _fact(page, "scoring", f"{facts['metric']}, {facts['expansion']} expansion, {modules}{update}")
    unknown = "" if len(facts["reach"]) == 2 else ": `sqsd-lint bundle verify` measures it"
    _fact(page, "reach", reach_text(facts["reach"]) + unknown)
    if screen := facts.get("screen"):
        costs = ", ".join(f"{recall} scores {100 * share:.0f} %" for recall, share in screen["exact"].items())
        _fact(
            page, "screen", f"{screen['digest'][:12]}; of its benign reference rows' tokens, recall {costs}"
        )
    for warning in reach_warnings(facts["reach"]):
        _fact(page, "warning", warning)
    _fact(page, "size", f"{facts['bytes'] / 1e6:.1f} MB in {facts['path']}")
    for note in facts["notes"]:
        _fact(page, "note", note)
    for number, source in enumerate(facts["provenance"]):
        rows = numbers.count(source["rows"], "row")
        text = f"{source['role']}: {rows} of {source['name']} ({source['licence']})"
        _fact(page, "" if number else "trained on", text)
    for number, each in enumerate(facts["agreements"]):
        _fact(page, "" if number else "proxy", str(Agreement(**each)))
    _print_calibration(page, facts["calibration"], thresholds)
    print_validation(page, facts["validation"])


def print_json(facts: Mapping[str, Any], thresholds: Sequence[Threshold], stream: IO[str]) -> None:
    """Print what `print_bundle` shows, as one JSON object with the thresholds under `lines`."""
    stream.write(
        fields.dump({**facts, "lines": [fields.threshold(each) for each in thresholds]}, indent=2) + "\n"
    )


def print_wrong(findings: Sequence[tuple[str, str]], stream: IO[str]) -> None:
    """Print what is wrong with a bundle: (file or folder, message) each."""
    page = open_page(stream)
    for where, message in findings:
        page.line(
            Text.assemble(
                (f"{page.glyphs.error} ", "bold red"), (escape(where), "bold"), f"  {escape(message)}"
            )
        )


def print_thresholds(before: Bundle, after: Bundle, stream: IO[str]) -> None:
    """Print each candidate threshold by two calibrations, with shares of their reference rows above it."""
    page = open_page(stream)
    page.line(Text(f"  {'threshold':<11}{'before':>24}{'after':>24}", "dim"))
    columns = [_thresholds(bundle) for bundle in (before, after)]
    for spec in CANDIDATES:
        page.line(Text(f"  {spec:<11}" + "".join(f"{found.get(spec, 'none'):>24}" for found in columns)))


def _thresholds(bundle: Bundle) -> dict[str, str]:
    """Return `3.10 (1.1 %, 76 %)` by spec: the value, and the benign and known-harmful rows above it."""
    stored = bundle.manifest.calibration
    if stored is None:
        return {}
    calibration = ScoreCalibration.from_json(stored.to_json())
    found = [resolve_threshold(parse_threshold(spec), calibration) for spec in CANDIDATES]
    return {
        each.spec: f"{numbers.score(each.value)} ("
        + ", ".join(f"{100 * s:.2g} %" for s in (each.benign_share, each.harmful_share) if s is not None)
        + ")"
        for each in found
    }


def print_good(text: str, stream: IO[str]) -> None:
    """Print in one line that something went well."""
    page = open_page(stream)
    page.line(Text.assemble((f"{page.glyphs.clear} ", "bold green"), page.prose(escape(text))))


def print_warning(text: str, stream: IO[str]) -> None:
    """Print one line about something that is not wrong and yet has to be known."""
    page = open_page(stream)
    page.line(Text.assemble((f"{page.glyphs.warning} ", "bold yellow"), page.prose(escape(text))))


def _fact(page: Page, label: str, value: str) -> None:
    page.line(Text.assemble((f"  {label:<{_LABEL}}", "dim"), escape(value)), hang=_LABEL + 2)


def _print_calibration(
    page: Page, calibration: Mapping[str, Any] | None, thresholds: Sequence[Threshold]
) -> None:
    if calibration is None:
        _fact(page, "calibration", "none: only raw scores can be thresholds")
        return
    sets = calibration["sets"]
    for label, rows, role in (("calibration", "benign_rows", "benign"), ("", "harmful_rows", "harmful")):
        names = ", ".join(each["name"] for each in sets[role])
        _fact(page, label, f"{numbers.count(calibration[rows], f'{role} row')}: {names or 'none'}")
    _fact(page, "tolerance", f"{calibration['tolerance']:.3g} between dtypes")
    page.line()
    page.line(Text(f"  {'line':<7}{'score':>9}{'benign':>10}{'known-harmful':>16}  rows at or above", "dim"))
    for each in thresholds:
        benign = "" if each.benign_share is None else numbers.share(each.benign_share)
        harmful = "" if each.harmful_share is None else numbers.share(each.harmful_share)
        page.line(
            Text.assemble(
                (f"  {escape(each.spec):<7}", "bold"),
                f"{numbers.score(each.value):>9}{benign:>10}{harmful:>16}",
            )
        )
