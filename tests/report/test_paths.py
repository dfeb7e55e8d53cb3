from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.report.paths import STDIN, Root, find_root

ROOT = Root(Path("/home/me/repo"), Path("/home/me/repo/data"))


@pytest.mark.parametrize(
    ("file", "path", "uri"),
    [
        ("train.jsonl", "data/train.jsonl", "data/train.jsonl"),
        ("./a/../train.jsonl", "data/train.jsonl", "data/train.jsonl"),
        ("../top.jsonl", "top.jsonl", "top.jsonl"),
        ("/home/me/repo/x.csv", "x.csv", "x.csv"),
        ("../../other/x.csv", "/home/me/other/x.csv", "file:///home/me/other/x.csv"),
        ("/data/x.csv", "/data/x.csv", "file:///data/x.csv"),
        ("a b:c%#?.csv", "data/a b:c%#?.csv", "data/a%20b%3Ac%25%23%3F.csv"),
        ("é.csv", "data/é.csv", "data/%C3%A9.csv"),
        ("\udcffx.csv", "data/\udcffx.csv", "data/%EF%BF%BDx.csv"),  # a byte that is no UTF-8
        ("\ud800.csv", "data/\ud800.csv", "data/%EF%BF%BD.csv"),
        (STDIN, "<stdin>", "%3Cstdin%3E"),
    ],
)
def test_paths_and_uris(file: str, path: str, uri: str) -> None:
    assert ROOT.path(file) == path
    assert ROOT.uri(file) == uri


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=30))
def test_a_uri_is_ascii_and_leads_back(file: str) -> None:
    uri = ROOT.uri(file)
    assert uri.isascii()
    assert not set(uri) & set(' <>"{}|\\^`\n\r\t?#')
    assert unquote(uri.removeprefix("file://")) == ROOT.path(file)
    assert ":" not in uri.removeprefix("file://")


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name and name.strip(b"./")))
def test_a_uri_of_any_bytes_decodes_strictly(name: bytes) -> None:
    """As JavaScript's decodeURIComponent does it, which ends at bytes that are no UTF-8."""
    unquote(ROOT.uri(os.fsdecode(name)), errors="strict")


def test_the_root_is_the_nearest_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "repo" / "data"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (tmp_path / "repo" / ".git").write_text("gitdir: elsewhere")  # as in a worktree or a submodule
    assert find_root() == Root(tmp_path / "repo", inner)
    (inner / ".git").mkdir()
    assert find_root() == Root(inner, inner)
