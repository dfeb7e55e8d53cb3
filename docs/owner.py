"""Write the account that the repository belongs to wherever it is named: `make owner NAME=acme`.

`sqsd_lint/_version.py` has it first, and the test that all others agree with it is tests/test_owner.py.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Where an account may be named: texts that people copy from, and files that tools read.
PATTERNS = (
    "*.md",
    "*.cff",
    "*.yml",
    "docs/*.md",
    "rules/*.md",
    "examples/*",
    ".github/*",
    ".github/*/*",
)
_NAMED = re.compile(
    r"(?P<before>github\.com/|githubusercontent\.com/|--repo |uses: |(?<![\w/.-])(?=[\w-]+/sqsd-lint@))"
    r"(?P<owner>[A-Za-z0-9-]+)(?P<after>/sqsd-lint\b)"
)
_VARIABLE = re.compile(r'^OWNER = "([^"]*)"$', re.MULTILINE)


def files(root: Path) -> list[Path]:
    """Return the files that may name the account."""
    return sorted({path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file()})


def named(text: str) -> list[str]:
    """Return the accounts that a text names as the repository's, in order."""
    return [match["owner"] for match in _NAMED.finditer(text)]


def set_owner(root: Path, owner: str) -> list[Path]:
    """Write the account everywhere and return the files that changed.

    Raises:
        ValueError: it is no name of an account.
    """
    if not re.fullmatch(r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}", owner):
        raise ValueError(f"{owner!r} is no name of an account on GitHub")
    changed = []
    version = root / "sqsd_lint" / "_version.py"
    for path in [version, *files(root)]:
        old = path.read_text(encoding="utf-8")
        if path == version:
            new = _VARIABLE.sub(f'OWNER = "{owner}"', old)
        else:
            new = _NAMED.sub(rf"\g<before>{owner}\g<after>", old)
        if new != old:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    return changed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("give the account: make owner NAME=acme")
    try:
        done = set_owner(ROOT, sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    for each in done:
        print(each.relative_to(ROOT))
