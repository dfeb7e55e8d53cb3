from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.escape import _UNSAFE
from sqsd_lint.report import Options
from sqsd_lint.report.formats import sarif
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Coverage, Report, Severity
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, DIFF, FULL, HOSTILE, MARKUP, high_risk

pytestmark = pytest.mark.usefixtures("repository")

SCHEMA = Path(__file__).parent / "schemas" / "sarif-2.1.0.json"
REPORTS = pytest.mark.parametrize("report", [FULL, DIFF, CLEAR, HOSTILE, MARKUP])


def load(report: Report, options: Options | None = None) -> dict[str, Any]:
    """The only run of the log."""
    document = json.loads(render(report, "sarif", options))
    (run,) = document["runs"]
    assert isinstance(run, dict)
    return run


def notifications(run: dict[str, Any]) -> list[tuple[str, str]]:
    found = run["invocations"][0]["toolExecutionNotifications"]
    return [(each["level"], each["message"]["text"]) for each in found]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def many(count: int) -> Report:
    """`count` findings whose scores rise with the line, each with a text that does not compress."""
    rng = random.Random(1)
    found = (
        high_risk("a.jsonl", line, 7 + line / 1e3, None, f"{rng.getrandbits(800):x}")
        for line in range(1, count + 1)
    )
    return replace(CLEAR, violations=tuple(found), exit_code=1)


@pytest.mark.parametrize(
    ("name", "report"), [("full", FULL), ("diff", DIFF), ("clear", CLEAR), ("hostile", HOSTILE)]
)
def test_golden(name: str, report: Report) -> None:
    """The rules are left out: they are the catalogue and its pages, and change with those."""
    document = json.loads(render(report, "sarif"))
    driver = document["runs"][0]["tool"]["driver"]
    driver["rules"] = []
    driver["semanticVersion"] = driver["fullName"] = ""
    for result in document["runs"][0]["results"]:
        del result["ruleIndex"]
    assert_golden(f"{name}.sarif", json.dumps(document, indent=2) + "\n")


@REPORTS
@pytest.mark.parametrize("options", [Options(), Options(redact=True)])
def test_the_log_keeps_the_schema(report: Report, options: Options) -> None:
    document = json.loads(render(report, "sarif", options))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.slow
@REPORTS
@pytest.mark.parametrize("rules", ["Sarif", "Ghas"])
def test_sarif_multitool_has_no_objection(report: Report, rules: str, tmp_path: Path) -> None:
    tool = shutil.which("sarif-multitool")
    if tool is None:
        pytest.skip("sarif-multitool is not installed (npm install -g @microsoft/sarif-multitool)")
    path, out = tmp_path / "report.sarif", tmp_path / "validation.sarif"
    path.write_text(render(report, "sarif"), encoding="utf-8")
    command = [tool, "validate", str(path), "--output", str(out), "--rule-kind", rules]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = json.loads(out.read_text(encoding="utf-8-sig"))["runs"]
    assert run["invocations"][0]["executionSuccessful"]
    assert [found for found in run["results"] if found.get("level", "warning") in ("error", "warning")] == []


