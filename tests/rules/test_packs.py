from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sqsd_lint.errors import ConfigError, UsageError
from sqsd_lint.rules import load_pack
from sqsd_lint.rules.packs import PackRule, embedded_packs
from sqsd_lint.types import Severity


def write(folder: Path, text: str) -> Path:
    (folder / "mine.json").write_text(text, encoding="utf-8")
    return folder


def test_embedded_packs() -> None:
    assert embedded_packs() == ("default", "strict")
    assert load_pack("default").rules["SQSD101"] == PackRule(Severity.ERROR, {"threshold": "p99.9"})
    assert load_pack("strict").rules["SQSD302"] == PackRule(Severity.ERROR)
    assert load_pack("default").rules["SQSD201"] == PackRule(Severity.ERROR, {"budget": 1.0})
    assert load_pack("default").rules["SQSD202"] == PackRule(
        Severity.ERROR, {"significance": 0.001, "min-rows": 5}
    )


def test_a_file_is_a_pack(tmp_path: Path) -> None:
    write(tmp_path, '{"rules": {"SQSD101": {"severity": "warning", "threshold": 7.5}}}')
    pack = load_pack("mine.json", cwd=tmp_path)
    assert dict(pack.rules) == {"SQSD101": PackRule(Severity.WARNING, {"threshold": "7.5"})}
    assert load_pack(str(tmp_path / "mine.json")).rules == pack.rules


def test_an_unknown_pack_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="neither an embedded one") as caught:
        load_pack("strikt")
    assert caught.value.hint == "Did you mean strict?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON rule pack"),
        ("[" * 100_000, "not a JSON rule pack"),
        (" " * (1 << 20) + "{}", "too large"),
        ("[]", "expected a table"),
        ("{}", 'missing key "rules"'),
        ('{"rules": {}}', "not empty"),
        ('{"rules": {"SQSD110": {"severity": "error"}}}', 'unknown key "rules.SQSD110"'),
        ('{"rules": {"SQSD101": {"severity": "error"}}}', 'missing key "rules.SQSD101.threshold"'),
        (
            '{"rules": {"SQSD301": {"severity": "fatal"}}}',
            '"rules.SQSD301.severity" is "fatal", expected one of "error", "warning"',
        ),
        (
            '{"rules": {"SQSD301": {"severity": "error", "threshold": "p9"}}}',
            'unknown key "rules.SQSD301.threshold"',
        ),
        (
            '{"rules": {"SQSD101": {"severity": "error", "threshold": "p100"}}}',
            '"rules.SQSD101.threshold" is "p100"',
        ),
        ('{"rules": {"SQSD201": {"severity": "error", "budget": NaN}}}', "NaN is no JSON number"),
        ('{"rules": {"SQSD201": {"severity": "error", "budget": -1}}}', "a number of at least 0"),
        (
            '{"rules": {"SQSD202": {"severity": "error", "significance": 0.001}}}',
            'missing key "rules.SQSD202.min-rows"',
        ),
        (
            '{"rules": {"SQSD301": {"severity": "error", "severity": "warning"}}}',
            "'severity' is given twice",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_pack("mine.json", cwd=write(tmp_path, text))
    assert caught.value.message.startswith("mine.json: ")
    assert message in caught.value.message


def test_embedded_packs_need_no_validator() -> None:
    code = (
        "import sys, json; from sqsd_lint.rules import load_pack; load_pack('strict')\n"
        "print(json.dumps(sorted({'jsonschema', 'torch', 'numpy', 'pyarrow', 'rich'} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
