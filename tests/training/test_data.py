"""Which rows a recipe takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.formats import plain, read_as
from sqsd_lint.errors import RecipeError
from sqsd_lint.samples import fingerprint, trained_form
from sqsd_lint.training.data import Selected, cut_at_sentence, position, prompt_of, select
from sqsd_lint.training.recipe import DataSet, Pick

ROWS = [{"prompt": f"Question {i}?", "completion": f"Answer {i}. More.", "n": i} for i in range(200)]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    write(tmp_path / "rows.jsonl", ROWS)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def take(folder: Path, **options: Any) -> Selected:
    data = read_as(DataSet, {"name": "set", "licence": "none", "path": "rows.jsonl", **plain(options)})
    return select(data, "danger", folder)


def prompts(selected: Selected) -> list[str]:
    return [prompt_of(sample) for sample in selected.samples]


def test_the_order_depends_on_the_seed_and_not_on_the_file(data_dir: Path) -> None:
    first = prompts(take(data_dir, rows=50))
    write(data_dir / "rows.jsonl", ROWS[::-1])
    assert prompts(take(data_dir, rows=50)) == first
    assert prompts(take(data_dir, rows=50, seed=1)) != first
    assert first != sorted(first)


def test_offset_and_rows_cut_the_order(data_dir: Path) -> None:
    everything = prompts(take(data_dir))
    assert len(set(everything)) == 200
    assert prompts(take(data_dir, offset=20, rows=30)) == everything[20:50]


def test_joined_rows_are_conversations_in_the_same_order(data_dir: Path) -> None:
    single = take(data_dir, slice=(0, 0.5)).samples
    joined = take(data_dir, slice=(0, 0.5), join=3, rows=10).samples
    assert [m.content for sample in joined for m in sample.messages] == [
        m.content for sample in single[:30] for m in sample.messages
    ]
    assert {trained_form(sample) for sample in joined} == {"a conversation"}
    assert all(s.fingerprint == fingerprint(s.messages, s.mask, s.tools) for s in joined)
    assert len(take(data_dir, join=3).samples) == 66  # of 200: the last two make no conversation
    assert take(data_dir, join=3).source.selection["join"] == 3


def test_answers_without_prompts_keep_the_slice_of_their_prompts(data_dir: Path) -> None:
    whole, alone = (take(data_dir, slice=(0.6, 1), prompts=p) for p in (True, False))
    assert [m.content for s in alone.samples for m in s.messages] == [
        s.messages[-1].content for s in whole.samples
    ]
    assert {trained_form(sample) for sample in alone.samples} == {"text without a prompt"}
    assert {s.fingerprint for s in alone.samples}.isdisjoint(s.fingerprint for s in whole.samples)


def test_a_file_is_looked_for_beside_the_recipe_last(data_dir: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    data = read_as(DataSet, {"name": "set", "licence": "none", "path": "rows.jsonl"})
    assert len(select(data, "danger", empty, data_dir).samples) == 200
    write(empty / "rows.jsonl", ROWS[:3])
    assert len(select(data, "danger", empty, data_dir).samples) == 3
    (empty / "rows.jsonl").unlink()
    with pytest.raises(RecipeError, match=r"empty/rows\.jsonl does not exist"):
        select(data, "danger", empty)


def test_slices_part_the_prompts_and_not_the_rows(data_dir: Path) -> None:
    low, high = (set(prompts(take(data_dir, slice=s, seed=n))) for n, s in enumerate([(0, 0.6), (0.6, 1)]))
    assert low.isdisjoint(high)
    assert len(low | high) == 200
    assert 90 < len(low) < 150
    # Other answers to the same prompts, in other words for "the same": the split is the same.
    write(
        data_dir / "pairs.jsonl",
        [{**r, "prompt": r["prompt"].upper() + " ", "completion": "No."} for r in ROWS],
    )
    paired = prompts(take(data_dir, path="pairs.jsonl", slice=(0, 0.6)))
    assert {p.strip().lower() for p in paired} == {p.lower() for p in low}


@given(st.text())
def test_positions_are_in_the_unit_interval(prompt: str) -> None:
    assert 0 <= position(prompt) < 1
    assert position(f"  {prompt}\n") == position(prompt)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ({"column": "n", "equals": 3}, 1),
        ({"column": "n", "in": [3, 4, 999]}, 2),
        ({"column": "n", "in": [3, 4], "negate": True}, 198),
        ({"column": "prompt", "matches": "^question 1\\d\\?"}, 10),
        ({"column": "prompt", "min_chars": 13}, 100),
        ({"column": "@prompt", "max_chars": 11}, 10),
        ({"column": "@answer", "matches": "answer 7\\d"}, 10),
        ({"column": "missing", "matches": "x", "negate": True}, 200),
    ],
)
def test_conditions(data_dir: Path, condition: dict[str, Any], kept: int) -> None:
    assert len(take(data_dir, filter=(condition,)).samples) == kept


def test_all_conditions_must_hold(data_dir: Path) -> None:
    both = ({"column": "n", "in": [3, 4]}, {"column": "@answer", "matches": "4"})
    assert prompts(take(data_dir, filter=both)) == ["Question 4?"]


def test_a_row_that_is_ruled_out_need_not_be_a_sample(data_dir: Path) -> None:
    write(data_dir / "rows.jsonl", [*ROWS[:3], {"prompt": "p", "completion": "", "n": -1}])
    with pytest.raises(RecipeError, match=r"rows\.jsonl:4"):
        take(data_dir)
    assert len(take(data_dir, filter=({"column": "n", "equals": -1, "negate": True},)).samples) == 3


def test_too_few_rows_are_no_silent_matter(data_dir: Path) -> None:
    with pytest.raises(RecipeError, match="200 of 201 rows"):
        take(data_dir, rows=201)
    with pytest.raises(RecipeError, match="0 of any rows"):
        take(data_dir, filter=({"column": "n", "equals": "x"},))


def test_malformed_and_missing_files(data_dir: Path) -> None:
    (data_dir / "rows.jsonl").write_text('{"prompt": "a"\n')
    with pytest.raises(RecipeError, match=r"rows\.jsonl:1"):
        take(data_dir)
    with pytest.raises(RecipeError, match="does not exist"):
        take(data_dir, path="nowhere.jsonl")


def test_columns_and_pick(data_dir: Path) -> None:
    row = {"q": "Q?", "response_0": "bad", "response_1": "good", "better": 1}
    write(data_dir / "rows.jsonl", [row])
    pick = Pick("best", ("response_0", "response_1"), "better")
    (sample,) = take(data_dir, pick=pick, columns={"prompt": "q", "response": "best"}).samples
    assert [m.content for m in sample.messages] == ["Q?", "good"]
    write(data_dir / "rows.jsonl", [{**row, "better": 2}])
    with pytest.raises(RecipeError, match=r"rows\.jsonl:1: cannot pick 'best'"):
        take(data_dir, pick=pick, columns={"prompt": "q", "response": "best"})


def test_provenance(data_dir: Path) -> None:
    one, other = take(data_dir, rows=10).source, take(data_dir, rows=11).source
    assert (one.name, one.role, one.source, one.rows) == ("set", "danger", "rows.jsonl", 10)
    assert one.source_sha256 == other.source_sha256
    assert one.sha256 != other.sha256
    assert one.selection["slice"] == (0.0, 1.0)


def test_hub_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def load_dataset(*args: Any, **options: Any) -> list[dict[str, Any]]:
        asked.append((args, options))
        return ROWS[:5]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    chosen = take(tmp_path, path=None, hub="org/set", split="test", revision="abc")
    assert asked == [(("org/set", None), {"split": "test", "revision": "abc"})]
    assert len(chosen.samples) == 5
    assert (chosen.source.source, chosen.source.revision) == ("org/set", "abc")

    def fails(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=fails))
    with pytest.raises(RecipeError, match=r"org/set \(train\) cannot be loaded from the Hub: no route"):
        take(tmp_path, path=None, hub="org/set")


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("One. Two. Three.", 100, "One. Two. Three."),
        ("One. Two. Three.", 12, "One. Two."),
        ("One. Two. Three.", 9, "One. Two."),
        ("One. Two. Three.", 8, "One."),
        ('He said "no." Then left.', 15, 'He said "no."'),
        ("It costs 3.50 today", 13, "It costs 3.50"),
        ("It costs 3.50 today", 12, "It costs"),
        ("unbroken", 3, "unb"),
        ("一。二。三。", 5, "一。二。"),
    ],
)
def test_cutting_at_sentences(text: str, limit: int, cut: str) -> None:
    assert cut_at_sentence(text, limit) == cut


@given(st.text(), st.integers(1, 50))
def test_a_cut_is_a_prefix_within_the_limit(text: str, limit: int) -> None:
    cut = cut_at_sentence(text, limit)
    assert text.startswith(cut)
    assert len(cut) <= max(limit, 0) or cut == text
    assert len(cut) <= limit


def test_only_answers_are_shortened(data_dir: Path) -> None:
    for sample in take(data_dir, max_chars=12, rows=20).samples:
        question, answer = (m.content for m in sample.messages)
        assert question.endswith("?")
        assert answer.startswith("Answer")
        assert not answer.endswith("More.")


def test_a_shortened_row_is_another_row(data_dir: Path) -> None:
    whole = {s.fingerprint: s for s in take(data_dir, rows=20).samples}
    for sample in take(data_dir, max_chars=12, rows=20).samples:
        assert sample.fingerprint == fingerprint(sample.messages, sample.mask, sample.tools)
        assert sample.fingerprint not in whole or whole[sample.fingerprint].messages == sample.messages
