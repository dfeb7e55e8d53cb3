"""Bundles on a web server, also on one that knows no ranges and answers every request with the whole file."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sqsd_lint.bundle.cache import bundles_folder
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.remote import address as sources
from sqsd_lint.bundle.remote import files as remote
from sqsd_lint.bundle.remote.address import Address, parse
from sqsd_lint.bundle.remote.connect import connect
from sqsd_lint.bundle.remote.pull import pull
from sqsd_lint.bundle.remote.pull_records import PARTIAL
from sqsd_lint.errors import BundleError
from tests.bundle.hub_fixtures import contents

pytest.importorskip("aiohttp", reason="https:// stores need it: pip install aiohttp")

WEIGHTS = "danger/adapter_model.safetensors"


class Server:
    """What it has, what it says of ranges, and what was asked of it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.accepts: str | None = None
        self.sized = True
        self.asked: list[str] = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    server_state: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.server_state.asked.append(f"{self.path} {self.headers.get('Range')}")
        data = self._answer()
        try:
            self.wfile.write(data)
        except OSError:  # whoever asked for a part has seen enough
            self.close_connection = True

    def _answer(self) -> bytes:
        data = self.server_state.files.get(self.path.removeprefix("/mine/"))
        self.send_response(404 if data is None else 200)
        if self.server_state.sized:
            self.send_header("Content-Length", str(len(data or b"")))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        if self.server_state.accepts:
            self.send_header("Accept-Ranges", self.server_state.accepts)
        self.end_headers()
        return data or b""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(sources, "STORES", sources.STORES | {"http"})  # no certificates on loopback
    state = Server()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_state": state}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    state.url = f"http://127.0.0.1:{server.server_address[1]}/mine"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("accepts", [None, "none"])
@pytest.mark.parametrize("left", [0, 2000, 10_000])
def test_a_server_without_ranges_gives_the_file_anew(
    web: Server, bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch, left: int, accepts: str | None
) -> None:
    """Of what a killed pull left, and between the blocks of a file: what comes is never appended to it."""
    monkeypatch.setattr(remote, "_BLOCK", 4096)
    monkeypatch.setattr(remote, "_CHUNK", 1024)
    web.files, web.accepts = contents(bundle.root), accepts
    assert len(web.files[WEIGHTS]) > 10_000
    if left:
        stage = bundles_folder(cache) / f"{PARTIAL}{bundle.digest[:24]}"
        part = stage / "danger" / ".adapter_model.safetensors.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(web.files[WEIGHTS][:left])
    got = pull(parse(web.url))
    assert contents(got.root) == contents(bundle.root)
    assert f"/mine/{WEIGHTS} None" in web.asked
    if left and accepts is None:
        assert any(each.startswith(f"/mine/{WEIGHTS} bytes={left}-") for each in web.asked)


@pytest.mark.parametrize("sized", [True, False])
def test_a_large_manifest_that_comes_in_pieces(web: Server, bundle: Bundle, sized: bool) -> None:
    web.files, web.accepts, web.sized = contents(bundle.root), "none", sized
    web.files["bundle.json"] = b" " * 3_000_000 + web.files["bundle.json"]
    assert pull(parse(web.url)).digest == bundle.digest


@pytest.mark.parametrize("names", [("a.json", "a.json/b.json"), (f"{'n' * 300}.json",)])
def test_names_that_no_disk_can_hold(web: Server, bundle: Bundle, names: tuple[str, ...]) -> None:
    raw = bundle.manifest.to_json()
    raw["files"] = {**{name: hashlib.sha256(b"{}").hexdigest() for name in names}, **raw["files"]}
    extra = {**dict.fromkeys(names, b"{}"), "bundle.json": json.dumps(raw).encode()}
    web.files = contents(bundle.root) | extra
    with pytest.raises(BundleError, match="cannot be written"):
        pull(parse(web.url))


def test_a_large_file_may_take_its_time() -> None:
    timeout = connect(Address("https://host.invalid/mine")).files.client_kwargs["timeout"]
    assert timeout.total is None
    assert timeout.sock_read
