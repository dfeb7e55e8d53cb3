"""Services that tests talk to: the real one, here or in its own process, and one of a test's making."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqsd_lint.config import Settings


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def serving_settings(bundle: Path, model: Path, cache: Path, **changes: Any) -> Settings:
    """Return the settings of a service with a tiny bundle on the CPU."""
    given = {"device": "cpu", "dtype": "float32", **changes}
    return Settings(bundle=str(bundle), model=str(model), cache_dir=str(cache), **given)


@contextmanager
def served(app: Any, **tls: str) -> Iterator[str]:
    """Serve an application in a thread of this process, and yield its URL; uvicorn's `ssl_...` for TLS."""
    import uvicorn

    config = uvicorn.Config(
        app,
        port=0,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        **tls,  # type: ignore[arg-type]
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.02)
    try:
        (listener,) = server.servers[0].sockets
        yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def service(settings: Settings, tls: Mapping[str, str] | None = None, **more: Any) -> Iterator[str]:
    """Serve a bundle in this process, and yield its URL."""
    from sqsd_lint.run.serve import make_service
    from sqsd_lint.server.app import make_app

    given = {"most_rows": 4096, "most_models": 2, **more}
    with served(make_app(make_service(settings, **given)), **(tls or {})) as url:
        yield url


@contextmanager
def process(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Run `sqsd-lint serve`, and yield the process, its URL and the lines that it logs."""
    command = [sys.executable, "-m", "sqsd_lint", "serve", "--isolated", "--port", "0", *map(str, arguments)]
    env = {name: text for name, text in os.environ.items() if not name.startswith("SQSD_LINT_")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as server:
        lines: list[str] = []
        assert server.stderr is not None
        try:
            for line in server.stderr:
                lines.append(line)
                if '"listening"' in line:
                    break
            else:
                raise AssertionError("".join(lines))
            threading.Thread(target=lambda: lines.extend(server.stderr or ()), daemon=True).start()
            yield server, json.loads(lines[-1])["url"], lines
        finally:
            server.kill()


@dataclass
class Reply:
    """What a service of a test answers: parts are sent one after the other, with a pause before each."""

    status: int = 200
    parts: Iterable[bytes] = (b"",)
    headers: tuple[tuple[str, str], ...] = ()
    pause: float = 0.0
    hang_up: bool = False


def reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """Return a JSON answer; NaN and the like are written as Python writes them."""
    given = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Reply(status, (json.dumps(value).encode(),), given)


@contextmanager
def answering(answer: Callable[[str, Any], Reply], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve what `answer` returns for a path and the JSON of a body, None where there is none."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            given = answer(self.path, json.loads(body) if body else None)
            if given.hang_up:
                self.close_connection = True
                return
            self.send_response(given.status)
            for name, text in given.headers:
                self.send_header(name, text)
            self.send_header("Content-Type", "application/json")
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for part in given.parts:
                    time.sleep(given.pause)
                    self.wfile.write(part)
                    self.wfile.flush()
            except OSError:
                pass  # the client has had enough, which is what some tests are about
            self.close_connection = True

        do_GET = do_POST = respond

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
