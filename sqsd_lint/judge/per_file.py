"""Rules that are left out for some files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from sqsd_lint.discover.ignore import Exclude
from sqsd_lint.errors import UsageError
from sqsd_lint.judge.catalogue import RULES, unknown_code


class PerFileIgnores:
    """Patterns as in .gitignore, relative to the working folder, each with the rules that it leaves out.

    A file that fits several patterns loses the rules of all of them.

    Args:
        table: pattern -> codes or prefixes.

    Raises:
        UsageError: an unknown code, or a pattern that means nothing.
    """

    def __init__(self, table: Mapping[str, Sequence[str]] | None = None) -> None:
        items = sorted((table or {}).items())
        self._patterns = [(_pattern(text), _codes(prefixes)) for text, prefixes in items]
        self._seen: dict[str, frozenset[str]] = {}

    def __call__(self, file: str) -> frozenset[str]:
        """The codes that are left out for a file, named as `Where` names it."""
        if not self._patterns:
            return frozenset()
        if file not in self._seen:
            path = os.path.abspath(file)
            self._seen[file] = frozenset[str]().union(
                *(codes for pattern, codes in self._patterns if pattern.matches(path))
            )
        return self._seen[file]


def _pattern(text: str) -> Exclude:
    try:
        return Exclude([text])
    except UsageError as error:
        raise UsageError(
            f"per-file-ignores: the pattern {text!a} means nothing", hint="Write it as in .gitignore."
        ) from error


def _codes(prefixes: Sequence[str]) -> frozenset[str]:
    found: set[str] = set()
    for prefix in prefixes:
        codes = [code for code in RULES if prefix and code.startswith(prefix)]
        if not codes:
            raise unknown_code(prefix)
        found.update(codes)
    return frozenset(found)
