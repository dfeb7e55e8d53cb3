from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sqsd_lint.errors import ConfigError
from sqsd_lint.resources import load_schema
from sqsd_lint.rules import Baseline, BaselineEntry, parse_baseline, read_baseline
from sqsd_lint.rules.registry import RULES
from sqsd_lint.types import Severity, Violation, Where

HERE = os.getcwd()
SCHEMA = Draft202012Validator(load_schema("baseline"))
A, B = "a" * 32, "b" * 32

entries = st.builds(
    BaselineEntry,
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=9),
    st.sampled_from([A, B, "0" * 32, "0123456789abcdef" * 2]),
    st.sampled_from(RULES.acceptable),
)


def violation(fingerprint: str, rule: str = "SQSD101", file: str = "a.jsonl") -> Violation:
    return Violation(rule, "name", Severity.ERROR, Where(file, 1, 0), "message", fingerprint)


def parse(text: str) -> Baseline:
    return parse_baseline(text.encode("utf-8"), source="base.json", folder=HERE)


@given(st.lists(entries))
def test_round_trip(found: list[BaselineEntry]) -> None:
    baseline = Baseline("base.json", HERE, frozenset(found))
    data = baseline.dump()
    again = parse_baseline(data, source="base.json", folder=HERE)
    assert again == baseline
    assert again.dump() == data
    assert SCHEMA.is_valid(json.loads(data))


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.sampled_from("ab")), max_size=6), st.randoms())
def test_the_order_of_findings_changes_no_byte(found: list[tuple[str, str]], draw: object) -> None:
    empty = Baseline("base.json", HERE)
    violations = [violation(digest, file=file) for digest, file in found]
    first = empty.with_findings(violations).dump()
    draw.shuffle(violations)  # type: ignore[attr-defined]
    assert empty.with_findings(violations).with_findings(violations).dump() == first


def test_the_form_is_one_row_per_line() -> None:
    found = [violation(B), violation(A, "SQSD302"), violation(A), violation(A, file="deep/ü.jsonl")]
    assert Baseline("base.json", HERE).with_findings(found).dump().decode("ascii") == (
        '{\n  "version": 1,\n  "findings": {\n'
        f'    "a.jsonl": {{\n      "{A}": ["SQSD101", "SQSD302"],\n      "{B}": ["SQSD101"]\n    }},\n'
        f'    "deep/\\u00fc.jsonl": {{\n      "{A}": ["SQSD101"]\n    }}\n  }}\n}}\n'
    )
    assert Baseline("base.json", HERE).dump() == b'{\n  "version": 1,\n  "findings": {}\n}\n'


def test_a_finding_is_accepted_in_whatever_file_it_is_but_by_its_own_rule() -> None:
    baseline = Baseline("base.json", HERE).with_findings([violation(A)])
    assert violation(A, file="renamed.jsonl") in baseline
    assert violation(A, "SQSD302") not in baseline
    assert violation(A, "SQSD102") in baseline  # of SQSD101, which is graver
    assert violation(A) not in Baseline("base.json", HERE).with_findings([violation(A, "SQSD102")])
    assert violation(B) not in baseline


