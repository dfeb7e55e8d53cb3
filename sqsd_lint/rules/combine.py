"""Several bundles' judgements of the same rows into one: a single bundle's is its own.

What several bundles find in one row.

What several bundles find in a file as a whole: SQSD201 and SQSD202.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqsd_lint.rules.consensus import Consensus, Vote, count_votes, has_say, quorum
from sqsd_lint.rules.evaluation import Heard, Looked, Voice
from sqsd_lint.rules.files import judge_file
from sqsd_lint.rules.findings import in_order, joint_fingerprint, of_problem, of_row, why_unscorable
from sqsd_lint.rules.judge import gravest_line, judge, percentile_of, rank_text, score_text, truncation
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.registry import FILE_RULES
from sqsd_lint.types import ConsensusRule, Opinion, Problem, ScoredRow, Severity, Violation


def judge_files_together(voices: Sequence[Voice], policy: Policy, rule: ConsensusRule) -> Iterable[Violation]:
    """A file's findings, as grave as the policy has them where enough bundles share them, else warnings.

    A bundle that cannot judge a file by a rule has no vote: one without the calibration that SQSD202 needs,
    one whose scores tell no drift.

    Args:
        policy: that all voices have but for their lines.
    """
    by_file: dict[str, list[_Judged]] = {}
    for voice in voices:
        for file, rows in _by_file(voice.rows).items():
            found = {each.rule: each for each in judge_file(file, rows, voice.policy, voice.calibration)}
            by_file.setdefault(file, []).append(_Judged(voice, rows, found))
    for file, judged in by_file.items():
        for code in FILE_RULES:
            voters = [each for each in judged if each.votes_on(code, file)]
            found = {each.voice.name: each.found[code] for each in voters if code in each.found}
            if found:
                carried = len(found) >= quorum(rule, len(voters))
                yield _file_finding(found, len(voices), policy.severity(code, file) if carried else None)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One bundle's judgement of a file; `found` is by rule."""

    voice: Voice
    rows: Sequence[ScoredRow]
    found: Mapping[str, Violation]

    def votes_on(self, code: str, file: str) -> bool:
        if self.voice.policy.severity(code, file) is None:
            return False
        return code != "SQSD201" or all(math.isfinite(row.score.drift) for row in self.rows)


def _file_finding(found: Mapping[str, Violation], bundles: int, severity: Severity | None) -> Violation:
    """One finding of those that bundles have; without a severity, too few have it."""
    said = "; ".join(f"{name}: {each.message}" for name, each in found.items())
    few = "only " if severity is None else ""
    return replace(
        next(iter(found.values())),
        severity=severity or Severity.WARNING,
        message=f"{few}{len(found)} of {bundles} bundles: {said}",
        fingerprint=joint_fingerprint(each.fingerprint for each in found.values()),
    )


def _by_file(rows: Iterable[ScoredRow]) -> dict[str, list[ScoredRow]]:
    """The rows that have a score, by their file."""
    files: dict[str, list[ScoredRow]] = {}
    for row in rows:
        if not why_unscorable(row.score):
            files.setdefault(row.where.file, []).append(row)
    return files


_VOTES = {None: Vote.CLEAR, Severity.WARNING: Vote.WARNING, Severity.ERROR: Vote.ERROR}


def opinion_of(voice: Voice, row: ScoredRow) -> Opinion:
    """What a bundle says of a row that it has scored."""
    crossed = gravest_line(row, voice.policy)
    drawn = voice.policy.error_line or voice.policy.warning_line
    return Opinion(
        voice.name,
        row.score,
        percentile_of(row, voice.calibration),
        crossed is not None if drawn else None,
        crossed.kind if crossed else None,
    )


def vote_on(opinions: Sequence[Opinion], voices: Sequence[Voice], rule: ConsensusRule) -> Vote:
    """What the bundles that have scored a row find together; `voices` are those that `opinions` are of."""
    return count_votes([_VOTES[o.line] for o in opinions], rule, [_lines(voice) for voice in voices])


