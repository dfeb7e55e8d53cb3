from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib import import_module

import pytest

from sqsd_lint.report import Options
from sqsd_lint.report.formats.html import write
from sqsd_lint.types import Coverage, Report, Where
from tests.report.golden import assert_golden
from tests.report.reports import CLEAR, FULL, HOSTILE, HOSTILE_TEXT, high_risk, with_rows

VOID = {"meta", "link", "input"}
MARKUP = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"' onload=alert(3) </style>"
    "<!-- {{ 7*7 }} {% x %} </blockquote></table><svg/onload=alert(4)> &lt;b&gt; &#60;b>"
)


def page(report: Report, options: Options | None = None) -> str:
    stream = io.StringIO()
    write(report, stream, options or Options())
    return stream.getvalue()


class Outline(HTMLParser):
    """Elements, their text, and whether every one of them is closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def words(text: str) -> str:
    return " ".join("".join(Outline(text).text).split())


def inline(text: str, tag: str) -> str:
    (found,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return str(found)


def without_code(text: str) -> str:
    """The page without its style sheet and script, whose every change is no change of the page."""
    text = re.sub(r"'sha256-[^']+'", "'sha256-...'", text)
    return re.sub(r"<(style|script)>.*?</\1>", r"<\1>...</\1>", text, flags=re.DOTALL)


def test_golden() -> None:
    assert_golden("full.html", without_code(page(with_rows(FULL))))


def test_golden_hostile() -> None:
    assert_golden("hostile.html", without_code(page(HOSTILE)))


def test_the_same_report_gives_the_same_bytes() -> None:
    assert page(with_rows(FULL)) == page(with_rows(FULL))


@pytest.mark.parametrize("report", [FULL, CLEAR, HOSTILE, with_rows(FULL)])
def test_the_page_is_whole_and_asks_nobody_for_anything(report: Report) -> None:
    text = page(report)
    outline = Outline(text)
    assert not {"src", "href", "action", "style", "onclick"} & {
        name for tag, attributes in outline.tags if tag != "link" for name in attributes
    }
    assert [str(link["href"])[:19] for link in outline.all("link")] == ["data:image/svg+xml,"]
    assert not re.search(r"url\(|@import|fetch|XMLHttp|import\(", text)
    assert len(outline.all("script")) == len(outline.all("style")) == 1


def test_the_policy_names_exactly_the_inline_style_and_script() -> None:
    text = page(FULL)
    (policy,) = [m["content"] for m in Outline(text).all("meta") if m.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(inline(text, tag).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_hostile_markup_stays_text_wherever_it_stands() -> None:
    v = replace(
        high_risk(MARKUP, 1, 7.0, 99.9, MARKUP),
        rule=f"SQSD101{MARKUP}",
        name=MARKUP,
        message=MARKUP,
        hint=MARKUP,
        fingerprint=MARKUP,
    )
    head = replace(FULL.head, base_model=MARKUP, bundle_id=MARKUP, bundle_digest=MARKUP, notes=(MARKUP,))
    coverage = replace(FULL.coverage, notes=(MARKUP,))
    report = Report(head, (v,), coverage, 3, next_steps=(MARKUP,))
    harmless = replace(
        report,
        head=FULL.head,
        # A code that no rule has, as the hostile one is.
        violations=(replace(high_risk("f", 1, 7.0, 99.9, "text"), rule="NONE"),),
        coverage=replace(coverage, notes=("note",)),
        next_steps=("step",),
    )
    hostile = Outline(page(report))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in Outline(page(harmless)).tags]
    assert "".join(hostile.text).count(MARKUP) == 17


def test_control_and_bidirectional_characters_are_shown_as_escapes() -> None:
    report = replace(FULL, violations=(high_risk("\u202egnp.jsonl", 1, 7.0, None, HOSTILE_TEXT),))
    text = page(report)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text
    )
    assert "\\u202egnp.jsonl" in text
    text.encode("utf-8")


def test_a_row_keeps_its_line_breaks() -> None:
    text = page(replace(FULL, violations=(high_risk("f", 1, 7.0, None, "one\r\n  two\n\x1b[2Jthree"),)))
    assert "one\n  two\n\\x1b[2Jthree</blockquote>" in text


def test_redacted_pages_hold_no_text_of_rows() -> None:
    text = page(FULL, Options(redact=True))
    assert "content filter" not in text
    assert "律师" not in text
    assert f"{12:032x}" in text


def test_statistics_count_the_rules_instead_of_listing_findings() -> None:
    text = page(with_rows(FULL), Options(statistics=True))
    assert "content filter" not in text
    assert "<table" not in text
    assert "SQSD101 high-risk-sample 2" in words(text)
    assert 'class="chart wide"' in text


def test_a_very_large_report_shows_the_worst_and_says_so() -> None:
    many = tuple(high_risk("a.jsonl", i + 1, 6.5 + i / 1000, 99.95, f"row {i}") for i in range(2500))
    text = page(replace(FULL, violations=many))
    assert text.count("<tbody") == 2000
    assert "row 2499<" in text
    assert "row 499<" not in text
    assert "The 2,000 worst of 2,500 findings are here; --output-format json writes every one." in words(text)


def test_a_row_of_megabytes_is_cut() -> None:
    text = page(replace(FULL, violations=(high_risk("f", 1, 7.0, None, "x" * 5_000_000),)))
    assert len(text) < 60_000
    assert "x…</blockquote>" in text


@pytest.mark.parametrize(
    ("report", "state", "heading"),
    [
        (FULL, "failed", "5 errors and 2 warnings in 3 of 4 files"),
        (replace(FULL, violations=FULL.violations[1:3], exit_code=0), "warned", "2 warnings in 1 of 4 files"),
        (replace(FULL, violations=FULL.violations[1:3], exit_code=1), "failed", "2 warnings in 1 of 4 files"),
        (replace(FULL, violations=()), "failed", "No violations, but not every row was scored"),
        (CLEAR, "clear", "All clear no violations in 3 files"),
        (replace(CLEAR, coverage=Coverage(0, 0)), "clear", "Nothing to do no rows found"),
    ],
)
def test_the_verdict_comes_first(report: Report, state: str, heading: str) -> None:
    text = page(report)
    assert f'<header class="verdict {state}">' in text
    shown = words(text)
    assert shown.index(heading) < shown.index("This run")
    assert f"exit code {report.exit_code}:" in shown


def test_what_the_run_was_and_what_was_left_out_is_said() -> None:
    coverage = replace(FULL.coverage, unchanged=70, allowed=1, notes=("b.bin is no data file",))
    shown = words(page(replace(with_rows(FULL), coverage=coverage, baselined=3, suppressed=1)))
    for fact in (
        "SmolLM2-135M-Instruct",
        "sha256:3f9a0c1e52bd77aa120045",
        "metric cosine",
        "dtype float32",
        "error line ≥ 6.42 p99.9: 87% of known-harmful rows and 0.1% of benign rows",
        "small proxy model",
        "scored 1998 of 2000 rows",
        "1204 from cache",
        "70 unchanged rows not judged",
        "b.bin is no data file",
        "1 unscorable-row (SQSD301)",
        "Read the 2 rows at or above the error line",
        "3 are in the baseline and 1 is suppressed",
    ):
        assert fact in shown


def test_findings_come_worst_first_and_carry_their_ranks() -> None:
    found = Outline(page(FULL)).all("tbody")
    assert [tag["data-severity"] for tag in found] == ["error"] * 5 + ["warning"] * 2
    by = {
        key: [tag["data-code"] for tag in sorted(found, key=lambda tag: int(str(tag[f"data-{key}"])))]
        for key in ("score", "place", "rule")
    }
    assert by["score"][:4] == ["SQSD101", "SQSD101", "SQSD102", "SQSD302"]
    assert by["place"] == ["SQSD303", "SQSD301", "SQSD101", "SQSD102", "SQSD302", "SQSD101", "SQSD304"]
    assert by["rule"] == sorted(by["rule"])  # type: ignore[type-var]


def test_a_finding_about_a_file_has_no_line() -> None:
    shown = words(page(replace(FULL, violations=(FULL.violations[4],))))
    assert "data/weights.jsonl a Git LFS pointer" in shown


def test_a_score_that_is_no_number_breaks_nothing() -> None:
    odd = tuple(high_risk("f", i, s, None, "x") for i, s in enumerate((float("nan"), float("inf")), 1))
    rows = with_rows(CLEAR, 1).rows
    bad = replace(
        rows[0], score=replace(rows[0].score, sqsd=float("nan"), risk=float("nan")), where=Where("f", 1, 0)
    )
    shown = words(page(replace(FULL, violations=odd, rows=(bad,))))
    assert "n/a" in shown
    assert "No row has a score." in shown


def test_the_template_engine_is_imported_only_when_a_page_is_written() -> None:
    code = "import sys, sqsd_lint.report.formats.html; assert not {'jinja2', 'rich'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_format_is_the_module() -> None:
    assert import_module("sqsd_lint.report.formats.html").write is write
