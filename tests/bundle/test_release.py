"""Releases laid out like the paper's, in a folder and on a server that speaks the Hub's endpoints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sqsd_lint.bundle.load import load_bundle
from sqsd_lint.bundle.manifest import DirectionSpec
from sqsd_lint.bundle.remote.paper_release import import_release, open_release
from sqsd_lint.errors import AdapterError, BundleError, UsageError
from tests import tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LAYOUT = {
    "Direction/Ageis_Danger": "danger",
    "Direction/Beaver-Danger": "danger",
    "Direction/PKURLHF-10K_Safety": "safety",
    "initial-state/dolly_ckpt_5850": "initial",
}


@pytest.fixture
def release(tiny_adapters: dict[str, Path], tmp_path: Path) -> Path:
    """The published layout, with what a training leaves beside the adapters."""
    for place, role in LAYOUT.items():
        shutil.copytree(tiny_adapters[role], tmp_path / "SQSD" / place)
        (tmp_path / "SQSD" / place / "training_args.bin").write_bytes(b"\x80\x04pickle")
    (tmp_path / "SQSD" / "README.md").write_text("# SQSD\n")
    return tmp_path / "SQSD"


def test_a_folder_becomes_a_bundle_with_the_authors_settings(
    release: Path, tiny_model_folder: Path, tiny_adapters: dict[str, Path], tmp_path: Path
) -> None:
    made = import_release(
        str(release), model=str(tiny_model_folder), danger="Beaver-Danger", output=tmp_path / "b"
    )
    m = made.manifest
    assert (m.metric, m.expansion, m.update) == ("cosine", "paper", "lora")
    assert m.template_arguments == {"enable_thinking": False}
    assert m.directions == {
        "danger": DirectionSpec("danger", "initial", None),
        "safety": DirectionSpec("safety", "safety", 1.0),
    }
    assert m.training["danger"]["folder"] == "Beaver-Danger"
    assert "BeaverTails" in m.training["danger"]["authors_say"]
    assert m.training["safety"]["release"] == "SQSD"
    for role in ("danger", "safety", "initial"):
        weights = f"{role}/adapter_model.safetensors"
        assert (made.root / weights).read_bytes() == (
            tiny_adapters[role] / "adapter_model.safetensors"
        ).read_bytes()


def test_danger_is_chosen_by_name(release: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 danger adapters") as caught:
        import_release(str(release), output=tmp_path / "b")
    assert caught.value.hint == "name one: --danger Ageis_Danger or --danger Beaver-Danger"
    with pytest.raises(UsageError, match="'beaver_danger'") as caught:
        import_release(str(release), danger="beaver_danger", output=tmp_path / "b")
    assert str(caught.value.hint).startswith("did you mean Beaver-Danger?")


def test_one_danger_adapter_needs_no_name(release: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(release / "Direction/Ageis_Danger")
    made = import_release(str(release), model=str(tiny_model_folder), output=tmp_path / "b")
    assert made.manifest.training["danger"]["folder"] == "Beaver-Danger"


@pytest.mark.parametrize(
    ("gone", "complaint"),
    [
        ("Direction/PKURLHF-10K_Safety", "expected one safety adapter in Direction/, found no folder"),
        ("initial-state", "expected one initial state in initial-state/, found no folder"),
        ("Direction", "no danger adapter: Direction/ holds no folder"),
    ],
)
def test_missing_pieces_are_named(release: Path, gone: str, complaint: str) -> None:
    shutil.rmtree(release / gone)
    with pytest.raises(AdapterError, match=complaint):
        open_release(str(release))


def test_two_initial_states_are_one_too_many(release: Path) -> None:
    shutil.copytree(release / "initial-state/dolly_ckpt_5850", release / "initial-state/alpaca")
    with pytest.raises(AdapterError, match="found alpaca, dolly_ckpt_5850"):
        open_release(str(release))


def test_a_wrong_rank_another_model_and_pointers_are_named(
    release: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    shutil.rmtree(release / "Direction/Ageis_Danger")

    def attempt(complaint: str) -> None:
        with pytest.raises(AdapterError, match=complaint):
            import_release(str(release), model=str(tiny_model_folder), output=tmp_path / "b")

    path = release / "initial-state/dolly_ckpt_5850/adapter_config.json"
    config = path.read_text()
    path.write_text(json.dumps({**json.loads(config), "r": 8}))
    attempt("dolly_ckpt_5850.*has rank 3, but adapter_config.json says 8")
    path.write_text(config)
    safety = release / "Direction/PKURLHF-10K_Safety"
    tiny.save_adapter(safety, arch="gpt2")
    attempt("PKURLHF-10K_Safety: the model in .* has no layer 'transformer.h.0.attn.c_attn'")
    (safety / "adapter_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    attempt("a Git LFS pointer")
    assert not (tmp_path / "b").exists()


def test_a_release_is_no_url(release: Path) -> None:
    with pytest.raises(UsageError, match="a release is a folder or hf://"):
        open_release("s3://bucket/SQSD")


def test_a_repository_that_cannot_be_reached() -> None:
    with pytest.raises(BundleError, match=r"hf://Wxxxx/SQSD: the Hub is switched off .* in the cache"):
        open_release("hf://Wxxxx/SQSD")  # tests run with HF_HUB_OFFLINE


class Hub(ThreadingHTTPServer):
    """One repository, by the endpoints that a snapshot needs; `asked` collects the files that were read."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, (_, _, rest) = self.path.partition("?")[0], self.path.partition("/resolve/")
        files = sorted(p for p in self.server.root.rglob("*") if p.is_file())
        if path.startswith("/api/models/Wxxxx/SQSD/tree/"):
            entries = [
                {
                    "type": "file",
                    "path": p.relative_to(self.server.root).as_posix(),
                    "size": p.stat().st_size,
                    "oid": "0" * 40,
                }
                for p in files
            ]
            self._send(json.dumps(entries).encode())
        elif path.startswith("/api/models/Wxxxx/SQSD"):
            siblings = [{"rfilename": p.relative_to(self.server.root).as_posix()} for p in files]
            self._send(json.dumps({"id": "Wxxxx/SQSD", "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith(f"/Wxxxx/SQSD/resolve/{COMMIT}/"):
            inner = rest.partition("/")[2].partition("?")[0]
            if self.command == "GET":
                self.server.asked.append(inner)
            self._send((self.server.root / inner).read_bytes())
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hash(body) & (1 << 60) - 1:032x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(release: Path) -> Iterator[Hub]:
    server = Hub(release)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_command_on_a_repository(hub: Hub, tiny_model_folder: Path, tmp_path: Path) -> None:
    """One command, pinned to the commit; and again from the Hub's cache, with the server gone."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
    }
    command = [sys.executable, "-m", "sqsd_lint", "bundle", "import", "--release", "hf://Wxxxx/SQSD"]
    command += ["--danger", "Beaver-Danger", "--model", str(tiny_model_folder), "-o"]

    def run(output: str, **more: str) -> str:
        done = subprocess.run(
            [*command, output], env={**environment, **more}, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return load_bundle(tmp_path / output).digest

    first = run("one")
    asked = [name.rpartition("/") for name in hub.asked]
    assert {file for _, _, file in asked} == {"adapter_config.json", "adapter_model.safetensors"}
    weights = [place for place, _, file in asked if file == "adapter_model.safetensors"]
    assert sorted(weights) == sorted(set(LAYOUT) - {"Direction/Ageis_Danger"})
    origin = load_bundle(tmp_path / "one").manifest.training["initial"]
    assert (origin["release"], origin["revision"]) == ("hf://Wxxxx/SQSD", COMMIT)
    hub.asked.clear()
    assert first != run("two", HF_HUB_OFFLINE="1")  # another id; the files are the same
    files = [load_bundle(tmp_path / name).manifest.files for name in ("one", "two")]
    assert files[0] == files[1]
    assert hub.asked == []
