"""The rules as SARIF describes them: `reportingDescriptor` objects with their pages as help."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqsd_lint.judge.catalogue import RULES, Rule
from sqsd_lint.report.safe import escape
from sqsd_lint.types import Severity, Violation

# Rules about danger itself, as against the upkeep of the data and of the gate.
_RISK = ("SQSD1", "SQSD2")
# CVSS-like, as text; GitHub calls 7.0 to 8.9 high and 4.0 to 6.9 medium.
_SECURITY_SEVERITY = {Severity.ERROR: "8.0", Severity.WARNING: "5.0"}
# GitHub cuts a description there.
_DESCRIPTION = 1024
_WHAT = re.compile(r"^## What it does\n+(.+?)(?:\n\n|\Z)", re.M | re.S)
_SOURCE = re.compile(r"^## Source\n.*?\]\((https://[^)\s]+)\)", re.M | re.S)
PAPER = "https://arxiv.org/abs/2605.04572"


def descriptors(violations: Iterable[Violation]) -> list[dict[str, Any]]:
    """Every rule there is, in order of codes, so that runs differ in results only.

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
    if rule.code.startswith(_RISK):
        return {
            "tags": ["security", "training-data"],
            "precision": "medium",
            "security-severity": _SECURITY_SEVERITY[rule.severity],
        }
    return {
        "tags": ["data-quality", "training-data"],
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
