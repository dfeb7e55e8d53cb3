from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from sqsd_lint.errors import UsageError
from sqsd_lint.report import Options, write
from sqsd_lint.types import Report
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, DIFF, FULL, HOSTILE

OPTIONAL_NUMBER = {"type": ["number", "null"]}
COUNT = {"type": "integer", "minimum": 0}
OPTIONAL_TEXT = {"type": ["string", "null"]}
NOTES = {"type": "array", "items": {"type": "string"}}


def closed(properties: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": list(properties),
        "additionalProperties": False,
    }


LINE = closed(
    {
        "spec": {"type": "string"},
        "value": OPTIONAL_NUMBER,
        "benign_share": OPTIONAL_NUMBER,
        "harmful_share": OPTIONAL_NUMBER,
    }
)
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
RANGE = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
OPTIONAL_RANGE = {"anyOf": [RANGE, {"type": "null"}]}
VALIDATION = closed(
    {
        **{name: {"type": "string"} for name in ("model", "judge")},
        **{
            name: {"type": "integer", "minimum": 1}
            for name in ("rows", "size", "runs", "strata", "steps", "batch_size", "prompts")
        },
        "max_length": {"type": ["integer", "null"]},
        "lr": {"type": "number"},
        "before": SHARE,
        "random": {"anyOf": [SHARE, {"type": "null"}]},
        "spearman": OPTIONAL_NUMBER,
        "spearman_interval": OPTIONAL_RANGE,
        "windows": {
            "type": "array",
            "items": closed(
                {
                    "sqsd": RANGE,
                    "percentiles": OPTIONAL_RANGE,
                    "attack_success": SHARE,
                    "interval": RANGE,
                },
                {"risk": OPTIONAL_RANGE},
            ),
        },
    },
    {"ranking": {"type": "string"}, "random_range": OPTIONAL_RANGE},
)
HEAD_TEXTS = ("base_model", "bundle_id", "bundle_digest", "metric", "expansion", "dtype", "device")
AGREEMENT = closed(
    {
        "target": {"type": "string"},
        "bundle_digest": OPTIONAL_TEXT,
        "rows": {"type": "integer", "minimum": 1},
        **{name: {"type": "number"} for name in ("spearman", "low", "high", "top_decile")},
    }
)
HEAD = closed(
    {
        **{name: {"type": "string"} for name in HEAD_TEXTS},
        "error_line": {"anyOf": [LINE, {"type": "null"}]},
        "warning_line": {"anyOf": [LINE, {"type": "null"}]},
        "notes": NOTES,
        "validation": {"anyOf": [VALIDATION, {"type": "null"}]},
        "proxy_for": OPTIONAL_TEXT,
        "agreement": {"anyOf": [AGREEMENT, {"type": "null"}]},
        "uncovered": {"type": "number", "minimum": 0, "maximum": 1},
    }
)
VIOLATION = closed(
    {
        "rule": {"type": "string"},
        "name": {"type": "string"},
        "severity": {"enum": ["error", "warning"]},
        "file": {"type": "string"},
        "line": {"type": ["integer", "null"], "minimum": 1},
        "index": {"type": ["integer", "null"], "minimum": 0},
        "message": {"type": "string"},
        "hint": OPTIONAL_TEXT,
        "fingerprint": OPTIONAL_TEXT,
        "sqsd": OPTIONAL_NUMBER,
        "danger": OPTIONAL_NUMBER,
        "safety": OPTIONAL_NUMBER,
        "percentile": OPTIONAL_NUMBER,
        "tokens": {"type": ["integer", "null"]},
        "truncated": OPTIONAL_TEXT,
        "excerpt": OPTIONAL_TEXT,
    }
)
SUMMARY = closed(
    {
        **dict.fromkeys(("errors", "warnings", "files", "baselined", "suppressed"), COUNT),
        "rules": {"type": "object", "additionalProperties": {"type": "integer"}},
        "seconds": {"type": "number"},
        "exit_code": {"enum": [0, 1, 2, 3]},
    }
)
COUNTS = ("rows", "scored", "cached", "allowed", "unchanged", "files", "unreadable_files", "not_read")
COVERAGE = closed({**dict.fromkeys(COUNTS, COUNT), "complete": {"type": "boolean"}, "notes": NOTES})
REPORT = closed(
    {
        "version": {"const": 1},
        "head": HEAD,
        "summary": SUMMARY,
        "coverage": COVERAGE,
        "violations": {"type": "array", "items": VIOLATION},
        "next_steps": {"type": "array", "items": {"type": "string"}},
    }
)
LAST_LINE = closed({"summary": SUMMARY, "coverage": COVERAGE, "head": HEAD, "version": {"const": 1}})


def strict(text: str) -> Any:
    """Parses as a strict reader does: no NaN, no Infinity, no lone surrogates."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is not JSON")

    value = json.loads(text, parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


@pytest.mark.parametrize("report", [FULL, CLEAR, DIFF, HOSTILE], ids=["full", "clear", "diff", "hostile"])
def test_json_has_its_documented_form(report: Report) -> None:
    text = render(report, "json")
    assert text.isascii()
    document = strict(text)
    jsonschema.validate(document, REPORT)
    assert len(document["violations"]) == len(report.violations)
    assert document["summary"]["exit_code"] == report.exit_code


@pytest.mark.parametrize("report", [FULL, CLEAR, DIFF, HOSTILE], ids=["full", "clear", "diff", "hostile"])
def test_jsonl_has_its_documented_form(report: Report) -> None:
    *violations, last = [strict(line) for line in render(report, "jsonl").splitlines()]
    for violation in violations:
        jsonschema.validate(violation, VIOLATION)
    jsonschema.validate(last, LAST_LINE)
    assert len(violations) == len(report.violations)


def test_golden_json() -> None:
    assert_golden("full.json", render(FULL, "json"))


def test_what_was_left_out_is_told() -> None:
    document = strict(render(DIFF, "json"))
    assert document["coverage"]["unchanged"] == 1988
    assert document["coverage"]["notes"] == list(DIFF.coverage.notes)
    assert (document["summary"]["baselined"], document["summary"]["suppressed"]) == (2, 1)


def test_golden_jsonl() -> None:
    assert_golden("full.jsonl", render(FULL, "jsonl"))


def test_text_comes_back_as_it_was() -> None:
    found = strict(render(HOSTILE, "json"))["violations"][0]
    assert found["excerpt"] == HOSTILE.violations[0].excerpt.replace("\ud800", "\ufffd")
    assert found["file"] == HOSTILE.violations[0].where.file


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_redact_leaves_the_excerpt_out(format: str) -> None:
    lines = render(FULL, format, Options(redact=True))
    assert "proxy server" not in lines
    assert '"excerpt": null' in lines


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_statistics_leaves_the_violations_out(format: str) -> None:
    text = render(FULL, format, Options(statistics=True))
    assert "high-risk-sample" not in text
    assert '"SQSD101": 2' in text


def test_an_unknown_format_is_a_usage_error() -> None:
    import io

    with pytest.raises(UsageError, match="xml"):
        write(FULL, "xml", io.StringIO())
