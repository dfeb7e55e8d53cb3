"""Bundles in stores that fsspec reaches, and hostile ones wherever they lie."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from sqsd_lint.bundle.cache import bundles_folder
from sqsd_lint.bundle.installed import list_bundles
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import Purpose
from sqsd_lint.bundle.remote import files as remote
from sqsd_lint.bundle.remote import pull as pulling
from sqsd_lint.bundle.remote import pull_records
from sqsd_lint.bundle.remote.address import Address, folder_of, parse
from sqsd_lint.bundle.remote.connect import connect
from sqsd_lint.bundle.remote.pull import pull
from sqsd_lint.bundle.remote.pull_records import PARTIAL
from sqsd_lint.bundle.remote.push import card, push
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.errors import BundleCorruptError, BundleError, BundleNotFoundError, UsageError
from tests.bundle.hub_fixtures import contents

WEIGHTS = "danger/adapter_model.safetensors"


@pytest.fixture
def memory() -> Iterator[Address]:
    """An empty folder of fsspec's file system in memory."""
    from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

    MemoryFileSystem.store.clear()
    yield parse("memory://bundles/mine")
    MemoryFileSystem.store.clear()


@pytest.fixture
def published(folder: Path) -> Address:
    """A bundle in a folder that is reached as a store, for a test to damage."""
    return parse(f"file://{folder}")


def nothing_cached(cache: Path) -> bool:
    return not [entry for entry in list_bundles(cache) if not entry.embedded]


def test_there_and_back(memory: Address, bundle: Bundle) -> None:
    done = push(bundle, memory)
    assert (str(done.address), done.digest) == ("memory://bundles/mine", bundle.digest)
    got = pull(memory)
    assert contents(got.root) == contents(bundle.root)
    assert open_bundle("memory://bundles/mine").digest == bundle.digest


