"""The lock: what it records, what it refuses, and that a policy's commit decides which lock counts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.lock import Lock, Locked, parse_lock, read_lock
from sqsd_lint.bundle.locking import changes, make_lock, outdated
from sqsd_lint.bundle.resolve import open_for
from sqsd_lint.common.json_io import digest
from sqsd_lint.common.schema import schema_problems
from sqsd_lint.config import Settings, load_settings
from sqsd_lint.discover.git.config_at_ref import settings_at
from sqsd_lint.discover.git.policy_ref import PolicyRef
from sqsd_lint.errors import BundleError, ConfigError, ExitCode, UsageError, WrongBaseModelError
from tests.counting import audited, lines_run
from tests.repository import Repository

LOCK = "sqsd-lint.lock"
OTHER = "0" * 64


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """An empty repository, which is the working folder."""
    return Repository.here(tmp_path / "repo", monkeypatch)


@pytest.fixture
def source(folder: Path) -> str:
    """The address of a bundle in a store."""
    return f"file://{folder}"


@pytest.fixture
def settings(repo: Repository, bundle: Bundle, source: str) -> Callable[..., Settings]:
    """Settings of a configuration that maps the bundle's base model to its address."""
    base = bundle.manifest.base_model.id
    repo.write("sqsd-lint.toml", f'model = "{base}"\n[bundles]\n"{base}" = "{source}"\n')

    def make(**cli: Any) -> Settings:
        return load_settings(cli, cwd=Path.cwd(), environ={}).settings

    return make


def locked(settings: Settings) -> Lock:
    """The lock of settings, written."""
    new = make_lock(settings, None, LOCK)
    new.write()
    return new


def edit(**values: Any) -> None:
    """Changes fields of the only locked bundle."""
    raw = json.loads(Path(LOCK).read_text())
    (entry,) = raw["bundles"].values()
    entry.update(values)
    Path(LOCK).write_text(json.dumps(raw))


def republish(folder: Path, **changed: Any) -> str:
    raw = {**json.loads((folder / "bundle.json").read_text()), **changed}
    (folder / "bundle.json").write_text(json.dumps(raw))
    return load_bundle(folder).digest


def test_a_lock_records_source_and_digest_and_keeps_to_its_schema(
    settings: Callable[..., Settings], bundle: Bundle, source: str
) -> None:
    locked(settings())
    raw = json.loads(Path(LOCK).read_text())
    assert schema_problems(raw, "lock") == []
    base = bundle.manifest.base_model.id
    entry = {"id": "tiny", "source": source, "revision": None, "digest": bundle.digest}
    assert raw == {"version": 1, "bundles": {base: entry}}
    assert open_for(settings()).digest == bundle.digest
    assert open_for(settings(bundle=source)).digest == bundle.digest


def test_what_was_published_anew_is_refused_until_the_lock_is_upgraded(
    settings: Callable[..., Settings], bundle: Bundle, folder: Path
) -> None:
    old = locked(settings())
    new = republish(folder, metric="dot")
    with pytest.raises(BundleError) as caught:
        open_for(settings())
    assert caught.value.exit_code == ExitCode.CANNOT_SCORE
    assert bundle.digest[:12] in caught.value.message
    assert new[:12] in caught.value.message
    assert "lock --upgrade" in str(caught.value.hint)
    assert make_lock(settings(), old, LOCK) == old
    upgraded = make_lock(settings(), old, LOCK, upgrade=True)
    (change,) = changes(old, upgraded)
    assert (change.old, change.new) == (*old.bundles.values(), *upgraded.bundles.values())
    upgraded.write()
    assert open_for(settings()).digest == new


def test_a_bundle_that_is_cached_already_is_held_to_the_lock(
    settings: Callable[..., Settings], bundle: Bundle, source: str
) -> None:
    open_for(settings(bundle=source))
    locked(settings())
    edit(digest=OTHER)
    with pytest.raises(BundleError, match=bundle.digest[:12]):
        open_for(settings())


@pytest.mark.parametrize("named", ["folder", "cached id"])
def test_another_bundle_by_name_is_refused(
    settings: Callable[..., Settings], bundle: Bundle, source: str, folder: Path, named: str
) -> None:
    open_for(settings(bundle=source))
    locked(settings())
    reference = str(folder) if named == "folder" else "tiny"
    assert open_for(settings(bundle=reference)).digest == bundle.digest  # the locked one, by another name
    edit(digest=OTHER)
    with pytest.raises(BundleError, match=f"expected the bundle tiny with the digest {OTHER[:12]}"):
        open_for(settings(bundle=reference))


