"""`check`, `score` and `passing` on what people have in Python: paths, dicts, data sets, the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sqsd_lint
from sqsd_lint.errors import CannotScoreError, UsageError

ROWS = [{"question": f"What is {i} and {i}?", "answer": f"It is {'so ' * (i % 4)}{2 * i}."} for i in range(6)]
EMPTY = {"question": "And now?", "answer": ""}


@pytest.fixture
def chosen(tiny_bundle: Path, tiny_model_folder: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "bundle": str(tiny_bundle),
        "model": str(tiny_model_folder),
        "device": "cpu",
        "dtype": "float32",
        "cache_dir": str(tmp_path / "cache"),
        "threshold": "1000",
        "warning_threshold": "999",
    }


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_in_memory_have_the_scores_of_rows_in_files(chosen: dict[str, Any], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = write(tmp_path / "a.jsonl", [*ROWS, EMPTY])
    from_file = list(sqsd_lint.score(path, **chosen))
    sources = ([*ROWS, EMPTY], (row for row in [*ROWS, EMPTY]), datasets.Dataset.from_list([*ROWS, EMPTY]))
    for data in sources:
        rows = list(sqsd_lint.score(data, **chosen))
        assert [row.sqsd for row in rows] == [row.sqsd for row in from_file]
        assert [(row.where.file, row.where.index) for row in rows] == [("<rows>", i) for i in range(7)]
    assert rows[0].percentile is None  # no calibration
    assert isinstance(rows[6], sqsd_lint.Problem)
    assert rows[6].sqsd is None


def test_splits_are_told_apart(chosen: dict[str, Any]) -> None:
    report = sqsd_lint.check({"train": ROWS[:2], "test": ROWS[2:3]}, **chosen)
    assert [str(row.where) for row in report.rows] == ["<train>:1", "<train>:2", "<test>:1"]
    assert report.coverage.files == 2


def test_a_line_keeps_the_rows_that_pass(chosen: dict[str, Any]) -> None:
    datasets = pytest.importorskip("datasets")
    scores = [row.sqsd for row in sqsd_lint.score(ROWS, **chosen)]
    line = sum(sorted(scores)[-3:-1]) / 2  # type: ignore[arg-type, type-var]
    chosen.update(threshold=str(line), warning_threshold=str(line))
    dataset = datasets.Dataset.from_list([*ROWS, EMPTY])
    clean = dataset.filter(sqsd_lint.passing(dataset, **chosen), with_indices=True)
    assert clean.to_list() == [row for row, score in zip(ROWS, scores, strict=True) if score < line]  # type: ignore[operator]
    chosen.update(threshold="1000", warning_threshold=str(line))
    keeps = [sqsd_lint.passing(ROWS, **chosen)(row, i) for i, row in enumerate(ROWS)]
    assert keeps == [True] * 6  # warnings pass, unless they fail the run
    keeps = [sqsd_lint.passing(ROWS, fail_on="warning", **chosen)(row, i) for i, row in enumerate(ROWS)]
    assert keeps.count(False) == 2


def test_a_data_frame(chosen: dict[str, Any]) -> None:
    pytest.importorskip("pandas")
    frame = sqsd_lint.score([*ROWS, EMPTY], **chosen).to_pandas()
    assert list(frame["index"]) == list(range(7))
    assert frame["sqsd"].notna().tolist() == [True] * 6 + [False]
    assert frame["problem"][6].startswith("SQSD301: ")
    chosen["warning_threshold"] = "-1000"
    found = sqsd_lint.check(ROWS, **chosen).to_pandas()
    assert found["rules"].tolist() == ["SQSD102"] * 6
    assert sqsd_lint.check([EMPTY], **chosen).to_pandas().empty


def test_a_data_set_of_the_hub(
    chosen: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    folder = tmp_path / "snapshots" / ("c0ffee" * 7)[:40]
    write(folder / "data" / "train.jsonl", ROWS[:2])
    write(folder / "data" / "test.jsonl", ROWS[2:3])
    (folder / ".gitignore").write_text("*.jsonl\n")  # what lies there is no policy of ours
    asked: dict[str, Any] = {}

    def download(name: str, **arguments: Any) -> str:
        asked.update(arguments, name=name)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    rows = list(sqsd_lint.score("hf://datasets/org/name@v1/data", **chosen))
    assert [str(row.where) for row in rows] == [
        "hf://datasets/org/name@c0ffeec0ffee/data/test.jsonl:1",
        "hf://datasets/org/name@c0ffeec0ffee/data/train.jsonl:1",
        "hf://datasets/org/name@c0ffeec0ffee/data/train.jsonl:2",
    ]
    assert (asked["name"], asked["revision"], asked["repo_type"]) == ("org/name", "v1", "dataset")
    assert asked["allow_patterns"] == ["data", "data/*"]

    def gone(name: str, **arguments: Any) -> str:
        raise OSError("no network\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gone)
    with pytest.raises(CannotScoreError, match=r"cannot be fetched: no network\Z"):
        sqsd_lint.check("hf://datasets/org/name", **chosen)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "no paths"),
        ({"question": "a", "answer": "b"}, "one row"),
        ("hf://datasets/name", "is no data set"),
    ],
)
def test_what_is_no_data_is_refused(data: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sqsd_lint.check(data)
