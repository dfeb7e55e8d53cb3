"""Models: what is wrong is named by its path and in words, and what is written can be read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, field

from sqsd_lint.common.formats import (
    Count,
    FieldError,
    JsonModel,
    Name,
    Proportion,
    Sha256,
    ascending,
    check_version,
    known_part,
    plain,
    read_as,
    text_like,
)
from sqsd_lint.common.json_schema import schema_of
from tests.counting import lines_run

Key = Annotated[str, text_like(r"^[a-z]+(?!\n)$", "small letters")]


class Part(JsonModel, frozen=True):
    """A part.

    Attributes:
        share: how much
            of it.
        low, high: ends.
    """

    share: Proportion = 0.5
    low: float = 0.0
    high: float = 1.0
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(".low: expected no more than `high`")


class Whole(JsonModel, frozen=True, kw_only=True, tag_field="version", tag=1):
    """All of it.

    Attributes:
        from_: where it comes from.
    """

    from_: str | None = field(name="from")
    parts: Mapping[Key, Part] = field(default_factory=dict)
    rows: Annotated[tuple[Count, ...], Meta(min_length=1)] = (1,)
    name: Name = "x"
    digest: Sha256 | None = None
    either: Literal["all"] | Part | None = None


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({}, "from: missing"),
    ({"from": 1}, "from: expected a string or null, got 1"),
    ({"from": None, "form": 1}, "form: unknown key"),
    ({"from": None, "rows": []}, "rows: expected a list of 1 or more, got []"),
    ({"from": None, "rows": [1, -1]}, "rows[1]: expected a whole number of 0 or more, got -1"),
    ({"from": None, "rows": [1, True]}, "rows[1]: expected a whole number of 0 or more, got true"),
    ({"from": None, "parts": []}, "parts: expected an object, got []"),
    ({"from": None, "parts": {"a": {}, "B": {}}}, 'parts["B"]: expected small letters'),
    ({"from": None, "parts": {"a\n": {}}}, 'parts["a\\n"]: expected small letters'),
    (
        {"from": None, "parts": {"a": {}, "b": {"share": 2}, "c": {"share": 3}}},
        'parts["b"].share: expected a finite number from 0 to 1, got 2',
    ),
    ({"from": None, "parts": {"a": {"low": 2}}}, 'parts["a"].low: expected no more than `high`'),
    ({"from": None, "parts": {"a": {"kind": "c"}}}, 'parts["a"].kind: expected one of "a", "b", got "c"'),
    ({"from": None, "parts": {"a": {"k\u202e": "c"}}}, 'parts["a"]["k\\u202e"]: unknown key'),
    (
        {"from": None, "name": "a/b"},
        "name: expected a name of letters, digits, '.', '_' and '-', got",
    ),
    (
        {"from": None, "name": "a\n"},
        "name: expected a name of letters, digits, '.', '_' and '-', got",
    ),
    ({"from": None, "digest": "0" * 64 + "\n"}, "digest: expected 64 hexadecimal digits or null, got"),
    ({"from": None, "either": "some"}, 'either: expected "all" or an object or null, got "some"'),
    ({"from": None, "either": {"high": "x"}}, 'either.high: expected a finite number, got "x"'),
]


@pytest.mark.parametrize(("value", "said"), FAULTS, ids=[said.split(":")[0] for _, said in FAULTS])
def test_what_is_wrong_is_named(value: dict[str, Any], said: str) -> None:
    with pytest.raises(FieldError) as caught:
        read_as(Whole, value)
    assert str(caught.value).startswith(said)
    with pytest.raises(FieldError) as caught:
        read_as(Whole, value, root="$")
    assert str(caught.value).startswith(f"$.{said}")


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_what_is_no_object_at_all(value: object) -> None:
    with pytest.raises(FieldError, match="the document: expected an object, got"):
        read_as(Whole, value)
    with pytest.raises(FieldError, match="the document: expected an object, got"):
        check_version(value, "version", 1)


@pytest.mark.parametrize("value", [{}, {"version": 2}, {"version": True}, {"version": "1"}])
def test_another_version(value: object) -> None:
    with pytest.raises(FieldError, match="version: only 1 is known; a newer sqsd-lint may read it"):
        check_version(value, "version", 1)


KEYS = st.text("abcdefgh", min_size=1, max_size=4)


@given(st.dictionaries(KEYS, st.booleans(), min_size=1, max_size=30))
def test_the_first_wrong_entry_of_a_mapping_is_the_one_that_is_named(good: dict[str, bool]) -> None:
    value = {"from": None, "parts": {key: {"share": 0.1 if ok else 7} for key, ok in good.items()}}
    wrong = [key for key, ok in good.items() if not ok]
    if not wrong:
        assert set(read_as(Whole, value).parts) == set(good)
        return
    with pytest.raises(FieldError) as caught:
        read_as(Whole, value)
    assert str(caught.value).startswith(f'parts["{wrong[0]}"].share: ')


PARTS = st.builds(Part, st.floats(0, 1), st.floats(-2, -1), st.floats(-1, 3), st.sampled_from("ab"))


@given(st.dictionaries(KEYS, PARTS, max_size=4), st.lists(st.integers(0), min_size=1, max_size=4))
def test_what_is_written_is_read_back(parts: dict[str, Part], rows: list[int]) -> None:
    whole = Whole(from_="here", parts=parts, rows=tuple(rows), either=next(iter(parts.values()), "all"))
    assert read_as(Whole, json.loads(json.dumps(whole.to_json()))) == whole


class Folder(JsonModel, frozen=True):
    """Models in each place that a model may stand in."""

    one: Whole | None = None
    many: tuple[Part | None, ...] = ()
    by_name: Mapping[str, Part] = field(default_factory=dict)
    free: Mapping[str, Any] = field(default_factory=dict)


def test_unknown_keys_are_left_out_wherever_models_stand_and_named_once() -> None:
    known = {
        "one": {"version": 1, "parts": {"a": {"low": 0.5}}, "rows": [1]},
        "many": [{"kind": "b"}, None, {"high": 2.0}],
        "by_name": {"x.y": {"share": 0.25}},
        "free": {"anything": {"goes": 1}},
    }
    assert known_part(Folder, known) == (known, ())
    more = json.loads(json.dumps(known))
    more["one"]["parts"]["a"]["new"] = more["one"]["new"] = more["new"] = {"low": 7}
    for each in (more["many"][0], more["many"][2], more["by_name"]["x.y"]):
        each["new"] = [1]
    found, unknown = known_part(Folder, more)
    assert found == known
    assert sorted(unknown) == sorted(
        ["new", "one.new", 'one.parts["a"].new', "many[].new", 'by_name["x.y"].new']
    )


def test_what_is_wrong_among_known_keys_stays_wrong() -> None:
    found, unknown = known_part(Folder, {"many": [{"kind": "c", "new": 1}], "one": {"version": 2, "new": 1}})
    assert unknown == ("many[].new",)  # of another version nothing is known
    with pytest.raises(FieldError, match=r"many\[0\]\.kind: expected one of"):
        read_as(Folder, {"many": found["many"]})
    with pytest.raises(FieldError, match="one"):
        read_as(Folder, {"one": found["one"]})


def test_unknown_keys_take_time_in_proportion() -> None:
    def lines(count: int) -> int:
        rows = [{f"key{i}": i for i in range(count)}, *({"new": i} for i in range(count))]
        return lines_run(lambda: known_part(Folder, {"many": rows}))

    lines(1)  # what is done once
    assert lines(400) < 2.5 * lines(200)


def test_defaults_are_not_written_and_the_version_comes_first() -> None:
    whole = Whole(from_=None, parts={"a": Part(kind=json.loads('"a"'), high=2.0)}, rows=(1,))
    assert list(whole.to_json().items()) == [("version", 1), ("from", None), ("parts", {"a": {"high": 2.0}})]
    assert plain({"a": (Part(), [1])}) == {"a": [{}, [1]]}


def test_a_schema_is_described_by_docstrings() -> None:
    schema = schema_of(Whole, "whole", "A whole")
    assert schema["$id"] == "urn:sqsd-lint:schema:whole"
    assert schema["description"] == "All of it."
    assert schema["properties"]["from"]["description"] == "Where it comes from."
    part = schema["$defs"]["Part"]
    assert {key: each.get("description") for key, each in part["properties"].items()} == {
        "share": "How much of it.",
        "low": "Ends.",
        "high": "Ends.",
        "kind": None,
    }
    assert part["additionalProperties"] is False


@given(st.lists(st.floats()))
def test_ascending(values: list[float]) -> None:
    whole = all(value == value for value in values)
    assert ascending(sorted(values)) or not whole
    assert not ascending([1.0, float("nan")])
