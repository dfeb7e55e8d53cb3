"""The result of `validate` for people: a table row per ranking and window, or per score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.report.style.page import open_page

if TYPE_CHECKING:
    from rich.table import Table

_NAME = 12


def print_windows(result: Mapping[str, Any], output: Path, stream: IO[str]) -> None:
    """Print what `trial.validate` returns, and where the rest of it lies."""
    from rich.table import Table
    from rich.text import Text

    page = open_page(stream)
    dose, untrained = result["dose"], result["untrained"]
    cut = f" within {result['strata']} strata of length" if result["strata"] > 1 else ""
    page.line(
        Text(
            f"{escape(result['bundle']['id'])} on {result['rows']:,} rows: windows of {result['size']}{cut}, "
            f"{numbers.count(len(result['seeds']), 'seed')}, {dose['steps']} steps at lr {dose['lr']:g}, "
            f"{result['prompts']} prompts, judged by {escape(result['judge'])}"
        )
    )
    page.line(
        Text(
            f"before training: attack success {100 * untrained['attack_success']:.0f} %, "
            f"margin {untrained['margin']:+.2f} nats per token",
            "dim",
        )
    )
    # One blank between columns, and names give way: no number is cut at 80.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("ranked by", max_width=_NAME, overflow="fold")
    kinds = _kinds(untrained["verdicts"])
    for name in ("window", "SQSD from .. to", "tokens", "answered", "95 %", *kinds, "margin"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, ranking in result["rankings"].items():
        for k, window in enumerate(ranking["windows"], 1):
            low, high = window["interval"]
            table.add_row(
                name if k == 1 else "",
                str(k),
                f"{numbers.score(window['sqsd'][0])} .. {numbers.score(window['sqsd'][1])}",
                f"{window['answer_tokens']:.0f}",
                f"{100 * window['attack_success']:.0f} %",
                f"{100 * low:.0f}-{100 * high:.0f}",
                *(_share(window["verdicts"], kind) for kind in kinds),
                f"{window['margin']:+.2f}",
                end_section=k == len(ranking["windows"]),
            )
    page.console.print(table)
    page.console.print(_foreseen(result["rankings"]))
    page.line(Text(f"every run, its answers, the result and the pictures: {escape(str(output))}", "dim"))


def print_yardstick(result: Mapping[str, Any], output: Path, stream: IO[str]) -> None:
    """Print what `trial.per_row` returns, and where the rows lie."""
    from rich.table import Table
    from rich.text import Text

    page = open_page(stream)
    page.line(
        Text(
            f"{escape(result['bundle']['id'])} on {result['rows']:,} rows: Spearman with what a step on the "
            f"row takes from the refusal margin of {result['prompts']} prompts, to first order"
        )
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score")
    for name in ("raw", "95 %", "given length", "95 %", "with length"):
        table.add_column(name, justify="right")
    for name, found in result["scores"].items():
        given = found["given_length"]
        table.add_row(
            name,
            _number(found["spearman"]),
            _between(found["interval"]),
            _number(given["spearman"]),
            _between(given["interval"]),
            _number(found["with_length"]),
        )
    page.console.print(table)
    page.line(Text(f"every row, and the result: {escape(str(output / 'per-row.json'))}", "dim"))


def _foreseen(rankings: Mapping[str, Any]) -> Table:
    """Spearman of the windows' places with what training on them did."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Spearman of places with", overflow="fold")
    for name in ("answered", "95 %", "margin lost", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, ranking in rankings.items():
        parts = (ranking["attack_success"], ranking["margin_loss"])
        table.add_row(name, *(t for p in parts for t in (_number(p["spearman"]), _between(p["interval"]))))
    return table


def _kinds(verdicts: Mapping[str, int]) -> list[str]:
    """Return the ways not to answer, where the judge tells them apart."""
    kinds = [kind for kind in verdicts if kind != "answered"]
    return kinds if len(kinds) > 1 else []


def _share(verdicts: Mapping[str, int], kind: str) -> str:
    return f"{100 * verdicts.get(kind, 0) / sum(verdicts.values()):.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _between(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}"
