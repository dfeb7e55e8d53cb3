"""Bundles, base models and the cache are those of the policy's commit, or the run is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd_lint.config import load_settings
from sqsd_lint.discover.git.policy_ref import PolicyRef
from sqsd_lint.errors import UsageError
from tests.discover.policies import load
from tests.repository import Repository

posix = pytest.mark.skipif(os.name != "posix", reason="symbolic links")


@pytest.mark.parametrize(
    "change",
    [
        lambda repo: repo.write("bundle/bundle.json", "{ }"),
        lambda repo: (repo.write("bundle/extra.bin", "x"), repo.git("add", "bundle/extra.bin")),
        lambda repo: (repo.write("bundle/bundle.json", "{ }"), repo.commit()),
        lambda repo: os.unlink("bundle/bundle.json"),
    ],
    ids=["changed", "added", "committed", "deleted"],
)
def test_a_bundle_in_the_repository_is_held_to_the_commit(
    change: Callable[[Repository], object], repo: Repository
) -> None:
    repo.write("bundle/bundle.json", "{}")
    base = repo.commit()
    policy = PolicyRef(base)
    policy.refuse_change("bundle", "the bundle")
    policy.refuse_change("somewhere-else", "the bundle")
    # What CI itself fetched is no part of the change.
    repo.write("bundle/fetched.bin", "x")
    policy.refuse_change("bundle", "the bundle")
    change(repo)
    with pytest.raises(UsageError, match="the bundle bundle differs from what it is at"):
        policy.refuse_change("bundle", "the bundle")
    policy.close()


@posix
@pytest.mark.parametrize("target", ["/nowhere/at/all", "examples", "../outside"])
def test_a_link_above_the_cache_that_a_change_adds(target: str, repo: Repository, tmp_path: Path) -> None:
    """Nothing of the change lies below the cache's own name, wherever the link leads."""
    repo.write("examples/sqsd/scores.sqlite", "an old one")
    (tmp_path / "outside").mkdir()
    base = repo.commit()
    policy = PolicyRef(base)
    try:
        policy.refuse_change(".cache/sqsd", "the cache")
        os.symlink(target, ".cache")
        repo.commit()
        with pytest.raises(UsageError, match=r"the cache \.cache/sqsd differs from what .*: \.cache$"):
            policy.refuse_change(".cache/sqsd", "the cache")
    finally:
        policy.close()
    policy = PolicyRef("HEAD")  # what the commit itself has is no change
    policy.refuse_change(".cache/sqsd", "the cache")
    policy.close()


def test_folders_that_are_named_without_dots(repo: Repository) -> None:
    """Below the configuration's folder, a name is a path where something is there, as without a policy."""
    text = 'bundle = ["mine", "other", "new", "id"]\nmodel = "org/own"\nrules = "pack"\n'
    repo.write("conf/base.toml", f'{text}[bundles]\n"org/own" = "mine"\n')
    repo.write("conf/sqsd-lint.toml", 'extend = "base.toml"\n')
    for name in ("mine/bundle.json", "other/bundle.json", "org/own/config.json", "pack"):
        repo.write(f"conf/{name}", "x")
    repo.commit()
    repo.write("conf/new/bundle.json", "of the change")
    (repo.root / "conf" / "sub").mkdir()
    os.chdir("conf/sub")
    settings, _ = load()
    usual = load_settings({}, cwd=Path.cwd(), environ={}).settings
    assert settings.opinions == usual.opinions == ("../mine", "../other", "../new", "id")
    assert (settings.model, settings.rules) == (usual.model, usual.rules) == ("../org/own", "../pack")
    assert settings.bundles == usual.bundles == {"../org/own": "../mine"}
    shutil.rmtree("../mine")  # the commit has it: what lies elsewhere under that name is not meant
    assert load()[0].opinions[0] == "../mine"


