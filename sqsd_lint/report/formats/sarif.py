"""SARIF 2.1.0 (OASIS standard), for code hosts and viewers.

Written within what GitHub takes: 25,000 results of a run at most, of which it shows 5,000, and 10 MB of
gzip. Results therefore stand worst first, and a notification tells what did not fit.

`partialFingerprints` carries each finding's identity (`report.identity`) under two names: a name of our
own, and `primaryLocationLineHash`, the only one that GitHub looks at. Without it `upload-sarif` would hash
the first hundred characters of the line, which rows that begin with one system prompt share. With it,
`upload-sarif` remarks in its log that it would have computed another value, and keeps ours.

The rules as SARIF describes them: `reportingDescriptor` objects with their pages as help.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import IO, Any

from sqsd_lint._version import __version__
from sqsd_lint.common import numbers
from sqsd_lint.common.escape import escape
from sqsd_lint.errors import ExitCode
from sqsd_lint.report import Options, fields
from sqsd_lint.report.finding_ids import identities
from sqsd_lint.report.paths import Root, find_root
from sqsd_lint.report.ranking import worst_first
from sqsd_lint.report.sentences import (
    coverage_line,
    coverage_notes,
    not_scored_line,
    row_text,
    sentence,
)
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import Category, Rule, Scope
from sqsd_lint.types import Report, Severity, Violation

# CVSS-like, as text; GitHub calls 7.0 to 8.9 high and 4.0 to 6.9 medium.
_SECURITY_SEVERITY = {Severity.ERROR: "8.0", Severity.WARNING: "5.0"}
# GitHub cuts a description there.
_DESCRIPTION = 1024
_WHAT = re.compile(r"^## What it does\n+(.+?)(?:\n\n|\Z)", re.M | re.S)
_SOURCE = re.compile(r"^## Source\n.*?\]\((https://[^)\s]+)\)", re.M | re.S)
PAPER = "https://arxiv.org/abs/2605.04572"


def descriptors(violations: Iterable[Violation]) -> list[dict[str, Any]]:
    """Return every rule there is, in order of codes, so that runs differ in results only.

    A finding of a rule that the catalogue does not have gets a descriptor made from the finding.
    """
    known = [_descriptor(rule) for rule in RULES.values()]
    others = {v.rule: _unknown(v) for v in violations if v.rule not in RULES}
    return known + list(others.values())


def rule_id(violation: Violation) -> str:
    return escape(violation.rule)


def _descriptor(rule: Rule) -> dict[str, Any]:
    page = rule.page()
    what, source = _WHAT.search(page), _SOURCE.search(page)
    full = " ".join(what[1].split()) if what else f"{rule.summary}."
    found = {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": f"{rule.summary}."},
        "fullDescription": {"text": full[:_DESCRIPTION]},
        "help": {"text": f"{rule.summary}. {rule.hint}", "markdown": page},
        "defaultConfiguration": {"level": rule.severity.value},
        "properties": _properties(rule),
    }
    return {**found, "helpUri": source[1]} if source else found


def _properties(rule: Rule) -> dict[str, Any]:
    tags = [rule.category.value, "training-data"]
    if rule.category is Category.SECURITY:
        return {
            "tags": tags,
            "precision": "medium",
            "security-severity": _SECURITY_SEVERITY[rule.severity],
        }
    return {
        "tags": tags,
        "precision": "very-high",
        "problem.severity": rule.severity.value,
    }


def _unknown(violation: Violation) -> dict[str, Any]:
    text = {"text": f"{escape(violation.name)}."}
    return {
        "id": rule_id(violation),
        "name": escape(violation.name),
        "shortDescription": text,
        "fullDescription": text,
        "help": text,
        "defaultConfiguration": {"level": violation.severity.value},
    }


SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
VERSION = "2.1.0"
MOST_RESULTS = 25_000
# 10 MB, less what the rest of the file takes and what other compressors do worse.
MOST_GZIPPED = 9_500_000
_MOST_FILES = 100  # notifications about unreadable files; each is a result, too
_BASE = "%SRCROOT%"
_FINGERPRINT = "sqsdLintRow/v1"
_BLOCK = 256
_CELLS = 240
_SCORE = ("sqsd", "danger", "safety", "percentile", "tokens")
_PROPERTIES = (*_SCORE, "fingerprint", "index", "excerpt", "consensus")
_EXIT = {
    ExitCode.OK: "no violations",
    ExitCode.VIOLATIONS: "violations",
    ExitCode.USAGE: "wrong usage or configuration",
    ExitCode.CANNOT_SCORE: "something could not be scored",
}
# In a SARIF message `[text](1)` is a link and `{0}` a placeholder.
_LINK = re.compile(r"\](?=\()")
_PLACEHOLDER = re.compile(r"\{(?=\d)")


def write(report: Report, stream: IO[str], options: Options) -> None:
    """Write the log, one result per line."""
    root = find_root()
    rules = descriptors(report.violations)
    lines = _fitting(_results(report, rules, root, options))
    left = len(report.violations) - len(lines)
    run = {
        "tool": {
            "driver": {
                "name": "sqsd-lint",
                "fullName": f"sqsd-lint {__version__}",
                "semanticVersion": __version__,
                "informationUri": PAPER,
                "rules": rules,
            }
        },
        "originalUriBaseIds": {_BASE: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report, root, left)],
        "properties": _shown(
            {
                "head": fields.head(report.head),
                "summary": fields.summary(report),
                "coverage": fields.coverage(report.coverage),
            }
        ),
    }
    # The results come last and are written as they are: as one JSON text they would be built twice.
    stream.write(f'{{"$schema": "{SCHEMA}", "version": "{VERSION}", "runs": [\n')
    stream.write(fields.dump(run)[:-1] + ', "results": [\n')
    stream.write(",\n".join(lines) + "\n]}]}\n")


def _results(report: Report, rules: Sequence[dict[str, Any]], root: Root, options: Options) -> list[str]:
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    ranked = worst_first(report.violations)
    paths = {file: root.path(file) for file in {v.where.file for v in ranked}}
    uris = {file: root.uri(file) for file in paths}
    # Ordinals are given before anything is cut, so that a cut changes nobody's identity.
    named = list(zip(ranked, identities(ranked, paths), strict=True))[:MOST_RESULTS]
    return [
        fields.dump(_result(v, identity, places[rule_id(v)], uris[v.where.file], options))
        for v, identity in named
    ]


def _result(violation: Violation, identity: str, place: int, uri: str, options: Options) -> dict[str, Any]:
    shown = fields.violation(violation, options)
    shown["excerpt"] = "" if options.redact else row_text(violation, options, _CELLS)
    result = {
        "ruleId": rule_id(violation),
        "ruleIndex": place,
        "level": violation.severity.value,
        "message": {"text": _message(violation)},
        "locations": [{"physicalLocation": _location(violation, uri)}],
        "partialFingerprints": {_FINGERPRINT: identity, "primaryLocationLineHash": identity},
        "properties": _shown({key: shown[key] for key in _PROPERTIES if shown.get(key) not in (None, "")}),
    }
    if shown["percentile"] is not None:
        result["rank"] = min(max(shown["percentile"], 0.0), 100.0)
    return result


def _message(violation: Violation) -> str:
    text = " ".join(sentence(part) for part in (violation.message, violation.hint) if part)
    return _plain(text)


def _shown(value: Any) -> Any:
    """Return every text in a value escaped for display."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, dict):
        return {escape(key): _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value


def _plain(text: str) -> str:
    return _PLACEHOLDER.sub("{ ", _LINK.sub("] ", text))


def _location(violation: Violation, uri: str) -> dict[str, Any]:
    # A finding about a file stands at its first line: viewers and GitHub ask for one.
    return {"artifactLocation": _artifact(uri), "region": {"startLine": max(violation.where.line, 1)}}


def _artifact(uri: str) -> dict[str, str]:
    return {"uri": uri} if uri.startswith("file:") else {"uri": uri, "uriBaseId": _BASE}


def _fitting(lines: list[str]) -> list[str]:
    """As many lines, from the start, as fit into GitHub's limit once compressed."""
    if sum(len(line) for line in lines) <= MOST_GZIPPED:
        return lines
    packer, size = zlib.compressobj(), 0
    for start in range(0, len(lines), _BLOCK):
        block = ",\n".join(lines[start : start + _BLOCK])
        size += len(packer.compress(block.encode("ascii"))) + len(packer.flush(zlib.Z_SYNC_FLUSH))
        if size > MOST_GZIPPED:
            return lines[:start]
    return lines


def _invocation(report: Report, root: Root, left: int) -> dict[str, Any]:
    code = ExitCode(report.exit_code)
    return {
        "executionSuccessful": code in (ExitCode.OK, ExitCode.VIOLATIONS),
        "exitCode": int(code),
        "exitCodeDescription": _EXIT[code],
        "toolExecutionNotifications": _notifications(report, root, left),
        "toolConfigurationNotifications": [_notification("note", note) for note in report.head.notes],
    }


def _notifications(report: Report, root: Root, left: int) -> list[dict[str, Any]]:
    """Return what a reader of the results alone would miss."""
    found = []
    if not report.coverage.complete:
        found.append(_notification("error", f"{coverage_line(report)}; {not_scored_line(report)}"))
    of_files = RULES.of_scope(Scope.FILE, unscored=True)
    unreadable = (violation for violation in report.violations if violation.rule in of_files)
    for violation in islice(unreadable, _MOST_FILES):
        place = {"physicalLocation": {"artifactLocation": _artifact(root.uri(violation.where.file))}}
        level = violation.severity.value
        found.append(_notification(level, violation.message) | {"locations": [place]})
    if left:
        cut = f"{numbers.count(left, 'finding')} of {len(report.violations):,} left out, the least risky ones"
        found.append(_notification("warning", f"{cut}: code hosts refuse a larger file"))
    return found + [_notification("note", note) for note in coverage_notes(report)]


def _notification(level: str, text: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": _plain(sentence(text))}}
