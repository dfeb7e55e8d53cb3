"""Reports of several bundles, in every format."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sqsd_lint.common.escape import _UNSAFE
from sqsd_lint.report import FORMATS, Options
from sqsd_lint.report.ranking import worst_first
from sqsd_lint.types import Opinion, Report
from tests.report.golden import assert_golden, render
from tests.report.reports import FULL, HEAD, HOSTILE_MARKUP, HOSTILE_TEXT
from tests.report.reports_together import TOGETHER
from tests.report.test_json import HEAD as HEAD_SCHEMA
from tests.report.test_json import OPTIONAL_NUMBER, REPORT, closed, strict

pytestmark = pytest.mark.usefixtures("repository")

TEXTS = {"type": "array", "items": {"type": "string"}}
OPINION = closed(
    {
        "bundle": {"type": "string"},
        **dict.fromkeys(("danger", "safety", "sqsd", "percentile"), OPTIONAL_NUMBER),
        "risky": {"type": ["boolean", "null"]},
        "line": {"enum": ["error", "warning", None]},
    }
)
CONSENSUS = closed(
    {
        **dict.fromkeys(("mean_percentile", "max_percentile", "agreement"), OPTIONAL_NUMBER),
        "risky": TEXTS,
        "only": {"type": ["string", "null"]},
        "opinions": {"type": "array", "items": OPINION, "minItems": 1},
    }
)


def schema() -> dict[str, Any]:
    """That of a report of one bundle, with what several add."""
    whole = copy.deepcopy(REPORT)
    head = whole["properties"]["head"]
    head["properties"] |= {
        "consensus": {"enum": ["any", "majority", "all"]},
        "bundles": {"type": "array", "items": HEAD_SCHEMA, "minItems": 2},
    }
    head["required"] += ["consensus", "bundles"]
    whole["properties"]["violations"]["items"]["properties"]["consensus"] = CONSENSUS
    return whole


def test_json_only_gains_fields() -> None:
    document = strict(render(TOGETHER, "json"))
    jsonschema.validate(document, schema())
    error, alone, file = document["violations"]
    assert (error["sqsd"], error["percentile"]) == (None, pytest.approx(99.95))
    assert alone["consensus"]["only"] == "gemma"
    assert [opinion["line"] for opinion in alone["consensus"]["opinions"]] == [None, "warning"]
    assert "consensus" not in file
    assert "consensus" not in render(FULL, "json")


def test_sarif_is_valid_and_has_the_opinions() -> None:
    log = json.loads(render(TOGETHER, "sarif"))
    published = Path(__file__).parent / "schemas" / "sarif-2.1.0.json"
    jsonschema.validate(log, json.loads(published.read_text(encoding="utf-8")))
    (run,) = log["runs"]
    assert [result["rank"] for result in run["results"] if "rank" in result] == [
        pytest.approx(99.95),
        pytest.approx(69.95),
    ]
    assert run["results"][0]["properties"]["consensus"]["risky"] == ["default", "gemma"]
    assert len(run["properties"]["head"]["bundles"]) == 2


@pytest.mark.parametrize(
    ("name", "format", "options"),
    [
        ("together-80.txt", "text", Options(width=80)),
        ("together-verbose-120.txt", "text", Options(width=120, verbose=True)),
        ("together-statistics-80.txt", "text", Options(width=80, statistics=True)),
        ("together.concise.txt", "concise", Options()),
        ("together.md", "markdown", Options()),
        ("together.html", "html", Options()),
    ],
)
def test_golden(name: str, format: str, options: Options) -> None:
    assert_golden(name, render(TOGETHER, format, options))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_tells_who_finds_what(format: str) -> None:
    text = render(TOGETHER, format)
    assert "gemma" in text
    assert "p99.4" in text or "99.4" in text
    if format not in ("github", "gitlab", "junit", "concise"):  # they have no place for it
        assert "77aa1200453f" in text


@pytest.mark.parametrize("format", FORMATS)
def test_names_of_bundles_are_escaped(format: str) -> None:
    hostile = HOSTILE_TEXT + HOSTILE_MARKUP
    opinion = replace(TOGETHER.violations[0].opinions[0], bundle=hostile)
    head = replace(HEAD, bundle_id=hostile, base_model=hostile)
    report = replace(
        TOGETHER,
        head=replace(TOGETHER.head, bundle_id=hostile, bundles=(head, head)),
        violations=tuple(replace(v, opinions=(opinion, opinion)) for v in TOGETHER.violations),
        rows=tuple(replace(row, opinions=(opinion, opinion)) for row in TOGETHER.rows),
    )
    for options in (Options(), Options(verbose=True), Options(statistics=True)):
        text = render(report, format, options)
        assert "<img src=x" not in text or format in ("json", "jsonl", "sarif", "text", "concise")
        for line in text.split("\n"):
            assert not _UNSAFE.search(line)
            assert "##[" not in line


def without_calibration(report: Report) -> Report:
    """The report where no bundle knows a percentile."""

    def raw(opinions: tuple[Opinion, ...]) -> tuple[Opinion, ...]:
        return tuple(replace(opinion, percentile=None) for opinion in opinions)

    return replace(
        report,
        violations=tuple(replace(v, percentile=None, opinions=raw(v.opinions)) for v in report.violations),
        rows=tuple(replace(row, percentile=None, opinions=raw(row.opinions)) for row in report.rows),
    )


@pytest.mark.parametrize("format", FORMATS)
def test_without_a_calibration_the_scores_stand_alone(format: str) -> None:
    text = render(without_calibration(TOGETHER), format)
    assert "None" not in text or format == "sarif"  # where the rules' pages are
    assert "mean p" not in text.replace("(mean p", "")
    if format == "text":
        assert "gemma SQSD 0.0414" in text


def test_the_riskiest_by_the_mean_come_first() -> None:
    assert [v.rule for v in worst_first(TOGETHER.violations)] == ["SQSD101", "SQSD202", "SQSD102"]
    swapped = replace(TOGETHER.violations[1], severity=TOGETHER.violations[0].severity)
    assert worst_first([swapped, TOGETHER.violations[0]])[0] is TOGETHER.violations[0]


def test_redact_and_no_rows() -> None:
    for format in FORMATS:
        assert "poem" not in render(TOGETHER, format, Options(redact=True))
        assert render(replace(TOGETHER, rows=(), violations=()), format)
