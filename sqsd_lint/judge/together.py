"""Several bundles' judgements of the same rows into one: a single bundle's is its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqsd_lint.judge.findings import in_order, of_problem
from sqsd_lint.judge.heard import Heard, Voice
from sqsd_lint.judge.joint_files import judge_files_together
from sqsd_lint.judge.joint_rows import attributed, judge_row_together, line_rule, opinion_of, vote_on
from sqsd_lint.judge.judge import judge
from sqsd_lint.judge.looked import Looked
from sqsd_lint.judge.policy import Policy
from sqsd_lint.judge.scorable import why_unscorable
from sqsd_lint.judge.vote import Vote
from sqsd_lint.types import ConsensusRule, Problem, ScoredRow, Severity, Violation


def hear(voices: Sequence[Voice], rule: ConsensusRule = "majority", *, files: Sequence[str] = ()) -> Heard:
    """Findings of one bundle, or those that enough of several share.

    A finding of fewer is a warning that names them. A bundle that cannot score a row, or judge a file, has no
    vote on it: the others decide, and SQSD301 names the one that could not.

    Args:
        voices: one or more, on the same rows.
        files: the files in the order in which the report shows them; others follow by name.
    """
    if len(voices) > 1:
        return _hear_several(voices, rule, files)
    (only,) = voices
    rows, problems = only.rows, only.problems
    found = judge(rows, problems, only.policy, only.calibration, files=files)
    looked = Looked.of(rows, problems, found, only.policy)
    return Heard(rows, problems, found, looked, looked.notes(_scored(rows)))


def _hear_several(voices: Sequence[Voice], rule: ConsensusRule, files: Sequence[str]) -> Heard:
    policy = _common_policy(voices)
    rows: list[ScoredRow] = []
    problems: list[Problem] = []
    found: list[Violation] = []
    hidden = 0
    for items in zip(*(voice.items for voice in voices), strict=True):
        reasons = [_why(item) for item in items]
        scored = [item for item in items if isinstance(item, ScoredRow) and not why_unscorable(item.score)]
        heard = [voice for voice, reason in zip(voices, reasons, strict=True) if not reason]
        opinions = tuple(map(opinion_of, heard, scored))
        if len(scored) == len(voices):
            rows.append(replace(scored[0], opinions=opinions))
        else:
            problems.append(_problem(items, voices, reasons))
        if scored:
            vote = vote_on(opinions, heard, rule)
            found += judge_row_together(scored, opinions, heard, vote, policy, len(voices))
            hidden += (
                vote is not Vote.CLEAR and policy.severity(line_rule(vote), scored[0].where.file) is None
            )
    for problem in problems:
        severity = policy.severity(problem.code, problem.where.file)
        if severity is not None:
            found.append(of_problem(problem, severity))
    found += judge_files_together(voices, policy, rule)
    looked = Looked.of(rows, problems, found, policy)
    return Heard(rows, problems, in_order(found, files), looked, _notes(voices, hidden))


def _why(item: ScoredRow | Problem) -> str:
    """Why a bundle has no score for a row, "" if it has."""
    return (item.message or item.code) if isinstance(item, Problem) else why_unscorable(item.score)


def _problem(
    items: Sequence[ScoredRow | Problem], voices: Sequence[Voice], reasons: Sequence[str]
) -> Problem:
    """A row without a score by every bundle, and why."""
    refused = [item for item in items if isinstance(item, Problem)]
    unread = next((item for item in refused if item.code != "SQSD301"), None)
    if unread is not None:  # no bundle has seen it
        return unread
    said = {voice.name: reason for voice, reason in zip(voices, reasons, strict=True) if reason}
    first = items[0]
    hint = refused[0].hint if refused else ""
    message = attributed(said, len(voices))
    return Problem("SQSD301", first.where, message, hint, first.excerpt, first.fingerprint)


def _common_policy(voices: Sequence[Voice]) -> Policy:
    """The first bundle's, with every rule that one of the bundles can judge."""
    severities: dict[str, Severity] = {}
    for voice in voices:
        severities |= voice.policy.severities
    return replace(voices[0].policy, severities=severities)


def _notes(voices: Sequence[Voice], hidden: int) -> tuple[str, ...]:
    notes = []
    for voice in voices:
        rows = voice.rows
        notes += [
            f"{voice.name}: {note}" for note in Looked.of(rows, (), (), voice.policy).notes(_scored(rows))
        ]
    if hidden:
        rows_are = "row is" if hidden == 1 else "rows are"
        notes.append(f"{hidden:,} {rows_are} risky for too few bundles, and SQSD102, which tells so, is off")
    return tuple(notes)


def _scored(rows: Sequence[ScoredRow]) -> int:
    return sum(not why_unscorable(row.score) for row in rows)
