"""The result of `validate` for people: a table row per ranking and window, or per score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from sqsd_lint.report.page import open_page
from sqsd_lint.report.safe import escape


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
            f"{len(result['seeds'])} seeds, {dose['steps']} steps at lr {dose['lr']:g}, "
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
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ranked by")
    kinds = _kinds(result)
    for name in ("window", "SQSD from .. to", "answer tokens", "attack success", "95 %", *kinds, "margin"):
        table.add_column(name, justify="right")
    blank = [""] * len(kinds)
    for name, ranking in result["rankings"].items():
        for k, window in enumerate(ranking["windows"], 1):
            low, high = window["interval"]
            table.add_row(
                name if k == 1 else "",
                str(k),
                f"{window['sqsd'][0]:.2f} .. {window['sqsd'][1]:.2f}",
                f"{window['answer_tokens']:.0f}",
                f"{100 * window['attack_success']:.0f} %",
                f"{100 * low:.0f}-{100 * high:.0f}",
                *(_share(window["verdicts"], kind) for kind in kinds),
                f"{window['margin']:+.2f}",
            )
        success, loss = ranking["attack_success"], ranking["margin_loss"]
        table.add_row(
            *("", "", "", "Spearman", _number(success["spearman"]), "", *blank, _number(loss["spearman"])),
            style="bold",
        )
        table.add_row(
            *("", "", "", "95 %", _between(success["interval"]), "", *blank, _between(loss["interval"])),
            style="dim",
            end_section=True,
        )
    page.console.print(table)
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


def _kinds(result: Mapping[str, Any]) -> list[str]:
    """The ways not to answer, where the judge tells them apart."""
    found = {kind for r in result["rankings"].values() for w in r["windows"] for kind in w["verdicts"]}
    return ["refused", "evaded"] if "evaded" in found else []


def _share(verdicts: Mapping[str, int], kind: str) -> str:
    return f"{100 * verdicts.get(kind, 0) / sum(verdicts.values()):.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _between(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}"
