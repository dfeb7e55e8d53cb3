from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix import plan, write_diff
from tests.fix.risky import violations


def shown(path: str, indices: list[int], *, redact: bool = False) -> str:
    stream = io.StringIO()
    write_diff(plan(violations(path, indices)), stream, redact=redact)
    return stream.getvalue()


WHY = "SQSD101 high-risk-sample: SQSD 9.00 is at or above the error line"


def test_a_diff_shows_rows_and_writes_nothing(here: Path) -> None:
    Path("a.jsonl").write_bytes(
        b'{"prompt": "a", "completion": "b"}\r\n\n{"prompt": "c", "completion": "d"}\n'
    )
    whole = Path("a.jsonl").read_bytes()
    assert shown("a.jsonl", [0, 1]) == (
        "--- a.jsonl\n"
        "+++ a.quarantine.jsonl\n"
        f"@@ -1 @@ {WHY}\n"
        '-{"prompt": "a", "completion": "b"}\n'
        f"@@ -3 @@ {WHY}\n"
        '-{"prompt": "c", "completion": "d"}\n'
    )
    assert [p.name for p in Path().iterdir()] == ["a.jsonl"]
    assert Path("a.jsonl").read_bytes() == whole


def test_redacted(here: Path) -> None:
    Path("a.jsonl").write_text('{"prompt": "secret", "completion": "b"}\n')
    (found,) = violations("a.jsonl", [0])
    text = shown("a.jsonl", [0], redact=True)
    assert "secret" not in text
    assert f"-fingerprint {found.fingerprint}\n" in text


def test_hostile_text_is_escaped(here: Path) -> None:
    name = "\x1b]0;a\n::error::.csv"
    Path(name).write_text('prompt,completion\n"x\n::error::\x1b[2J\u202e",##[group]y\n', encoding="utf-8")
    text = shown(name, [0])
    assert text.isprintable() is False
    assert set(text) - {"\n"} == {c for c in text if c.isprintable()}
    assert "::error::" not in text
    assert "##[" not in text
    assert all(line.startswith(("--- ", "+++ ", "@@ ", "-")) for line in text.splitlines())


def test_rows_of_any_length_are_cut(here: Path) -> None:
    rows = [{"prompt": "p", "completion": "x" * 10_000}, {"prompt": "p", "completion": list("y")}]
    rows[1] = {"messages": [{"role": "assistant", "content": "z"}] * 60}
    Path("a.json").write_text(json.dumps(rows, indent=1))
    text = shown("a.json", [0, 1])
    assert "more characters]" in text
    assert "more lines\n" in text
    assert max(map(len, text.splitlines())) < 2_100
    assert len(text.splitlines()) < 60


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_rows_of_tables_are_shown_as_json(here: Path, name: str) -> None:
    import datetime

    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet as pq

    rows = [{"prompt": f"p{n}", "completion": "ü", "at": datetime.date(2024, 1, 1)} for n in range(3)]
    table = pa.Table.from_pylist(rows)
    (pq.write_table if name == "a.parquet" else pyarrow.feather.write_feather)(table, name)
    line = '-{"prompt": "p1", "completion": "ü", "at": "2024-01-01"}\n'
    assert shown(name, [1]).endswith(f"@@ -2 @@ {WHY}\n{line}")


def test_a_file_that_is_gone(here: Path) -> None:
    Path("a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    made = plan(violations("a.jsonl", [0]))
    Path("a.jsonl").write_text("{}\n")
    with pytest.raises(SqsdLintError, match=r"a\.jsonl: cannot be read any more"):
        write_diff(made, io.StringIO())
