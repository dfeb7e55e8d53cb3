from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.escape import escape
from sqsd_lint.report import Options
from sqsd_lint.report.formats.github import MOST, command
from sqsd_lint.types import Coverage, Report, Severity, Where
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, DIFF, FULL, HOSTILE, MARKUP, high_risk

pytestmark = pytest.mark.usefixtures("repository")

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
TRICKY = st.lists(
    st.sampled_from(["::", "error", " ", ",", "=", "%", "0A", "%0A", "\n", "\r", "##[", "]", "x"])
)
HOSTILE_TEXTS = ANY_TEXT | TRICKY.map("".join)


@dataclass
class Command:
    name: str
    properties: dict[str, str]
    data: str


def unescape(text: str, pairs: dict[str, str]) -> str:
    for token, char in pairs.items():
        text = text.replace(token, char)
    return text


def parse(line: str) -> Command | None:
    """A line as the runner reads it (actions/runner, ActionCommand.TryParseV2)."""
    line = line.lstrip()
    if not line.startswith("::"):
        return None
    end = line.find("::", 2)
    if end < 0:
        return None
    name, _, listed = line[2:end].partition(" ")
    data = {"%0D": "\r", "%0A": "\n", "%25": "%"}
    of_property = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}
    properties = {}
    for each in filter(None, listed.strip().split(",")):
        key, _, value = each.partition("=")
        properties[key] = unescape(value, of_property)
    return Command(name, properties, unescape(line[end + 2 :], data))


def commands(text: str) -> list[Command]:
    # Whatever a terminal, a log or a program might take for the end of a line.
    lines = re.split("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text)
    return [found for line in lines if (found := parse(line))]


@pytest.mark.parametrize(
    ("name", "report"), [("full", FULL), ("diff", DIFF), ("clear", CLEAR), ("hostile", HOSTILE)]
)
def test_golden(name: str, report: Report) -> None:
    assert_golden(f"{name}.github.txt", render(report, "github"))


def test_annotations_name_place_rule_and_message() -> None:
    found = commands(render(FULL, "github"))
    assert [each.name for each in found] == ["error"] * 6 + ["warning"] * 2
    assert found[2].properties == {
        "file": "data/train.jsonl",
        "line": "12",
        "title": "SQSD101 high-risk-sample",
    }
    assert found[2].data.startswith("SQSD 11.84 is at or above the error line 6.42 (p99.9). | How do I")


def test_a_gap_without_a_finding_is_an_error_of_its_own() -> None:
    report = replace(CLEAR, coverage=Coverage(rows=4, scored=3), exit_code=3)
    (gap,) = commands(render(report, "github"))
    assert (gap.name, gap.properties) == ("error", {"title": "sqsd-lint"})
    assert gap.data == "scored 3 of 4 rows; not scored: 1 row that no selected rule reports"


@pytest.mark.parametrize("complete", [True, False])
def test_ten_of_a_level_at_most_the_worst_ones(complete: bool) -> None:
    errors = [high_risk("a.jsonl", line, line / 10, None, "") for line in range(1, 41)]
    warnings = [replace(v, severity=Severity.WARNING) for v in errors[:11]]
    coverage = CLEAR.coverage if complete else Coverage(rows=9, scored=8)
    text = render(replace(CLEAR, violations=(*errors, *warnings), coverage=coverage), "github")
    found = commands(text)
    assert [each.name for each in found] == ["error"] * MOST + ["warning"] * MOST
    lines = [int(each.properties["line"]) for each in found if "line" in each.properties]
    room = MOST if complete else MOST - 1
    assert lines == [*range(40, 40 - room, -1), *range(11, 1, -1)]
    more = f"{40 - room} more errors and 1 more warning: GitHub shows 10 annotations of a level.\n"
    assert text.count(more) == 1


@given(name=HOSTILE_TEXTS, message=HOSTILE_TEXTS, text=HOSTILE_TEXTS)
def test_foreign_text_never_starts_a_command(name: str, message: str, text: str) -> None:
    violation = replace(
        high_risk("a.jsonl", 3, 7.0, None, text),
        name=name,
        rule=text,
        message=message,
        where=Where(f"d/{name}", 3, 2),
        fingerprint=text,
    )
    coverage = Coverage(rows=1, scored=1, notes=(message, text))
    for options in (Options(), Options(redact=True)):
        output = render(replace(CLEAR, violations=(violation,), coverage=coverage), "github", options)
        (found,) = commands(output)
        assert found.name == "error"
        assert list(found.properties) == ["file", "line", "title"]
        assert found.properties["line"] == "3"
        assert "##[" not in output


@given(HOSTILE_TEXTS, HOSTILE_TEXTS)
def test_values_come_back_as_they_are_shown(value: str, message: str) -> None:
    found = parse(command("error", {"file": value, "line": "1"}, message))
    assert found is not None
    assert found.properties == {"file": escape(value), "line": "1"}
    assert found.data == escape(message)


def test_standard_input_has_no_file_to_annotate() -> None:
    report = replace(CLEAR, violations=(high_risk("<stdin>", 3, 7.0, None, ""),))
    assert list(commands(render(report, "github"))[0].properties) == ["title"]


def test_redact_shows_the_fingerprint() -> None:
    text = render(FULL, "github", Options(redact=True))
    assert f"fingerprint {12:032x}" in text
    assert "proxy server" not in text


def test_markup_stays_in_one_annotation_each() -> None:
    assert len(commands(render(MARKUP, "github"))) == len(MARKUP.violations) + 1
