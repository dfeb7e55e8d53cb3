"""What scores cost when they were tried: the table of `bundle show`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from sqsd_lint.report import numbers
from sqsd_lint.report.page import Page
from sqsd_lint.report.safe import escape

_LABEL = 13


def print_validation(page: Page, facts: Mapping[str, Any] | None) -> None:
    """The part of `bundle show` about it; nothing where the bundle was not tried.

    Args:
        facts: a `tried.Validation` as plain data.
    """
    if facts is None:
        return
    page.line()
    cut = f" within {facts['strata']} strata of answer length" if facts["strata"] > 1 else ""
    _fact(
        page,
        "validation",
        f"windows of {facts['size']} of {facts['rows']:,} rows{cut}, "
        f"{numbers.count(facts['runs'], 'run')} each, "
        f"{facts['steps']} steps at lr {facts['lr']:g}",
    )
    _fact(page, "", f"{facts['prompts']} harmful prompts, judged by {facts['judge']}")
    said = [f"{numbers.share(facts['before'])} answered before training"]
    if facts["random"] is not None:
        said.append(f"{numbers.share(facts['random'])} after random windows")
    if facts["spearman"] is not None:
        interval = facts["spearman_interval"]
        between = f" ({interval[0]:+.2f} to {interval[1]:+.2f})" if interval else ""
        said.append(f"Spearman of place and answers {facts['spearman']:+.2f}{between}")
    _fact(page, "", ", ".join(said))
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


def _fact(page: Page, label: str, value: str) -> None:
    page.line(Text.assemble((f"  {label:<{_LABEL}}", "dim"), escape(value)), hang=_LABEL + 2)
