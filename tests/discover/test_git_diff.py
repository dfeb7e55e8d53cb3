from __future__ import annotations

from sqsd_lint.discover.git.diff import DiffEntry, entries

ZERO, A, B = "0" * 40, "a" * 40, "b" * 40


def test_entries() -> None:
    items = [
        *(f":100644 100755 {A} {B} M", "a b.jsonl"),
        *(f":100644 100644 {A} {B} R087", "old", "new"),
        *(f":000000 120000 {ZERO} {B} A", ":link"),
        *(f":160000 000000 {A} {ZERO} D", "sub"),
        *(f":100644 000000 {A} {ZERO} U", "both"),
    ]
    found = list(entries(items))
    assert found == [
        DiffEntry("a b.jsonl", "M", "100755", B, "a b.jsonl", "100644", A),
        DiffEntry("new", "R", "100644", B, "old", "100644", A),
        DiffEntry(":link", "A", "120000", B, ":link", "000000", ""),
        DiffEntry("sub", "D", "000000", "", "sub", "160000", A),
        DiffEntry("both", "U", "000000", "", "both", "100644", A),
    ]
    assert [entry.old_file for entry in found] == [A, A, "", "", A]
