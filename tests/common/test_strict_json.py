"""Strict JSON says everything once and in numbers; files of other programs are read as those read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.common.json_io import canonical, digest, read_json, write_json
from sqsd_lint.common.strict_json import decode, load_json, read_bytes, read_limited
from sqsd_lint.errors import ConfigError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_what_is_json_is_decoded_as_json_is(value: object) -> None:
    assert decode(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' is given twice"),
        ('{"\u202e": 1, "\u202e": 1}', "the key '.u202e' is given twice"),
        ("[NaN]", "NaN is no JSON number"),
        ("[-Infinity]", "-Infinity is no JSON number"),
        ("[1e999]", "1e999 is too large for a number"),
        ("[" * 100_000, "nested too deeply"),
        ("[1,]", "Illegal trailing comma|Expecting value"),
        ("", "Expecting value"),
    ],
)
def test_what_is_not_strict_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(text.encode())
    with pytest.raises(ConfigError, match=f"here: not a pack: .*{said}"):
        load_json(text.encode(), "here", "a pack", hint="")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        decode(b'"\xff"')


def test_files_of_other_programs_may_hold_a_key_twice(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": 1, "a": 2}')
    assert read_json(path) == {"a": 2}
    for text in ("[NaN]", "[" * 100_000, "\udcff"):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ValueError, match=r"NaN|nested|utf-8"):
            read_json(path)


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("1" * (1 << 20))
    assert len(read_bytes(path, 1 << 20)) == 1 << 20
    path.write_text("1" * ((1 << 20) + 1))
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read_bytes(path, 1 << 20)
    with pytest.raises(ConfigError, match="a: larger than 1,048,576 bytes"):
        read_limited(path, "a", 1 << 20)
    with pytest.raises(ConfigError, match="a: cannot be read: No such file"):
        read_limited(tmp_path / "nowhere", "a", 1)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)), st.text())
def test_lists_of_numbers_take_one_line_and_nothing_changes(numbers: list[float], text: str) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        write_json(path, {"text": text.encode("utf-8", "replace").decode(), "numbers": numbers})
        assert json.loads(path.read_text("utf-8"))["numbers"] == numbers
        assert len(path.read_text("utf-8").split("\n")) == 5


def test_equal_values_have_equal_digests() -> None:
    assert canonical({"b": [1.0, "ä"], "a": None}) == '{"a":null,"b":[1.0,"\\u00e4"]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(float("inf"))
