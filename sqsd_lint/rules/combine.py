"""The findings of one bundle, or of several bundles combined: in every row, and in every file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqsd_lint.rules.consensus import Consensus, Vote, can_vote, count_votes, quorum
from sqsd_lint.rules.evaluation import KEEP_ALL, BundleScores, Evaluation, Findings, Keeping, RowsSeen
from sqsd_lint.rules.findings import (
    combined_fingerprint,
    in_order,
    of_row,
    rank_text,
    score_text,
    why_unscorable,
)
from sqsd_lint.rules.judge import (
    FileRows,
    RowsByFile,
    gravest_level,
    judge_problems,
    judge_row,
    with_percentile,
)
from sqsd_lint.rules.policy import LEVELS, Policy
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import FileRule, Scope
from sqsd_lint.types import ConsensusRule, Opinion, Problem, ScoredRow, Severity, Violation, Where

_VOTES = {None: Vote.CLEAR, Severity.WARNING: Vote.WARNING, Severity.ERROR: Vote.ERROR}
_UNSCORABLE = "SQSD301"


def evaluate(
    bundles: Sequence[BundleScores],
    rule: ConsensusRule = "majority",
    *,
    files: Sequence[str] = (),
    keeping: Keeping = KEEP_ALL,
) -> Evaluation:
    """Return the findings of one bundle, or those that enough of several share.

    A finding of fewer is a warning that names them. A bundle that cannot score a row, or judge a file, has no
    vote on it: the others decide, and SQSD301 names the one that could not.

    Args:
        bundles: one or more, with the same rows.
        files: the files in the order in which the report shows them; others follow by name.
        keeping: what is kept of rows and findings.
    """
    run = _Run(bundles[0].policy if len(bundles) == 1 else _common_policy(bundles), keeping)
    if len(bundles) > 1:
        notes = _combine(bundles, rule, run)
    else:
        for item in bundles[0].items:
            run.add(item)
            if isinstance(item, ScoredRow):
                run.by_file.add(item)
                for violation in judge_row(item, run.policy):
                    run.findings.add(violation, item)
        for file in run.by_file.files.values():
            for violation, row in file.findings():
                run.findings.add(violation, row)
        notes = run.seen.evidence().notes(run.seen.scored)
    found = in_order(run.findings.kept, files)
    return Evaluation(run.rows, run.problems, found, run.seen.evidence(found), notes, run.findings.unlisted)


class _Run:
    """What is gathered of a run while its rows pass."""

    def __init__(self, policy: Policy, keeping: Keeping) -> None:
        self.policy = policy
        self.findings = Findings(keeping)
        self.by_file = RowsByFile(policy)
        self.seen = RowsSeen(policy)
        self.rows: list[ScoredRow] = []
        self.problems: list[Problem] = []
        self._keeping = keeping

    def add(self, item: ScoredRow | Problem) -> None:
        """Take a row as all bundles together see it, and what is found in its place where it is none."""
        self._keeping.watch(item)
        self.seen.add(item)
        if isinstance(item, Problem):
            if self._keeping.findings is None or not item.rows:
                self.problems.append(item)
            for violation in judge_problems([item], self.policy):
                self.findings.add(violation)
        elif self._keeping.row(item):
            self.rows.append(item)


def _combine(bundles: Sequence[BundleScores], rule: ConsensusRule, run: _Run) -> tuple[str, ...]:
    """Judge the rows and files of several bundles, and return what the report's head must say."""
    policy = run.policy
    each_seen = [RowsSeen(each.policy) for each in bundles]
    each_by_file = [RowsByFile(each.policy) for each in bundles]
    hidden = 0
    for items in zip(*(each.items for each in bundles), strict=True):
        for seen, by_file, item in zip(each_seen, each_by_file, items, strict=True):
            if isinstance(item, ScoredRow):
                seen.add(item)
                by_file.add(item)
        reasons = [_why_unscored(item) for item in items]
        scored = [item for item in items if isinstance(item, ScoredRow) and not why_unscorable(item.score)]
        voters = [each for each, reason in zip(bundles, reasons, strict=True) if not reason]
        opinions = tuple(map(opinion_of, voters, scored))
        if len(scored) == len(bundles):
            run.add(replace(scored[0], opinions=opinions))
        else:
            run.add(_combined_problem(items, bundles, reasons))
        if scored:
            vote = vote_on(opinions, voters, rule)
            for violation in combine_row(scored, opinions, voters, vote, policy, len(bundles)):
                run.findings.add(violation, scored[0])
            hidden += vote is not Vote.CLEAR and policy.severity(_rule_of(vote), scored[0].where.file) is None
    for violation, row in combine_files(bundles, each_by_file, policy, rule):
        run.findings.add(violation, row)
    return _notes(bundles, each_seen, hidden)


