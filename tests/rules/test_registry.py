from __future__ import annotations

import pytest

from sqsd_lint.errors import UsageError
from sqsd_lint.rules.registry import RULES, find_rule


def test_rules_are_found_by_code_and_name() -> None:
    assert find_rule("SQSD101") is find_rule("high-risk-sample") is RULES["SQSD101"]
    assert RULES["SQSD101"].page().startswith("# high-risk-sample (SQSD101)")


@pytest.mark.parametrize(
    ("code", "hint"), [("sqsd101", "Did you mean SQSD101?"), ("\x1b[2J", "Known rules: SQSD101")]
)
def test_an_unknown_rule_is_refused_with_the_nearest(code: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_rule(code)
    assert (caught.value.hint or "").startswith(hint)
    assert "\x1b" not in caught.value.message