def test_names_do_not_depend_on_where_a_run_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    baseline = Baseline("base.json", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    from_above = baseline.with_findings([violation(A, file="data/a.jsonl")])
    monkeypatch.chdir(tmp_path / "data")
    from_inside = baseline.with_findings([violation(A, file="a.jsonl")])
    absolute = baseline.with_findings([violation(A, file=str(tmp_path / "data/a.jsonl"))])
    assert from_above == from_inside == absolute
    assert {entry.file for entry in from_above.entries} == {"data/a.jsonl"}
    assert {e.file for e in baseline.with_findings([violation(A, file="<stdin>")]).entries} == {"<stdin>"}


def test_pruning_drops_what_is_gone_and_follows_what_moved(tmp_path: Path) -> None:
    for name in ("here.jsonl", "new-name.jsonl"):
        (tmp_path / name).touch()
    old = Baseline(
        "base.json",
        str(tmp_path),
        frozenset(
            {
                BaselineEntry("here.jsonl", A, "SQSD101"),
                BaselineEntry("here.jsonl", B, "SQSD101"),
                BaselineEntry("old-name.jsonl", B, "SQSD102"),
                BaselineEntry("gone.jsonl", A, "SQSD102"),
                BaselineEntry("<stdin>", A, "SQSD302"),
            }
        ),
    )
    moved = violation(B, "SQSD102", str(tmp_path / "new-name.jsonl"))
    new = violation("c" * 32, file=str(tmp_path / "here.jsonl"))
    pruned = old.pruned([moved, new], [BaselineEntry("here.jsonl", B, "SQSD101")])
    assert pruned.entries == {
        BaselineEntry("here.jsonl", A, "SQSD101"),
        BaselineEntry("new-name.jsonl", B, "SQSD102"),
        BaselineEntry("<stdin>", A, "SQSD302"),
    }


WRONG = [
    ("", "not a baseline"),
    ("[" * 100_000, "not a baseline"),
    ("[]", "the document: expected an object, got []"),
    ("{}", "version: missing"),
    ('{"version": 1}', "findings: missing"),
    ('{"version": 2, "findings": {}}', "version: only 1 is known"),
    ('{"version": true, "findings": {}}', "version: only 1 is known"),
    ('{"version": 1, "findings": {}, "allow": []}', "allow: unknown key"),
    ('{"version": 1, "findings": {}, "findings": {}}', "'findings' is given twice"),
    ('{"version": 1, "findings": []}', "findings: expected an object, got []"),
    ('{"version": 1, "findings": {"": {}}}', 'findings[""]: expected the name of a file'),
    ('{"version": 1, "findings": {"a": 3}}', 'findings["a"]: expected an object, got 3'),
    (
        '{"version": 1, "findings": {"a": {"\\u001b[2J": ["SQSD101"]}}}',
        'findings["a"]["\\u001b[2J"]: expected a fingerprint',
    ),
    (
        f'{{"version": 1, "findings": {{"a": {{"{A}\\n": ["SQSD101"]}}}}}}',
        "expected a fingerprint of 32 hexadecimal digits",
    ),
    (
        f'{{"version": 1, "findings": {{"a": {{"{A.upper()}": ["SQSD101"]}}}}}}',
        "expected a fingerprint of 32 hexadecimal digits",
    ),
    (
        f'{{"version": 1, "findings": {{"a": {{"{A}": []}}}}}}',
        f'["{A}"]: expected a list of codes of rules, not empty, got []',
    ),
    (f'{{"version": 1, "findings": {{"a": {{"{A}": "SQSD101"}}}}}}', "expected a list of codes of rules"),
    (
        f'{{"version": 1, "findings": {{"a": {{"{A}": ["SQSD301"]}}}}}}',
        f'["{A}"]: expected one of SQSD101, SQSD102',
    ),
    (f'{{"version": 1, "findings": {{"a": {{"{A}": [["SQSD101"]]}}}}}}', "expected the code of a rule"),
    ('{"version": NaN, "findings": {}}', "NaN is no JSON number"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_file_is_refused_with_the_key(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.message.startswith("base.json: ")
    assert message in caught.value.message
    assert len(caught.value.message) < 300
    assert "baseline create --force" in (caught.value.hint or "")


def test_the_schema_refuses_the_same() -> None:
    twice, decoded = ("given twice", "NaN"), 0
    for text, message in WRONG[2:]:
        if not any(word in message for word in twice):
            assert not SCHEMA.is_valid(json.loads(text)), text
            decoded += 1
    assert decoded > 10


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_baseline(str(tmp_path))
    (tmp_path / "b.json").write_bytes(Baseline("b.json", str(tmp_path)).dump())
    assert read_baseline(str(tmp_path / "b.json")).folder == str(tmp_path)