def test_a_base_model_that_is_not_locked(settings: Callable[..., Settings], folder: Path) -> None:
    locked(settings())
    base = settings().model
    with pytest.raises(BundleError, match=f"locks no bundle for .*only for: {base}"):
        open_for(settings(bundle="smollm2-135m-default", model="org/other"))
    assert open_for(load_settings({}, isolated=True, cwd=Path.cwd(), environ={}).settings)  # reads no lock


def test_a_lock_that_lags_behind_the_configuration(
    settings: Callable[..., Settings], repo: Repository, bundle: Bundle
) -> None:
    locked(settings())
    base = bundle.manifest.base_model.id
    repo.write("sqsd-lint.toml", f'model = "{base}"\n[bundles]\n"{base}" = "hf://org/name"\n')
    with pytest.raises(BundleError, match="out of date") as caught:
        open_for(settings())
    assert "sqsd-lint lock" in str(caught.value.hint)
    said = outdated(settings(), read_lock(settings()), LOCK)
    assert said == [f"{base}: hf://org/name is not locked", f"{base}: locked, but no longer configured"]


def test_up_to_date(settings: Callable[..., Settings]) -> None:
    assert outdated(settings(), None, LOCK) == [f"there is no {LOCK}"]
    assert outdated(settings(), locked(settings()), LOCK) == []


def test_folders_are_relative_to_the_lock_and_read_anew(
    repo: Repository, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.rename(folder, repo.root / "mine")
    repo.write("sqsd-lint.toml", 'bundle = "./mine"\n')
    (repo.root / "data").mkdir()
    monkeypatch.chdir(repo.root / "data")

    def now() -> Settings:
        return load_settings({}, cwd=Path.cwd(), environ={}).settings

    assert now().lock == "../sqsd-lint.lock"
    old = make_lock(now(), None, "../sqsd-lint.lock")
    assert [each.source for each in old.bundles.values()] == ["mine"]
    old.write()
    assert open_for(now()).id == "tiny"
    republish(repo.root / "mine", metric="dot")
    with pytest.raises(BundleError, match="expected the bundle tiny"):
        open_for(now())
    assert len(outdated(now(), old, "../sqsd-lint.lock")) == 1
    assert changes(old, make_lock(now(), old, "../sqsd-lint.lock"))


def test_the_embedded_default_is_locked_where_nothing_is_configured(repo: Repository) -> None:
    settings = load_settings({}, cwd=Path.cwd(), environ={}).settings
    new = locked(settings)
    assert [each.source for each in new.bundles.values()] == ["embedded:default"]
    assert open_for(settings).root.name == "default"
    edit(digest=OTHER)
    with pytest.raises(BundleError, match="expected the bundle"):
        open_for(settings)


def test_an_id_in_the_cache_is_refused_on_every_machine_alike(
    repo: Repository, folder: Path, cache: Path
) -> None:
    """What it stands for is up to each machine's cache; where its address is known, that is the remedy."""
    from sqsd_lint.bundle.installed import install

    settings = Settings(bundle="tiny", lock=LOCK)
    old = Lock(LOCK, {})

    def refused() -> list[str | None]:
        hints = []
        for call in (lambda: make_lock(settings, None, LOCK), lambda: outdated(settings, old, LOCK)):
            with pytest.raises(ConfigError, match="neither an address nor a folder") as caught:
                call()
            hints.append(caught.value.hint)
        return hints

    assert all("bundle push" in str(hint) for hint in refused())  # CI: the cache is empty
    install(folder)
    assert all("bundle push" in str(hint) for hint in refused())
    shutil.rmtree(cache)
    open_for(Settings(bundle=f"file://{folder}"))
    assert refused() == [f"name its address instead: file://{folder}"] * 2


def test_a_bundle_that_only_this_machine_has_cannot_be_locked(repo: Repository, folder: Path) -> None:
    from sqsd_lint.bundle.installed import install

    base = install(folder).manifest.base_model.id
    with pytest.raises(ConfigError, match="only in the cache of this machine"):
        make_lock(Settings(model=base, lock=LOCK), None, LOCK)


def test_a_machine_with_an_empty_cache_checks_what_a_model_was_locked_to(
    repo: Repository, source: str, bundle: Bundle, cache: Path
) -> None:
    base = bundle.manifest.base_model.id
    settings = Settings(model=base, lock=LOCK)
    open_for(Settings(bundle=source))
    made = make_lock(settings, None, LOCK)
    assert made.bundles[base].source == source
    shutil.rmtree(cache)
    assert outdated(settings, made, LOCK) == []
    assert outdated(settings, Lock(LOCK, {}), LOCK) == [f"no bundle for the model {base!r}"]


def test_the_embedded_bundle_by_its_name_or_its_model(repo: Repository) -> None:
    manifest = open_for(Settings()).manifest
    base = manifest.base_model.id
    for settings in (Settings(bundle=manifest.id, lock=LOCK), Settings(model=base, lock=LOCK)):
        new = locked(settings)
        assert {key: each.source for key, each in new.bundles.items()} == {base: "embedded:default"}
        assert outdated(settings, new, LOCK) == []
        assert open_for(settings).id == manifest.id
    with pytest.raises(ConfigError, match="it needs no entry"):
        make_lock(Settings(model=base, bundles={base: manifest.id}, lock=LOCK), None, LOCK)


def test_an_agreement_is_measured_with_locked_bundles_only(
    repo: Repository, folder: Path, bundle: Bundle
) -> None:
    from sqsd_lint.run import calibrate as run_calibrate

    locked(Settings(lock=LOCK))
    repo.write("scores.jsonl", '{"fingerprint": "a", "sqsd": 1}\n')
    proxy = open_for(Settings()).id
    with pytest.raises(
        BundleError, match=f"locks no bundle for the base model {bundle.manifest.base_model.id}"
    ):
        run_calibrate.agree(proxy, Path("scores.jsonl"), [], Settings(lock=LOCK), target_bundle=str(folder))


def test_a_bundle_for_another_model_is_not_locked(repo: Repository, source: str) -> None:
    settings = Settings(bundles={"org/other": source}, lock=LOCK)
    with pytest.raises(WrongBaseModelError, match="was made for"):
        make_lock(settings, None, LOCK)


def test_only_the_named_models_are_upgraded(settings: Callable[..., Settings], folder: Path) -> None:
    old = locked(settings())
    republish(folder, metric="dot")
    (base,) = old.bundles
    assert make_lock(settings(), old, LOCK, upgrade=True, models=[base]) != old
    with pytest.raises(UsageError, match="no such base model"):
        make_lock(settings(), old, LOCK, upgrade=True, models=["org/none"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "bundles": {}}',
        '{"version": 1, "bundles": {"a": {"id": "x"}}}',
        "[" * 9999,
    ],
)
def test_a_lock_that_does_not_hold_locks_nothing_out(text: str) -> None:
    with pytest.raises(ConfigError, match="not a valid lock"):
        parse_lock(text.encode(), LOCK)


