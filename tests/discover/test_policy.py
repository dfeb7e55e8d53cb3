"""Configuration, rules and what was accepted come from a commit, whatever the work tree says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sqsd_lint.config import Settings
from sqsd_lint.discover.git.policy_ref import PolicyRef
from sqsd_lint.errors import ConfigError, SqsdLintError, UsageError
from tests.discover.policies import load
from tests.repository import Repository

posix = pytest.mark.skipif(os.name != "posix", reason="symbolic links")


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
