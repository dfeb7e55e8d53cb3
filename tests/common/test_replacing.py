"""A file that is written whole: the new one or the old one, and nothing beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sqsd_lint.common.atomic import replacing, write_whole
from sqsd_lint.common.json_io import read_small_json, write_json, write_small_json


def test_what_is_written_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    write_whole(path, "grün\r\n")
    assert path.read_bytes() == "grün\r\n".encode()
    write_whole(path, b"\x00", mode=0o755)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"\x00", 0o755)
    assert os.listdir(tmp_path) == ["a"]


def test_a_link_is_replaced_and_what_it_leads_to_is_left(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "old"
    assert (tmp_path / "link").read_text() == "new"


def test_after_an_error_the_old_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def stop_half_way() -> None:
        with replacing(path) as new:
            new.write_text("half")
            assert new.name.startswith(".a.")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a"])
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, float("nan"))
    assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["a"])


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_mask_of_the_process_counts(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "a") as new:
            new.write_text("x")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_name_of_full_length(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    write_whole(path, "x")
    assert path.read_text() == "x"


def test_small_files_that_cannot_be_written_or_read_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.json"
    assert read_small_json(path) == {}
    write_small_json(path, {"a": 1})
    assert read_small_json(path) == {"a": 1}
    for broken in ("", "[1]", "[" * 100_000):
        path.write_text(broken)
        assert read_small_json(path) == {}
    (tmp_path / "file").write_text("")
    write_small_json(tmp_path / "file" / "a.json", {"a": 1})
