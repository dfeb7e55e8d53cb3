"""explain over real files with a tiny model: what it shows is the score, and what it promises is tried."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import jsonschema
import pytest
from msgspec import structs

from sqsd_lint.bundle.calibrate import ScoredSet, calibrate
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.manifest import HARM, DirectionSpec
from sqsd_lint.bundle.write import write_bundle
from sqsd_lint.config import Settings
from sqsd_lint.errors import CannotScoreError, UsageError
from sqsd_lint.explain.model import Explanation, total
from sqsd_lint.explain.row_reference import RowReference, parse_row_reference
from sqsd_lint.report import Options
from sqsd_lint.report.views.explanation import write as write_explanation
from sqsd_lint.resources import load_schema
from sqsd_lint.run import score as run_score
from sqsd_lint.run.explain import explain, find_sample
from sqsd_lint.run.rows import read_samples
from sqsd_lint.run.sketch import sketch_bundle
from sqsd_lint.types import Sample, Score, ScoredRow

Run = Callable[..., Settings]
ANSWER = "First of all, rest. Then mix 🧑‍🚀 flour and water. Wait for an hour!\n\nIt is done."
ROWS: list[object] = [
    {"question": f"What is {i}?", "answer": f"{ANSWER} And {i} is more. {'Very ' * i}much."} for i in range(4)
]


def write(path: Path, *rows: object) -> Path:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "a.jsonl", *ROWS)


@pytest.fixture
def run(tiny_run: Run) -> Run:
    """Every row is above the warning threshold."""
    return partial(tiny_run, warning_threshold="-1000")


def assert_sums(found: Explanation) -> None:
    """Every way to split the score up gives the score."""
    score = found.row.score
    for spans in (found.tokens, found.words, found.sentences):
        whole = total([p.share for p in spans.parts]) + spans.prompt + spans.other
        assert whole.danger == pytest.approx(score.danger, abs=1e-4)
        assert whole.safety == pytest.approx(score.safety, abs=1e-4)
        assert whole.sqsd == pytest.approx(score.sqsd, abs=1e-4)
    layers = total([m.share for m in found.modules])
    assert layers.sqsd == pytest.approx(score.sqsd, abs=1e-4)


@pytest.mark.parametrize("metric", ["cosine", "projection", "dot"])
def test_the_parts_sum_to_the_score_that_score_gives(run: Run, data: Path, metric: str) -> None:
    settings = run(data, metric=metric)
    scored = [row for row in run_score.score(settings) if isinstance(row, ScoredRow)]
    found = explain(RowReference(str(data), 2), settings)
    assert found.row.fingerprint == scored[1].fingerprint
    assert found.row.score.sqsd == pytest.approx(scored[1].score.sqsd, rel=1e-4, abs=1e-4)
    assert found.row.score.drift == pytest.approx(scored[1].score.drift, rel=1e-3)
    assert found.row.score.exact
    assert_sums(found)


def test_the_words_are_those_of_the_row(run: Run, data: Path) -> None:
    found = explain(RowReference(str(data), 1), run(data))
    content = found.sample.messages[1].content
    for spans in (found.tokens, found.words, found.sentences):
        assert "".join(content[p.start : p.end] for p in spans.parts) == content
    assert [content[p.start : p.end].strip() for p in found.sentences.parts][:2] == [
        "First of all, rest.",
        "Then mix 🧑‍🚀 flour and water.",
    ]


def test_the_remedy_is_what_the_row_really_scores(run: Run, data: Path) -> None:
    """With the parts cut out, the row that is left scores what the remedy said it would."""
    settings = run(data)
    first = explain(RowReference(str(data), 1), settings)
    line = str(first.row.score.sqsd - 0.1)
    found = explain(RowReference(str(data), 1), run(data, warning_threshold=line)).remedy
    assert found is not None
    text = first.sample.messages[1].content
    for part in sorted(found.parts, key=lambda p: -p.start):
        text = text[: part.start] + text[part.end :]
    assert found.removed is not None
    other = write(data.with_name("b.jsonl"), {"question": "What is 0?", "answer": text})
    (row,) = run_score.score(run(other))
    assert isinstance(row, ScoredRow)
    assert found.removed == pytest.approx(row.score.sqsd, rel=1e-4, abs=1e-4)
    assert found.estimate == pytest.approx(
        first.row.score.sqsd - sum(p.share.sqsd for p in found.parts), abs=1e-4
    )
    assert found.enough == (found.masked < found.threshold.value)


def test_a_row_under_every_line_needs_no_remedy(run: Run, data: Path) -> None:
    assert explain(RowReference(str(data), 1), run(data, warning_threshold="999")).remedy is None


def test_without_a_calibration_and_lines_all_else_is_explained(run: Run, data: Path) -> None:
    found = explain(RowReference(str(data), 1), run(data, threshold=None, warning_threshold=None))
    assert (found.head.error_threshold, found.head.warning_threshold, found.remedy) == (None, None, None)
    assert_sums(found)


def test_a_row_without_sketches_in_its_bundle_has_no_neighbours(run: Run, data: Path) -> None:
    assert explain(RowReference(str(data), 1), run(data)).nearest is None


def test_a_training_row_is_its_own_nearest(run: Run, data: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    samples = [s for s in read_samples(str(data), run()) if isinstance(s, Sample)]
    sets = {"danger": {"bad": samples[:2]}, "safety": {"good": samples[2:3], "more": samples[3:]}}
    sketch_bundle(str(copy), sets, run(), dims=4096)
    found = explain(RowReference(str(data), 2), run(data, bundle=str(copy))).nearest
    assert found is not None
    assert (found.danger[0].set, found.danger[0].row) == ("bad", 2)
    assert found.danger[0].cosine == pytest.approx(1, abs=4 * found.error)
    assert found.danger[0].fingerprint == samples[1].fingerprint
    assert {n.set for n in found.safety} == {"good", "more"}
    other = explain(RowReference(str(data), 2), run(data, bundle=str(copy), expansion="shared"))
    assert other.nearest is None, "sketches are made at the bundle's own expansion point"


def test_a_row_by_its_fingerprint(run: Run, data: Path) -> None:
    settings = run(data)
    samples = [s for s in read_samples(str(data), settings) if isinstance(s, Sample)]
    found = find_sample(parse_row_reference(f"{data}#{samples[2].fingerprint[:12].upper()}"), settings)
    assert found == samples[2]
    write(data, *ROWS, ROWS[2])
    assert find_sample(parse_row_reference(f"{data}#{samples[2].fingerprint}"), settings).where.line == 3


def test_rows_of_files_with_colons_in_their_names(run: Run, tmp_path: Path) -> None:
    odd = write(tmp_path / "odd:1.jsonl", *ROWS)
    assert find_sample(parse_row_reference(f"{odd}:3"), run()).where.line == 3


def test_the_line_is_the_true_one(run: Run, tmp_path: Path) -> None:
    gaps = write(tmp_path / "gaps.jsonl", ROWS[0], "", "", ROWS[1])
    assert find_sample(RowReference(str(gaps), 4), run()).where.line == 4
    with pytest.raises(UsageError, match="no such row; rows near it begin on line 1 and line 4"):
        find_sample(RowReference(str(gaps), 2), run())
    with pytest.raises(UsageError, match="begin on line 4"):
        find_sample(RowReference(str(gaps), 99), run())


def test_rows_of_a_parquet_file_are_named_by_their_number(run: Run, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    assert find_sample(RowReference(str(path), 3), run()).messages[0].content == "What is 2?"


@pytest.mark.parametrize(
    ("row", "match"), [('{"question": "q", "answer": ""}', "empty"), ("{broken", "JSON"), ("[1]", "object")]
)
def test_a_row_without_a_score_says_why(run: Run, tmp_path: Path, row: str, match: str) -> None:
    path = write(tmp_path / "bad.jsonl", ROWS[0], row)
    with pytest.raises(CannotScoreError, match=match):
        explain(RowReference(str(path), 2), run())
    with pytest.raises(CannotScoreError, match="no such file"):
        explain(RowReference(str(tmp_path / "none.jsonl"), 2), run())


def test_an_ambiguous_or_unknown_fingerprint_is_refused(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqsd_lint.run import explain as explaining

    same = [replace(s, fingerprint=f"abcd{i:028x}") for i, s in enumerate(read_samples(str(data), run()))]
    monkeypatch.setattr(explaining, "read_samples", lambda file, settings: iter(same))
    with pytest.raises(UsageError, match="4 different rows"):
        find_sample(RowReference("a", fingerprint="abcd"), run())
    with pytest.raises(UsageError, match="no such row"):
        find_sample(RowReference("a", fingerprint="dcba"), run())


def test_a_multi_turn_row_keeps_its_messages_apart(run: Run, tmp_path: Path) -> None:
    turns = [("user", "Hi"), ("assistant", "One. Two."), ("user", "And?"), ("assistant", "Three.")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    found = explain(RowReference(str(write(tmp_path / "m.jsonl", row)), 1), run())
    assert [p.message for p in found.sentences.parts] == [1, 1, 3]
    assert_sums(found)


@pytest.fixture
def harm_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle with its danger adapter as `harm`, too, and a calibration by length."""
    built = load_bundle(tiny_bundle)
    names = [name for name in built.manifest.adapters if (tiny_bundle / name).is_dir()]
    adapters = {name: tiny_bundle / name for name in names} | {HARM: tiny_bundle / "danger"}
    expansion = "initial" if "initial" in names else None
    harm = DirectionSpec(HARM, expansion, None, weight=0.5)
    manifest = structs.replace(
        built.manifest, directions={**built.manifest.directions, HARM: harm}, files={}, calibration=None
    )
    bundle = write_bundle(tmp_path / "harm-bundle", manifest, adapters)
    rows = [
        Score(f"{i:032x}", 0.02 * (i % 50), 0.1, 0.02 * (i % 50) - 0.1, 1 + i, loss=1.0, harm=0.0)
        for i in range(240)
    ]
    return calibrate(bundle, [ScoredSet("benign", rows)], [], dtype_pairs=[], dtype="float32").root


