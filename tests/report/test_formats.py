"""What holds for every format."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.common.escape import _UNSAFE
from sqsd_lint.errors import UsageError
from sqsd_lint.report import FORMATS, Options, write
from sqsd_lint.types import Report, Severity
from tests.report.golden import render
from tests.report.reports import CLEAR, DIFF, FULL, HOSTILE, MARKUP, high_risk

pytestmark = pytest.mark.usefixtures("repository")

# The others need jinja2.
LIGHT = tuple(format for format in FORMATS if format != "html")


def test_an_unknown_format_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="xml"):
        write(FULL, "xml", io.StringIO())
    assert len(FORMATS) == len(set(FORMATS)) == 10


@pytest.mark.parametrize("report", [FULL, DIFF, CLEAR, HOSTILE, MARKUP])
@pytest.mark.parametrize("format", FORMATS)
def test_a_report_is_written_the_same_twice_and_ends_with_its_line(format: str, report: Report) -> None:
    text = render(report, format)
    assert text == render(report, format)
    assert text.endswith("\n")
    text.encode("utf-8")


@pytest.mark.parametrize("format", FORMATS)
def test_redact_shows_no_text_of_a_row(format: str) -> None:
    report = replace(
        FULL,
        violations=tuple(replace(v, excerpt="very secret " * 9) for v in FULL.violations),
        rows=(),
    )
    assert "secret" not in render(report, format, Options(redact=True, verbose=True))
    if format != "sarif":
        assert "secret" in render(report, format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("report", [HOSTILE, MARKUP])
def test_hostile_text_never_comes_out_raw(format: str, report: Report) -> None:
    text = render(report, format)
    for line in text.split("\n"):
        assert not _UNSAFE.search(line)
        assert "##[" not in line
        assert "##vso[" not in line
        if format != "github":
            assert not line.lstrip().startswith("::")
    assert len(text) < 200_000  # a row of a megabyte is cut


@pytest.mark.parametrize("format", ["sarif", "github", "gitlab", "junit"])
def test_programs_get_every_finding_whatever_people_want_to_see(format: str) -> None:
    whole = render(FULL, format)
    assert render(FULL, format, Options(quiet=True, verbose=True, statistics=True, width=40)) == whole


@pytest.mark.parametrize(
    "format", ["text", "concise", "json", "jsonl", "sarif", "junit", "github", "markdown"]
)
def test_the_coverage_is_told(format: str) -> None:
    text = render(DIFF, format)
    assert "scored 12 of 12 rows" in text or '"scored": 12' in text
    assert "1,988 unchanged rows not judged" in text or '"unchanged": 1988' in text
    assert "sqsdlintignore" in text


@pytest.mark.parametrize("format", LIGHT)
def test_a_format_loads_nothing_that_it_does_not_need(format: str, tmp_path: Path) -> None:
    heavy = ["torch", "numpy", "pyarrow", "jsonschema", "jinja2", "transformers"]
    heavy += [] if format == "text" else ["rich.console"]
    code = (
        "import io, sys\n"
        "from sqsd_lint.report import write\n"
        "from sqsd_lint.types import Coverage, Head, Report\n"
        "head = Head('m', 'b', 'd', 'cosine', 'shared', 'float32', 'cpu', None, None)\n"
        f"write(Report(head, (), Coverage(0, 0), 0), {format!r}, io.StringIO())\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_why_a_high_score_is_no_error(format: str) -> None:
    found = high_risk("data/train.jsonl", 12, 7.2, 99.95, "a row")
    warned = replace(found, severity=Severity.WARNING, message=f"{found.message}; a part alone is no error")
    assert "a part alone is no error" in render(replace(FULL, violations=(warned,)), format)
