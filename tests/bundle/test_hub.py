"""Bundles on the Hub, by a small Hub on 127.0.0.1: pull, push, and what is said when it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sqsd_lint.bundle.installed import list_bundles
from sqsd_lint.bundle.load import Bundle, load_bundle
from sqsd_lint.bundle.remote import files as remote
from sqsd_lint.bundle.remote.address import parse
from sqsd_lint.bundle.remote.pull import cached, cached_or_pulled, pull
from sqsd_lint.bundle.remote.push import push
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.errors import BundleCorruptError, BundleError, BundleNotFoundError, ExitCode, UsageError
from tests.bundle.hub_fixtures import contents, environment, hub
from tests.bundle.hub_server import Hub

__all__ = ["hub"]  # a fixture

NAME = "org/bundle"
ADDRESS = parse(f"hf://{NAME}")
WEIGHTS = "danger/adapter_model.safetensors"


def cached_ids(cache: Path) -> list[str]:
    return [entry.id for entry in list_bundles(cache) if not entry.embedded]


def test_a_pull_pins_the_commit_and_is_found_again_without_a_network(
    hub: Hub, folder: Path, cache: Path
) -> None:
    repository = hub.add(NAME, contents(folder))
    bundle = pull(ADDRESS)
    first = repository.branches["main"]
    assert bundle.root == cache / "bundles" / f"tiny@{bundle.digest[:12]}"
    assert contents(bundle.root) == contents(folder)
    asked = len(hub.requests)
    assert open_bundle(f"hf://{NAME}").digest == bundle.digest
    assert open_bundle(f"hf://{NAME}@{first}").digest == bundle.digest
    assert open_bundle("tiny").digest == bundle.digest
    assert open_bundle(None, model=bundle.manifest.base_model.id).digest == bundle.digest
    assert len(hub.requests) == asked


def test_a_branch_moves_only_by_another_pull(hub: Hub, folder: Path) -> None:
    repository = hub.add(NAME, contents(folder))
    old = pull(ADDRESS)
    raw = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**raw, "metric": "dot"}))
    repository.commit(contents(folder))
    assert cached_or_pulled(f"hf://{NAME}").digest == old.digest
    new = pull(ADDRESS)
    assert new.manifest.metric == "dot"
    assert open_bundle("tiny").digest == new.digest  # the one that was pulled last
    assert cached_or_pulled(f"hf://{NAME}@{next(iter(repository.commits))}").digest == old.digest


def test_a_push_is_one_commit_that_a_pull_brings_back(hub: Hub, bundle: Bundle) -> None:
    done = push(bundle, parse(f"hf://{NAME}@v1"))
    repository = hub.repositories[NAME]
    assert repository.private
    assert done.address.revision == repository.branches["v1"]
    there = repository.commits[repository.branches["v1"]]
    assert there[WEIGHTS] == (bundle.root / WEIGHTS).read_bytes()
    assert bundle.digest in there["README.md"].decode()
    assert set(there) - set(contents(bundle.root)) == {"README.md", ".gitattributes"}
    assert pull(done.address).digest == bundle.digest


def test_a_push_takes_away_what_the_new_bundle_lacks(hub: Hub, bundle: Bundle) -> None:
    files = {**contents(bundle.root), "base/adapter_config.json": b"{}", "notes.txt": b"mine"}
    repository = hub.add(NAME, files)
    push(bundle, ADDRESS)
    assert set(repository.commits[repository.branches["main"]]) == {
        *contents(bundle.root),
        "README.md",
        "notes.txt",
    }


def test_a_push_spares_a_repository_that_holds_something_else(hub: Hub, bundle: Bundle) -> None:
    repository = hub.add(NAME, {"model.safetensors": b"x"})
    with pytest.raises(UsageError, match=r"something else than a bundle \(model\.safetensors\)"):
        push(bundle, ADDRESS)
    assert len(repository.commits) == 1
    push(bundle, ADDRESS, force=True)
    assert "model.safetensors" in repository.commits[repository.branches["main"]]


def test_a_damaged_bundle_is_not_pushed(hub: Hub, bundle: Bundle) -> None:
    (bundle.root / WEIGHTS).write_bytes(b"x")
    with pytest.raises(BundleCorruptError):
        push(bundle, ADDRESS)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("kind", "token", "address", "message", "hint"),
    [
        ({"private": True}, "hf_bad", f"hf://{NAME}", "no repository org/bundle", "hf auth login"),
        ({"gated": True}, "hf_bad", f"hf://{NAME}", "granted by its owner", f"huggingface.co/{NAME}"),
        ({}, Hub.TOKEN, "hf://org/other", "no repository org/other", "check the name"),
        ({}, Hub.TOKEN, f"hf://{NAME}@v9", "no revision 'v9'", "branch, tag or commit"),
    ],
)
def test_what_the_hub_refuses_is_explained(
    hub: Hub,
    folder: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: dict[str, bool],
    token: str,
    address: str,
    message: str,
    hint: str,
) -> None:
    hub.add(NAME, contents(folder), **kind)
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(address)
    assert hint in str(caught.value.hint)
    assert caught.value.exit_code == ExitCode.CANNOT_SCORE
    assert cached_ids(cache) == []


@pytest.mark.parametrize("kind", ["private", "gated"])
def test_a_token_opens_private_and_gated_repositories(hub: Hub, folder: Path, kind: str) -> None:
    hub.add(NAME, contents(folder), **{kind: True})
    assert pull(ADDRESS).id == "tiny"


def test_a_token_that_may_not_write_is_named(
    hub: Hub, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_reads_only")
    with pytest.raises(BundleError, match=r"cannot be written: the Hub refuses \(403\)") as caught:
        push(bundle, ADDRESS)
    assert "may write to org/bundle" in str(caught.value.hint)


def test_offline_the_cache_still_answers(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.add(NAME, contents(folder))
    pull(ADDRESS)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert open_bundle(f"hf://{NAME}").id == "tiny"
    with pytest.raises(BundleError, match="HF_HUB_OFFLINE") as caught:
        open_bundle("hf://org/other")
    assert "bundle pull hf://org/other" in str(caught.value.hint)


def test_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BundleError, match=r"hf://org/bundle cannot be fetched") as caught:
        pull(ADDRESS)
    assert "network" in str(caught.value.hint)


def test_a_repository_without_a_bundle(hub: Hub) -> None:
    hub.add(NAME, {"config.json": b"{}"})
    with pytest.raises(BundleNotFoundError, match=r"a file of the bundle is not there"):
        pull(ADDRESS)


_PULL = """
import sys
from sqsd_lint.bundle.remote import files as remote
from sqsd_lint.bundle.remote.address import parse
from sqsd_lint.bundle.remote.pull import pull
remote._BLOCK, remote._CHUNK = 1024, 512
print(pull(parse(sys.argv[1])).digest)
"""


def test_a_killed_pull_leaves_nothing_half_there_and_goes_on(hub: Hub, bundle: Bundle, cache: Path) -> None:
    hub.add(NAME, contents(bundle.root))
    hub.stall = ("safety/adapter_model", 100)
    command = [sys.executable, "-c", _PULL, f"hf://{NAME}"]
    process = subprocess.Popen(
        command, env=environment(hub, cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert hub.stalled.wait(20)
    process.kill()
    process.communicate()
    assert cached_ids(cache) == []
    assert cached(f"hf://{NAME}") is None
    left = {name for name in contents(cache) if ".pulling-" in name and not name.endswith(".lock")}
    assert any(name.endswith(WEIGHTS) for name in left)
    hub.release.set()
    hub.requests.clear()
    done = subprocess.run(command, env=environment(hub, cache), capture_output=True, text=True)
    assert done.stdout.strip() == bundle.digest, done.stderr
    assert not any(WEIGHTS in path for _, path in hub.requests), "it was there already"
    assert cached_ids(cache) == [f"tiny@{bundle.digest[:12]}"]
    assert not [name for name in contents(cache) if ".pulling-" in name]


@pytest.mark.parametrize("damage", [False, True])
def test_a_file_goes_on_within_itself_unless_its_start_is_damaged(
    hub: Hub, bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: bool
) -> None:
    monkeypatch.setattr(remote, "_BLOCK", 1024)
    hub.add(NAME, contents(bundle.root))
    part = cache / "bundles" / f".pulling-{bundle.digest[:24]}" / "danger" / ".adapter_model.safetensors.part"
    part.parent.mkdir(parents=True)
    start = (bundle.root / WEIGHTS).read_bytes()[:2000]
    part.write_bytes(b"x" * 2000 if damage else start)
    assert pull(ADDRESS).digest == bundle.digest
    assert f"{WEIGHTS}:2000" in hub.ranges
    assert (f"{WEIGHTS}:0" in hub.ranges) == damage


def test_a_cached_run_needs_neither_client(hub: Hub, folder: Path, cache: Path) -> None:
    hub.add(NAME, contents(folder))
    pull(ADDRESS)
    code = (
        "import sys\nfrom pathlib import Path\nfrom sqsd_lint.bundle.resolve import open_for\n"
        "from sqsd_lint.config import Settings\n"
        f"open_for(Settings(bundle='hf://{NAME}'))\n"
        "print([m for m in ('huggingface_hub', 'fsspec', 'filelock', 'httpx2') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(hub, cache), capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_two_pulls_at_once_make_one_bundle(hub: Hub, bundle: Bundle, cache: Path) -> None:
    hub.add(NAME, contents(bundle.root))
    command = [sys.executable, "-c", _PULL, f"hf://{NAME}"]
    both = [
        subprocess.Popen(command, env=environment(hub, cache), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert {process.communicate()[0].strip() for process in both} == {bundle.digest}
    assert load_bundle(cache / "bundles" / f"tiny@{bundle.digest[:12]}").digest == bundle.digest


def test_a_pull_repairs_what_is_missing_in_the_cache(hub: Hub, folder: Path) -> None:
    hub.add(NAME, contents(folder))
    bundle = pull(ADDRESS)
    shutil.rmtree(bundle.root)
    assert open_bundle(f"hf://{NAME}").digest == bundle.digest
