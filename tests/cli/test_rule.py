from __future__ import annotations

import pytest

from sqsd_lint.cli.app import main
from sqsd_lint.rules.registry import RULES


@pytest.mark.parametrize("name", ["SQSD101", "high-risk-sample"])
def test_a_rule_by_code_or_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rule", name]) == 0
    assert capsys.readouterr().out == RULES["SQSD101"].page().rstrip() + "\n"


def test_all_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rule", "--all"]) == 0
    out = capsys.readouterr().out
    assert [code for code in RULES if f"({code})" in out] == list(RULES)


def test_the_list_of_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rule"]) == 0
    out = capsys.readouterr().out
    for rule in RULES.values():
        assert rule.code in out
        assert rule.name in out
