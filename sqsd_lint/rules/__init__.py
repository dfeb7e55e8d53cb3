"""Scores into violations: rules, packs, thresholds, calibration, what was accepted before, the verdict."""

from __future__ import annotations

from sqsd_lint.rules.accepted import Accepted, RemainingFindings, load_accepted, subtract_accepted
from sqsd_lint.rules.baseline import DEFAULT_BASELINE, Baseline, BaselineEntry, parse_baseline, read_baseline
from sqsd_lint.rules.calibration import ScoreCalibration
from sqsd_lint.rules.combine import evaluate
from sqsd_lint.rules.evaluation import KEEP_ALL, BundleScores, Evaluation, Keeping
from sqsd_lint.rules.fine_tune import FineTuneSettings
from sqsd_lint.rules.judge import judge
from sqsd_lint.rules.next_steps import next_steps
from sqsd_lint.rules.packs import Pack, load_pack, parse_pack
from sqsd_lint.rules.policy import Policy
from sqsd_lint.rules.policy_settings import make_policy
from sqsd_lint.rules.second_look import SecondLook
from sqsd_lint.rules.suppressions import (
    DEFAULT_SUPPRESSIONS,
    Suppressions,
    parse_suppressions,
    read_suppressions,
)
from sqsd_lint.rules.threshold import is_near, reaches
from sqsd_lint.rules.verdict import CoverageCount, count_coverage, exit_code

__all__ = [
    "DEFAULT_BASELINE",
    "DEFAULT_SUPPRESSIONS",
    "KEEP_ALL",
    "Accepted",
    "Baseline",
    "BaselineEntry",
    "BundleScores",
    "CoverageCount",
    "Evaluation",
    "FineTuneSettings",
    "Keeping",
    "Pack",
    "Policy",
    "RemainingFindings",
    "ScoreCalibration",
    "SecondLook",
    "Suppressions",
    "count_coverage",
    "evaluate",
    "exit_code",
    "is_near",
    "judge",
    "load_accepted",
    "load_pack",
    "make_policy",
    "next_steps",
    "parse_baseline",
    "parse_pack",
    "parse_suppressions",
    "reaches",
    "read_baseline",
    "read_suppressions",
    "subtract_accepted",
]
