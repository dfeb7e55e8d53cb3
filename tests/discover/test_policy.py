"""Configuration, rules and what was accepted come from a commit, whatever the work tree says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.config import Settings, load_settings
from sqsd_lint.discover.policy import PolicyRef
from sqsd_lint.discover.policy_settings import settings_at
from sqsd_lint.errors import ConfigError, SqsdLintError, UsageError
from tests.repository import Repository

posix = pytest.mark.skipif(os.name != "posix", reason="symbolic links")


def load(ref: str = "HEAD", cli: dict[str, Any] | None = None, **options: Any) -> tuple[Settings, str]:
    policy = PolicyRef(ref)
    try:
        resolved, note = settings_at(policy, cli or {}, environ=options.pop("environ", {}), **options)
        return resolved.settings, note
    finally:
        policy.close()


def test_the_nearest_configuration_of_the_commit(repo: Repository) -> None:
    repo.write("sqsd-lint.toml", 'threshold = "p99"\npaths = ["data"]\n')
    repo.write("sub/pyproject.toml", '[tool.sqsd-lint]\nthreshold = "p90"\n')
    repo.write("sub/deep/pyproject.toml", '[tool.other]\nx = "sqsd-lint"\n')
    repo.commit()
    for name in ("sqsd-lint.toml", "sub/pyproject.toml"):
        repo.write(name, 'threshold = "broken\n')
    repo.write("sub/deep/sqsd-lint.toml", 'threshold = "1000"\n')
    settings, note = load()
    assert (settings.threshold, settings.paths) == ("p99", ("data",))
    assert note.startswith("configuration, rules, baseline and suppressions are those of HEAD (")
    os.chdir("sub/deep")
    assert load()[0].threshold == "p90"
    os.chdir("..")
    os.unlink("pyproject.toml")
    assert load()[0].threshold == "p90"
    assert load(cli={"threshold": "7"})[0].threshold == "7"
    assert load(environ={"SQSD_LINT_THRESHOLD": "8"})[0].threshold == "8"


@posix
def test_a_folder_that_became_a_link_is_looked_up_by_its_name(repo: Repository) -> None:
    repo.write("conf/sqsd-lint.lock", "strict")
    repo.write("lax/sqsd-lint.lock", "lax")
    repo.write("bundles/x/bundle.json", "the good one")
    repo.write("examples/bundle.json", "another")
    repo.commit()
    for folder, target in (("conf", "lax"), ("bundles/x", "../examples")):
        shutil.rmtree(folder)
        os.symlink(target, folder)
    policy = PolicyRef("HEAD")
    try:
        assert policy.read("conf/sqsd-lint.lock") == b"strict"
        with pytest.raises(UsageError, match="differs from what it is at HEAD"):
            policy.refuse_change("bundles/x", "the bundle")
        os.unlink("conf")
        os.symlink(os.path.dirname(repo.root), "conf")
        assert policy.read("conf/sqsd-lint.lock") == b"strict"
    finally:
        policy.close()


def test_a_folder_that_the_commit_does_not_have(repo: Repository) -> None:
    repo.write("sqsd-lint.toml", 'rules = "./packs/own.json"\nbundle = "./bundle"\npaths = ["data"]\n')
    repo.commit()
    (repo.root / "new").mkdir()
    os.chdir("new")
    settings, _ = load()
    assert settings.rules == os.path.join("..", "packs", "own.json")
    assert settings.bundle == os.path.join("..", "bundle")
    assert settings.paths == (os.path.join("..", "data"),)


def test_no_configuration_in_the_commit(repo: Repository) -> None:
    repo.write("README.md", "")
    repo.commit()
    repo.write("sqsd-lint.toml", 'threshold = "1000"\n')
    settings, note = load()
    assert settings == Settings()
    assert "there is no configuration" in note
    assert load(isolated=True)[0] == Settings(baseline="", suppressions="")


def test_extend(repo: Repository) -> None:
    repo.write("sqsd-lint.toml", 'extend = "shared/base.toml"\ndevice = "cpu"\n')
    repo.write("shared/base.toml", 'extend = "more"\nthreshold = "p99"\n')
    repo.write("shared/more", 'threshold = "p90"\nmax-length = 99\nbaseline = "known.json"\n')
    repo.commit()
    repo.write("shared/more", "max-length = 9999\n")
    os.unlink("shared/base.toml")
    settings, _ = load()
    assert (settings.device, settings.threshold, settings.max_length) == ("cpu", "p99", 99)
    assert settings.baseline == os.path.join("shared", "known.json")


def test_extend_never_reads_the_work_tree(repo: Repository) -> None:
    repo.write("loose.toml", 'threshold = "1000"\n')
    repo.write("sqsd-lint.toml", f'extend = "{(repo.root / "loose.toml").as_posix()}"\n')
    repo.commit()
    with pytest.raises(ConfigError, match="in the work tree"):
        load()
    repo.write("sqsd-lint.toml", 'extend = "later.toml"\n')
    repo.commit()
    repo.write("later.toml", 'threshold = "1000"\n')
    with pytest.raises(ConfigError, match=r"later\.toml: no such configuration file \(at HEAD"):
        load()


def test_files_outside_of_the_repository_are_no_part_of_a_change(repo: Repository, tmp_path: Path) -> None:
    outside = tmp_path / "outside.toml"
    outside.write_text(f'threshold = "p95"\ncache-dir = "{tmp_path.as_posix()}/cache"\nrules = "own.json"\n')
    for link in (outside.as_posix(), "../outside.toml"):
        repo.write("sqsd-lint.toml", f'extend = "{link}"\n')
        repo.commit()
        settings, _ = load()
        assert settings.threshold == "p95"
        assert os.path.abspath(str(settings.cache_dir)) == str(tmp_path / "cache")
        assert os.path.abspath(settings.rules) == str(tmp_path / "own.json")
    assert load(config=str(outside))[0].threshold == "p95"
    repo.git("rm", "-q", "sqsd-lint.toml")
    repo.commit()
    (tmp_path / "sqsd-lint.toml").write_text('threshold = "p94"\n')
    assert load()[0].threshold == "p94"


@pytest.mark.parametrize("key", ["extend", "rules", "cache-dir", "bundle"])
def test_more_dots_than_there_are_folders(key: str, repo: Repository) -> None:
    """In a copy that lies deeper they would lead to a folder that anybody may write to."""
    ups = "/".join([".."] * len(repo.root.parts))
    repo.write("sqsd-lint.toml", f'{key} = "{ups}/etc/x.json"\n')
    repo.commit()
    with pytest.raises(ConfigError, match=rf"^{repo.root}/sqsd-lint\.toml: {key}: .* leads above the root"):
        load()
    enough = ups.removeprefix("../")
    repo.write("sqsd-lint.toml", f'cache-dir = "{enough}/var/x"\n')
    repo.commit()
    assert os.path.abspath(str(load()[0].cache_dir)) == "/var/x"


def test_a_configuration_that_is_named(repo: Repository) -> None:
    repo.write("ci/lint.toml", 'threshold = "p99"\nbaseline = "known.json"\n')
    repo.commit()
    repo.write("ci/lint.toml", 'threshold = "1000"\n')
    repo.write("ci/new.toml", 'threshold = "1000"\n')
    settings, _ = load(config="ci/lint.toml")
    assert (settings.threshold, settings.baseline) == ("p99", os.path.join("ci", "known.json"))
    assert load(config=str(repo.root / "ci/lint.toml"))[0].threshold == "p99"
    with pytest.raises(ConfigError, match=r"ci/new\.toml: no such configuration file"):
        load(config="ci/new.toml")
    with pytest.raises(UsageError, match="contradict"):
        load(config="ci/lint.toml", isolated=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("threshold = [", "not TOML"),
        ("treshold = 3\n", "treshold"),
        ('extend = "sqsd-lint.toml"\n', "leads back"),
        ("staged = true\n", "staged"),
        ('policy-ref = "HEAD"\n', "policy-ref"),
        ('output-format = "json:/tmp/x"\n', "output-format"),
    ],
)
def test_what_is_wrong_is_named_by_its_real_place(text: str, said: str, repo: Repository) -> None:
    repo.write("sqsd-lint.toml", text)
    repo.commit()
    with pytest.raises(SqsdLintError) as raised:
        load()
    assert said in raised.value.message
    assert "(at HEAD (" in raised.value.message
    assert "/sqsd-lint-" not in raised.value.message


@posix
def test_links(repo: Repository) -> None:
    repo.write("real/lint.toml", 'threshold = "p99"\n')
    (repo.root / "sqsd-lint.toml").symlink_to("real/lint.toml")
    repo.commit()
    repo.write("real/lint.toml", 'threshold = "1000"\n')
    assert load()[0].threshold == "p99"
    (repo.root / "sqsd-lint.toml").unlink()
    (repo.root / "sqsd-lint.toml").symlink_to(repo.root.parent / "loose.toml")
    repo.write("../loose.toml", 'threshold = "1000"\n')
    repo.commit()
    with pytest.raises(ConfigError, match="a symbolic link to nothing in the repository"):
        load()


def test_what_is_no_commit(repo: Repository, tmp_path: Path) -> None:
    repo.write("README.md", "")
    repo.commit()
    for ref in ("--upload-pack=x", "nowhere", ""):
        with pytest.raises(UsageError, match="--policy-ref"):
            PolicyRef(ref)
    os.chdir(tmp_path)
    with pytest.raises(UsageError, match="needs a git repository"):
        PolicyRef("HEAD")


def test_a_bare_repository(repo: Repository, tmp_path: Path) -> None:
    repo.write("sqsd-lint.toml", 'threshold = "p99"\n')
    repo.write(".sqsdlintignore", "raw/\n")
    repo.commit()
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    os.chdir(tmp_path / "bare.git")
    assert load("main")[0].threshold == "p99"
    policy = PolicyRef("main")
    assert policy.text(".sqsdlintignore") == "raw/\n"
    assert policy.text("raw/.sqsdlintignore") is None
    policy.close()


def test_ignore_files_of_the_commit(repo: Repository, tmp_path: Path) -> None:
    repo.write(".sqsdlintignore", "raw/\n")
    repo.commit()
    repo.write(".sqsdlintignore", "*\n")
    repo.write("new/.sqsdlintignore", "*\n")
    policy = PolicyRef("HEAD")
    try:
        assert policy.text(str(repo.root / ".sqsdlintignore")) == "raw/\n"
        assert policy.text(str(repo.root / "new/.sqsdlintignore")) is None
        assert policy.text(str(repo.root)) is None
        (tmp_path / "outside").write_text("x\n")
        assert policy.text(str(tmp_path / "outside")) == "x\n"
    finally:
        policy.close()


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
