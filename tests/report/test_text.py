from __future__ import annotations

import io
import os
from dataclasses import replace

import pytest
from rich.cells import cell_len

from sqsd_lint.common.escape import _UNSAFE
from sqsd_lint.report import Options, write
from sqsd_lint.report.style.page import open_page, use_colour
from sqsd_lint.types import Coverage, Report
from tests.counting import lines_run
from tests.report.golden import assert_golden, render
from tests.report.reports import CLEAR, FULL, HOSTILE, with_rows


class Terminal(io.StringIO):
    """Standard output as a terminal of a given encoding would be."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "report", "options"),
    [
        ("full", FULL, {}),
        ("verbose", FULL, {"verbose": True}),
        ("redact", FULL, {"redact": True}),
        ("quiet", FULL, {"quiet": True}),
        ("statistics", with_rows(FULL), {"statistics": True}),
        ("clear", CLEAR, {}),
        ("hostile", HOSTILE, {"verbose": True}),
    ],
)
def test_golden(name: str, report: Report, options: dict[str, bool], width: int) -> None:
    text = render(report, options=Options(width=width, **options))
    assert_golden(f"{name}-{width}.txt", text)
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_what_explains_numbers_stands_below_the_findings_and_all_else_above() -> None:
    known, told = "a model elsewhere scored the rows", "p99.9: 1 of 1,000 benign rows"
    head = replace(FULL.head, notes=(told, known), details=(told,))
    shown = render(replace(FULL, head=head))
    above, findings = shown.index(f"note: {known}"), shown.index("data/train.jsonl\n")
    below, verdict = shown.index(f"note: {told}"), shown.index("Found 5 errors")
    assert above < findings < below < verdict
    assert shown.count("note: ") == 2
    assert "note: " not in render(replace(FULL, head=head), options=Options(quiet=True))


def test_thresholds_have_the_interval_of_their_rate_where_there_is_room() -> None:
    error, warning = FULL.head.error_threshold, FULL.head.warning_threshold
    assert error is not None
    assert warning is not None
    head = replace(
        FULL.head,
        error_threshold=replace(error, benign_interval=(0.00018, 0.0023)),
        warning_threshold=replace(warning, benign_interval=(0.0044, 0.0103)),
    )
    told = ("0.1% of benign (0.02 to 0.2%)", "1% of benign (0.4 to 1%)")
    for width, room in ((None, True), (120, True), (90, False)):
        shown = render(replace(FULL, head=head), options=Options(width=width))
        assert [text in shown for text in told] == [room] * 2  # both lines or none
        assert "87% of known-harmful, 0.1% of benign" in shown


def test_a_pipe_gets_no_colour_and_no_folded_lines() -> None:
    text = render(FULL)
    assert_golden("pipe.txt", text)
    assert "\x1b" not in text
    assert FULL.violations[-1].message in text


@pytest.mark.parametrize("format", ["text", "json", "jsonl"])
@pytest.mark.parametrize("verbose", [False, True])
def test_hostile_text_never_comes_out_raw(format: str, verbose: bool) -> None:
    text = render(HOSTILE, format, Options(verbose=verbose))
    for line in text.split("\n"):
        assert not _UNSAFE.search(line)
        assert not line.lstrip().startswith("::")
        assert "##[" not in line
        assert "##vso[" not in line
    assert len(text) < 100_000  # a row of a megabyte is cut


def test_markup_of_a_row_is_text() -> None:
    assert "[red]markup[/red] :smile:" in render(HOSTILE)


def test_redact_shows_no_text_of_a_row() -> None:
    text = render(FULL, options=Options(redact=True))
    for violation in FULL.violations:
        if violation.excerpt:
            assert violation.excerpt[:20] not in text
        if violation.fingerprint:
            assert violation.fingerprint in text


def test_quiet_is_silent_when_all_is_well() -> None:
    assert render(CLEAR, options=Options(quiet=True)) == ""


def test_quiet_keeps_the_count_of_what_was_passed_by() -> None:
    report = replace(CLEAR, coverage=replace(CLEAR.coverage, not_read=2, notes=("2 files: a.txt, b.bak",)))
    for format in ("text", "concise"):
        told = render(report, format, Options(quiet=True))
        assert told.replace("\n      ", " ").startswith("note: 2 paths that may hold rows were not read (")
        assert "a.txt" not in told


def test_quiet_tells_of_missing_scores() -> None:
    assert "scored 1998 of 2000 rows" in render(FULL, options=Options(quiet=True))


def test_the_coverage_line_always_stands_for_itself() -> None:
    for report, line in ((FULL, "scored 1998 of 2000 rows"), (CLEAR, "scored 2000 of 2000 rows")):
        assert any(each.startswith(line) for each in render(report).splitlines())


def test_clear_is_only_said_when_everything_was_scored() -> None:
    assert "All clear" in render(CLEAR)
    partly = replace(CLEAR, coverage=Coverage(rows=10, scored=9, files=1), exit_code=3)
    text = render(partly)
    assert "All clear" not in text
    assert "not scored: 1 row that no selected rule reports" in text
    assert "no rows found" in render(replace(CLEAR, coverage=Coverage(rows=0, scored=0)))


def test_violations_stand_in_order_of_lines() -> None:
    shuffled = replace(FULL, violations=tuple(reversed(FULL.violations)))
    lines = [line.split()[0] for line in render(shuffled).splitlines() if "SQSD1" in line and "p99" in line]
    assert lines == ["12", "48", "1207"]


def test_a_terminal_gets_colour() -> None:
    stream = Terminal()
    write(FULL, "text", stream)
    assert "\x1b[" in stream.getvalue()


@pytest.mark.parametrize(
    ("environ", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_when_there_is_colour(environ: dict[str, str], terminal: bool, expected: bool) -> None:
    assert use_colour(Terminal() if terminal else io.StringIO(), environ) is expected


def test_no_color_prints_no_escape_sequence_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    write(FULL, "text", stream)
    assert "\x1b" not in stream.getvalue()


def test_colour_for_a_pipe_of_a_given_width_is_laid_out_as_on_a_terminal() -> None:
    page = open_page(io.StringIO(), environ={"FORCE_COLOR": "1", "COLUMNS": "100", "TERM": "xterm"})
    assert (page.wraps, page.width) == (True, 100)
    assert open_page(io.StringIO(), environ={"COLUMNS": "100"}).wraps is False


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_is_not_utf8_gets_ascii_glyphs(encoding: str) -> None:
    buffer = io.BytesIO()
    with io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", newline="\n") as stream:
        write(with_rows(FULL), "text", stream, Options(width=80))
        write(with_rows(FULL), "text", stream, Options(width=80, statistics=True))
        stream.flush()
        text = buffer.getvalue().decode(encoding)
    assert "=====" in text
    assert not set(text) & set("━╸─✗│≥▁█·→")


def test_a_reader_that_leaves_is_told_to_the_caller() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return 1

    with pytest.raises(BrokenPipeError):
        write(FULL, "text", Closed())


def test_long_reports_take_time_in_proportion() -> None:
    def work(copies: int) -> int:
        return lines_run(lambda: render(replace(FULL, violations=FULL.violations * copies)))

    work(1)  # fills caches
    assert work(60) < 2.2 * work(30)


def test_goldens_hold_no_harm_for_a_terminal() -> None:
    from tests.report.golden import FOLDER

    names = os.listdir(FOLDER)
    assert len([name for name in names if name.endswith(".txt")]) >= 15
    for name in names:
        for line in (FOLDER / name).read_text(encoding="utf-8").split("\n"):
            assert not _UNSAFE.search(line), name