def test_another_bundle_is_replaced_only_by_force(memory: Address, bundle: Bundle, folder: Path) -> None:
    push(bundle, memory)
    push(bundle, memory)  # the same again is no change
    raw = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**raw, "metric": "dot"}))
    other = open_bundle(str(folder))
    with pytest.raises(UsageError, match=rf"holds the bundle tiny@{bundle.digest[:12]}"):
        push(other, memory)
    assert pull(memory).digest == bundle.digest
    push(other, memory, force=True)
    assert pull(memory).digest == other.digest


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("hf://org", "no repository"),
        ("hf://org/name@../../x", "no repository"),
        ("hf://datasets/org/name", "no repository"),
        ("simplecache::s3://bucket/x", "no place"),
        ("reference://x", "reference://"),
        ("zip://x::s3://bucket/x.zip", "no place"),
        ("http://host/x", "http://"),
        ("s3://key:secret@bucket/x", "password"),
        ("s3://bucket/\x1b[31m", "no place"),
    ],
)
def test_what_is_no_address(reference: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse(reference)
    assert "secret" not in caught.value.message
    assert "\x1b" not in caught.value.message


def test_addresses() -> None:
    assert parse("hf://org/name@refs/pr/1") == Address("hf://org/name", "refs/pr/1")
    assert str(parse("hf://org/name").at("abc")) == "hf://org/name@abc"
    assert str(parse("s3://bucket/x/").at("abc")) == "s3://bucket/x"
    assert folder_of("file:///a/b") == "/a/b"
    assert folder_of("bundles/mine") == "bundles/mine"
    assert folder_of("hf://org/name") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../evil.json", "expected a plain path inside the bundle"),
        ("/etc/evil.json", "expected a plain path inside the bundle"),
        ("danger/evil.py", "a file of the kinds safetensors, json, parquet, md, jinja"),
        ("danger/weights.bin", "a file of the kinds safetensors, json, parquet, md, jinja"),
        ("..\\evil.json", "expected a plain path inside the bundle"),
        ("danger/a\n.json", "expected a plain path inside the bundle"),
        ("danger/\u202ea.json", "not a plain path inside the bundle"),
    ],
)
def test_a_manifest_that_names_hostile_files_is_refused(
    published: Address, folder: Path, cache: Path, name: str, said: str
) -> None:
    raw = json.loads((folder / "bundle.json").read_text())
    raw["files"][name] = "0" * 64
    (folder / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(BundleCorruptError, match=said):
        pull(published)
    assert contents(cache) == {}


def test_a_link_that_somebody_laid_into_the_cache_is_not_written_through(
    published: Address, bundle: Bundle, cache: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    stage = bundles_folder(cache) / f"{PARTIAL}{bundle.digest[:24]}"
    (stage / "danger").mkdir(parents=True)
    (stage / "danger" / ".adapter_config.json.part").symlink_to(victim)
    assert contents(pull(published, cache_dir=cache).root) == contents(bundle.root)
    assert victim.read_text() == "mine"


def test_an_infinite_number_is_a_damaged_manifest(published: Address, folder: Path) -> None:
    raw = json.loads((folder / "bundle.json").read_text())
    raw["training"] = {"x": 0.123456}
    (folder / "bundle.json").write_text(json.dumps(raw).replace("0.123456", "1e999"))
    with pytest.raises(BundleCorruptError, match="not a valid bundle manifest"):
        pull(published)


def test_a_changed_file_is_refused(published: Address, folder: Path, cache: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1] + b"x")
    with pytest.raises(BundleCorruptError, match=f"{WEIGHTS} is not the file that its manifest names"):
        pull(published)
    assert nothing_cached(cache)


def test_weights_that_are_no_safetensors_are_refused(published: Address, folder: Path, cache: Path) -> None:
    data = b"\x80\x04cposix\nsystem\n."  # a pickle under another name
    (folder / WEIGHTS).write_bytes(data)
    raw = json.loads((folder / "bundle.json").read_text())
    raw["files"][WEIGHTS] = hashlib.sha256(data).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(BundleCorruptError, match="danger"):
        pull(published)
    assert nothing_cached(cache)


def test_what_the_manifest_does_not_name_is_not_fetched(published: Address, folder: Path) -> None:
    (folder / "evil.py").write_text("x")
    (folder / "README.md").write_text("x")
    assert {"evil.py", "README.md"}.isdisjoint(contents(pull(published).root))


def test_a_file_that_is_larger_than_any_bundle_has_is_not_fetched(
    published: Address, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "MAX_FILE", 100)
    with pytest.raises(BundleError, match="too many for a bundle"):
        pull(published)
    assert nothing_cached(cache)


def test_a_store_that_understates_a_size_is_found_out(published: Address, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="larger than 100 bytes"):
        list(connect(published).copy(WEIGHTS, tmp_path / "part", limit=100))


@pytest.mark.parametrize("stated", ["nothing", "less"])
def test_all_files_together_are_bounded_whatever_a_store_says(
    published: Address, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    total = sum(len(data) for name, data in contents(folder).items() if name != "bundle.json")
    monkeypatch.setattr(remote.Remote, "size", lambda *_: None if stated == "nothing" else 1)
    monkeypatch.setattr(pulling, "_MAX_BUNDLE", total - 1)
    with pytest.raises(BundleError, match="all that a bundle may have"):
        pull(published)
    assert nothing_cached(cache)
    assert not any(contents(cache).values()), "what can never be whole takes no space"
    monkeypatch.setattr(pulling, "_MAX_BUNDLE", total)
    assert contents(pull(published).root) == contents(folder)


def test_a_full_disk_is_said_before_anything_is_fetched(
    published: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage("."))(10, 9, 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BundleError, match="MB are free") as caught:
        pull(published)
    assert "bundle prune" in str(caught.value.hint)


def test_a_store_without_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="there is no bundle"):
        pull(parse(f"file://{tmp_path}/none"))


def test_a_digest_that_was_not_expected(published: Address, bundle: Bundle, cache: Path) -> None:
    with pytest.raises(BundleError, match=f"expected a bundle with the digest 000.*{bundle.digest[:12]}"):
        pull(published, expected=["0" * 64])
    assert nothing_cached(cache)


def test_no_text_of_a_manifest_becomes_markup(bundle: Bundle) -> None:
    from msgspec.structs import replace

    hostile = "<script>x</script>\n\n# [click](http://x) | `y`"
    base = replace(bundle.manifest.base_model, id=hostile)
    manifest = replace(bundle.manifest, base_model=base, target=Purpose(True, (hostile,)))
    written = card(manifest, parse("hf://org/name"))
    prose = [line for line in written.splitlines() if not line.startswith(("    ", "base_model:"))]
    assert not [line for line in prose if re.search(r"(?<!\\)<|(?<!\\)\[click", line)]
    assert json.dumps(hostile) in written  # in the front matter, as one YAML string
    assert manifest.digest in written


def stage_of(bundle: Bundle, cache: Path) -> Path:
    return bundles_folder(cache) / f"{PARTIAL}{bundle.digest[:24]}"


def test_a_link_in_the_place_of_the_lock_is_not_written_through(
    published: Address, bundle: Bundle, cache: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    stage = stage_of(bundle, cache)
    stage.parent.mkdir(parents=True)
    stage.with_name(f"{stage.name}.lock").symlink_to(victim)
    assert pull(published).digest == bundle.digest
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("damage", ["a file", "another bundle"])
def test_a_pull_replaces_what_is_damaged_in_the_cache(
    published: Address, bundle: Bundle, cache: Path, damage: str
) -> None:
    there = pull(published).root
    if damage == "a file":
        (there / WEIGHTS).write_bytes(b"x")
    else:
        raw = json.loads((there / "bundle.json").read_text())
        (there / "bundle.json").write_text(json.dumps({**raw, "metric": "dot"}))
    assert pull(published).digest == bundle.digest
    assert contents(bundles_folder(cache) / f"tiny@{bundle.digest[:12]}") == contents(bundle.root)


def test_a_full_disk_in_the_middle_is_no_fault_of_the_store(
    published: Address, bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    opened = Path.open

    class Full(io.BytesIO):
        def write(self, *_: object) -> int:
            raise full

    def scarce(self: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        return Full() if self.name.endswith(".part") and "a" in mode else opened(self, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", scarce)
    with pytest.raises(BundleError, match="cannot be written: No space left") as caught:
        pull(published)
    assert "--cache-dir" in str(caught.value.hint)
    monkeypatch.undo()
    assert nothing_cached(cache)
    assert pull(published, cache_dir=cache).digest == bundle.digest


def test_a_cache_that_cannot_be_written(
    published: Address, bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file")
    with pytest.raises(BundleError, match="cannot be written"):
        pull(published)
    cache.unlink()
    pull(published)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    for module, name in ((os, "utime"), (pull_records, "write_json")):
        monkeypatch.setattr(module, name, refuse)
    assert pull(published).digest == bundle.digest, "what is there already needs no writing"


def test_a_file_system_without_locks(
    published: Address, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock; use SoftFileLock instead")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(BundleError, match="no file locks") as caught:
        pull(published)
    assert "--cache-dir" in str(caught.value.hint)
    assert nothing_cached(cache)


def test_processes_that_come_late_leave_nothing_behind(
    published: Address, bundle: Bundle, cache: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        digests = {got.digest for got in pool.map(lambda _: pull(published), range(16))}
    assert digests == {bundle.digest}
    assert not list(bundles_folder(cache).glob(f"{PARTIAL}*"))
