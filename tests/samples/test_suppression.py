from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.read import read_rows
from sqsd_lint.samples import to_sample
from sqsd_lint.samples.inline_suppression import RefusedSuppression, parse_suppression, read_suppression
from sqsd_lint.types import Row, Sample, Suppression, Where

GOOD = {"ignore": ["SQSD101"], "reason": "quoted in a lesson"}
ROW = {"prompt": "Name a prime number.", "completion": "7"}


def sample_of(raw: dict[str, Any]) -> Sample:
    sample = to_sample(Row(Where("rows.jsonl", 1, 0), raw))
    assert isinstance(sample, Sample)
    return sample


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["ignore", "reason", "x"]), inner),
    max_leaves=6,
)


@given(json_values)
def test_whatever_the_field_holds_the_content_is_the_same(value: Any) -> None:
    plain, marked = sample_of(ROW), sample_of({**ROW, "sqsd_lint": value})
    assert marked.fingerprint == plain.fingerprint
    assert (marked.messages, marked.mask, marked.schema) == (plain.messages, plain.mask, plain.schema)


def test_a_row_may_suppress_its_own_findings() -> None:
    sample = sample_of(
        {**ROW, "sqsd_lint": {"ignore": ["SQSD101", "SQSD302", "SQSD101"], "reason": " seen "}}
    )
    assert sample.suppression == Suppression(("SQSD101", "SQSD302"), "seen")
    assert sample_of(ROW).suppression is None


@pytest.mark.parametrize("value", [None, "", "  ", float("nan"), {"ignore": None, "reason": None}], ids=repr)
def test_what_stands_for_nothing_is_none(value: Any) -> None:
    assert read_suppression({"sqsd_lint": value}) is None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "the field: expected an object, got []"),
        (True, "the field: expected an object, got true"),
        (b"x", "the field: expected an object"),
        ("SQSD101", "its text is not JSON"),
        ("[" * 100_000, "its text is not JSON"),
        ({}, "ignore: missing"),
        ({"reason": "x"}, "ignore: missing"),
        ({"ignore": "SQSD101", "reason": "x"}, "ignore: expected a list of 1 to 32 codes of rules"),
        ({"ignore": [], "reason": "x"}, "ignore: expected a list of 1 to 32 codes of rules, got []"),
        ({"ignore": [101], "reason": "x"}, "ignore[0]: expected the code of a rule, got 101"),
        ({"ignore": ["SQSD101"] * 33, "reason": "x"}, "ignore: expected a list of 1 to 32 codes"),
        ({"ignore": ["SQSD101"]}, "reason: missing"),
        ({"ignore": ["SQSD101"], "reason": " \n"}, "reason: expected a reason of at most 2,000 characters"),
        ({"ignore": ["SQSD101"], "reason": 3}, "reason: expected a reason of at most 2,000 characters"),
        (
            {"ignore": ["SQSD101"], "reason": "x" * 2001},
            "reason: expected a reason of at most 2,000 characters",
        ),
        ({**GOOD, "\x1b" + "x" * 99: 1}, '["\\u001bxxx'),
    ],
)
def test_what_is_wrong_silences_nothing_and_says_why(value: Any, fault: str) -> None:
    found = sample_of({**ROW, "sqsd_lint": value}).suppression
    assert isinstance(found, RefusedSuppression)
    assert found.codes == ()
    assert fault in found.fault
    assert len(found.fault) < 200


@given(json_values)
def test_a_suppression_has_codes_and_a_reason_or_a_fault(value: Any) -> None:
    found = parse_suppression(value)
    if isinstance(found, RefusedSuppression):
        assert found.fault
        assert not found.codes
    else:
        assert found.codes
        assert found.reason.strip()


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_every_format_can_hold_it(suffix: str, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{**ROW, "sqsd_lint": GOOD}, ROW]
    path = tmp_path / f"rows.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif suffix == "csv":
        import csv

        out = io.StringIO()
        writer = csv.DictWriter(out, ["prompt", "completion", "sqsd_lint"])
        writer.writeheader()
        writer.writerows([{**row, "sqsd_lint": json.dumps(row.get("sqsd_lint", ""))} for row in rows[:1]])
        writer.writerow(ROW)
        path.write_text(out.getvalue(), encoding="utf-8")
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    first, second = (to_sample(row) for row in read_rows(str(path)) if isinstance(row, Row))
    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert first.suppression == Suppression(("SQSD101",), "quoted in a lesson")
    assert second.suppression is None