def _why_unscored(item: ScoredRow | Problem) -> str:
    """Return why a bundle has no score for a row, "" if it has."""
    return (item.message or item.code) if isinstance(item, Problem) else why_unscorable(item.score)


def _combined_problem(
    items: Sequence[ScoredRow | Problem], bundles: Sequence[BundleScores], reasons: Sequence[str]
) -> Problem:
    """Make the problem of a row that not every bundle has scored, with the reasons."""
    refused = [item for item in items if isinstance(item, Problem)]
    unread = next((item for item in refused if item.code != _UNSCORABLE), None)
    if unread is not None:  # no bundle got the row
        return unread
    named = {each.name: reason for each, reason in zip(bundles, reasons, strict=True) if reason}
    first = items[0]
    hint = refused[0].hint if refused else ""
    message = attributed(named, len(bundles))
    return Problem(_UNSCORABLE, first.where, message, hint, first.excerpt, first.fingerprint)


def _common_policy(bundles: Sequence[BundleScores]) -> Policy:
    """Return the first bundle's, with every rule that one of the bundles can judge."""
    severities: dict[str, Severity] = {}
    for each in bundles:
        severities |= each.policy.severities
    return replace(bundles[0].policy, severities=severities)


def _notes(bundles: Sequence[BundleScores], each_seen: Sequence[RowsSeen], hidden: int) -> tuple[str, ...]:
    notes = []
    for each, seen in zip(bundles, each_seen, strict=True):
        notes += [f"{each.name}: {note}" for note in seen.evidence().notes(seen.scored)]
    if hidden:
        rows_are = "row is" if hidden == 1 else "rows are"
        notes.append(f"{hidden:,} {rows_are} risky for too few bundles, and SQSD102, which tells so, is off")
    return tuple(notes)


def opinion_of(bundle: BundleScores, row: ScoredRow) -> Opinion:
    """Return a bundle's opinion of a row that it has scored."""
    level = gravest_level(row, bundle.policy)
    risky = level is not None if bundle.policy.levels else None
    return Opinion(bundle.name, row.score, with_percentile(row, bundle.policy).percentile, risky, level)


def vote_on(opinions: Sequence[Opinion], bundles: Sequence[BundleScores], rule: ConsensusRule) -> Vote:
    """Count the votes of the bundles that have scored a row; `opinions` are theirs."""
    return count_votes([_VOTES[o.level] for o in opinions], rule, [_levels(each) for each in bundles])


def _levels(bundle: BundleScores) -> list[Vote]:
    return [_VOTES[level] for level in bundle.policy.levels]


def combine_row(
    rows: Sequence[ScoredRow],
    opinions: tuple[Opinion, ...],
    bundles: Sequence[BundleScores],
    vote: Vote,
    policy: Policy,
    count: int,
) -> list[Violation]:
    """Return the findings in a row, each with every opinion.

    Args:
        rows: the row as each bundle has scored it that could, one or more.
        opinions, bundles: theirs.
        count: how many bundles there are, those included that could not score it.
    """
    row = rows[0]
    consensus = Consensus(row.where, row.fingerprint, row.excerpt, opinions)
    found = []
    severity = policy.severity(_rule_of(vote), row.where.file)
    if vote is not Vote.CLEAR and severity is not None:
        # What too few find is no error, whatever SQSD102 weighs.
        weight = Severity.WARNING if vote is Vote.DISSENT else severity
        abstained = sum(
            not can_vote(_VOTES[opinion.level], _levels(each), vote)
            for opinion, each in zip(opinions, bundles, strict=True)
        )
        message = _vote_message(vote, consensus, count, abstained)
        found.append(_row_finding(_rule_of(vote), weight, message, consensus, row))
    for rule in RULES.row_rules:
        severity = policy.severity(rule.code, row.where.file)
        if severity is None or rule.unscored or rule.code in LEVELS:
            continue
        checked = zip(bundles, rows, strict=True)
        messages = {each.name: text for each, own in checked if (text := rule.check(own, each.policy))}
        if messages:
            message = attributed(messages, count)
            found.append(_row_finding(rule.code, severity, message, consensus, row))
    return found


def _rule_of(vote: Vote) -> str:
    """Return the rule that a vote is a finding of."""
    error, warning = LEVELS
    return error if vote is Vote.ERROR else warning


def attributed(messages: Mapping[str, str], bundles: int) -> str:
    """Join the messages of bundles, each with its bundle's name; what is true of all needs none."""
    distinct = set(messages.values())
    if len(messages) == bundles and len(distinct) == 1:
        return distinct.pop()
    return "; ".join(f"{name}: {text}" for name, text in messages.items())


