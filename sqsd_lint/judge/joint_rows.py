"""What several bundles find in one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqsd_lint.judge.consensus import Consensus
from sqsd_lint.judge.findings import of_row
from sqsd_lint.judge.heard import Voice
from sqsd_lint.judge.judge import gravest_line, percentile_of, rank_text, score_text, truncation
from sqsd_lint.judge.policy import Policy
from sqsd_lint.judge.vote import Vote, count_votes, has_say
from sqsd_lint.types import ConsensusRule, Opinion, ScoredRow, Severity, Violation

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
        found.append(_finding(line_rule(vote), weight, message, seen, row))
    severity = policy.severity("SQSD302", row.where.file)
    lost = {o.bundle: said for o, own in zip(opinions, rows, strict=True) if (said := truncation(own))}
    if lost and severity is not None:
        found.append(_finding("SQSD302", severity, attributed(lost, bundles), seen, row))
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


def _finding(code: str, severity: Severity, message: str, seen: Consensus, row: ScoredRow) -> Violation:
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
