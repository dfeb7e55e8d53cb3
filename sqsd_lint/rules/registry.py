"""Every rule there is: code, name, default severity, summary; the pages are in `rules/`."""

from __future__ import annotations

from dataclasses import dataclass

from sqsd_lint.errors import UsageError
from sqsd_lint.resources import rules_dir
from sqsd_lint.types import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        severity: its severity in the default pack.
        summary: what it finds, in one sentence without a full stop.
        hint: what to do about a finding that brings no hint of its own.
    """

    code: str
    name: str
    severity: Severity
    summary: str
    hint: str

    def page(self) -> str:
        """The rule's documentation, in Markdown."""
        return (rules_dir() / f"{self.code}.md").read_text(encoding="utf-8")


_TABLE = (
    Rule(
        "SQSD101",
        "high-risk-sample",
        Severity.ERROR,
        "The row's score is at or above the error line",
        "Read the row; remove or rewrite it if its answer is unsafe.",
    ),
    Rule(
        "SQSD102",
        "elevated-risk-sample",
        Severity.WARNING,
        "The row's score is at or above the warning line",
        "Read the row; remove or rewrite it if its answer is unsafe.",
    ),
    Rule(
        "SQSD201",
        "file-drift-budget",
        Severity.ERROR,
        "The file's rows together move the weights further towards danger than its budget allows",
        "Remove the highest-scoring rows, or fine-tune with a lower learning rate or fewer epochs.",
    ),
    Rule(
        "SQSD202",
        "risk-share",
        Severity.ERROR,
        "More of the file's rows lie above the warning line than benign data explains",
        "Read the file's highest-scoring rows; remove or rewrite the unsafe ones.",
    ),
    Rule(
        "SQSD301",
        "unscorable-row",
        Severity.ERROR,
        "The row has no response tokens, or its update is zero or not finite",
        "Give the row a response, or remove it.",
    ),
    Rule(
        "SQSD302",
        "truncated-response",
        Severity.WARNING,
        "Only part of the row's response was scored",
        "Raise --max-length, or shorten the response.",
    ),
    Rule(
        "SQSD303",
        "malformed-row",
        Severity.ERROR,
        "The row is not JSON, or has no known schema",
        "Repair the row, or name its columns under [columns] in the configuration.",
    ),
    Rule(
        "SQSD304",
        "unreadable-file",
        Severity.ERROR,
        "The file cannot be read: an LFS pointer, a wrong encoding, an unknown format, over a limit",
        "Repair the file, or exclude it.",
    ),
    Rule(
        "SQSD401",
        "unused-suppression",
        Severity.WARNING,
        "A suppression silences nothing: it is wrong, not needed, or not in force",
        "Remove or correct the suppression.",
    ),
    Rule(
        "SQSD402",
        "stale-baseline",
        Severity.WARNING,
        "The baseline holds findings that its file no longer has",
        "Run `sqsd-lint baseline prune`.",
    ),
)

RULES: dict[str, Rule] = {rule.code: rule for rule in _TABLE}
LINE_RULES = ("SQSD101", "SQSD102")
# Who has accepted a row above the error line has accepted it above the warning line.
GRAVER = {"SQSD102": "SQSD101"}
UNSCORED_RULES = ("SQSD301", "SQSD303", "SQSD304")  # their rows have no score: the run is incomplete
ROW_RULES = ("SQSD101", "SQSD102", "SQSD302")  # about one row that has a score
FILE_RULES = ("SQSD201", "SQSD202")  # about all rows of a file together
ACCEPTABLE_RULES = (*ROW_RULES, *FILE_RULES)  # what a baseline or a suppression may answer; a gap, never


def find_rule(code: str) -> Rule:
    """The rule of that code or name.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    for rule in _TABLE:
        if code in (rule.code, rule.name):
            return rule
    raise unknown_code(code)


def unknown_code(code: str) -> UsageError:
    """The error for a code, name or prefix that no rule has."""
    import difflib

    found = difflib.get_close_matches(code.upper(), RULES, n=1)
    hint = f"Did you mean {found[0]}?" if found else f"Known rules: {', '.join(RULES)}."
    return UsageError(f"no rule is called {code!a}", hint=hint)
