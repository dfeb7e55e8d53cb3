from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.report import Options
from sqsd_lint.types import Coverage, Report, ScoredRow, Severity, Where
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, DIFF, FULL, HOSTILE, MARKUP, high_risk, score

SCHEMA = Path(__file__).parent / "schemas" / "junit-10.xsd"


def load(report: Report, options: Options | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(render(report, "junit", options))


@pytest.mark.parametrize(
    ("name", "report"), [("full", FULL), ("diff", DIFF), ("clear", CLEAR), ("hostile", HOSTILE)]
)
def test_golden(name: str, report: Report) -> None:
    assert_golden(f"{name}.junit.xml", render(report, "junit"))


@pytest.mark.parametrize("report", [FULL, DIFF, CLEAR, HOSTILE, MARKUP])
def test_the_document_keeps_jenkins_schema(report: Report) -> None:
    xmlschema = pytest.importorskip("xmlschema", reason="xmlschema is not installed")
    xmlschema.XMLSchema(str(SCHEMA)).validate(render(report, "junit"))


@pytest.mark.parametrize("report", [FULL, DIFF, CLEAR, HOSTILE, MARKUP])
def test_the_counts_are_those_of_the_elements(report: Report) -> None:
    top = load(report)
    for suite in [top, *top]:
        cases = list(suite.iter("testcase"))
        assert int(suite.get("tests", "")) == len(cases) > 0
        assert int(suite.get("failures", "")) == sum(1 for _ in suite.iter("failure"))
        assert int(suite.get("errors", "")) == sum(1 for _ in suite.iter("error"))


def test_errors_fail_warnings_are_skipped_and_what_has_no_score_could_not_run() -> None:
    outcomes = {case.get("name"): [child.tag for child in case] for case in load(FULL).iter("testcase")}
    assert outcomes == {
        "data/train.jsonl:12 SQSD101 high-risk-sample": ["failure"],
        "data/train.jsonl:48 SQSD102 elevated-risk-sample": ["skipped"],
        "data/train.jsonl:48 SQSD302 truncated-response": ["skipped"],
        "data/train.jsonl:1207 SQSD101 high-risk-sample": ["failure"],
        "data/weights.jsonl SQSD304 unreadable-file": ["error"],
        "data/extra.jsonl:3 SQSD303 malformed-row": ["error"],
        "data/extra.jsonl:9 SQSD301 unscorable-row": ["error"],
        "every row was scored": ["error", "system-out"],
    }


def test_a_clear_file_is_a_test_that_passed() -> None:
    rows = tuple(ScoredRow(Where("a.jsonl", i, i - 1), "f", "", score(0.0)) for i in (1, 2))
    (case, coverage) = load(replace(CLEAR, rows=rows)).iter("testcase")
    assert (case.get("classname"), len(case)) == ("a.jsonl", 0)
    assert [child.tag for child in coverage] == ["system-out"]
    assert "scored 2000 of 2000 rows" in (coverage[0].text or "")


def test_a_gap_without_a_finding_is_an_error() -> None:
    top = load(replace(CLEAR, coverage=Coverage(rows=4, scored=3), exit_code=3))
    assert (top.get("errors"), top.get("failures")) == ("1", "0")


def test_redact_shows_the_fingerprint() -> None:
    text = render(FULL, "junit", Options(redact=True))
    assert f"fingerprint {12:032x}" in text
    assert "proxy server" not in text


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text_is_legal_xml(text: str) -> None:
    found = replace(
        high_risk(text, 1, 7.0, None, text), rule=text, name=text, message=text, hint=text, fingerprint=text
    )
    report = replace(
        CLEAR,
        violations=(found, replace(found, severity=Severity.WARNING)),
        coverage=Coverage(rows=2, scored=1, notes=(text,)),
    )
    for options in (Options(), Options(redact=True)):
        document = render(report, "junit", options)
        assert document.isascii()
        assert [suite.tag for suite in ElementTree.fromstring(document)] == ["testsuite", "testsuite"]
