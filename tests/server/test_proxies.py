"""The proxies of examples/service before the real service: TLS, the contract's paths, and no others."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import trustme

from sqsd_lint.server.wire import MOST_BYTES
from tests.server.running import free_port, service, serving_settings
from tests.server.test_examples import FOLDER
from tests.server.test_service import SAMPLES, TOKEN, assert_same, scores_of

HOST = "localhost"


def program(name: str) -> str:
    """The path of a program, of this environment or of the system; without it the test is left out."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return found or pytest.skip(f"{name} is not installed")


def changed(name: str, *changes: tuple[str, str]) -> str:
    """An example's text with other addresses and certificates, each of which it must have had."""
    text = (FOLDER / name).read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def caddy(folder: Path, port: int, upstream: str) -> list[str]:
    text = changed(
        "Caddyfile",
        ("scorer.example.org {", f"https://{HOST}:{port} {{\n\ttls {folder}/chain.pem {folder}/key.pem"),
        ("127.0.0.1:8765", upstream),
    )
    # No administration on a port of its own, and no redirects from port 80.
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def nginx(folder: Path, port: int, upstream: str) -> list[str]:
    server = changed(
        "nginx.conf",
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("server_name scorer.example.org;", f"server_name {HOST};"),
        ("/etc/letsencrypt/live/scorer.example.org/fullchain.pem", f"{folder}/chain.pem"),
        ("/etc/letsencrypt/live/scorer.example.org/privkey.pem", f"{folder}/key.pem"),
        ("127.0.0.1:8765", upstream),
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}\ndaemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log {folder}/access;\n{temporary}\n{server}\n}}\n"
    )
    return [program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=[caddy, nginx])
def proxy(
    request: pytest.FixtureRequest,
    authority: trustme.CA,
    tiny_bundle: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """The URL of a proxy before a service that wants a token; the process trusts its certificate."""
    command_of: Callable[[Path, int, str], list[str]] = request.param
    certificate = authority.issue_cert(HOST)
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for part in certificate.cert_chain_pems:
        part.write_to_path(tmp_path / "chain.pem", append=True)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    port = free_port()
    url = f"https://{HOST}:{port}"
    with service(serving_settings(tiny_bundle, tiny_model_folder, tmp_path / "cache"), tokens=[TOKEN]) as own:
        command = command_of(tmp_path, port, own.removeprefix("http://"))
        env = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
        log = tmp_path / "log"
        with log.open("wb") as lines, subprocess.Popen(command, stderr=lines, env=env) as running:
            try:
                while not answers(url):
                    assert running.poll() is None, log.read_text()
                    time.sleep(0.1)
                yield url
            finally:
                running.terminate()


def answers(url: str) -> bool:
    try:
        httpx2.get(url, timeout=20)
    except httpx2.TransportError:
        return False
    return True


@pytest.mark.slow
def test_a_client_is_let_through_and_sees_nothing_else(proxy: str, url: str, tmp_path: Path) -> None:
    assert_same(scores_of(proxy, SAMPLES[:6], token=TOKEN), scores_of(url, SAMPLES[:6]))
    known = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("metrics", "healthz", "readyz", "openapi.json", ""):
        assert httpx2.get(f"{proxy}/{path}", headers=known, timeout=60).status_code == 404
    assert httpx2.get(f"{proxy}/v1/bundle", timeout=60).status_code == 401
    # The largest body that the service takes reaches it: it is no JSON, which the proxy cannot know.
    headers = {"Content-Type": "application/json", **known}
    for size, status in ((MOST_BYTES, 400), (MOST_BYTES + 1, 413)):
        response = httpx2.post(f"{proxy}/v1/scores", content=b" " * size, headers=headers, timeout=120)
        assert response.status_code == status
    # The version before 1.2 is offered by neither.
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.load_verify_locations(tmp_path / "authority.pem")
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(proxy, verify=old)


def test_the_caddyfile_is_formatted_and_valid(tmp_path: Path) -> None:
    caddy = program("caddy")
    env = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    options = ["--adapter", "caddyfile", "--config", str(FOLDER / "Caddyfile")]
    done = subprocess.run([caddy, "validate", *options], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    formatted = subprocess.run([caddy, "fmt", str(FOLDER / "Caddyfile")], env=env, capture_output=True)
    assert formatted.stdout.decode() == (FOLDER / "Caddyfile").read_text()
    assert not re.search("warn|not formatted", done.stderr)
