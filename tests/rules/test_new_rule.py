"""A rule that only this module defines, "duplicate-row": its object and its page are all that it takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from sqsd_lint import resources, types
from sqsd_lint.cli.app import main
from sqsd_lint.cli.completion import codes, vocabularies
from sqsd_lint.common.schema import validate
from sqsd_lint.config.schema import config_schema
from sqsd_lint.config.settings import TABLE
from sqsd_lint.errors import ConfigError, UsageError
from sqsd_lint.fix import plan
from sqsd_lint.report import write
from sqsd_lint.rules import (
    Accepted,
    Baseline,
    BundleScores,
    Evaluation,
    Policy,
    ScoreCalibration,
    evaluate,
    load_pack,
    make_policy,
    next_steps,
    parse_baseline,
    parse_pack,
    parse_suppressions,
    subtract_accepted,
)
from sqsd_lint.rules.published import published
from sqsd_lint.rules.registry import RULES, find_rule
from sqsd_lint.rules.rule import Category, FileFinding, FileRule, Option, RowRule, Rule, Scope, with_all_rows
from sqsd_lint.samples import to_sample
from sqsd_lint.types import Coverage, Report, Row, Sample, Score, ScoredRow, Severity, Suppression, Where
from tests.report.reports import HEAD

CODE, NAME = "SQSD901", "duplicate-row"
PAGE = f"# {NAME} ({CODE})\n\n## What it does\n\nFinds rows that a file has twice.\n"
CALIBRATION = ScoreCalibration(tuple(map(float, range(1, 2000))))


def check(rows: Sequence[ScoredRow], policy: Policy) -> Iterator[FileFinding]:
    first: dict[str, ScoredRow] = {}
    for row in sorted(rows, key=lambda row: row.where.index):
        same = first.setdefault(row.fingerprint, row)
        if same is not row and policy.options[CODE]["tolerated"] == 0:
            yield FileFinding(f"the same as the row on line {same.where.line}", row=row)


DUPLICATE = FileRule(
    code=CODE,
    name=NAME,
    severity=Severity.ERROR,
    category=Category.DATA_QUALITY,
    scope=Scope.ROW,
    movable=True,
    summary="The file has the row twice",
    hint="Remove one of the two.",
    options={"tolerated": Option(0, {"type": "integer", "minimum": 0}, int)},
    strict={"severity": "warning"},
    next_step=lambda count: f"Remove {count} duplicates.",
    check=with_all_rows(check),
)


def add(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rule: Rule) -> None:
    """Registers a rule for one test, with a page beside those that ship."""
    shutil.copytree(resources.rules_dir(), tmp_path / "rules")
    (tmp_path / "rules" / f"{CODE}.md").write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "sqsd_lint")
    monkeypatch.setattr(RULES, "_rules", dict(RULES))
    RULES.register(rule)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose third row is its first one, in the working folder; the rule is known."""
    add(monkeypatch, tmp_path, DUPLICATE)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "data.jsonl"
    rows = [{"prompt": "Say a number.", "completion": text} for text in ("one", "two", "one")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def scored(data: Path) -> list[ScoredRow]:
    rows = []
    for index, line in enumerate(data.read_text(encoding="utf-8").splitlines()):
        sample = to_sample(Row(Where(data.name, index + 1, index), json.loads(line)))
        assert isinstance(sample, Sample)
        score = Score(sample.fingerprint, 2.0, 1.0, 1.0, 5, drift=0.0)
        rows.append(ScoredRow(sample.where, sample.fingerprint, line, score))
    return rows


def evaluated(data: Path, bundles: int = 1, **options: object) -> Evaluation:
    policy = make_policy(load_pack("default"), CALIBRATION, **options)  # type: ignore[arg-type]
    names = ("one", "two")[:bundles]
    return evaluate([BundleScores(name, policy, scored(data)) for name in names], files=[data.name])


def test_it_is_reported(data: Path) -> None:
    (finding,) = evaluated(data).found
    assert (finding.rule, finding.name, finding.severity) == (CODE, NAME, Severity.ERROR)
    assert (str(finding.where), finding.message) == ("data.jsonl:3", "the same as the row on line 1")
    assert (finding.fingerprint, finding.hint) == (scored(data)[0].fingerprint, "Remove one of the two.")
    assert next_steps([finding], Coverage(3, 3), Policy({})) == ("Remove 1 duplicates.",)


def test_several_bundles_report_it_once(data: Path) -> None:
    (finding,) = evaluated(data, 2).found
    assert (finding.message, finding.where.line) == ("the same as the row on line 1", 3)


def test_it_can_be_selected_ignored_and_weighed(data: Path) -> None:
    assert [v.rule for v in evaluated(data, select=["SQSD9"]).found] == [CODE]
    assert evaluated(data, ignore=[CODE]).found == []
    assert evaluated(data, per_file_ignores={"data.*": [CODE]}).found == []
    assert evaluated(data, severity={CODE: "warning"}).found[0].severity is Severity.WARNING
    with pytest.raises(UsageError, match=f"{CODE} cannot be allowed"):
        evaluated(data, allow=[CODE])


def test_packs_hold_it_with_its_options(data: Path) -> None:
    assert load_pack("default").rules[CODE].options == {"tolerated": 0}
    assert load_pack("strict").rules[CODE].severity is Severity.WARNING
    own = {"rules": {CODE: {"severity": "error", "tolerated": 1}}}
    pack = parse_pack(json.dumps(own).encode(), name="own.json")
    policy = make_policy(pack, CALIBRATION)
    assert evaluate([BundleScores("one", policy, scored(data))]).found == []
    own["rules"][CODE]["tolerated"] = -1
    with pytest.raises(ConfigError, match="an integer of at least 0"):
        parse_pack(json.dumps(own).encode(), name="own.json")


@pytest.mark.parametrize("movable", [True, False])
def test_fix_moves_it_where_it_says_so(
    movable: bool, data: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES._rules, CODE, replace(DUPLICATE, movable=movable))  # type: ignore[arg-type]
    found = plan(evaluated(data).found)
    assert [move.where.line for file in found.files for move in file.moves] == ([3] if movable else [])
    assert [left.reason for left in found.left] == ([] if movable else ["moving a row is no answer to it"])


@pytest.mark.parametrize("unscored", [False, True])
def test_a_baseline_and_a_suppression_accept_it_unless_it_is_a_gap(
    unscored: bool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES._rules, CODE, replace(DUPLICATE, unscored=unscored))  # type: ignore[arg-type]
    evaluation = evaluated(data)
    digest = evaluation.found[0].fingerprint
    baseline = Baseline("base", os.getcwd()).with_findings(evaluation.found)
    text = f'[{digest}]\nignore = ["{CODE}"]\nreason = "wanted twice"\n'.encode()
    if unscored:
        assert [v.rule for v in subtract_accepted(evaluation, Accepted(baseline)).violations] == [CODE]
        with pytest.raises(ConfigError, match="expected one of"):
            parse_baseline(baseline.dump(), source="base", folder=os.getcwd())
        with pytest.raises(ConfigError, match="cannot be suppressed"):
            parse_suppressions(text, source="s.toml", folder=os.getcwd())
        return
    read = parse_baseline(baseline.dump(), source="base", folder=os.getcwd())
    left = subtract_accepted(evaluation, Accepted(read), files=[data.name])
    assert (left.violations, left.baselined) == ((), 1)
    suppressions = parse_suppressions(text, source="s.toml", folder=os.getcwd())
    assert subtract_accepted(evaluation, Accepted(suppressions=suppressions)).suppressed == 1


def test_a_row_may_suppress_it_and_is_told_when_that_is_needless(data: Path) -> None:
    seen = Suppression((CODE,), "wanted twice")
    rows = [replace(row, suppression=seen) for row in scored(data)]
    policy = make_policy(load_pack("default"), CALIBRATION)
    left = subtract_accepted(evaluate([BundleScores("one", policy, rows)]), files=[data.name])
    assert left.suppressed == 1
    # The second row alone has no twin.
    assert [(v.rule, v.where.line) for v in left.violations] == [("SQSD401", 2)]


@pytest.mark.parametrize("category", Category)
def test_sarif_describes_it(category: Category, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES._rules, CODE, replace(DUPLICATE, category=category))  # type: ignore[arg-type]
    found = tuple(evaluated(data).found)
    stream = StringIO()
    write(Report(HEAD, found, Coverage(3, 3), 1), "sarif", stream)
    (run,) = json.loads(stream.getvalue())["runs"]
    described = {each["id"]: each for each in run["tool"]["driver"]["rules"]}
    assert list(described) == list(RULES)
    assert described[CODE]["properties"]["tags"] == [category.value, "training-data"]
    assert described[CODE]["help"]["markdown"] == PAGE
    assert described[CODE]["fullDescription"]["text"] == "Finds rows that a file has twice."
    assert [result["ruleId"] for result in run["results"]] == [CODE]


def test_the_commands_know_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_rule(NAME) is DUPLICATE
    assert main(["rule", CODE]) == 0
    assert capsys.readouterr().out == PAGE
    assert main(["rule", "--all"]) == 0
    assert capsys.readouterr().out.endswith("\n" + PAGE)
    assert main(["rule"]) == 0
    assert "The file has the row twice." in capsys.readouterr().out
    assert codes("SQSD101,sqsd9") == [f"SQSD101,{CODE}"]


def test_it_is_published(data: Path, tmp_path: Path) -> None:
    for path, text in published():
        assert path.is_relative_to(tmp_path)
        assert (CODE in text) == (CODE in RULES.acceptable)
        path.write_text(text, encoding="utf-8")
    config = config_schema(TABLE, vocabularies(TABLE))
    validate({"severity": {CODE: "warning"}}, config, source="here")
    with pytest.raises(ConfigError):
        validate({"allow": [CODE]}, config, source="here")
    digest = "0" * 32
    validate({digest: {"ignore": [CODE], "reason": "x"}}, "suppressions", source="here")
    validate({"version": 1, "findings": {"a": {digest: [CODE]}}}, "baseline", source="here")


def test_a_check_of_a_row_gets_row_and_policy(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def long(row: ScoredRow, policy: types.Any) -> str:
        assert isinstance(policy, Policy)
        return "a long answer" if row.score.tokens > 4 else ""

    rule = RowRule(
        code="SQSD902",
        name="long-row",
        severity=Severity.WARNING,
        category=Category.DATA_QUALITY,
        graver="SQSD101",
        summary="The answer is long",
        hint="Shorten it.",
        check=long,
    )
    RULES.register(rule)
    (finding, *_) = evaluated(data, select=["SQSD902"]).found
    assert (finding.rule, finding.message, finding.where.line) == ("SQSD902", "a long answer", 1)
    (finding, *_) = evaluated(data, 2, select=["SQSD902"]).found
    assert (finding.message, len(finding.opinions)) == ("a long answer", 2)
    risky = evaluated(data, select=["SQSD101", "SQSD902"], threshold="0.5").found
    assert {v.rule for v in risky} == {"SQSD101"}


def test_codes_and_names_are_unique() -> None:
    for rule in (replace(DUPLICATE, name="another"), replace(DUPLICATE, code="SQSD999")):
        with pytest.raises(ValueError, match=CODE):
            RULES.register(rule)


FILE = """
from sqsd_lint.rules.rule import Category, RowRule
from sqsd_lint.types import Severity

RULE = RowRule(
    code="SQSD901",
    name="duplicate-row",
    severity=Severity.ERROR,
    category=Category.DATA_QUALITY,
    summary="The file has the row twice",
    hint="Remove one of the two.",
    check=lambda row, policy: "twice",
)
"""


def test_a_new_file_in_its_folder_is_a_new_rule(data: Path, tmp_path: Path) -> None:
    package = tmp_path / "sqsd_lint"
    source = Path(resources.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("_bundles", "__pycache__"))
    (package / "rules" / "row" / "duplicate_row.py").write_text(FILE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sqsd_lint", "rule", NAME],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, PAGE), done.stderr
