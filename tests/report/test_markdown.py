from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sqsd_lint.report import Options
from sqsd_lint.report.formats.markdown import MOST_ROWS
from sqsd_lint.types import Coverage, Report
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, DIFF, FULL, HEAD, HOSTILE, MARKUP, high_risk

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OWN_HTML = {"<details><summary>How the rows were scored</summary>\n", "</details>\n", "<br>"}


def html(text: str) -> list[str]:
    """Every piece of raw HTML in a document."""
    tokens = READER.parse(text)
    tokens += [child for token in tokens for child in token.children or []]
    assert not {"link_open", "image"} & {token.type for token in tokens}
    return [token.content for token in tokens if token.type in ("html_block", "html_inline")]


@pytest.mark.parametrize(
    ("name", "report", "options"),
    [
        ("full", FULL, Options()),
        ("redact", FULL, Options(redact=True)),
        ("statistics", FULL, Options(statistics=True)),
        ("diff", DIFF, Options()),
        ("clear", CLEAR, Options()),
        ("hostile", HOSTILE, Options()),
        ("markup", MARKUP, Options()),
    ],
)
def test_golden(name: str, report: Report, options: Options) -> None:
    text = render(report, "markdown", options)
    assert_golden(f"{name}.md", text)
    assert set(html(text)) <= OWN_HTML


def test_the_verdict_comes_first_then_rows_coverage_and_what_to_do() -> None:
    text = render(DIFF, "markdown")
    parts = ["## ❌ sqsd-lint: Found 3 errors", "| ❌ |", "scored 12 of 12 rows", "`sqsd-lint rule SQSD101`"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert places[0] == 0


@pytest.mark.parametrize(("report", "mark"), [(CLEAR, "✅"), (replace(FULL, exit_code=0), "⚠️"), (FULL, "❌")])
def test_the_mark_is_the_exit_codes(report: Report, mark: str) -> None:
    assert render(report, "markdown").startswith(f"## {mark} sqsd-lint: ")


def test_only_the_worst_rows_are_shown() -> None:
    found = tuple(high_risk("a.jsonl", line, line / 10, None, "x") for line in range(1, MOST_ROWS + 4))
    text = render(replace(CLEAR, violations=found, exit_code=1), "markdown")
    lines = [int(line) for line in re.findall(r"`a\.jsonl:(\d+)`", text)]
    assert lines == list(range(MOST_ROWS + 3, 3, -1))
    assert "and 3 more findings, none of them worse." in text


def test_the_largest_summary_is_far_below_githubs_limit() -> None:
    tower = ("\U0001f468" + "\u0301" * 9) * 100_000
    found = tuple(
        replace(high_risk(tower, line, 7.0, None, tower), message=tower, rule=f"SQSD3{line}", name=tower)
        for line in range(1, 200)
    )
    largest = Report(
        head=replace(HEAD, base_model=tower, bundle_id=tower, notes=(tower,) * 200),
        violations=found,
        coverage=Coverage(rows=500, scored=1, notes=(tower,) * 200),
        exit_code=3,
        next_steps=(tower,) * 200,
    )
    assert len(render(largest, "markdown").encode()) < 1 << 20


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_foreign_text_breaks_no_table_and_makes_no_html(text: str) -> None:
    found = replace(high_risk(text, 1, 7.0, None, text), rule="SQSD303", message=text, fingerprint=text)
    report = replace(
        CLEAR,
        head=replace(HEAD, base_model=text, bundle_id=text, notes=(text,)),
        violations=(found, replace(found, rule="SQSD101")),
        coverage=Coverage(rows=2, scored=2, notes=(text,)),
        next_steps=(text,),
    )
    for options in (Options(), Options(redact=True), Options(statistics=True)):
        document = render(report, "markdown", options)
        assert set(html(document)) <= OWN_HTML
        tokens = [token.type for token in READER.parse(document)]
        assert tokens.count("table_open") == 1
        assert tokens.count("th_open") == (3 if options.statistics else 5)
        assert tokens.count("td_open") == tokens.count("th_open") * 2
        assert "blockquote_open" not in tokens
        assert tokens.count("heading_open") in (2, 3)  # what to do next may be nothing


def test_a_long_path_keeps_its_end_and_its_line() -> None:
    found = high_risk("folder/" * 60 + "train.jsonl", 12, 7.0, None, "x")
    assert "/train.jsonl:12`" in render(replace(CLEAR, violations=(found,)), "markdown")


def test_redact_shows_the_fingerprint() -> None:
    text = render(FULL, "markdown", Options(redact=True))
    assert f"`{12:032x}`" in text
    assert "proxy server" not in text