@posix
def test_two_dots_after_a_link_lead_from_where_it_leads(repo: Repository) -> None:
    for folder in ("b/v1", "b/d", "evil/x", "evil/d"):
        repo.write(f"{folder}/file", folder)
    os.symlink("v1", "b/cur")
    policy = PolicyRef(repo.commit())
    policy.refuse_change("b/cur/../d", "the bundle")
    os.unlink("b/cur")
    os.symlink("../evil/x", "b/cur")
    repo.commit()
    with pytest.raises(UsageError, match=r"the bundle b/cur/\.\./d differs from what .*: b/cur$"):
        policy.refuse_change("b/cur/../d", "the bundle")
    policy.close()
    policy = PolicyRef("HEAD")
    policy.refuse_change("b/cur/../d", "the bundle")
    repo.write("evil/d/file", "new")
    with pytest.raises(UsageError, match=r"evil/d/file$"):
        policy.refuse_change("b/cur/../d", "the bundle")
    policy.close()


@posix
def test_what_links_within_a_folder_lead_to_is_held_too(repo: Repository, tmp_path: Path) -> None:
    for name in ("model/a", "shared/config.json", "deep/x/file", "further/file", "other"):
        repo.write(name, "1")
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "b").write_text("1")
    for link, target in (
        ("model/config.json", "../shared/config.json"),
        ("model/blob", str(tmp_path / "blobs" / "b")),
        ("model/deep", "../deep"),
        ("deep/x/further", "../../further"),
        ("deep/x/loop", ".."),
    ):
        os.symlink(target, link)
    policy = PolicyRef(repo.commit())
    (tmp_path / "blobs" / "b").write_text("2")
    repo.write("other", "2")
    repo.commit()
    policy.refuse_change("model", "the model")
    for name in ("shared/config.json", "deep/x/file", "further/file"):
        repo.write(name, "2")
        repo.commit()
        with pytest.raises(UsageError, match=f"the model model differs from what .*: {name}$"):
            policy.refuse_change("model", "the model")
        repo.write(name, "1")
        repo.commit()
    policy.close()


@posix
def test_a_link_from_outside_leads_to_what_the_commit_has(repo: Repository, tmp_path: Path) -> None:
    repo.write("conf/own.json", "strict")
    repo.write("lax/own.json", "lax")
    repo.commit()
    (tmp_path / "policy").symlink_to(repo.root / "conf")
    shutil.rmtree("conf")
    policy = PolicyRef("HEAD")
    try:
        for target in ("lax", str(tmp_path)):
            os.symlink(target, "conf")
            (tmp_path / "own.json").write_text("loose")
            assert policy.holds(str(tmp_path / "policy" / "own.json"))
            assert policy.read(str(tmp_path / "policy" / "own.json")) == b"strict"
            os.unlink("conf")
    finally:
        policy.close()


def test_a_submodule_that_a_change_moves_or_adds(repo: Repository, tmp_path: Path) -> None:
    """Its files are in a repository of their own: only the submodule itself tells of them."""
    source = Repository.new(tmp_path / "source")
    source.write("x/bundle.json", "the good one")
    source.commit()
    repo.write("README.md", "")
    before = repo.commit()
    repo.git("submodule", "add", "-q", str(source.root), "bundles")
    base = repo.commit()
    with pytest.raises(UsageError, match=r"differs from what it is at .*: bundles"):
        refuse(before, "bundles/x")
    refuse(base, "bundles/x")
    source.write("x/bundle.json", "another")
    source.commit()
    repo.git("-C", "bundles", "pull", "-q")
    repo.commit()
    with pytest.raises(UsageError, match=r"differs from what it is at .*: bundles"):
        refuse(base, "bundles/x")


def test_a_bundle_that_is_gone_is_not_looked_for_in_the_cache(repo: Repository) -> None:
    repo.write("tiny/bundle.json", "{}")
    base = repo.commit()
    shutil.rmtree("tiny")
    with pytest.raises(UsageError, match=r"the bundle tiny differs from what it is at .*: tiny/bundle\.json"):
        refuse(base, "tiny")


def refuse(ref: str, path: str) -> None:
    policy = PolicyRef(ref)
    try:
        policy.refuse_change(path, "the bundle")
    finally:
        policy.close()