@REPORTS
def test_what_github_asks_for_is_there(report: Report) -> None:
    run = load(report)
    rules = run["tool"]["driver"]["rules"]
    for rule in rules:
        assert 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert 0 < len(rule["shortDescription"]["text"]) <= 1024
        assert len(rule["name"]) <= 255
        assert rule["help"]["text"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
        assert result["partialFingerprints"]["primaryLocationLineHash"]
    assert len(run["results"]) == len(report.violations)


def test_every_rule_is_described_in_every_run() -> None:
    rules = load(CLEAR)["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    for rule in rules:
        known = RULES[rule["id"]]
        assert rule["help"]["markdown"] == known.page()
        assert rule["defaultConfiguration"] == {"level": known.severity.value}
        assert not _UNSAFE.search(rule["fullDescription"]["text"])
        risk = rule["id"].startswith(("SQSD1", "SQSD2"))
        assert ("security" in rule["properties"]["tags"]) == risk
        assert ("security-severity" in rule["properties"]) == risk
    error = next(rule for rule in rules if rule["id"] == "SQSD101")
    assert 7.0 <= float(error["properties"]["security-severity"]) < 9.0
    assert error["helpUri"].startswith("https://arxiv.org/")


def test_a_rule_that_the_catalogue_lacks_is_described_once() -> None:
    rules = load(HOSTILE)["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [*RULES, "SQSD303\\x1b"]


def test_results_hold_level_place_score_and_percentile() -> None:
    result = next(each for each in load(FULL)["results"] if each["ruleId"] == "SQSD101")
    assert result["level"] == "error"
    assert result["rank"] == result["properties"]["percentile"] == 99.987
    assert result["properties"]["sqsd"] == 11.84
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "data/train.jsonl", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 12},
    }


def test_results_stand_worst_first() -> None:
    levels = [each["level"] for each in load(FULL)["results"]]
    assert levels == sorted(levels)
    scores = [each["properties"]["sqsd"] for each in load(many(20))["results"]]
    assert scores == sorted(scores, reverse=True)


def test_fingerprints_survive_reordering() -> None:
    def prints(report: Report) -> list[str]:
        return sorted(
            each["partialFingerprints"]["primaryLocationLineHash"] for each in load(report)["results"]
        )

    rows = DIFF.violations
    moved = [
        replace(v, where=replace(v.where, line=v.where.line and 5000 - v.where.line)) for v in reversed(rows)
    ]
    assert prints(DIFF) == prints(replace(DIFF, violations=tuple(moved)))
    assert len(set(prints(DIFF))) == len(rows)


def test_the_invocation_tells_what_the_results_do_not() -> None:
    run = load(FULL)
    (invocation,) = run["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 3)
    assert notifications(run) == [
        (
            "error",
            "scored 1998 of 2000 rows; not scored: 1 unscorable-row (SQSD301), 1 truncated-response "
            "(SQSD302), 1 malformed-row (SQSD303) and 1 unreadable file (SQSD304).",
        ),
        ("error", "a Git LFS pointer, not the data itself."),
    ]
    assert load(DIFF)["invocations"][0]["executionSuccessful"] is True
    assert notifications(load(DIFF)) == [("note", f"{DIFF.coverage.notes[0]}.")]
    assert run["invocations"][0]["toolConfigurationNotifications"][0]["level"] == "note"


def test_an_allowed_unreadable_file_is_a_warning_in_both_places() -> None:
    file = next(v for v in FULL.violations if v.rule == "SQSD304")
    report = replace(CLEAR, violations=(replace(file, severity=Severity.WARNING),))
    assert notifications(load(report)) == [("warning", "a Git LFS pointer, not the data itself.")]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a b/ü#?.jsonl", {"uri": "a%20b/%C3%BC%23%3F.jsonl", "uriBaseId": "%SRCROOT%"}),
        ("http://e.vil/x", {"uri": "http%3A/e.vil/x", "uriBaseId": "%SRCROOT%"}),
        ("/elsewhere/x.csv", {"uri": "file:///elsewhere/x.csv"}),
    ],
)
def test_uris(file: str, expected: dict[str, str]) -> None:
    report = replace(CLEAR, violations=(high_risk(file, 1, 7.0, None, ""),))
    (result,) = load(report)["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == expected


def test_the_number_of_results_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MOST_RESULTS", 5)
    run = load(many(12))
    assert [each["properties"]["index"] for each in run["results"]] == [11, 10, 9, 8, 7]
    left = "7 findings of 12 left out, the least risky ones: code hosts refuse a larger file."
    assert notifications(run) == [("warning", left)]


def test_the_size_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MOST_GZIPPED", 150_000)
    text = render(many(3000), "sarif")
    run = json.loads(text)["runs"][0]
    rules = len(gzip.compress(render(CLEAR, "sarif").encode()))
    assert 100_000 < len(gzip.compress(text.encode())) <= 150_000 + rules
    assert 0 < len(run["results"]) < 3000
    assert f"{3000 - len(run['results']):,} findings of 3,000 left out" in notifications(run)[0][1]


@pytest.mark.slow
def test_githubs_limits_hold_for_a_very_bad_file() -> None:
    rng = random.Random(2)
    noise = "".join(chr(rng.randrange(0x4E00, 0x9FFF)) for _ in range(5000))
    found = (
        high_risk("a.jsonl", line, line / 1e3, 99.0, noise[at : at + 240])
        for line in range(1, 26_001)
        for at in (rng.randrange(4700),)
    )
    text = render(replace(CLEAR, violations=tuple(found), exit_code=1), "sarif")
    results = json.loads(text)["runs"][0]["results"]
    assert 5000 <= len(results) <= 25_000
    assert results[0]["properties"]["index"] == 25_999
    assert len(gzip.compress(text.encode(), 6)) <= 10_000_000


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_foreign_text_is_no_link_no_placeholder_and_no_control_character(text: str) -> None:
    found = replace(
        high_risk("a.jsonl", 1, 7.0, None, text),
        message=f"{text}[x](1) {{0}} {text}",
        hint=text,
        name=text,
        rule="X",
        fingerprint=text,
    )
    coverage = Coverage(rows=1, scored=1, notes=(f"{text}[x](1){{0}}",))
    document = json.loads(render(replace(CLEAR, violations=(found,), coverage=coverage), "sarif"))
    (run,) = document["runs"]
    messages = [run["results"][0]["message"]["text"], *(said for _, said in notifications(run))]
    for message in messages:
        assert not re.search(r"\]\(|\{\d", message)
    del run["tool"]["driver"]["rules"][: len(RULES)]  # our own pages, with line ends
    assert not [said for said in texts(document) if _UNSAFE.search(said)]


def test_redact_leaves_the_text_out() -> None:
    text = render(FULL, "sarif", Options(redact=True))
    assert "proxy server" not in text
    assert f"{12:032x}" in text
    assert '"excerpt"' not in text