def _row_finding(
    code: str, severity: Severity, message: str, consensus: Consensus, row: ScoredRow
) -> Violation:
    single = of_row(code, severity, message, row, consensus.mean_percentile)
    return replace(single, score=None, opinions=consensus.opinions)


def _vote_message(vote: Vote, consensus: Consensus, bundles: int, abstained: int) -> str:
    """Put a finding into words; so many bundles have no threshold to find it by."""
    if vote is Vote.DISSENT:
        few = len(consensus.risky)
        text = f"only {few} of {bundles} bundles {'finds' if few == 1 else 'find'} it risky"
        text += f", {' and '.join(consensus.risky)}"
    else:
        kind = "error" if vote is Vote.ERROR else "warning"
        above = sum(_VOTES[opinion.level] >= vote for opinion in consensus.opinions)
        have = "has" if above == 1 else "have"
        who, line = (
            (f"{bundles - abstained} bundles that have a {kind} line", "it")
            if abstained
            else (f"{bundles} bundles", f"the {kind} line")
        )
        text = f"{above} of {who} {have} it at or above {line}"
    return f"{text}{_figures(consensus)}: {', '.join(map(_opinion, consensus.opinions))}"


def _figures(consensus: Consensus) -> str:
    """Return ` (mean p99.2, maximum p99.98, agreement 67%)`, as far as it is known."""
    parts = []
    if consensus.mean_percentile is not None and consensus.max_percentile is not None:
        parts += [f"mean {rank_text(consensus.mean_percentile)}"]
        parts += [f"maximum {rank_text(consensus.max_percentile)}"]
    if consensus.agreement is not None:
        parts.append(f"agreement {consensus.agreement:.0%}")
    return f" ({', '.join(parts)})" if parts else ""


def _opinion(opinion: Opinion) -> str:
    """Return `qwen p99.98 (error)`; where there is no calibration, the score itself."""
    if opinion.percentile is None:
        place = f"SQSD {score_text(opinion.score.sqsd)}"
    else:
        place = rank_text(opinion.percentile)
    level = f" ({opinion.level.value})" if opinion.level else ""
    return f"{opinion.bundle} {place}{level}"


@dataclass(frozen=True, slots=True)
class _FileFindings:
    """What one bundle finds in a file, by the place of the finding."""

    bundle: BundleScores
    rows: FileRows
    found: Mapping[tuple[str, Where], tuple[Violation, ScoredRow | None]]


def combine_files(
    bundles: Sequence[BundleScores],
    each_by_file: Sequence[RowsByFile],
    policy: Policy,
    consensus: ConsensusRule,
) -> Iterator[tuple[Violation, ScoredRow | None]]:
    """Yield files' findings, as grave as the policy has them where enough bundles share them, else warnings.

    A bundle that cannot judge a file by a rule has no vote: one without the calibration that SQSD202 needs,
    one whose scores tell no drift.

    Args:
        each_by_file: the rows of each bundle that have a score.
        policy: that all bundles have but for their thresholds.

    Yields:
        A finding, and the row that it is about.
    """
    by_file: dict[str, list[_FileFindings]] = {}
    for bundle, files in zip(bundles, each_by_file, strict=True):
        for file, rows in files.files.items():
            found = {(each.rule, each.where): (each, row) for each, row in rows.findings()}
            by_file.setdefault(file, []).append(_FileFindings(bundle, rows, found))
    for file, judged in by_file.items():
        for rule in RULES.file_rules:
            voters = [each for each in judged if each.rows.can_judge(rule)]
            for key in dict.fromkeys(key for each in voters for key in each.found if key[0] == rule.code):
                having = [each for each in voters if key in each.found]
                shared = {each.bundle.name: each.found[key][0] for each in having}
                enough = len(shared) >= quorum(consensus, len(voters))
                severity = policy.severity(rule.code, file) if enough else None
                yield _combined_finding(rule, shared, len(bundles), severity), having[0].found[key][1]


def _combined_finding(
    rule: FileRule, found: Mapping[str, Violation], bundles: int, severity: Severity | None
) -> Violation:
    """Make one finding of those that bundles have; without a severity, too few have it."""
    messages = {name: each.message for name, each in found.items()}
    if rule.scope is Scope.ROW and severity is not None:
        message = attributed(messages, bundles)
    else:
        few = "only " if severity is None else ""
        texts = "; ".join(f"{name}: {text}" for name, text in messages.items())
        message = f"{few}{len(found)} of {bundles} bundles: {texts}"
    return replace(
        next(iter(found.values())),
        severity=severity or Severity.WARNING,
        message=message,
        fingerprint=combined_fingerprint(each.fingerprint for each in found.values()),
        score=None,
    )
