from __future__ import annotations

import io
import json
from dataclasses import replace

from sqsd_lint.report.views.plan import BundlePlan, CheckPlan, announcement, print_plan, print_plan_json

BUNDLE = BundlePlan("default", "SmolLM2-135M", "cpu", "bfloat16", 800, 400, 120_000, 130.4, "measured")
PLAN = CheckPlan(3, 12_400_000, 1204, 4, True, (BUNDLE,), ("1 quarantine\x1b[2J file was not read",))


def text(plan: CheckPlan) -> str:
    stream = io.StringIO()
    print_plan(plan, stream)
    return stream.getvalue()


def test_a_plan_in_words() -> None:
    assert text(PLAN) == (
        "3 files, 12.4 MB: 1,204 rows\n"
        "4 rows or files will have no score: a check says why\n"
        "default (SmolLM2-135M, bfloat16 on cpu): 800 cached, 400 to score, "
        "about 2 min by earlier runs here\n"
        "note: 1 quarantine\\x1b[2J file was not read\n"
        "Nothing was scored (--dry-run).\n"
    )
    unknown = replace(PLAN, bundles=(replace(BUNDLE, cached=0, seconds=None, basis=""),))
    assert "400 to score, for how long is not known here yet: a check with --sample 50 tells" in text(unknown)
    assert "all 800 scores are in the cache" in text(replace(PLAN, bundles=(replace(BUNDLE, rows=0),)))


def test_what_is_said_before_a_check_of_many_rows() -> None:
    assert announcement(PLAN) == (
        "3 files, 12.4 MB: 1,204 rows; 800 cached, 400 to score, about 2 min by earlier runs here"
    )
    assert announcement(replace(PLAN, bundles=(replace(BUNDLE, rows=0),))) == ""
    part = replace(PLAN, complete=False, rows=20_000, bundles=(replace(BUNDLE, seconds=7300.0),))
    assert "more than 20,000 rows" in announcement(part)
    assert announcement(part).endswith("at least 2.0 h by earlier runs here. For a first look: --sample 200")
    two = replace(PLAN, bundles=(BUNDLE, replace(BUNDLE, name="other", rows=0)))
    assert "default (SmolLM2-135M, bfloat16 on cpu): 800 cached" in announcement(two)
    assert "other (SmolLM2-135M, bfloat16 on cpu): all 800 scores" in announcement(two)


def test_a_plan_for_programs() -> None:
    stream = io.StringIO()
    print_plan_json(PLAN, stream)
    found = json.loads(stream.getvalue())
    assert (found["rows"], found["seconds"], found["bundles"][0]["to_score"]) == (1204, 130.4, 400)
    print_plan_json(replace(PLAN, bundles=(replace(BUNDLE, seconds=None, basis=""),)), stream)
