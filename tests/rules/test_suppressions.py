from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from sqsd_lint.errors import ConfigError
from sqsd_lint.resources import load_schema
from sqsd_lint.rules import (
    DEFAULT_BASELINE,
    DEFAULT_SUPPRESSIONS,
    Accepted,
    Baseline,
    Suppressions,
    load_accepted,
    parse_suppressions,
    read_suppressions,
)
from sqsd_lint.rules.suppressions import SuppressionEntry
from sqsd_lint.types import Severity, Suppression, Violation, Where

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

A = "a" * 32
SCHEMA = Draft202012Validator(load_schema("suppressions"))
GOOD = f'[{A}]\nignore = ["SQSD101", "SQSD202"]\nreason = " quoted "\nfile = "data/a.jsonl"\n'


def parse(text: str) -> Suppressions:
    return parse_suppressions(text.encode("utf-8"), source="s.toml", folder=os.getcwd())


def test_a_table_per_fingerprint() -> None:
    found = parse(GOOD)
    assert found.entries == {
        A: SuppressionEntry(Suppression(("SQSD101", "SQSD202"), "quoted"), "data/a.jsonl")
    }
    assert SCHEMA.is_valid(tomllib.loads(GOOD))
    where = Where("b", 3, 2)
    assert Violation("SQSD101", "", Severity.ERROR, where, "", A) in found
    assert Violation("SQSD102", "", Severity.ERROR, where, "", A) in found  # SQSD101 is graver
    assert Violation("SQSD302", "", Severity.ERROR, where, "", A) not in found
    assert Violation("SQSD101", "", Severity.ERROR, where, "", "") not in found


WRONG = [
    (f'[{A}]\nignore = ["SQSD101"]\n', f"[{A}]: reason: missing"),
    (f'[{A}]\nignore = ["SQSD101"]\nreason = " "\n', "reason: expected a reason of at most 2,000 characters"),
    (f'[{A}]\nignore = []\nreason = "x"\n', "ignore: expected a list of 1 to 32 codes of rules, got []"),
    (f'[{A}]\nignore = ["SQSD9"]\nreason = "x"\n', "no rule is called 'SQSD9'"),
    (f'[{A}]\nignore = ["SQSD303"]\nreason = "x"\n', "SQSD303 cannot be suppressed"),
    (f'[{A}]\nignore = ["SQSD401"]\nreason = "x"\n', "SQSD401 cannot be suppressed"),
    (f'[{A}]\nignore = ["SQSD101"]\nreason = "x"\nuntil = 3\n', "until: unknown key"),
    (f'[{A}]\nignore = ["SQSD101"]\nreason = "x"\nfile = 3\n', "file: expected a string, got 3"),
    (f'{A} = "SQSD101"\n', "the entry: expected an object"),
    ('[SQSD101]\nreason = "x"\n', "'SQSD101' is no fingerprint"),
    ('["\\u001b[2J"]\n', r"'\x1b[2J' is no fingerprint"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_entry_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.message.startswith("s.toml: ")
    assert message in caught.value.message
    assert caught.value.hint
    assert not SCHEMA.is_valid(tomllib.loads(text))


@pytest.mark.parametrize("data", [b"= 3", b"\xff", b"a = " + b"[" * 5000, GOOD.encode() * 2])
def test_what_is_no_toml_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"s\.toml: not TOML"):
        parse_suppressions(data, source="s.toml", folder="/")


def test_files_of_the_default_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_accepted(None, None) == Accepted()
    Path(DEFAULT_BASELINE).write_bytes(Baseline("", "").dump())
    Path(DEFAULT_SUPPRESSIONS).write_text(GOOD, encoding="utf-8")
    found = load_accepted(None, None, inline=False)
    assert found.baseline is not None
    assert found.suppressions == read_suppressions(DEFAULT_SUPPRESSIONS)
    assert not found.inline
    assert load_accepted("", "") == Accepted()


@pytest.mark.parametrize("names", [("gone.json", None), (None, "gone.toml")])
def test_a_named_file_that_is_missing_is_refused(
    names: tuple[str | None, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"gone\..*: no such file"):
        load_accepted(*names)


def test_a_default_file_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink("nowhere", DEFAULT_BASELINE)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_accepted(None, None)
