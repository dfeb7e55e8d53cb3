"""Scores into violations: rule packs, thresholds, calibration, what was accepted before, the verdict."""

from __future__ import annotations

from sqsd_lint.rules.accepted import Accepted, Judged, judge_all, load_accepted
from sqsd_lint.rules.baseline import DEFAULT_BASELINE, Baseline, Entry, parse_baseline, read_baseline
from sqsd_lint.rules.budget import Training
from sqsd_lint.rules.calibration import Calibration
from sqsd_lint.rules.combine import hear
from sqsd_lint.rules.evaluation import Heard, Voice
from sqsd_lint.rules.judge import judge
from sqsd_lint.rules.next_steps import next_steps
from sqsd_lint.rules.packs import Pack, load_pack, parse_pack
from sqsd_lint.rules.policy import Policy, make_policy
from sqsd_lint.rules.suppressions import (
    DEFAULT_SUPPRESSIONS,
    Suppressions,
    parse_suppressions,
    read_suppressions,
)
from sqsd_lint.rules.threshold import near_line
from sqsd_lint.rules.verdict import count_coverage, exit_code

__all__ = [
    "DEFAULT_BASELINE",
    "DEFAULT_SUPPRESSIONS",
    "Accepted",
    "Baseline",
    "Calibration",
    "Entry",
    "Heard",
    "Judged",
    "Pack",
    "Policy",
    "Suppressions",
    "Training",
    "Voice",
    "count_coverage",
    "exit_code",
    "hear",
    "judge",
    "judge_all",
    "load_accepted",
    "load_pack",
    "make_policy",
    "near_line",
    "next_steps",
    "parse_baseline",
    "parse_pack",
    "parse_suppressions",
    "read_baseline",
    "read_suppressions",
]