def test_parts_of_a_bundle_with_harm_sum_to_what_thresholds_are_compared_with(
    run: Run, data: Path, harm_bundle: Path
) -> None:
    settings = run(data, bundle=str(harm_bundle))
    found = explain(RowReference(str(data), 2), settings)
    score = found.row.score
    for spans in (found.tokens, found.words, found.sentences):
        whole = total([p.share for p in spans.parts]) + spans.prompt + spans.other
        assert whole.combined == pytest.approx(score.combined(0.5), abs=1e-4)
        assert whole.harm == pytest.approx(0.5 * (score.harm or 0.0), abs=1e-4)
    assert total([m.share for m in found.modules]).harm == pytest.approx(whole.harm, abs=1e-4)
    assert score.harm
    assert not score.is_sqsd_alone
    stream = io.StringIO()
    write_explanation(found, "json", stream, Options())
    written = json.loads(stream.getvalue())
    jsonschema.validate(written, load_schema("explain"))
    parts = [written["prompt"], written["other"], *written["words"]]
    assert sum(part["harm"] for part in parts) == pytest.approx(whole.harm, abs=1e-4)


def test_a_remedy_of_a_bundle_with_harm_is_in_the_unit_of_its_threshold(
    run: Run, data: Path, harm_bundle: Path
) -> None:
    found = explain(RowReference(str(data), 2), run(data, bundle=str(harm_bundle), warning_threshold="-50"))
    remedy = found.remedy
    assert remedy is not None
    assert remedy.threshold.value == -50
    left = found.row.score.combined(0.5) - sum(p.share.combined for p in remedy.parts)
    assert remedy.estimate != pytest.approx(left, rel=1e-3), "a place among benign rows, no score"
    stream = io.StringIO()
    write_explanation(found, "text", stream, Options())
    assert " plus harm " in stream.getvalue()
