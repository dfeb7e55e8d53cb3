"""Damaged files: each is fixed, left or refused, and never costs a row that could be read."""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix import apply, plan
from tests.fix.risky import raws, violations

ROWS = [{"prompt": f"p{n}", "completion": "ü" * n} for n in range(8)]


def write(path: Path) -> None:
    if path.suffix in (".parquet", ".arrow"):
        import pyarrow as pa
        import pyarrow.feather
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist(ROWS)
        if path.suffix == ".parquet":
            pq.write_table(table, path, row_group_size=3)
        else:
            pyarrow.feather.write_feather(table, str(path), compression="lz4")
    elif path.suffix == ".csv":
        lines = [f'"{row["prompt"]}","{row["completion"]}"' for row in ROWS]
        path.write_text("prompt,completion\n" + "\n".join(lines), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps({"v": 1, "train": ROWS}, indent=1, ensure_ascii=False), encoding="utf-8")
    else:
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.arrow"])
def test_no_row_is_lost(here: Path, name: str) -> None:
    path, shelf = Path(name), Path(name.replace(".", ".quarantine."))
    write(path)
    whole = path.read_bytes()
    chance = random.Random(name)
    outcomes: Counter[str] = Counter()
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 2)):
            data[chance.randrange(len(data))] = chance.choice([0, 10, 34, 44, 93, 128, 255])
        path.write_bytes(data)
        before = raws(path)
        try:
            found = violations(path, [1, 6])
        except (KeyError, SqsdLintError):  # the damage took one of the two
            outcomes["unread"] += 1
            continue
        with suppress(SqsdLintError):
            outcomes["moved"] += len(list(apply(plan(found))))
        after = raws(path) + (raws(shelf) if shelf.exists() else [])
        assert Counter(map(repr, after)) == Counter(map(repr, before))
        assert {p.name for p in Path().iterdir()} <= {path.name, shelf.name}
        shelf.unlink(missing_ok=True)
    assert outcomes["moved"] > 5
    assert outcomes["unread"] > 0
