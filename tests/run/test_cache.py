"""Scores from one cache to another: the same scores arrive, and nothing that was damaged on the way."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.errors import CannotScoreError, UsageError
from sqsd_lint.run.cache import Merged, export_scores, merge_scores
from sqsd_lint.scoring import cache_file
from sqsd_lint.scoring.cache import ScoreCache, cache_path, scorer_key
from sqsd_lint.types import Score

ONE, TWO = scorer_key({"bundle": "one"}), scorer_key({"bundle": "two"})


def made_up(number: int) -> Score:
    danger, safety = math.sin(number), -0.0 if number == 3 else 0.1 * number
    lost = math.nan if number % 4 == 0 else number / 7
    return Score(f"{number:032x}", danger, safety, danger - safety, number, "prompt", 2, lost, False, -lost)


SCORES = [made_up(number) for number in range(1, 21)]


def fill(folder: Path, key: bytes = ONE, scores: list[Score] = SCORES) -> Path:
    with ScoreCache(cache_path(folder), key) as cache:
        cache.put(scores)
    return folder


def held(folder: Path, key: bytes = ONE) -> dict[str, str]:
    with ScoreCache(cache_path(folder), key) as cache:
        found = cache.get(score.fingerprint for score in SCORES)
        assert cache.notes == ()
    return {fingerprint: repr(score) for fingerprint, score in found.items()}


def merge(folder: Path, *files: Path) -> list[Merged]:
    return [merged for merged, _ in merge_scores(folder, map(str, files))]


def counts(merged: Merged) -> tuple[int, int, int, int]:
    return merged.added, merged.known, merged.differing, merged.refused


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_is_exported_arrives(tmp_path: Path, suffix: str) -> None:
    source = fill(fill(tmp_path / "a"), TWO, SCORES[:5])
    file = tmp_path / f"scores{suffix}"
    found = export_scores(source, file, suffix)
    assert (found.scores, found.scorers, found.notes) == (25, 2, ())
    (merged,) = merge(tmp_path / "b", file)
    assert (counts(merged), merged.faults) == ((25, 0, 0, 0), [])
    for key in (ONE, TWO):
        assert held(tmp_path / "b", key) == held(source, key)
    (again,) = merge(tmp_path / "b", file)
    assert counts(again) == (0, 25, 0, 0)


def test_a_cache_itself_can_be_merged(tmp_path: Path) -> None:
    source = fill(tmp_path / "a")
    aside = cache_path(source).rename(tmp_path / "scores.damaged")
    (merged,) = merge(tmp_path / "b", aside)
    assert counts(merged) == (20, 0, 0, 0)
    assert len(held(tmp_path / "b")) == 20


def test_a_score_that_is_known_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    export_scores(fill(tmp_path / "a"), file, ".jsonl")
    other = replace(SCORES[4], danger=5.0)
    target = fill(tmp_path / "b", ONE, [other, SCORES[5]])
    file.write_text(file.read_text() + file.read_text().splitlines()[-1] + "\n")
    (merged,) = merge(target, file)
    assert counts(merged) == (18, 3, 1, 0)
    assert "danger=5.0" in held(target)[other.fingerprint]


def row(**changes: Any) -> Callable[[list[str]], list[str]]:
    return lambda lines: [json.dumps({**json.loads(lines[0]), **changes}), *lines[1:]]


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (row(danger=0.25), "row 1: its checksum does not fit its values"),
        (row(danger="high"), "row 1: its danger is not a finite number"),
        (row(danger=None), "row 1: its danger is not a finite number"),
        (row(tokens=True), "row 1: its tokens is not a count"),
        (row(tokens=10**30), "row 1: its tokens is not a count"),
        (row(loss=10**400), "row 1: its loss is neither a finite number nor unknown"),
        (row(truncated="half"), "row 1: it is not known what of it was cut off"),
        (row(truncated=["prompt"]), "row 1: it is not known what of it was cut off"),
        (row(scorer="0a"), "row 1: a key is not 16 bytes"),
        (row(scorer="0A" * 16), "row 1: its scorer is no hexadecimal text"),
        (row(fingerprint=7), "row 1: its fingerprint is no hexadecimal text"),
        (row(checksum="00"), "row 1: its checksum does not fit its values"),
        (
            lambda lines: ["{}", *lines[1:]],
            "row 1: it is no row of a score cache: no scorer, fingerprint, danger",
        ),
        (lambda lines: [lines[0], "[1]", *lines[2:]], "row 2: it is no row of a score cache"),
        (lambda lines: ["{broken", *lines[1:]], "row 1: "),
        (lambda lines: [lines[0].replace('"danger": ', '"danger": NaN, "was": '), *lines[1:]], "row 1: "),
    ],
)
def test_a_damaged_row_is_refused_and_the_others_are_not(
    tmp_path: Path, damage: Callable[[list[str]], list[str]], fault: str
) -> None:
    file = tmp_path / "scores.jsonl"
    export_scores(fill(tmp_path / "a"), file, ".jsonl")
    file.write_text("\n".join(damage(file.read_text().splitlines())) + "\n")
    (merged,) = merge(tmp_path / "b", file)
    assert counts(merged) == (19, 0, 0, 1)
    assert merged.faults[0].startswith(fault)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, bytes]]:
    """The scores of a cache, and its exports by their suffix."""
    folder = tmp_path_factory.mktemp("exports")
    source, found = fill(folder / "a"), {}
    for suffix in (".jsonl", ".parquet"):
        export_scores(source, folder / "x", suffix)
        found[suffix] = (folder / "x").read_bytes()
    return held(source), found


@settings(max_examples=25)
@given(
    place=st.floats(0, 1, exclude_max=True),
    mask=st.integers(1, 255),
    suffix=st.sampled_from([".jsonl", ".parquet"]),
)
def test_no_flipped_byte_makes_a_wrong_score(
    exports: tuple[dict[str, str], dict[str, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
    place: float,
    mask: int,
    suffix: str,
) -> None:
    right, files = exports
    folder = tmp_path_factory.mktemp("flipped")
    data = bytearray(files[suffix])
    data[int(place * len(data))] ^= mask
    (folder / f"scores{suffix}").write_bytes(data)
    (merged,) = merge(folder / "b", folder / f"scores{suffix}")
    assert merged.added + merged.known + merged.refused
    found = held(folder / "b")
    assert found == {fingerprint: right[fingerprint] for fingerprint in found}
    assert merged.refused or len(found) == len(SCORES)


def test_rows_are_refused_by_the_thousand_and_named_by_the_few(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text('{"a": 1}\n' * 1000)
    (merged,) = merge(tmp_path / "b", file)
    assert (merged.refused, len(merged.faults)) == (1000, 3)


def test_what_is_damaged_is_mended_before_it_is_exported(tmp_path: Path) -> None:
    source = fill(tmp_path / "a")
    with sqlite3.connect(cache_path(source)) as database:
        database.execute("UPDATE scores_3 SET danger = 'x' WHERE tokens = 7")
    database.close()
    found = export_scores(source, tmp_path / "x", ".jsonl")
    assert found.scores == 19
    assert ["was damaged" in note for note in found.notes] == [True]
    cache_path(source).write_bytes(b"This is no database." * 100)
    found = export_scores(source, tmp_path / "x", ".jsonl")
    assert (found.scores, len(found.notes)) == (0, 1)


def test_what_cannot_be_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no score cache"):
        export_scores(tmp_path / "none", tmp_path / "x", ".jsonl")
    assert not (tmp_path / "none").exists()
    file = tmp_path / "scores.jsonl"
    export_scores(fill(tmp_path / "a"), file, ".jsonl")
    (tmp_path / "scores.csv").write_text("a\n")
    for name, match in (("other.jsonl", "no such file"), ("scores.csv", "neither an exported cache")):
        with pytest.raises(UsageError, match=match):
            merge(tmp_path / "b", file, tmp_path / name)
    assert not (tmp_path / "b").exists(), "nothing is merged then"
    monkeypatch.setattr(cache_file, "WAIT", 0.05)
    target = fill(tmp_path / "c", TWO)
    holder = sqlite3.connect(cache_path(target))
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(CannotScoreError, match="database is locked"):
        merge(target, file)
    holder.rollback()
    holder.close()
