"""Rows as people write them, which lie beside the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.read import read_rows
from sqsd_lint.samples import Reading, to_sample
from sqsd_lint.types import Problem, Sample, Undesirable

CASES = Path(__file__).parents[3] / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the case files are not beside the repository")

Result = Sample | Problem | Undesirable


def results(file: Path, reading: Reading | None = None) -> list[Result]:
    rows = read_rows(str(file))
    return [row if isinstance(row, Problem) else to_sample(row, reading or Reading()) for row in rows]


def kinds(folder: str, reading: Reading | None = None) -> dict[str, list[str]]:
    """Per file what its rows became: "sample", a code, or "undesirable"."""

    def kind(result: Result) -> str:
        if isinstance(result, Problem):
            return result.code
        return "sample" if isinstance(result, Sample) else "undesirable"

    return {
        file.name: [kind(result) for result in results(file, reading)]
        for file in sorted((CASES / folder).iterdir())
    }


def others(found: dict[str, list[str]], *usual: str) -> dict[str, list[str]]:
    return {name: each for name, each in found.items() if not set(each) <= set(usual)}


def test_signs() -> None:
    found = kinds("01-kto-label")
    pairs = {name: each for name, each in found.items() if len(each) == 2}
    assert {tuple(sorted(each)) for each in pairs.values()} == {("sample", "undesirable")}
    rest = {name.partition(".")[0]: each for name, each in found.items() if len(each) == 1}
    learnt = {"n10_text_label", "n7_swift_rejected", "n8_swift_rejected_messages", "n9_trl_stepwise", "swift"}
    assert {name for name, each in rest.items() if each == ["sample"]} == {*learnt, "unsafe_rejected"}
    assert all(each in (["sample"], ["undesirable"]) for each in rest.values())


def test_layouts_and_conversations() -> None:
    assert others(kinds("02-openai-dpo"), "sample") == {}
    assert others(kinds("03-conversation-column"), "sample") == {}
    assert others(kinds("04-layouts"), "sample") == {"content.jsonl": ["SQSD303"]}
    (refused,) = results(CASES / "04-layouts" / "content.jsonl")
    assert isinstance(refused, Problem)
    assert 'columns = { text = "content" }' in refused.hint


def test_roles() -> None:
    assert others(kinds("05-roles"), "sample") == {"patientdoctor.jsonl": ["SQSD303"]}
    named = Reading.from_tables(roles={"patient": "user", "doctor": "assistant"})
    assert others(kinds("05-roles", named), "sample") == {}


def test_tools_and_trees() -> None:
    assert others(kinds("12-tools"), "sample") == {}
    assert {kind for each in kinds("13-oasst").values() for kind in each} == {"SQSD303"}


def test_training_flags() -> None:
    assert others(kinds("19-train-flags"), "sample") == {}
    for file in (CASES / "19-train-flags").iterdir():
        (sample,) = results(file)
        assert isinstance(sample, Sample)
        named = bool(sample.remarks)
        assert named is (file.stem != "plain")
        heeded = file.stem not in ("plain", "traindetail", "weighthalf")
        assert sample.mask == (False, not heeded, False, True)


def test_text_beside_the_answer() -> None:
    assert others(kinds("20-hidden-fields"), "sample") == {}
    (sample,) = results(CASES / "20-hidden-fields" / "cot_column.jsonl")
    assert isinstance(sample, Sample)
    assert "'cot'" in "".join(sample.remarks)


MAPPINGS: list[dict[str, Any]] = [
    {},
    {"response": "answer"},
    {"prompt": "instruction", "response": "answer"},
    {"messages": "conversation"},
    {"text": "body"},
]


@pytest.mark.parametrize("columns", MAPPINGS)
def test_mappings_lose_no_row(columns: dict[str, Any]) -> None:
    assert others(kinds("21-columns-setting", Reading.from_tables(columns)), "sample") == {}


def test_context_counts() -> None:
    folder = CASES / "22-context-dropped"
    of: Callable[[str], Any] = lambda name: results(folder / f"{name}.jsonl")[0]  # noqa: E731
    bare, full = of("a2_alpaca_noinput").fingerprint, of("a1_alpaca").fingerprint
    assert bare != full
    assert {of(name).fingerprint for name in ("b2_lf_dpo_noinput", "c2_qa", "d2_prompt_completion")} == {bare}
    same = (
        "b1_lf_dpo",
        "c1_qca",
        "d1_prompt_ctx_completion",
        "d3_prompt_input_response",
        "f1_dolly",
        "g1_squad",
    )
    assert {of(name).fingerprint for name in same} == {full}
    assert len({of(name).fingerprint for name in ("e1_prompt_hist", "h1_qa_system")} | {bare, full}) == 4
