"""Certificates: a service that cannot prove who it is gets no row, no token, and not even a request."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from sqsd_lint.config import Settings
from sqsd_lint.config.settings import TOKEN_VARIABLE
from sqsd_lint.errors import ScorerError, UsageError
from sqsd_lint.run import check as run_check
from sqsd_lint.server.client import ScoringClient
from tests.run.conftest import ROWS, write
from tests.server.running import Reply, answering, reply, service, serving_settings

TOKEN = "a-token-that-is-long-enough"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authority's certificate, which SSL_CERT_FILE names."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


def context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    return made


def days(count: int) -> datetime:
    return datetime.now(timezone.utc) + timedelta(days=count)


def self_signed(authority: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert(HOST)


def of_another_host(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("scorer.example.org")


def of_another_address(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.2")


def expired(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert(HOST, not_before=days(-9), not_after=days(-2))


def not_yet_valid(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert(HOST, not_before=days(2), not_after=days(9))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("issue", "said", "remedy"),
    [
        (self_signed, "issuer", "SSL_CERT_FILE"),
        (of_another_host, "mismatch", "the host in its certificate"),
        (of_another_address, "mismatch", "the host in its certificate"),
        (expired, "expired", "renew"),
        (not_yet_valid, "not yet valid", "clock"),
    ],
)
def test_a_service_with_a_bad_certificate_is_asked_nothing(
    authority: trustme.CA, issue: Callable[[trustme.CA], trustme.LeafCert], said: str, remedy: str
) -> None:
    asked: list[str] = []

    def answer(path: str, body: Any) -> Reply:
        asked.append(path)
        return reply({})

    with answering(answer, context(issue(authority))) as url:
        client = ScoringClient(url, token=TOKEN, pauses=())
        with pytest.raises(ScorerError, match=f"nothing was sent to it: .*{said}") as refused:
            client.info()
        assert url in refused.value.message
        assert remedy in (refused.value.hint or "")
        assert refused.value.exit_code == 3
        # It would have answered.
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        assert httpx2.get(f"{url}/anything", verify=trusting).status_code == 200
    assert asked == ["/anything"]


def test_the_systems_own_authorities_know_no_private_one(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    with (
        answering(lambda path, body: reply({}), context(authority.issue_cert(HOST))) as url,
        pytest.raises(ScorerError, match="nothing was sent to it"),
    ):
        ScoringClient(url).info()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read_are_named(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(UsageError, match="cannot be read") as refused:
        ScoringClient("https://scorer.example.org").info()
    assert f"SSL_CERT_FILE is {file}" in (refused.value.hint or "")


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """What uvicorn needs to prove that it is this host."""
    made = authority.issue_cert(HOST)
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    made.private_key_pem.write_to_path(key)
    for part in made.cert_chain_pems:
        part.write_to_path(chain, append=True)
    return {"ssl_keyfile": str(key), "ssl_certfile": str(chain)}


def test_the_real_service_behind_tls_scores_for_who_trusts_its_authority(
    certificate: dict[str, str],
    trusted: Path,
    two_bundles: tuple[str, str],
    tiny_model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write(tmp_path / "rows.jsonl", *ROWS)
    settings = serving_settings(Path(two_bundles[0]), tiny_model_folder, tmp_path / "served")
    here = run_check.check(replace(settings, paths=(str(file),), threshold="p60"))
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with service(settings, tls=certificate, tokens=[TOKEN]) as url:
        remote = Settings(paths=(str(file),), scorer=url, threshold="p60", cache_dir=str(tmp_path / "cache"))
        there = run_check.check(remote)
        assert [v.message for v in there.violations] == [v.message for v in here.violations]
        assert there.exit_code == here.exit_code == 1
        # The command of somebody who does not.
        env = {k: v for k, v in os.environ.items() if k != "SSL_CERT_FILE"}
        command = [sys.executable, "-m", "sqsd_lint", "check", str(file), "--isolated", "--scorer", url]
        done = subprocess.run([*command, "--no-cache"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "nothing was sent to it" in done.stderr
    assert "SSL_CERT_FILE" in done.stderr