def test_the_lock_comes_from_the_commit_of_the_policy(
    settings: Callable[..., Settings], repo: Repository, bundle: Bundle, source: str
) -> None:
    """A pull request cannot bring a lock, nor take one away, that judges its own data."""
    locked(settings())
    repo.commit()
    edit(digest=OTHER)

    def judged() -> Settings:
        policy = PolicyRef("HEAD")
        try:
            found, _ = settings_at(policy, {"policy_ref": "HEAD"}, environ={})
        finally:
            policy.close()
        return found.settings

    assert judged().bundles == {bundle.manifest.base_model.id: source}
    assert open_for(judged()).digest == bundle.digest
    with pytest.raises(BundleError):
        open_for(settings())
    Path(LOCK).unlink()
    assert read_lock(settings()) is None
    assert read_lock(judged()) is not None
    edit_commit = Lock(LOCK, {bundle.manifest.base_model.id: Locked("tiny", source, None, OTHER)})
    edit_commit.write()
    repo.commit()
    Path(LOCK).unlink()
    with pytest.raises(BundleError, match=OTHER[:12]):
        open_for(judged())


def test_a_lock_is_read_once_and_in_linear_time(settings: Callable[..., Settings]) -> None:
    def write(count: int) -> None:
        entries = {f"org/{i}": Locked("x", f"hf://org/{i}", "a" * 40, digest(i)) for i in range(count)}
        Lock(LOCK, entries).write()

    now = settings()
    write(100)
    with audited() as events:
        read_lock(now)
    assert [(event, Path(path).name) for event, path in events] == [("open", LOCK)]
    once = lines_run(lambda: read_lock(now))
    write(200)
    assert once < lines_run(lambda: read_lock(now)) < 2.1 * once
    assert once < 100 * 100
