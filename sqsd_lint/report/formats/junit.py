"""JUnit XML, which nearly every CI server shows as a table of tests.

A file of data is a test suite. In it

* an error that a rule found is a test that failed,
* a row or file without a score is a test that could not run (`error`),
* a warning is a skipped test: servers list skipped tests with their message, but they fail nothing,
* a file without any of these is one test that passed.

A last suite, `coverage`, has one test, which could not run where not every row was scored. The elements are
those of the schema that Jenkins' xUnit plugin publishes (junit-10.xsd).
"""

from __future__ import annotations

import re
from typing import IO
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from sqsd_lint.common.escape import escape
from sqsd_lint.report import Options
from sqsd_lint.report.ranking import by_place
from sqsd_lint.report.sentences import (
    answered,
    coverage_line,
    coverage_notes,
    coverage_parts,
    not_scored_line,
    row_text,
    verdict,
)
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Report, Severity, Violation

_CELLS = 240
# XML 1.0 has no way to write these, escaped or not; `escape` shows all but the last two kinds.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Writes `<testsuites>`, in ASCII with character references."""
    names = report.files or dict.fromkeys(row.where.file for row in report.rows)
    files: dict[str, list[Violation]] = {name: [] for name in names}
    for violation in by_place(report.violations):
        files.setdefault(violation.where.file, []).append(violation)
    suites = [_file_suite(file, found, options) for file, found in files.items()]
    suites.append(_coverage_suite(report))
    top = Element("testsuites", name="sqsd-lint", time=f"{report.seconds:.3f}")
    for counted in ("tests", "failures", "errors"):
        top.set(counted, str(sum(int(suite.get(counted, "0")) for suite in suites)))
    top.extend(suites)
    indent(top)
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    stream.write(tostring(top, encoding="us-ascii").decode("ascii") + "\n")


def _file_suite(file: str, found: list[Violation], options: Options) -> Element:
    cases = [_finding_case(violation, options) for violation in found]
    return _suite(file, cases or [_case("no findings", file)])


def _finding_case(violation: Violation, options: Options) -> Element:
    where = violation.where
    place = str(where)
    case = _case(f"{place} {violation.rule} {violation.name}", where.file)
    outcome = SubElement(case, _outcome(violation), type=_clean(violation.rule))
    outcome.set("message", _clean(violation.message))
    body = [violation.hint and escape(violation.hint), row_text(violation, options, _CELLS)]
    outcome.text = _legal("\n".join(filter(None, [escape(place), *body])))
    return case


def _outcome(violation: Violation) -> str:
    if violation.severity is Severity.WARNING:
        return "skipped"
    return "error" if violation.rule in RULES.unscored else "failure"


def _coverage_suite(report: Report) -> Element:
    case = _case("every row was scored", "coverage")
    line = ", ".join([coverage_line(report), *coverage_parts(report)])
    said = [verdict(report), answered(report), line, *coverage_notes(report)]
    if not report.coverage.complete:
        error = SubElement(case, "error", type="coverage", message=_clean(line))
        error.text = _legal(not_scored_line(report))
    output = SubElement(case, "system-out")
    output.text = _legal("\n".join(filter(None, said)))
    return _suite("coverage", [case])


def _suite(name: str, cases: list[Element]) -> Element:
    suite = Element("testsuite", name=_clean(name), tests=str(len(cases)))
    for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(counted, str(sum(case.find(tag) is not None for case in cases)))
    suite.extend(cases)
    return suite


def _case(name: str, file: str) -> Element:
    return Element("testcase", name=_clean(name), classname=_clean(file))


def _clean(text: str) -> str:
    return _legal(escape(text))


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
