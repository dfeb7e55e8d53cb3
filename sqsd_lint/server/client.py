"""Ask a scoring service over HTTP. What comes back is believed only as far as it can be checked.

Rows go to the one host that was named: no redirect is followed, certificates are verified, and plain http
reaches no other machine. Every wait has an end, queue and new attempts included, and no answer is read
further than the rows that were sent can need. What the service computed cannot be checked; that it is the
service that was meant is what TLS, the bundle's digest and a lock are for.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from math import isclose
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from sqsd_lint._version import __version__
from sqsd_lint.bundle.load import BundleInfo
from sqsd_lint.bundle.manifest import HARM, MAX_MANIFEST
from sqsd_lint.common.escape import escape
from sqsd_lint.common.formats import FieldError, JsonModel, known_part, read_as
from sqsd_lint.common.json_io import canonical
from sqsd_lint.common.strict_json import decode
from sqsd_lint.errors import ScorerError, UsageError
from sqsd_lint.server.wire import (
    BUNDLE_PATH,
    PROTOCOL,
    SCORES_PATH,
    RowScore,
    ScoreResponse,
    ServiceFault,
    ServiceInfo,
    encode,
)

if TYPE_CHECKING:
    import ssl

    import httpx2
    from anyio.from_thread import BlockingPortal

Answer = TypeVar("Answer", bound=JsonModel)

# Requests at a time: one at work, the others ready in the service's queue.
IN_FLIGHT = 4
# Seconds between attempts to reach a service that does not answer; after the last it is given up.
PAUSES = (0.5, 1.0, 2.0, 4.0)
_CONNECT_SECONDS = 15.0
_INFO_SECONDS = 60.0
_LONGEST_PAUSE = 60.0
# What an answer may hold: the words of a problem, four bytes a character as JSON escapes them, and its keys.
_ROW_BYTES = 64 << 10
_ANSWER_BYTES = 1 << 20
_WORTH_ANOTHER = (408, 425, 502, 503, 504)
SAME_VERSION = "use the same version of sqsd-lint and the same settings on both sides"


def checked_url(url: str) -> str:
    """Return the URL of a service without a slash at its end.

    Raises:
        UsageError: it is none, or rows and token would go over a network in the clear.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"--scorer {url}: {error}", hint=_FORM) from None
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"--scorer {url}: not the URL of a service", hint=_FORM)
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(f"--scorer: a URL of host and path alone is expected, of {host}", hint=_FORM)
    if parts.scheme == "http" and not _is_this_machine(host):
        raise UsageError(
            f"--scorer {url}: http would send rows and token in the clear",
            hint="put TLS in front of the service and name it as https://, or reach it through an SSH tunnel",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


_FORM = "for example https://scorer.example.org; the token goes into SQSD_LINT_SCORER_TOKEN"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ScoringClient:
    """A connection to one service.

    Args:
        url: see `checked_url`.
        token: that lets the client in, if the service wants one.
        timeout: seconds for one request for scores, with the queue and all attempts.
        pauses: seconds before each new attempt; None: PAUSES.

    Attributes:
        passed_over: paths of keys in the service's answers that are unknown here and left out.

    Raises:
        UsageError: no such URL, or a token that no header can hold.
    """

    def __init__(
        self, url: str, *, token: str = "", timeout: float = 600.0, pauses: Sequence[float] | None = None
    ) -> None:
        self.url = checked_url(url)
        if not (token.isascii() and token.isprintable()):
            raise UsageError("SQSD_LINT_SCORER_TOKEN: expected printable ASCII", hint="Copy the token anew.")
        self._token = token
        self._timeout = timeout
        self._pauses = tuple(PAUSES if pauses is None else pauses)
        self._version = ""  # of the service
        self.passed_over: dict[str, None] = {}

    def info(self) -> tuple[ServiceInfo, BundleInfo]:
        """Return what the service scores with, its bundle's digests computed anew.

        Raises:
            ScorerError: it cannot be reached, refuses, or what it says does not hold.
        """
        with self._session() as session:
            body = session.call(session.exchange, "GET", BUNDLE_PATH, None, MAX_MANIFEST, _INFO_SECONDS)
        try:
            raw = decode(body)
            if isinstance(raw, dict):
                self._version = str(raw.get("version", ""))
                if raw.get("protocol") != PROTOCOL:
                    raise self.error(
                        f"speaks protocol {raw.get('protocol')!a}, and this sqsd-lint {PROTOCOL}",
                        self.upgrade or SAME_VERSION,
                    )
            said = self._read(ServiceInfo, raw)
            bundle, unknown = BundleInfo.of_newer(dict(said.manifest))
        except ValueError as error:
            raise self.error(
                f"does not say what it scores with: {_shown(str(error))}", self.upgrade
            ) from None
        self.passed_over.update(dict.fromkeys(f"manifest.{path}" for path in unknown))
        if bundle.digest != said.digest:
            raise self.error(
                f"says that its bundle is {said.digest[:12]}, and sends the manifest of {bundle.digest[:12]}"
            )
        return said, bundle

    def scores(
        self,
        requests: Iterator[list[dict[str, Any]]],
        settings: dict[str, object],
        bundle: BundleInfo,
    ) -> Iterator[ScoreResponse]:
        """Yield the answers to requests as they come, some of them asked at the same time.

        Args:
            requests: rows of each (`wire.row_of`).
            settings: that all of them are to be scored under.
            bundle: that must have scored them.

        Raises:
            ScorerError: the service cannot be reached, refuses, or an answer is not one to what was asked.
        """
        with self._session() as session:
            waiting: dict[Future[bytes], list[dict[str, Any]]] = {}
            try:
                more = True
                while more or waiting:
                    while more and len(waiting) < IN_FLIGHT:
                        rows = next(requests, None)
                        if rows is None:
                            more = False
                            break
                        body = encode({"rows": rows, "settings": settings})
                        limit = _ANSWER_BYTES + _ROW_BYTES * len(rows)
                        future = session.start(
                            session.exchange, "POST", SCORES_PATH, body, limit, self._timeout
                        )
                        waiting[future] = rows
                    finished = wait(waiting, return_when=FIRST_COMPLETED).done
                    # Answers first: a fault ends the run, and they are worth keeping.
                    for done in sorted(finished, key=lambda each: each.exception() is not None):
                        rows = waiting.pop(done)
                        yield self._checked(done.result(), rows, settings, bundle)
            finally:
                for future in waiting:
                    future.cancel()

    def _checked(
        self, body: bytes, rows: list[dict[str, Any]], settings: dict[str, object], bundle: BundleInfo
    ) -> ScoreResponse:
        """Return an answer that is one to these rows, by this bundle, under these settings."""
        try:
            answer = self._read(ScoreResponse, decode(body))
        except ValueError as error:
            raise self.error(f"gave no answer that can be read: {_shown(str(error))}", self.upgrade) from None
        if answer.bundle != bundle.digest:
            raise self.error(
                f"scored with the bundle {answer.bundle[:12]}, after it said {bundle.digest[:12]}",
                "run the command again: it was started anew with another bundle",
            )
        if canonical(answer.settings) != canonical(settings):
            raise self.error("scored under other settings than those asked for", self.upgrade or SAME_VERSION)
        asked = [row["fingerprint"] for row in rows]
        answered = [row.fingerprint for row in answer.rows]
        if asked != answered:
            missing = len(set(asked) - set(answered))
            raise self.error(
                f"answered for other rows than those asked about: {len(asked)} asked, {missing} missing"
            )
        harm = HARM in bundle.manifest.directions
        for row in answer.rows:
            if isinstance(row, RowScore):
                self._check_score(row, harm=harm)
        return answer

    def _check_score(self, row: RowScore, *, harm: bool) -> None:
        wrong = ""
        numbers = (row.danger, row.safety, row.sqsd)
        if (row.harm is not None) != harm and None not in numbers:
            wrong = f"a projection on harm is {'missing' if harm else 'there'}, unlike in its bundle"
        elif None not in numbers and not isclose(
            row.sqsd or 0.0, (row.danger or 0.0) - (row.safety or 0.0), rel_tol=1e-6, abs_tol=1e-6
        ):
            wrong = "SQSD is not danger less safety"
        if wrong:
            raise self.error(f"gave a score that cannot be: row {row.fingerprint}: {wrong}")

    def _read(self, kind: type[Answer], raw: Any) -> Answer:
        """Return an answer without what is unknown here.

        Raises:
            FieldError: what is known does not hold.
        """
        known, unknown = known_part(kind, raw)
        self.passed_over.update(dict.fromkeys(unknown))
        return read_as(kind, known, whole="the answer")

    @property
    def upgrade(self) -> str:
        """Which side to upgrade, as a hint; "" where both have one version, or the service's is none."""
        from packaging.version import InvalidVersion, Version

        try:
            theirs, own = Version(self._version), Version(__version__)
        except InvalidVersion:
            return ""
        if theirs == own:
            return ""
        side = "this machine" if theirs > own else "the service"
        return f"upgrade sqsd-lint on {side}: the service has {theirs}, and this is {own}"

    def error(self, what: str, hint: str = "") -> ScorerError:
        """Return the error that says what the service did."""
        return ScorerError(
            f"the scoring service {self.url} {what}",
            hint=hint or "look into its log, or score here: --no-scorer",
        )

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        # Asynchronous, since only so a wait has an end whatever the other side does: a timeout of a socket
        # begins anew with every byte.
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal() as portal:
            session = _Session(self, portal, self._token, self._pauses)
            try:
                portal.call(session.open)
                yield session
            finally:
                portal.call(session.close)


class _Session:
    """An HTTP client in an event loop of its own thread."""

    def __init__(
        self, client: ScoringClient, portal: BlockingPortal, token: str, pauses: Sequence[float]
    ) -> None:
        self._client = client
        self._portal = portal
        self._token = token
        self._pauses = pauses
        self._http: httpx2.AsyncClient | None = None

    def call(self, function: Any, *arguments: Any) -> Any:
        """Run a coroutine to its end."""
        return self._portal.call(function, *arguments)

    def start(self, function: Any, *arguments: Any) -> Future[Any]:
        """Run a coroutine, and return at once."""
        return self._portal.start_task_soon(function, *arguments)

    async def open(self) -> None:
        import httpx2

        secure = self._client.url.startswith("https://")
        try:
            certificates = httpx2.create_ssl_context(trust_env=secure)
        except OSError as error:
            given = {name: text for name in _AUTHORITIES if (text := os.environ.get(name))}
            raise UsageError(
                f"the certificates of the authorities to trust cannot be read: {_first_line(error)}",
                hint=" ".join(f"{name} is {text}." for name, text in given.items()) or None,
            ) from None
        self._http = httpx2.AsyncClient(
            verify=certificates,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": f"sqsd-lint/{__version__}",
                **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
            },
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            # A proxy of the environment is for other machines; to this one it would carry rows in the clear.
            trust_env=secure,
        )

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def exchange(self, method: str, path: str, body: bytes | None, limit: int, seconds: float) -> bytes:
        """Return the body of the answer, after new attempts where that may help.

        Args:
            limit: bytes of the answer at most.
            seconds: for all attempts together.

        Raises:
            ScorerError: there is no answer.
        """
        import anyio

        trouble = ""
        with anyio.move_on_after(seconds):
            pauses = iter(self._pauses)
            while True:
                found, trouble, pause = await self._attempt(method, path, body, limit)
                if found is not None:
                    return found
                if pause is None:
                    pause = next(pauses, None)
                if pause is None:
                    raise self._client.error(f"cannot be reached: {trouble}", _UNREACHABLE)
                await anyio.sleep(pause)
        raise self._client.error(
            f"took more than {seconds:g} seconds for a request{f': {trouble}' if trouble else ''}",
            "give it more time with --scorer-timeout, or find out what keeps it",
        )

    async def _attempt(
        self, method: str, path: str, body: bytes | None, limit: int
    ) -> tuple[bytes | None, str, float | None]:
        """Return the answer; or why there is none, and how long the service asks to wait, if it does.

        Raises:
            ScorerError: no other attempt will have another answer.
        """
        import httpx2

        assert self._http is not None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with self._http.stream(
                method, self._client.url + path, content=body, headers=headers
            ) as response:
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise self._client.error("answers in an encoding that was not asked for")
                found = bytearray()
                async for part in response.aiter_raw():
                    found += part
                    if len(found) > limit:
                        raise self._client.error(f"answers with more than {limit:,} bytes")
                status = response.status_code
                if status == 200:
                    return bytes(found), "", None
                said = _said(bytes(found))
                if status == 429:
                    return None, said or "its queue is full", _pause(response.headers.get("retry-after"))
                if status in _WORTH_ANOTHER:
                    return None, said or f"HTTP status {status}", None
                raise self._refused(status, said, response.headers.get("location", ""))
        except httpx2.TransportError as error:
            if (fault := _certificate_fault(error)) is not None:
                raise self._client.error(
                    f"does not prove who it is, and nothing was sent to it: {_shown(fault.verify_message)}",
                    _CERTIFICATE_REMEDIES.get(fault.verify_code, _UNKNOWN_AUTHORITY),
                ) from None
            return None, _first_line(error), None
        except httpx2.HTTPError as error:
            raise self._client.error(f"gave no answer that can be read: {_first_line(error)}") from None

    def _refused(self, status: int, said: str, location: str) -> ScorerError:
        if status in (401, 403):
            return self._client.error(
                f"does not let this client in: {said or f'HTTP status {status}'}",
                "set SQSD_LINT_SCORER_TOKEN to a token of the service",
            )
        if 300 <= status < 400:
            return self._client.error(
                f"sends elsewhere, and rows go to no other place than the one named: {_shown(location)}",
                "name the service's own URL, if that is what it is",
            )
        # What an older or newer service cannot make of a request, it names itself.
        hint = self._client.upgrade if status in (400, 404, 409) else ""
        return self._client.error(f"refuses (HTTP status {status}): {said or 'it does not say why'}", hint)


