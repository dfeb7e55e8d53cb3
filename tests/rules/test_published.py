"""Packs, pages, schemas and catalogue say the same thing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from sqsd_lint import resources
from sqsd_lint.cli.app import main
from sqsd_lint.common.schema import validate
from sqsd_lint.resources import load_schema, rules_dir
from sqsd_lint.rules import registry
from sqsd_lint.rules.published import published
from sqsd_lint.rules.registry import RULES
from sqsd_lint.rules.rule import Rule
from sqsd_lint.rules.threshold import THRESHOLD_SCHEMA, parse_threshold

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECTIONS = ["What it does", "Why is this bad?", "Example", "How to fix", "Options", "Source"]
PACKS = sorted(rules_dir().glob("*.json"))
SCHEMAS = sorted((rules_dir() / "schemas").glob("*.schema.json"))
rules = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
packs = pytest.mark.parametrize("pack", PACKS, ids=lambda path: path.stem)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.name)
def test_schemas_are_schemas(schema: Path) -> None:
    document = json.loads(schema.read_text(encoding="utf-8"))
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(document)


@packs
def test_packs_are_valid_and_hold_every_rule(pack: Path) -> None:
    document = json.loads(pack.read_text(encoding="utf-8"))
    validate(document, "rules", source=pack.name)
    assert list(document["rules"]) == list(RULES)
    for code in RULES.with_threshold:
        parse_threshold(document["rules"][code]["threshold"])


@pytest.mark.parametrize(("path", "text"), published(), ids=lambda value: getattr(value, "name", ""))
def test_what_follows_from_the_rules_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `python -m sqsd_lint.rules.published`"


def test_the_schema_of_packs_knows_every_rule_and_its_options() -> None:
    known = load_schema("rules")["properties"]["rules"]["properties"]
    assert {code: entry["required"] for code, entry in known.items()} == {
        code: ["severity", *rule.options] for code, rule in RULES.items()
    }


def test_the_schemas_of_accepted_findings_know_the_rules_that_may_be_accepted() -> None:
    files = load_schema("baseline")["properties"]["findings"]["additionalProperties"]
    entry = load_schema("suppressions")["$defs"]["SuppressionTable"]["properties"]["ignore"]
    for rules in (files["additionalProperties"]["items"]["enum"], entry["items"]["enum"]):
        assert rules == sorted(RULES.acceptable)


def test_the_configuration_knows_every_rule() -> None:
    known = load_schema("config")["properties"]
    assert list(known["severity"]["properties"]) == list(RULES)
    assert known["allow"]["items"]["enum"] == list(RULES.unscored)
    assert known["threshold"]["pattern"] == THRESHOLD_SCHEMA["pattern"]


def test_the_help_of_allow_names_what_may_be_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--help"])
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"for these reasons: {', '.join(RULES.unscored)}." in words


@rules
def test_a_rule_is_in_the_folder_of_its_scope(rule: Rule) -> None:
    file = Path(registry.__file__).parent / rule.scope.value / f"{rule.name.replace('-', '_')}.py"
    assert f'"{rule.code}"' in file.read_text(encoding="utf-8")
    assert rule.unscored or type(rule) is not Rule


@rules
def test_catalogue_and_default_pack_agree(rule: Rule) -> None:
    document = json.loads((rules_dir() / "default.json").read_text(encoding="utf-8"))
    assert document["rules"][rule.code]["severity"] == rule.severity.value


@rules
def test_catalogue_and_page_agree(rule: Rule) -> None:
    page = rule.page()
    assert page.splitlines()[0] == f"# {rule.name} ({rule.code})"
    assert f"Default severity: **{rule.severity.value}**" in page
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS


@rules
def test_pages_name_the_numbers_of_the_packs(rule: Rule) -> None:
    for pack in PACKS:
        entry = json.loads(pack.read_text(encoding="utf-8"))["rules"][rule.code]
        for key, value in entry.items():
            assert key == "severity" or f"`{value}`" in rule.page()


@rules
def test_options_and_toml_on_pages_exist(rule: Rule) -> None:
    known = load_schema("config")["properties"]
    options = rule.page().split("## Options\n")[1].split("## Source")[0]
    assert set(re.findall(r"^- `([a-z-]+)`", options, re.MULTILINE)) <= set(known)
    for block in re.findall(r"```toml\n(.*?)```", rule.page(), re.DOTALL):
        schema = "suppressions" if re.match(r"\[[0-9a-f]{32}]", block) else "config"
        validate(tomllib.loads(block), schema, source=rule.code)


def test_no_page_is_left_over() -> None:
    assert {path.stem for path in rules_dir().glob("*.md")} == set(RULES)


@pytest.mark.parametrize(
    "name", ["threshold", "device", "paths", "allow", "columns", "severity", "per-file-ignores"]
)
def test_examples_in_the_schema_hold(name: str) -> None:
    for example in load_schema("config")["properties"][name]["examples"]:
        validate({name: example}, "config", source=name)


def test_a_wheel_brings_its_own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "sqsd_lint")
    assert resources.rules_dir() == tmp_path / "rules"
    (tmp_path / "sqsd_lint/_rules").mkdir(parents=True)
    assert resources.rules_dir() == tmp_path / "sqsd_lint/_rules"
    assert resources.bundles_dir() == tmp_path / "sqsd_lint/_bundles"
