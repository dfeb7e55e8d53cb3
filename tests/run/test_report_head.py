"""The head of a report: by one bundle its own, by several the heads of all and their texts side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sqsd_lint.bundle.agreement import measure, store
from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.config import Settings
from sqsd_lint.rules import load_pack
from sqsd_lint.run.bundle_run import BundleRun
from sqsd_lint.run.report_head import join_heads, make_head
from sqsd_lint.types import Head

ONE = Head("org/base", "one", "1" * 64, "cosine", "paper", "float32", "cpu", None, None, ("both", "mine"))
TWO = replace(
    ONE, bundle_id="two", bundle_digest="2" * 64, metric="dot", notes=("both", "own"), uncovered=0.25
)


def head(settings: Settings, *more: str) -> Head:
    run = BundleRun(settings)
    return make_head(run, run.policy(load_pack("default")), more)


def test_one_bundle_has_its_own_head() -> None:
    assert join_heads({"one": ONE}, "all") is ONE


@pytest.mark.parametrize(("rule", "needed"), [("any", 1), ("majority", 2), ("all", 2)])
def test_several_bundles(rule: str, needed: int) -> None:
    joined = join_heads({"one": ONE, "two@2222": TWO}, rule)  # type: ignore[arg-type]
    assert joined.bundles == (ONE, TWO)
    assert (joined.base_model, joined.bundle_id, joined.metric) == ("org/base", "one + two", "cosine + dot")
    assert (joined.error_threshold, joined.warning_threshold, joined.uncovered) == (None, None, 0.25)
    assert joined.notes == (
        f"2 bundles judge every row; {needed} must find it risky (consensus: {rule})",
        *("both", "one: mine", "two@2222: own"),
    )


def test_what_explains_numbers_is_told_apart_by_several_bundles_too() -> None:
    one = replace(ONE, details=("both", "mine"))
    joined = join_heads({"one": one, "two": replace(TWO, details=("both",))}, "all")
    assert joined.details == ("both", "one: mine")
    assert set(joined.details) < set(joined.notes)


def test_what_limits_trust_stands_in_the_head_itself(tiny_run: Callable[..., Settings]) -> None:
    run = BundleRun(tiny_run())
    run._screen_note = "screen: rows are passed by at a recall of 0.98"
    run._in_parts, run._by_part, run._with_earlier = 5, 3, 2
    found = make_head(run, run.policy(load_pack("default")), ["rows went elsewhere"])
    assert [note for note in found.notes if note in found.details] == list(found.details)
    assert "5 rows were scored part by part as well: 3 rows are judged by the worst part" in found.details
    above = [note for note in found.notes if note not in found.details]
    for limit in (run._screen_note, "rows went elsewhere"):
        assert limit in above
    assert any("`turns = last` leaves unscored" in note for note in above)


def test_what_scored_the_rows(tiny_run: Callable[..., Settings], tiny_bundle: Path) -> None:
    found = head(tiny_run(metric="projection"), "one more")
    bundle = load_bundle(tiny_bundle)
    assert (found.bundle_id, found.bundle_digest) == (bundle.id, bundle.digest)
    assert (found.metric, found.expansion, found.dtype, found.device) == (
        "projection",
        "paper",
        "float32",
        "cpu",
    )
    assert found.error_threshold is not None
    assert (found.error_threshold.value, found.notes[-1], found.proxy_for) == (1000.0, "one more", "")


def test_a_proxy_says_for_what_it_stands_and_how_well(
    tiny_run: Callable[..., Settings], bundle_copy: str
) -> None:
    settings = tiny_run(bundle=bundle_copy, model="org/target", proxy=True)
    found = head(settings)
    assert (found.proxy_for, found.agreement) == ("org/target", None)
    assert any(note.endswith("judges data for org/target; agreement unknown") for note in found.notes)
    pairs = [(float(i), float(i)) for i in range(40)]
    store(load_bundle(Path(bundle_copy)), measure(pairs, target="org/target"))
    found = head(settings)
    assert found.agreement is not None
    assert any("agrees with org/target: Spearman 1.00" in note for note in found.notes)


def test_a_damaged_cache_is_a_note(tiny_run: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/scores.sqlite").write_bytes(b"This is no database." * 100)
    assert sum("the score cache was damaged" in note for note in head(tiny_run()).notes) == 1
    assert sum("the score cache was damaged" in note for note in head(tiny_run()).notes) == 0