_UNREACHABLE = "check the URL, that the service runs, and the way there; or score here: --no-scorer"

# Where OpenSSL looks for the certificates of authorities instead of the system's store.
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_UNKNOWN_AUTHORITY = (
    "if an authority of your own has signed its certificate, set SSL_CERT_FILE to that authority's;"
    " else find out who answers there"
)
_OTHER_HOST = "name the service by the host in its certificate, or give it one for this host"
_OUT_OF_DATE = "renew the service's certificate, or set the clock of this machine"
# By OpenSSL's codes: not yet valid, expired, another host name, another address.
_CERTIFICATE_REMEDIES = {9: _OUT_OF_DATE, 10: _OUT_OF_DATE, 62: _OTHER_HOST, 64: _OTHER_HOST}


def _certificate_fault(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """Return why a certificate was refused, where that is what an error comes from."""
    import ssl

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _said(body: bytes) -> str:
    """Return what a service says is wrong, fit for a terminal; "" where it says nothing that can be read."""
    try:
        fault = read_as(ServiceFault, known_part(ServiceFault, decode(body))[0])
    except (FieldError, ValueError):
        return ""
    return _shown(". ".join(filter(None, (fault.error, fault.hint))))


def _shown(text: str) -> str:
    return escape(text[:500])


def _first_line(error: Exception) -> str:
    return _shown(str(error).partition("\n")[0] or type(error).__name__)


def _pause(retry_after: str | None) -> float:
    try:
        return min(max(float(retry_after or 1), 0.1), _LONGEST_PAUSE)
    except ValueError:
        return 1.0
