"""The score cache: what goes in comes out, and whatever state its file is in, no score is ever wrong."""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.common import file_system
from sqsd_lint.scoring import cache_file
from sqsd_lint.scoring.cache import ScoreCache, cache_path, scorer_key
from sqsd_lint.scoring.cache_row import CacheRow
from sqsd_lint.types import Score

KEY = scorer_key({"bundle": "one"})
OTHER_KEY = scorer_key({"bundle": "two"})
_CUT = ("", "prompt", "response", "prompt+response")


def made_up(number: int) -> Score:
    danger, safety = math.sin(number) * 40, math.cos(number) / 3
    return Score(
        f"{number * 0x9E3779B97F4A7C15:032x}"[-32:],
        danger,
        safety,
        danger - safety,
        number % 1000,
        _CUT[number % 4],  # type: ignore[arg-type]
        number % 3,
        math.nan if number % 7 == 0 else number / 9,
        False,
        math.nan if number % 5 == 0 else -number / 11,
    )


SCORES = {score.fingerprint: score for score in map(made_up, range(1, 301))}


def values(score: Score) -> tuple[object, ...]:
    """What can be compared: NaN equals nothing."""
    return tuple(repr(getattr(score, name)) for name in Score.__slots__)


def assert_right(found: dict[str, Score]) -> None:
    assert {f: values(s) for f, s in found.items()} == {f: values(SCORES[f]) for f in found}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real cache of two scorers, closed."""
    folder = tmp_path_factory.mktemp("filled")
    for key, shift in ((KEY, 0.0), (OTHER_KEY, 1.0)):
        with ScoreCache(cache_path(folder), key) as cache:
            cache.put(replace(s, danger=s.danger + shift) for s in SCORES.values())
    assert [path.name for path in folder.iterdir()] == ["scores.sqlite"]
    return folder


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    """The file of a copy of it."""
    return Path(shutil.copy(cache_path(filled), tmp_path))


def run_over(path: Path) -> tuple[dict[str, Score], tuple[str, ...]]:
    """What a run takes from the cache; it computes the rest, and the next runs find all of it right."""
    with ScoreCache(path, KEY) as cache:
        found = cache.get(SCORES)
        assert_right(found)
        new = SCORES.keys() - found.keys()
        cache.put(SCORES[each] for each in new)
        again = cache.get(SCORES)
        assert again.keys() >= new
        # A file may be found damaged when it is first written to, and a row that was found be lost with it.
        cache.put(SCORES[each] for each in SCORES.keys() - again.keys())
        again = cache.get(SCORES)
        assert set(again) == set(SCORES)
        assert_right(again)
        return found, cache.notes


def execute(path: Path, *statements: str | tuple[str, tuple[object, ...]]) -> None:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(*((statement,) if isinstance(statement, str) else statement))
    database.close()


def test_what_goes_in_comes_out(filled: Path, copy: Path) -> None:
    before = copy.read_bytes()
    with ScoreCache(copy, KEY) as cache:
        found = cache.get(["f" * 32, *SCORES, *SCORES])
        assert set(found) == set(SCORES)
        assert_right(found)
        assert cache.notes == ()
    assert copy.read_bytes() == before, "a run that the cache answers writes nothing"
    with ScoreCache(copy, KEY, exact=True) as exact:
        assert all(score.exact for score in exact.get(SCORES).values())
    with ScoreCache(copy, scorer_key({"bundle": "three"})) as other:
        assert other.get(SCORES) == {}


def test_without_a_file_scores_are_kept_for_the_run(tmp_path: Path) -> None:
    with ScoreCache(None, KEY) as cache:
        cache.put(SCORES.values())
        assert_right(cache.get(SCORES))
        assert (len(cache.get(SCORES)), cache.notes) == (300, ())


@pytest.mark.parametrize(
    "change",
    [
        *({name: value} for name in ("danger", "safety") for value in (math.nan, math.inf, -math.inf)),
        {"danger": 1e308, "safety": -1e308},
        *(
            {"loss": math.inf},
            {"drift": -math.inf},
            {"tokens": -1},
            {"tokens": 2**31},
            {"response_lost": 2**70},
        ),
        {"truncated": "nowhere"},
    ],
)
def test_what_is_no_score_is_not_stored(tmp_path: Path, change: dict[str, Any]) -> None:
    with ScoreCache(tmp_path / "scores.sqlite", KEY) as cache:
        cache.put([replace(made_up(1), **change), made_up(2)])
        assert set(cache.get(SCORES)) == {made_up(2).fingerprint}
        assert cache.notes == ()


def test_a_new_score_replaces_the_old_one(copy: Path) -> None:
    new = replace(made_up(1), danger=-0.0, safety=0.5, sqsd=-0.5)
    with ScoreCache(copy, KEY) as cache:
        cache.put([new])
    with ScoreCache(copy, KEY) as cache:
        found = cache.get([new.fingerprint])[new.fingerprint]
        assert (found.danger, found.safety, found.sqsd, cache.notes) == (0.0, 0.5, -0.5, ())


# Damage


_FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=40)


@settings(max_examples=100)
@given(flips=_FLIPS, first_page=st.booleans())
def test_flipped_bits(filled: Path, tmp_path: Path, flips: list[tuple[float, int]], first_page: bool) -> None:
    folder = tmp_path / "flipped"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    data = bytearray(cache_path(filled).read_bytes())
    for place, mask in flips:
        data[int(place * (4096 if first_page else len(data)))] ^= mask
    cache_path(folder).write_bytes(data)
    run_over(cache_path(folder))


@settings(max_examples=40)
@given(start=st.floats(0, 1), length=st.integers(0, 20000), fill=st.sampled_from([b"\0", b"\xff", b"r", b""]))
def test_overwritten_and_cut_pages(
    filled: Path, tmp_path: Path, start: float, length: int, fill: bytes
) -> None:
    """A stretch that another program wrote over, or that is missing; without a filling the end is cut off."""
    folder = tmp_path / "overwritten"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    data = cache_path(filled).read_bytes()
    at = int(start * len(data))
    cache_path(folder).write_bytes(data[:at] + fill * length + (data[at + length :] if fill else b""))
    run_over(cache_path(folder))


_VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=20),
    st.sampled_from([math.inf, -math.inf, 1e308, "nan", "7.5", b"", 0, 0.0, "prompt"]),
)
_NAMES = [name for name, _, _ in cache_file._COLUMNS]


@settings(max_examples=60)
@given(
    changes=st.lists(st.tuples(st.sampled_from(_NAMES), _VALUES, st.integers(0, 299)), min_size=1, max_size=8)
)
def test_replaced_values(filled: Path, tmp_path: Path, changes: list[tuple[str, object, int]]) -> None:
    folder = tmp_path / "replaced"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = Path(shutil.copy(cache_path(filled), folder))
    database = sqlite3.connect(path)
    keys = list(database.execute("SELECT scorer, fingerprint FROM scores_3"))
    for name, value, row in changes:
        query = f"UPDATE OR IGNORE scores_3 SET {name} = ? WHERE scorer = ? AND fingerprint = ?"
        try:
            database.execute(query, (value, *keys[row]))
        except sqlite3.IntegrityError:  # a NULL where there may be none
            assert value is None or value != value
    database.commit()
    database.close()
    run_over(path)


def test_one_changed_score_costs_no_other(copy: Path) -> None:
    execute(
        copy,
        (
            "UPDATE scores_3 SET danger = danger + 1 WHERE fingerprint = ?",
            (bytes.fromhex(made_up(9).fingerprint),),
        ),
    )
    found, notes = run_over(copy)
    assert set(SCORES) - set(found) == {made_up(9).fingerprint}
    aside = copy.with_suffix(".damaged")
    assert notes == (
        "the score cache was damaged (its checksum does not fit its values) and has been set aside: "
        f"{aside}; 598 of its scores were sound, others are computed anew",
    )
    assert aside.is_file()
    found, notes = run_over(copy)
    assert (len(found), notes) == (len(SCORES), ())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b"This is no database." * 300), "file is not a database"),
        (lambda path: execute(path, "ALTER TABLE scores_3 DROP COLUMN drift"), "the columns of scores_3 are"),
        (lambda path: execute(path, "ALTER TABLE scores_3 ADD COLUMN more TEXT"), "the columns of scores_3"),
        (
            lambda path: execute(path, "DROP TABLE scores_3", "CREATE VIEW scores_3 AS SELECT 1 AS scorer"),
            "the columns of scores_3 are scorer",
        ),
        (lambda path: execute(path, "UPDATE scores_3 SET danger = 'high'"), "danger is not a finite number"),
        (lambda path: execute(path, "UPDATE scores_3 SET safety = 9e999"), "safety is not a finite number"),
        (lambda path: execute(path, "UPDATE scores_3 SET tokens = 1.5"), "tokens is not a count"),
        (lambda path: execute(path, "UPDATE scores_3 SET drift = 'x'"), "drift is neither"),
        (lambda path: execute(path, "UPDATE scores_3 SET truncated = x'ff'"), "cut off"),
        (lambda path: execute(path, "UPDATE scores_3 SET truncated = CAST(x'ff' AS TEXT)"), "cut off"),
        (lambda path: execute(path, "UPDATE scores_3 SET checksum = x'00'"), "checksum"),
    ],
)
def test_kinds_of_damage(copy: Path, damage: Callable[[Path], object], reason: str) -> None:
    damage(copy)
    _, notes = run_over(copy)
    assert len(notes) == 1
    assert notes[0].startswith("the score cache was damaged (")
    assert reason in notes[0]
    assert run_over(copy)[1] == (), "the next run finds a sound cache"


def test_a_table_with_more_columns_keeps_its_rows(copy: Path) -> None:
    execute(copy, "ALTER TABLE scores_3 ADD COLUMN more TEXT")
    found, (note,) = run_over(copy)
    assert len(found) == len(SCORES)
    assert "600 of its scores were sound" in note


def test_an_old_log_does_not_reach_the_new_file(copy: Path) -> None:
    """The log beside a file that is set aside goes with it."""
    keeper = sqlite3.connect(copy)
    with keeper:
        keeper.execute("UPDATE scores_3 SET loss = 1.55")
    assert Path(f"{copy}-wal").stat().st_size > 0
    found, (note,) = run_over(copy)
    assert ("was damaged" in note, found) == (True, {})
    keeper.close()
    assert run_over(copy)[1] == ()


def test_two_that_find_the_same_damage_set_aside_once(copy: Path) -> None:
    with ScoreCache(copy, KEY) as one, ScoreCache(copy, OTHER_KEY) as two:
        execute(copy, "UPDATE scores_3 SET danger = 1.0 WHERE tokens = 9")
        assert len(one.get(SCORES)) == len(SCORES) - 1
        one.put([made_up(9)])
        assert len(two.get(SCORES)) == len(SCORES) - 1
        assert (len(one.notes), two.notes) == (1, ())
    with ScoreCache(copy, KEY) as cache:
        assert len(cache.get(SCORES)) == len(SCORES)


def test_damage_while_it_is_in_use(copy: Path) -> None:
    with ScoreCache(copy, KEY) as cache:
        half = list(SCORES)[:150]
        assert len(cache.get(half)) == 150
        copy.write_bytes(os.urandom(copy.stat().st_size))
        assert_right(cache.get(SCORES))
        cache.put(SCORES.values())
        assert len(cache.get(SCORES)) == len(SCORES)


def test_what_cannot_be_set_aside_is_not_used(copy: Path) -> None:
    copy.write_bytes(b"This is no database." * 300)
    (copy.with_suffix(".damaged") / "folder").mkdir(parents=True)
    found, (note,) = run_over(copy)
    assert found == {}
    assert note.startswith(f"the score cache cannot be used: {copy}: ")
    assert copy.read_bytes().startswith(b"This is no database.")


# Other states


def put_in_parts(path: Path, first: int) -> tuple[str, ...]:
    """Stores every second score, a few at a time, as a run does."""
    with ScoreCache(path, KEY) as cache:
        mine = list(SCORES.values())[first::2]
        for at in range(0, len(mine), 25):
            cache.put(mine[at : at + 25])
        return cache.notes


@pytest.mark.parametrize("before", [b"", b"This is no database." * 300])
def test_two_processes_at_once(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "scores.sqlite"
    path.write_bytes(before)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        notes = [*pool.map(put_in_parts, [path] * 2, [0, 1])]
    assert sum(len(each) for each in notes) == bool(before)
    found, later = run_over(path)
    assert (len(found), later) == (len(SCORES), ())


def test_scores_of_the_format_before_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    rows = [CacheRow.of(KEY, score) for score in SCORES.values()]
    rows_before = [(*row[:6], *row[7:]) for row in rows]  # without harm
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE scores_2 (scorer BLOB NOT NULL, fingerprint BLOB NOT NULL, danger REAL NOT NULL,"
        " safety REAL NOT NULL, loss REAL, drift REAL, tokens INTEGER NOT NULL, truncated TEXT NOT NULL,"
        " response_lost INTEGER NOT NULL, PRIMARY KEY (scorer, fingerprint)) WITHOUT ROWID"
    )
    database.executemany("INSERT INTO scores_2 VALUES (?,?,?,?,?,?,?,?,?)", rows_before)
    database.execute("UPDATE scores_2 SET danger = 'text' WHERE tokens = 4")
    database.execute("UPDATE scores_2 SET safety = 9e999 WHERE tokens = 5")
    database.commit()
    database.close()
    found, notes = run_over(path)
    assert (set(SCORES) - set(found), notes) == ({made_up(4).fingerprint, made_up(5).fingerprint}, ())
    assert len(run_over(path)[0]) == len(SCORES)
    assert not path.with_suffix(".damaged").exists()


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE scores_2 (a)", "CREATE VIEW scores_2 AS SELECT 1 AS scorer"]
)
def test_a_damaged_table_of_the_format_before(copy: Path, statement: str) -> None:
    execute(copy, statement)
    found, (note,) = run_over(copy)
    assert len(found) == len(SCORES)
    assert "has been set aside" in note


def test_a_later_version_keeps_its_own_table(copy: Path) -> None:
    """A table says its version by its name, so two versions of sqsd-lint share a file and no score."""
    execute(
        copy,
        "CREATE TABLE scores_9 (everything TEXT)",
        "INSERT INTO scores_9 VALUES ('new')",
        "PRAGMA user_version=9",
    )
    found, notes = run_over(copy)
    assert (len(found), notes) == (len(SCORES), ())
    execute(copy, "DROP TABLE scores_3")
    found, notes = run_over(copy)
    assert (found, notes) == ({}, ())
    database = sqlite3.connect(copy)
    assert list(database.execute("SELECT * FROM scores_9")) == [("new",)]
    database.close()


def test_a_file_format_that_only_later_versions_write_is_read(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    data[18] = 9  # SQLite then opens the file for reading alone
    copy.write_bytes(data)
    found, notes = run_over(copy)
    assert (len(found), notes) == (len(SCORES), ())
    with ScoreCache(copy, KEY) as cache:
        cache.put([replace(made_up(1), fingerprint="e" * 32)])
        assert list(cache.get(["e" * 32])) == ["e" * 32]
        assert [note.partition(":")[0] for note in cache.notes] == [
            "scores could not be written to the cache"
        ]
    assert copy.read_bytes() == data


def read_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets SQLite find a file that it may not write, whoever runs the tests."""
    connect = sqlite3.connect

    def refusing(place: object, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        if str(place) == str(path):
            return connect(f"{path.as_uri()}?mode=ro", *args, **{**kwargs, "uri": True})
        return connect(place, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(cache_file.sqlite3, "connect", refusing)


def test_a_read_only_file_is_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = list(SCORES.values())[:150]
    execute(copy, "DELETE FROM scores_3 WHERE tokens > 150")
    read_only(copy, monkeypatch)
    before = copy.read_bytes()
    found, (note,) = run_over(copy)
    assert set(found) == {score.fingerprint for score in half}
    assert note == f"scores could not be written to the cache: {copy}: attempt to write a readonly database"
    assert copy.read_bytes() == before


def test_damage_in_a_read_only_file_is_passed_over(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(copy, "UPDATE scores_3 SET danger = 1 WHERE tokens = 9")
    monkeypatch.setattr(cache_file.os, "access", lambda path, mode: False)
    with ScoreCache(copy, KEY) as cache:
        found = cache.get(SCORES)
        assert_right(found)
        assert set(SCORES) - set(found) == {made_up(9).fingerprint}
        assert cache.notes == (
            f"damaged scores in the cache are not used: {copy}: its checksum does not fit its values",
        )
    assert not copy.with_suffix(".damaged").exists()


def test_a_file_that_takes_no_log_is_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that cannot be written, a file with a log can be opened only as one that never changes."""

    def refused(*args: object, **kwargs: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(cache_file, "_prepare", refused)
    found, notes = run_over(copy)
    assert len(found) == len(SCORES)
    assert notes == (f"the score cache is read-only, so that new scores are not kept: {copy}",)


def test_a_locked_file_costs_nothing_but_time(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_file, "WAIT", 0.05)
    waits: list[str] = []
    for statement in ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"):
        holder = sqlite3.connect(copy)
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute(statement)
        with ScoreCache(copy, KEY) as cache:
            assert_right(cache.get(SCORES))
            cache.put(SCORES.values())
            cache.put(SCORES.values())
            assert len(cache.get(SCORES)) == len(SCORES)
            waits += cache.notes
        holder.rollback()
        holder.close()
    assert len(waits) == 2
    assert all("database is locked" in note for note in waits)
    found, notes = run_over(copy)
    assert (len(found), notes) == (len(SCORES), ())


@pytest.mark.parametrize("place", ["a folder", "below a file"])
def test_what_is_no_place_for_a_file(tmp_path: Path, place: str) -> None:
    path = tmp_path / "scores.sqlite"
    if place == "a folder":
        path.mkdir()
    else:
        (tmp_path / "file").write_text("")
        path = tmp_path / "file/scores.sqlite"
    found, (note,) = run_over(path)
    assert (found, note.startswith("the score cache cannot be used")) == ({}, True)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("fuseblk", False)],
)
def test_a_network_file_system_is_told(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, told: bool
) -> None:
    mounts = tmp_path / "mounts"
    place = str(copy.parent).replace(" ", "\\040")
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\nserver:/x {place} {kind} rw 0 0\nserver:/y {place}2 nfs rw 0 0\n"
    )
    monkeypatch.setattr(file_system, "_MOUNTS", mounts)
    found, notes = run_over(copy)
    assert len(found) == len(SCORES)
    assert [f"network file system ({kind})" in note for note in notes] == [True] * told
    database = sqlite3.connect(copy)
    # A log in shared memory does not reach from machine to machine.
    assert database.execute("PRAGMA journal_mode").fetchone() == ("delete" if told else "wal",)
    database.close()