def _lines(voice: Voice) -> list[Vote]:
    drawn = ((Vote.ERROR, voice.policy.error_line), (Vote.WARNING, voice.policy.warning_line))
    return [level for level, line in drawn if line is not None]


def judge_row_together(
    rows: Sequence[ScoredRow],
    opinions: tuple[Opinion, ...],
    voices: Sequence[Voice],
    vote: Vote,
    policy: Policy,
    bundles: int,
) -> list[Violation]:
    """The findings in a row, each with every opinion.

    Args:
        rows: the row as each bundle has scored it that could, one or more.
        opinions, voices: theirs.
        bundles: how many there are, those included that could not score it.
    """
    row = rows[0]
    seen = Consensus(row.where, row.fingerprint, row.excerpt, opinions)
    found = []
    severity = policy.severity(line_rule(vote), row.where.file)
    if vote is not Vote.CLEAR and severity is not None:
        # What too few find is no error, whatever SQSD102 weighs.
        weight = Severity.WARNING if vote is Vote.DISSENT else severity
        silent = sum(
            not has_say(_VOTES[opinion.line], _lines(voice), vote)
            for opinion, voice in zip(opinions, voices, strict=True)
        )
        message = _message(vote, seen, bundles, silent)
        found.append(_row_finding(line_rule(vote), weight, message, seen, row))
    severity = policy.severity("SQSD302", row.where.file)
    lost = {o.bundle: said for o, own in zip(opinions, rows, strict=True) if (said := truncation(own))}
    if lost and severity is not None:
        found.append(_row_finding("SQSD302", severity, attributed(lost, bundles), seen, row))
    return found


def line_rule(vote: Vote) -> str:
    """The rule that a vote is a finding of."""
    return "SQSD101" if vote is Vote.ERROR else "SQSD102"


def attributed(said: Mapping[str, str], bundles: int) -> str:
    """What bundles say, each with its name; what all of them say needs none."""
    distinct = set(said.values())
    if len(said) == bundles and len(distinct) == 1:
        return distinct.pop()
    return "; ".join(f"{name}: {text}" for name, text in said.items())


def _row_finding(code: str, severity: Severity, message: str, seen: Consensus, row: ScoredRow) -> Violation:
    single = of_row(code, severity, message, row, seen.mean_percentile)
    return replace(single, score=None, opinions=seen.opinions)


def _message(vote: Vote, seen: Consensus, bundles: int, silent: int) -> str:
    """A finding in words; so many bundles have no line to find it by."""
    if vote is Vote.DISSENT:
        few = len(seen.risky)
        text = f"only {few} of {bundles} bundles {'finds' if few == 1 else 'find'} it risky"
        text += f", {' and '.join(seen.risky)}"
    else:
        kind = "error" if vote is Vote.ERROR else "warning"
        above = sum(_VOTES[opinion.line] >= vote for opinion in seen.opinions)
        have = "has" if above == 1 else "have"
        who, line = (
            (f"{bundles - silent} bundles that have a {kind} line", "it")
            if silent
            else (f"{bundles} bundles", f"the {kind} line")
        )
        text = f"{above} of {who} {have} it at or above {line}"
    return f"{text}{_figures(seen)}: {', '.join(map(_opinion, seen.opinions))}"


def _figures(seen: Consensus) -> str:
    """` (mean p99.2, maximum p99.98, agreement 67%)`, as far as it is known."""
    parts = []
    if seen.mean_percentile is not None and seen.max_percentile is not None:
        parts += [f"mean {rank_text(seen.mean_percentile)}", f"maximum {rank_text(seen.max_percentile)}"]
    if seen.agreement is not None:
        parts.append(f"agreement {seen.agreement:.0%}")
    return f" ({', '.join(parts)})" if parts else ""


def _opinion(opinion: Opinion) -> str:
    """`qwen p99.98 (error)`; where there is no calibration, the score itself."""
    if opinion.percentile is None:
        place = f"SQSD {score_text(opinion.score.sqsd)}"
    else:
        place = rank_text(opinion.percentile)
    line = f" ({opinion.line.value})" if opinion.line else ""
    return f"{opinion.bundle} {place}{line}"


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
