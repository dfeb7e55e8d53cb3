from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.config import Resolved, Settings, load_settings
from sqsd_lint.errors import ConfigError, ExitCode, UsageError
from sqsd_lint.resources import load_schema
from sqsd_lint.samples import Columns


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder above which no configuration is found, whatever lies in the temporary folder."""
    (tmp_path / "sqsd-lint.toml").write_text("")
    return tmp_path


def load(
    cwd: Path,
    cli: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    **options: Any,
) -> Resolved:
    return load_settings(cli or {}, cwd=cwd, environ=env or {}, **options)


def refused(cwd: Path, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(cwd, **options)
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value


def test_nothing_set_gives_the_defaults(root: Path) -> None:
    resolved = load(root)
    assert resolved.settings == Settings()
    assert set(resolved.origins.values()) == {"default"}
    assert set(resolved.origins) == {field.name for field in fields(Settings)}


def test_stronger_sources_win_and_are_named(root: Path) -> None:
    (root / "sqsd-lint.toml").write_text(
        'device = "cpu"\ndtype = "float32"\nmax-length = 64\nturns = "last"\nmetric = "dot"\n'
    )
    resolved = load(
        root,
        {"device": "mps", "max_length": None, "select": [], "paths": ["a", "b"]},
        {"SQSD_LINT_DEVICE": "cuda", "SQSD_LINT_DTYPE": "bfloat16", "HOME": "/x", "SQSD_LINT_MODEL": " "},
    )
    assert resolved.settings == Settings(
        paths=("a", "b"), device="mps", dtype="bfloat16", max_length=64, turns="last", metric="dot"
    )
    origins = resolved.origins
    assert origins["device"] == origins["paths"] == "command line"
    assert origins["dtype"] == "environment SQSD_LINT_DTYPE"
    assert origins["max_length"] == "sqsd-lint.toml"
    assert origins["model"] == origins["select"] == "default"


def test_every_kind_of_environment_variable(root: Path) -> None:
    env = {
        "SQSD_LINT_PROXY": "Yes",
        "SQSD_LINT_CACHE": "0",
        "SQSD_LINT_BATCH_TOKENS": "4096",
        "SQSD_LINT_SELECT": "SQSD1, SQSD301,",
        "SQSD_LINT_COLUMNS": "prompt=query, response=reply",
        "SQSD_LINT_THRESHOLD": "p99.5",
        "SQSD_LINT_WARNING_THRESHOLD": "2",
        "SQSD_LINT_CACHE_DIR": "scores",
        "SQSD_LINT_LEARNING_RATE": "5e-5",
        "SQSD_LINT_BATCH_SIZE": "16",
        "SQSD_LINT_SEVERITY": "SQSD102=error,SQSD302=error",
        "SQSD_LINT_PER_FILE_IGNORES": "a/*=SQSD102, b.jsonl=SQSD1, a/*=SQSD302",
    }
    assert load(root, env=env).settings == Settings(
        proxy=True,
        cache=False,
        batch_tokens=4096,
        select=("SQSD1", "SQSD301"),
        columns={"prompt": "query", "response": "reply"},
        threshold="p99.5",
        warning_threshold="2",
        cache_dir="scores",
        learning_rate=5e-5,
        batch_size=16,
        severity={"SQSD102": "error", "SQSD302": "error"},
        per_file_ignores={"a/*": ["SQSD102", "SQSD302"], "b.jsonl": ["SQSD1"]},
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SQSD_LINT_DEVICE", "gpu", '"cuda:0"'),
        ("SQSD_LINT_METRIC", "cosin", '"cosine", "projection", "dot"'),
        ("SQSD_LINT_MAX_LENGTH", "many", "an integer"),
        ("SQSD_LINT_MAX_LENGTH", "3", "an integer of at least 16"),
        ("SQSD_LINT_PROXY", "maybe", "true or false"),
        ("SQSD_LINT_COLUMNS", "prompt", "key=value"),
        ("SQSD_LINT_COLUMNS", "completion=reply", "COLUMNS.completion"),
        ("SQSD_LINT_ALLOW", "SQSD101", '"SQSD301"'),
        ("SQSD_LINT_WARNING_THRESHOLD", "p100", '"p99.9"'),
        ("SQSD_LINT_EPOCHS", "some", "a number"),
        ("SQSD_LINT_EPOCHS", "nan", "a number of at least 0.001 and at most 1000000"),
        ("SQSD_LINT_LEARNING_RATE", "inf", "a number"),
        ("SQSD_LINT_SEVERITY", "SQSD101=fatal", '"error", "warning"'),
        ("SQSD_LINT_SEVERITY", "SQSD999=error", "SEVERITY.SQSD999"),
        ("SQSD_LINT_PER_FILE_IGNORES", "data/", "key=value"),
    ],
)
def test_wrong_environment_values_name_the_variable_and_what_was_expected(
    root: Path, name: str, value: str, expected: str
) -> None:
    message = refused(root, env={name: value}).message
    assert message.startswith("environment: ")
    assert name in message
    assert expected in message


def test_wrong_command_line_values_name_the_option(root: Path) -> None:
    message = refused(root, cli={"batch_tokens": 0}).message
    assert message == "command line: --batch-tokens is 0, expected an integer of at least 1"


def test_an_unknown_variable_is_refused_with_the_nearest_right_one(root: Path) -> None:
    fault = refused(root, env={"SQSD_LINT_TRESHOLD": "7"})
    assert "SQSD_LINT_TRESHOLD" in fault.message
    assert fault.hint == "Did you mean SQSD_LINT_THRESHOLD?"


def test_a_value_that_is_nearly_right_is_answered_with_the_right_one(root: Path) -> None:
    assert refused(root, env={"SQSD_LINT_METRIC": "cosin"}).hint == 'Did you mean "cosine"?'
    assert refused(root, cli={"turns": "some"}).hint is None
    (root / "sqsd-lint.toml").write_text('fail-on = "warnings"\n')
    assert refused(root).hint == 'Did you mean "warning"?'


def test_each_source_wins_over_all_weaker_ones(root: Path) -> None:
    """Every setting alone, from the weakest source to the strongest."""
    (root / "base.toml").write_text('device = "cuda:1"\n')
    env, cli = {"SQSD_LINT_DEVICE": "cuda:4"}, {"device": "cuda:5"}
    assert load(root).settings.device == "auto"
    (root / "sqsd-lint.toml").write_text('extend = "base.toml"\n')
    assert load(root).settings.device == "cuda:1"
    (root / "sqsd-lint.toml").write_text('extend = "base.toml"\ndevice = "cuda:2"\n')
    assert load(root).settings.device == "cuda:2"
    (root / "other.toml").write_text('device = "cuda:3"\n')
    assert load(root, config="other.toml").settings.device == "cuda:3"
    assert load(root, env=env, config="other.toml").settings.device == "cuda:4"
    assert load(root, cli, env, config="other.toml").settings.device == "cuda:5"
    assert load(root, env=env, isolated=True).settings.device == "cuda:4"
    assert load(root, isolated=True).settings.device == "auto"


def test_the_files_in_force_are_named_the_strongest_first(root: Path) -> None:
    (root / "base.toml").write_text("")
    (root / "sqsd-lint.toml").write_text('extend = "base.toml"\n')
    assert load(root).files == ("sqsd-lint.toml", "base.toml")
    assert load(root, isolated=True).files == ()


def test_only_the_command_line_may_trust_remote_code(root: Path) -> None:
    assert load(root, {"trust_remote_code": True}).settings.trust_remote_code
    assert "command line" in refused(root, env={"SQSD_LINT_TRUST_REMOTE_CODE": "1"}).message
    for key in ("trust-remote-code", "trust_remote_code"):
        (root / "sqsd-lint.toml").write_text(f"{key} = true\n")
        assert "command line" in (refused(root).hint or "")


def test_codes_may_be_joined_by_commas_and_thresholds_be_numbers(root: Path) -> None:
    (root / "sqsd-lint.toml").write_text("threshold = 7\nwarning-threshold = -1.5\n")
    settings = load(root, {"select": ["SQSD1,SQSD3", "SQSD302"], "ignore": "SQSD303"}).settings
    assert settings.select == ("SQSD1", "SQSD3", "SQSD302")
    assert settings.ignore == ("SQSD303",)
    assert (settings.threshold, settings.warning_threshold) == ("7", "-1.5")


def test_isolated_reads_no_file_and_contradicts_config(root: Path) -> None:
    (root / "sqsd-lint.toml").write_text('device = "nonsense"\n')
    assert load(root, isolated=True).settings == Settings(baseline="", suppressions="")
    with pytest.raises(UsageError, match="contradict"):
        load(root, isolated=True, config="sqsd-lint.toml")


def test_settings_and_schema_have_the_same_keys_and_defaults(root: Path) -> None:
    properties = load_schema("config")["properties"]
    assert set(properties["columns"]["properties"]) == {field.name for field in fields(Columns)}
    keys = {key.replace("-", "_") for key in properties if key not in ("$schema", "extend")}
    assert keys == {field.name for field in fields(Settings)} - {
        *("trust_remote_code", "staged", "policy_ref", "sample", "scores"),  # of the command line alone
        "lock",  # of the place where the configuration lies
        "opinions",  # what `bundle` names, where it names several
    }
    defaults = json.loads(json.dumps({name: getattr(Settings(), name) for name in keys}))
    assert {key.replace("-", "_"): sub["default"] for key, sub in properties.items() if "default" in sub} == {
        name: value for name, value in defaults.items() if value is not None
    }
