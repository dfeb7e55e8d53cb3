from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.report.finding_ids import identities, with_path
from sqsd_lint.types import Violation, Where
from tests.report.reports import FULL, high_risk


def name(violations: Sequence[Violation]) -> list[str]:
    return identities(violations, {v.where.file: v.where.file for v in violations})


def row(line: int, fingerprint: str, file: str = "a.jsonl") -> Violation:
    return replace(high_risk(file, line, 7.0, None, "text"), fingerprint=fingerprint)


@given(st.lists(st.sampled_from("abcde"), max_size=12), st.randoms())
def test_moving_rows_changes_no_identity(fingerprints: list[str], random: object) -> None:
    before = [row(line, fingerprint) for line, fingerprint in enumerate(fingerprints, 1)]
    moved = list(fingerprints)
    random.shuffle(moved)  # type: ignore[attr-defined]
    after = [row(line + 100, fingerprint) for line, fingerprint in enumerate(moved, 1)]
    assert sorted(name(before)) == sorted(name(after))
    assert len(set(name(before))) == len(before)


def test_the_score_and_the_message_are_no_part_of_it() -> None:
    one = row(1, "f")
    other = replace(one, message="another", score=None, percentile=3.0, excerpt="another", hint="")
    assert name([one]) == name([other])


def test_the_rule_is_part_of_it() -> None:
    assert name([row(1, "f")]) != name([replace(row(1, "f"), rule="SQSD102")])


def test_equal_rows_of_two_files_have_ordinals_of_their_own() -> None:
    found = name([row(1, "f", "a"), row(1, "f", "b"), row(2, "f", "b")])
    assert [each.partition(":")[2] for each in found] == ["1", "1", "2"]
    assert len({with_path(each, path) for each, path in zip(found, "abb", strict=True)}) == 3


def test_two_names_of_one_file_share_its_ordinals() -> None:
    found = [row(1, "f", "a.jsonl"), row(2, "f", "./a.jsonl")]
    assert identities(found, {"a.jsonl": "a.jsonl", "./a.jsonl": "a.jsonl"})[1].endswith(":2")


def test_what_has_no_fingerprint_goes_by_its_text() -> None:
    broken = next(v for v in FULL.violations if v.rule == "SQSD303")
    moved = replace(broken, where=Where(broken.where.file, 30, 29), message="not JSON: at column 40")
    assert name([broken]) == name([moved])
    assert name([broken]) != name([replace(broken, excerpt="{")])
    without = replace(broken, excerpt="")
    assert name([without]) != name([replace(without, message="another reason")])


def test_a_file_as_a_whole_goes_by_its_rule() -> None:
    file = next(v for v in FULL.violations if v.rule == "SQSD304")
    assert name([file]) == name([replace(file, message="12 bytes")])


def test_texts_do_not_run_together() -> None:
    assert with_path("ab", "c") != with_path("b", "ca")
    assert with_path("b", "\ud800")
