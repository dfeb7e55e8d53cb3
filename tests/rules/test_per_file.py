from __future__ import annotations

import os
from pathlib import Path

import pytest

from sqsd_lint.errors import UsageError
from sqsd_lint.rules import ScoreCalibration, load_pack, make_policy
from sqsd_lint.rules.policy import PerFileIgnores
from sqsd_lint.types import Severity

CALIBRATION = ScoreCalibration(tuple(map(float, range(2000))))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "file", "fits"),
    [
        ("data/legacy/*.jsonl", "data/legacy/a.jsonl", True),
        ("data/legacy/*.jsonl", "./data/legacy/a.jsonl", True),
        ("data/legacy/*.jsonl", "data/new/a.jsonl", False),
        ("data/legacy/*.jsonl", "other/data/legacy/a.jsonl", False),
        ("legacy/", "data/legacy/deep/a.jsonl", True),
        ("*.csv", "data/a.csv", True),
        ("data/**/a.csv", "data/x/y/a.csv", True),
        ("<stdin>", "<stdin>", True),
    ],
)
def test_patterns_are_gitignore_s(pattern: str, file: str, fits: bool, here: Path) -> None:
    ignores = PerFileIgnores({pattern: ["SQSD102"]})
    assert ignores(file) == (frozenset({"SQSD102"}) if fits else frozenset())
    if not file.startswith("<"):
        assert ignores(os.path.join(here, file)) == ignores(file)


def test_prefixes_and_several_patterns_add_up() -> None:
    table = {"a*": ["SQSD1"], "*b": ["SQSD302"], "c": []}
    ignores = make_policy(load_pack("default"), CALIBRATION, per_file_ignores=table).per_file
    assert ignores("ab") == {"SQSD101", "SQSD102", "SQSD302"}
    assert ignores("c") == frozenset()
    assert PerFileIgnores()("ab") == frozenset()


def test_unknown_codes_and_patterns_are_refused() -> None:
    with pytest.raises(UsageError, match="no rule is called 'SQDS1'"):
        make_policy(load_pack("default"), CALIBRATION, per_file_ignores={"a": ["SQDS1"]})
    with pytest.raises(UsageError, match="per-file-ignores: the pattern '!' means nothing"):
        PerFileIgnores({"!": ["SQSD1"]})


def test_severity_is_by_rule_and_file() -> None:
    policy = make_policy(
        load_pack("default"),
        CALIBRATION,
        per_file_ignores={"legacy/": ["SQSD102"]},
        severity={"SQSD102": "error"},
    )
    assert policy.severity("SQSD102", "new/a.jsonl") is Severity.ERROR
    assert policy.severity("SQSD102", "legacy/a.jsonl") is None
    assert policy.severity("SQSD101", "legacy/a.jsonl") is Severity.ERROR
