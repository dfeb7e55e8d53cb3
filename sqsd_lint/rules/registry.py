"""Every rule there is, found in the folders `row/`, `file/` and `upkeep/`: a new file there is a new rule."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from sqsd_lint.errors import UsageError
from sqsd_lint.rules.rule import Category, FileRule, RowRule, Rule, Scope

_FOLDERS = tuple(f"sqsd_lint.rules.{scope.value}" for scope in Scope)


class Registry(Mapping[str, Rule]):
    """Rules by code, in order of codes.

    The modules of the rules are imported when the registry is first read: their checks import modules that
    read the registry themselves.
    """

    def __init__(self) -> None:
        self._rules: dict[str, Rule] | None = None

    def register(self, rule: Rule) -> None:
        """Add a rule to those that were found.

        Raises:
            ValueError: another one has its code or its name.
        """
        self._rules = _with(self._found(), rule)

    def _found(self) -> dict[str, Rule]:
        if self._rules is None:
            rules: dict[str, Rule] = {}
            for folder in _FOLDERS:
                for module in pkgutil.iter_modules(importlib.import_module(folder).__path__):
                    rules = _with(rules, importlib.import_module(f"{folder}.{module.name}").RULE)
            self._rules = rules
        return self._rules

    def __getitem__(self, code: str) -> Rule:
        return self._found()[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def of_scope(self, scope: Scope, *, unscored: bool) -> tuple[str, ...]:
        """Return the codes of the rules about rows, files or upkeep, with or without a score."""
        return tuple(code for code, rule in self.items() if rule.scope is scope and rule.unscored is unscored)

    @property
    def row_rules(self) -> tuple[RowRule, ...]:
        """The rules that look at one row at a time."""
        return tuple(rule for rule in self._found().values() if isinstance(rule, RowRule))

    @property
    def file_rules(self) -> tuple[FileRule, ...]:
        """The rules that look at all rows of a file."""
        return tuple(rule for rule in self._found().values() if isinstance(rule, FileRule))

    @property
    def unscored(self) -> tuple[str, ...]:
        """The codes whose findings mean that something has no score."""
        return tuple(code for code, rule in self.items() if rule.unscored)

    @property
    def row_findings(self) -> tuple[str, ...]:
        """The codes whose findings are about a row with a score: what a row may suppress about itself."""
        return self.of_scope(Scope.ROW, unscored=False)

    @property
    def acceptable(self) -> tuple[str, ...]:
        """The codes whose findings a baseline or the file of suppressions may accept; a gap, never."""
        return self.row_findings + self.of_scope(Scope.FILE, unscored=False)

    @property
    def with_threshold(self) -> tuple[str, ...]:
        """The codes of rules that compare a score with a threshold, the gravest first."""
        return tuple(code for code, rule in self.items() if "threshold" in rule.options)

    def graver_than(self, code: str) -> str:
        """Return the code of the rule whose findings answer this one's, too; "" if there is none."""
        rule = self.get(code)
        return rule.graver if rule else ""

    def lighter_than(self, code: str) -> tuple[str, ...]:
        """Return the codes of the rules whose findings this one's answer, too."""
        return tuple(lighter for lighter, rule in self.items() if rule.graver == code)

    def is_row_risk(self, code: str) -> bool:
        """Tell whether a finding of a rule is that the score of a row is high."""
        rule = self.get(code)
        return rule is not None and rule.category is Category.SECURITY and rule.scope is Scope.ROW


def _with(rules: Mapping[str, Rule], rule: Rule) -> dict[str, Rule]:
    for other in rules.values():
        if rule.code == other.code or rule.name == other.name:
            raise ValueError(
                f"{rule.code} ({rule.name}) and {other.code} ({other.name}) share a code or a name"
            )
    return dict(sorted([*rules.items(), (rule.code, rule)]))


RULES = Registry()


def find_rule(code: str) -> Rule:
    """Return the rule of that code or name.

    Raises:
        UsageError: there is none; the hint names the nearest.
    """
    for rule in RULES.values():
        if code in (rule.code, rule.name):
            return rule
    raise unknown_code(code)


def unknown_code(code: str) -> UsageError:
    """Return the error for a code, name or prefix that no rule has."""
    import difflib

    found = difflib.get_close_matches(code.upper(), RULES, n=1)
    hint = f"Did you mean {found[0]}?" if found else f"Known rules: {', '.join(RULES)}."
    return UsageError(f"no rule is called {code!a}", hint=hint)
