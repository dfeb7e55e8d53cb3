"""The service over HTTP: what is accepted, what is refused, and its OpenAPI document.

Bodies are read and checked here rather than by FastAPI's models: the wire format is declared once (`wire`),
and the client reads it without FastAPI. The document is made from the same types.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from anyio import fail_after
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from sqsd_lint._version import __version__
from sqsd_lint.common.formats import FieldError, JsonModel, read_as
from sqsd_lint.common.json_schema import components_of
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.server.engine import Answered, Engine, QueueFullError, StoppedError
from sqsd_lint.server.logs import log_event
from sqsd_lint.server.metrics import Metrics
from sqsd_lint.server.wire import (
    BUNDLE_PATH,
    MOST_BYTES,
    SCORES_PATH,
    ScoreRequest,
    ScoreResponse,
    ServiceFault,
    ServiceInfo,
    decode_request,
    encode,
    sample_of,
)
from sqsd_lint.types import Sample

# How long a client may take to send what it wants scored.
_BODY_SECONDS = 60
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Service:
    """What the application serves.

    Attributes:
        engine: computes; started and stopped with the application.
        info: returns what `GET /v1/bundle` answers.
        settle: returns the complete settings that a request's settings mean; raises UsageError where the
            service cannot score under them.
        tokens: any of them lets a client in; without one, every client is.
        hosts: names that a request may call the service by; empty: any. Without a token it keeps a web page
            in a browser of this machine from asking under a name of its own.
    """

    engine: Engine
    info: Callable[[], ServiceInfo]
    settle: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    tokens: Sequence[str] = ()
    hosts: Collection[str] = ()


class _Refusal(Exception):
    """A request that is not answered, and what it is told instead."""

    def __init__(self, status: int, error: str, hint: str = "", **headers: str) -> None:
        super().__init__(error)
        self.status = status
        self.fault = ServiceFault(error[:4000], hint[:4000])
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def make_app(service: Service) -> FastAPI:
    """Return the application of a service."""
    metrics = Metrics(service.engine)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        yield
        await asyncio.get_running_loop().run_in_executor(None, service.engine.stop)

    app = FastAPI(
        title="sqsd-lint",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
    )

    @app.middleware("http")
    async def guarded(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        begun = time.monotonic()
        try:
            _admit(request, service)
            response = await go_on(request)
        except _Refusal as refused:
            response = _refusal(refused)
        path = request.url.path if request.url.path in _PATHS else "other"
        metrics.requests.labels(path, str(response.status_code)).inc()
        if path != SCORES_PATH and response.status_code >= 400:
            log_event("refused", path=path, status=response.status_code, seconds=_since(begun))
        return response

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, _Refusal)
        return _refusal(error)

    async def no_such(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _refusal(_Refusal(error.status_code, str(error.detail), **dict(error.headers or {})))

    async def unexpected(request: Request, error: Exception) -> Response:
        log_event("failed", error=error)
        return _refusal(_Refusal(500, f"unexpected {type(error).__name__}", "The service's log has more."))

    app.add_exception_handler(_Refusal, refused)
    app.add_exception_handler(HTTPException, no_such)
    app.add_exception_handler(Exception, unexpected)

    @app.get(BUNDLE_PATH, responses=_answers(ServiceInfo, 401, 421), summary="What the service scores with")
    async def bundle() -> Response:
        return _json(service.info())

    @app.post(
        SCORES_PATH,
        responses=_answers(ScoreResponse, 400, 401, 409, 413, 415, 421, 429, 500, 503),
        summary="Score rows",
        openapi_extra={
            "requestBody": {"required": True, "content": {_JSON: {"schema": _reference(ScoreRequest)}}}
        },
    )
    async def scores(request: Request) -> Response:
        begun = time.monotonic()
        said: dict[str, Any] = {}
        try:
            response = await _scores(request, service, said)
        except _Refusal as refused:
            response = _refusal(refused)
        seconds = _since(begun)
        metrics.seconds.observe(seconds)
        log_event("scores", status=response.status_code, seconds=seconds, **said)
        return response

    @app.get("/healthz", responses=_answers(_Up, 503), summary="Whether the service runs")
    async def healthz() -> Response:
        if not service.engine.alive:
            _refuse_unavailable("the thread that scores has ended")
        return _json(_Up("ok"))

    @app.get("/readyz", responses=_answers(_Up, 503), summary="Whether the model is loaded")
    async def readyz() -> Response:
        engine = service.engine
        if engine.failure is not None:
            _refuse_unavailable(f"the model cannot be loaded: {engine.failure.message}")
        if not engine.ready:
            _refuse_unavailable("the model is being loaded")
        return _json(_Up("ready"))

    @app.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **_faults(401, 421)},
        summary="Metrics for Prometheus",
    )
    async def exposition() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.openapi = lambda: _document(app, tokens=bool(service.tokens))  # type: ignore[method-assign]
    return app


class _Up(JsonModel, frozen=True):
    """How the service is.

    Attributes:
        status: ok or ready.
    """

    status: str


_OPEN = ("/healthz", "/readyz")
_PATHS = (BUNDLE_PATH, SCORES_PATH, "/metrics", "/openapi.json", *_OPEN)


def _admit(request: Request, service: Service) -> None:
    """Refuse a request under another name, and one without a token where one is needed."""
    host = request.url.hostname or ""
    if service.hosts and host not in service.hosts:
        raise _Refusal(421, "the service does not go by that name", "Call it by the name it was started for.")
    if not service.tokens or request.url.path in _OPEN:
        return
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    # Every token is compared, so that the time says nothing of which one was nearly right.
    fits = [hmac.compare_digest(given.encode(), token.encode()) for token in service.tokens]
    if kind.lower() != "bearer" or not any(fits):
        raise _Refusal(
            401, "the token is missing or wrong", "Send a token of the service.", WWW_Authenticate="Bearer"
        )


async def _scores(request: Request, service: Service, said: dict[str, Any]) -> Response:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise _Refusal(415, f"the body must be {_JSON}")
    try:
        with fail_after(_BODY_SECONDS):
            body = await _body(request)
    except TimeoutError:
        raise _Refusal(400, f"the body took more than {_BODY_SECONDS} seconds") from None
    except ClientDisconnect:
        return Response(status_code=499)
    # Decoding and hashing large bodies would keep everybody else waiting.
    asked, samples = await asyncio.to_thread(_parsed, body)
    del body
    said.update(rows=len(samples), bytes=int(request.headers.get("content-length", 0) or 0))
    settings = _settled(service, asked.settings)
    try:
        future = service.engine.submit(samples, settings)
    except QueueFullError as full:
        said["retry_after"] = full.retry_after
        raise _Refusal(
            429, "too many rows wait", "Ask again later.", Retry_After=str(full.retry_after)
        ) from None
    except StoppedError:
        _refuse_unavailable("the service is shutting down")
    answer = asyncio.ensure_future(asyncio.wrap_future(future))
    gone = asyncio.ensure_future(_disconnected(request))
    either: list[asyncio.Future[Any]] = [answer, gone]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            return Response(status_code=499)  # nobody reads it; the rows leave the queue
        answered = await _result(answer)
    finally:
        gone.cancel()
        answer.cancel()
        future.cancel()
    said.update(
        cached=answered.cached, waited=round(answered.waited, 3), computed=round(answered.computed, 3)
    )
    rows = tuple(answered.rows[sample.fingerprint] for sample in samples)
    return _json(ScoreResponse(service.info().digest, settings, rows, answered.notes))


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise _Refusal(413, f"the body is larger than {MOST_BYTES:,} bytes", "Send fewer rows at once.")
        parts.append(part)
    return b"".join(parts)


def _parsed(body: bytes) -> tuple[ScoreRequest, list[Sample]]:
    try:
        asked = read_as(ScoreRequest, decode_request(body), whole="the body")
    except (ValueError, RecursionError) as error:
        raise _Refusal(400, str(error) if isinstance(error, FieldError) else f"not JSON: {error}") from None
    try:
        samples = [sample_of(row, i) for i, row in enumerate(asked.rows)]
    except FieldError as error:
        raise _Refusal(409, str(error)) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise _Refusal(400, f"a row holds what cannot be hashed: {type(error).__name__}") from None
    return asked, samples


def _settled(service: Service, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return service.settle(asked)
    except SqsdLintError as error:
        raise _Refusal(409, error.message, error.hint or "") from None


async def _result(answer: asyncio.Future[Answered]) -> Answered:
    try:
        return await answer
    except StoppedError:
        _refuse_unavailable("the service is shutting down")
    except SqsdLintError as error:
        raise _Refusal(500, error.message, error.hint or "") from None
    except Exception as error:
        log_event("failed", error=error)
        raise _Refusal(500, f"unexpected {type(error).__name__}", "The service's log has more.") from None


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refuse_unavailable(why: str) -> NoReturn:
    raise _Refusal(503, why, "Ask again later.", Retry_After="2")


def _json(model: JsonModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(encode(model.to_json()), status, headers, _JSON)


def _refusal(refused: _Refusal) -> Response:
    return _json(refused.fault, refused.status, refused.headers)


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 3)


_SAYS = {
    400: "The body is no such request.",
    401: "The token is missing or wrong.",
    409: "The service cannot score under these settings, or a fingerprint is not that of its row.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    421: "The service does not go by that name.",
    429: "Too many rows wait; Retry-After says for how long.",
    500: "A row cannot be computed.",
    503: "The service is not ready, or is shutting down.",
}


def _reference(model: type[JsonModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _answers(model: type[JsonModel], *faults: int) -> dict[int | str, dict[str, Any]]:
    answer = {"description": "The answer.", "content": {_JSON: {"schema": _reference(model)}}}
    return {200: answer, **_faults(*faults)}


def _faults(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {_JSON: {"schema": _reference(ServiceFault)}}
    return {status: {"description": _SAYS[status], "content": content} for status in statuses}


def _document(app: FastAPI, *, tokens: bool) -> dict[str, Any]:
    """Return the OpenAPI document."""
    document: dict[str, Any] = get_openapi(
        title=app.title,
        version=app.version,
        description="Scores of fine-tuning rows. The rows are neither logged nor kept; their scores are.",
        routes=app.routes,
    )
    models = (ScoreRequest, ScoreResponse, ServiceInfo, ServiceFault, _Up)
    document["components"] = {"schemas": components_of(models)}
    if tokens:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        for path in _OPEN:
            document["paths"][path]["get"]["security"] = []
    return document
