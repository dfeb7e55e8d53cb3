from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.rules.consensus import Vote, count_votes, quorum
from sqsd_lint.types import ConsensusRule

RULES: tuple[ConsensusRule, ...] = ("any", "majority", "all")
cast = st.sampled_from([Vote.CLEAR, Vote.WARNING, Vote.ERROR])
votes = st.lists(cast, min_size=1, max_size=7)
C, W, E = Vote.CLEAR, Vote.WARNING, Vote.ERROR


@pytest.mark.parametrize(
    ("bundles", "needed"), [(1, (1, 1, 1)), (2, (1, 2, 2)), (3, (1, 2, 3)), (4, (1, 3, 4))]
)
def test_quorum(bundles: int, needed: tuple[int, int, int]) -> None:
    assert tuple(quorum(rule, bundles) for rule in RULES) == needed


@pytest.mark.parametrize(
    ("cast", "found"),
    [
        ([C, C], (C, C, C)),
        ([E, C], (E, Vote.DISSENT, Vote.DISSENT)),
        ([E, W], (E, W, W)),
        ([E, E], (E, E, E)),
        ([E, E, C], (E, E, Vote.DISSENT)),
        ([E, W, C], (E, W, Vote.DISSENT)),
        ([E, C, C], (E, Vote.DISSENT, Vote.DISSENT)),
    ],
)
def test_count(cast: list[Vote], found: tuple[Vote, Vote, Vote]) -> None:
    assert tuple(count_votes(cast, rule) for rule in RULES) == found


@given(votes, st.data(), st.sampled_from(RULES))
def test_a_graver_vote_never_makes_the_finding_lighter(
    cast: list[Vote], data: st.DataObject, rule: ConsensusRule
) -> None:
    at = data.draw(st.integers(0, len(cast) - 1))
    graver = [
        *cast[:at],
        data.draw(st.sampled_from([v for v in (C, W, E) if v >= cast[at]])),
        *cast[at + 1 :],
    ]
    assert count_votes(graver, rule) >= count_votes(cast, rule)


@given(votes)
def test_any_finds_no_less_than_a_majority_and_a_majority_no_less_than_all(cast: list[Vote]) -> None:
    found = [count_votes(cast, rule) for rule in RULES]
    assert found == sorted(found, reverse=True)


@given(votes, st.sampled_from(RULES))
def test_what_one_bundle_finds_is_never_lost(cast: list[Vote], rule: ConsensusRule) -> None:
    assert (count_votes(cast, rule) is Vote.CLEAR) == (not any(cast))
    assert count_votes(cast, rule) <= max(cast)


@given(cast, st.integers(1, 7), st.sampled_from(RULES))
def test_bundles_of_one_opinion_are_as_one(vote: Vote, bundles: int, rule: ConsensusRule) -> None:
    assert count_votes([vote] * bundles, rule) is vote
