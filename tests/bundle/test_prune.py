"""What cached bundles take, and which of them go."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from sqsd_lint import resources
from sqsd_lint.bundle import cache as cache_module
from sqsd_lint.bundle import prune as pruning
from sqsd_lint.bundle.cache import swap_in
from sqsd_lint.bundle.installed import install, remove_bundle
from sqsd_lint.bundle.prune import kept, prune
from sqsd_lint.bundle.remote.address import parse
from sqsd_lint.bundle.remote.pull import cached, pull
from sqsd_lint.bundle.resolve import open_bundle

DAY = 86_400


@pytest.fixture(autouse=True)
def no_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "bundles_dir", lambda: tmp_path / "none")


def test_the_list_tells_size_use_and_origin(folder: Path) -> None:
    pulled = pull(parse(f"file://{folder}"))
    (one,) = kept()
    files = [path for path in pulled.root.rglob("*") if path.is_file()]
    assert one.size == sum(path.stat().st_size for path in files)
    assert one.sources == (f"file://{folder}",)
    assert one.digest == pulled.digest
    assert one.used is not None
    os.utime(pulled.root / "bundle.json", (1, 1))
    (unused,) = kept()
    open_bundle("tiny")
    (one,) = kept()
    assert unused.used == 1
    assert one.used is not None
    assert one.used > 1


def test_unused_bundles_go_and_used_ones_stay(folder: Path) -> None:
    address = f"file://{folder}"
    root = pull(parse(address)).root
    later = time.time() + 40 * DAY
    assert prune(unused_for=41, now=later).bundles == ()
    dry = prune(unused_for=30, now=later, dry_run=True)
    assert [each.entry.id for each in dry.bundles] == [root.name]
    assert dry.size > 0
    assert root.is_dir()
    assert prune(unused_for=30, now=later) == dry
    assert not root.exists()
    assert cached(address) is None
    assert kept() == []


def test_a_use_is_remembered(folder: Path) -> None:
    root = pull(parse(f"file://{folder}")).root
    os.utime(root / "bundle.json", (1, 1))
    open_bundle(f"file://{folder}")
    assert prune(unused_for=30).bundles == ()


def test_the_locked_one_stays_and_so_does_what_no_pull_brings_back(folder: Path) -> None:
    pulled = pull(parse(f"file://{folder}"))
    own = install(folder)
    later = time.time() + 1000 * DAY
    assert prune(locked=[pulled.digest], now=later).bundles == ()
    assert [each.entry.id for each in prune(now=later).bundles] == [pulled.root.name]
    assert own.root.is_dir()
    assert [each.entry.id for each in prune(now=later, own=True).bundles] == ["tiny"]


def test_what_killed_pulls_left_goes_once_nobody_comes_back(cache: Path) -> None:
    left = cache / "bundles" / ".pulling-abc"
    left.mkdir(parents=True)
    (left / "x.part").write_bytes(b"12345")
    (cache / "bundles" / ".pulling-abc.lock").touch()
    assert prune().leftovers == ()
    done = prune(now=time.time() + 2 * DAY)
    assert len(done.leftovers) == 2
    assert done.size == 5
    assert not left.exists()


def test_what_was_replaced_goes_even_if_its_process_was_killed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = cache / "bundles" / "one"
    new = tmp_path / "new"

    def put() -> None:
        new.mkdir()
        (new / "x").write_text("new")
        swap_in(new, target)
        assert (target / "x").read_text() == "new"
        assert os.listdir(target.parent) == ["one"]

    target.parent.mkdir(parents=True)
    target.write_text("a file")
    put()
    put()
    if os.name == "posix":
        shutil.rmtree(target)
        for linked in (tmp_path / "linked", tmp_path / "nowhere"):
            target.symlink_to(linked)
            if linked.name == "linked":
                linked.mkdir()
            put()
            shutil.rmtree(target)
        assert (tmp_path / "linked").is_dir()
        target.mkdir()
    new.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "remove", lambda path: None)  # as if killed just before
        swap_in(new, target)
    assert prune().leftovers == ()
    (old,) = prune(now=time.time() + 2 * DAY).leftovers
    assert old.name.startswith(".one.old-")
    assert os.listdir(target.parent) == ["one"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_a_link_among_the_leftovers_goes_and_not_what_it_leads_to(cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("x" * 10_000)
    link = cache / "bundles" / ".pulling-0123"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    done = prune(now=time.time() + 3 * DAY)
    assert done.leftovers == (link,)
    assert done.size < 1000, "its own"
    assert not link.is_symlink()
    assert (outside / "mine").exists()


def test_another_process_may_be_faster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled = pull(parse(f"file://{folder}"))
    remove = remove_bundle

    def late(name: str, *, cache_dir: Path | None = None) -> Path:
        remove(name, cache_dir=cache_dir)
        return remove(name, cache_dir=cache_dir)

    monkeypatch.setattr(pruning, "remove_bundle", late)
    assert len(prune(unused_for=0).bundles) == 1
    assert not pulled.root.exists()
