"""`sqsd-lint serve`."""

from __future__ import annotations

import ipaddress
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqsd_lint.cli import options as o
from sqsd_lint.cli.settings import settings_of
from sqsd_lint.errors import UsageError

if TYPE_CHECKING:
    from sqsd_lint.config import Settings

_NETWORK = "Network"
_SHORTEST_TOKEN = 16
# Connections at once; beyond them clients are told to come back.
_CONNECTIONS = 512
_GRACE_SECONDS = 30


def serve(
    context: typer.Context,
    host: Annotated[
        str, o.text("--host", metavar="ADDRESS", panel=_NETWORK, help="Where to listen. Default: 127.0.0.1.")
    ] = "127.0.0.1",
    port: Annotated[
        int, o.text("--port", metavar="PORT", panel=_NETWORK, help="Default: 8765; 0 takes a free one.")
    ] = 8765,
    token_file: Annotated[
        Path | None,
        o.text(
            "--token-file",
            metavar="FILE",
            panel=_NETWORK,
            help="Tokens that let a client in, one a line. Needed where others can reach the address.",
        ),
    ] = None,
    queue: Annotated[
        int,
        o.text(
            "--queue",
            metavar="ROWS",
            panel=_NETWORK,
            help="Rows that may wait, then 429. Default: 4096.",
        ),
    ] = 4096,
    keep_models: Annotated[
        int,
        o.text(
            "--keep-models",
            metavar="N",
            help="Number formats kept in memory: 2, or 1, which loads anew for rows near a threshold.",
        ),
    ] = 2,
    config: o.Config = None,
    isolated: o.Isolated = False,
) -> None:
    """Score rows for others over HTTP, with one bundle and its model in memory.

    [cyan]sqsd-lint serve --bundle my-bundle/ --token-file tokens.txt --host 0.0.0.0[/cyan]
    [cyan]sqsd-lint check data/ --scorer http://127.0.0.1:8765[/cyan] is the other end.
    Rows are neither logged nor kept; their scores are, in the score cache.
    """
    settings = settings_of(context)
    tokens = _tokens(token_file)
    if not tokens and not _is_loopback(host):
        raise UsageError(
            f"--host {host}: others can reach it, and no token is needed", hint="Give a --token-file."
        )
    if min(queue, keep_models) < 1 or not 0 <= port < 1 << 16:
        raise UsageError("--queue and --keep-models are 1 or more, and --port is at most 65535")
    _serve(settings, host, port, tokens, queue, keep_models)


def _serve(
    settings: Settings, host: str, port: int, tokens: tuple[str, ...], queue: int, keep_models: int
) -> None:
    import uvicorn

    from sqsd_lint.run.serve import make_service
    from sqsd_lint.server.app import make_app
    from sqsd_lint.server.logs import log_event, logging_config

    hosts = () if tokens else ("localhost", "127.0.0.1", "::1", host)
    service = make_service(settings, tokens=tokens, hosts=hosts, most_rows=queue, most_models=keep_models)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(service),
            log_config=logging_config(),
            access_log=False,  # the service writes its own lines
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )

    def give_up() -> None:
        server.should_exit = True

    service.engine.on_failure = give_up
    # uvicorn stops on a signal and then raises it again: a service that was told to stop has not failed.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: None)
    with _listening(host, port) as listener:
        address = listener.getsockname()
        shown = f"[{address[0]}]" if listener.family == socket.AF_INET6 else address[0]
        log_event("listening", url=f"http://{shown}:{address[1]}", bundle=service.info().digest)
        server.run(sockets=[listener])
    if service.engine.failure is not None:
        raise service.engine.failure


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: {error.strerror or error}") from None


def _tokens(file: Path | None) -> tuple[str, ...]:
    """Return the tokens of a file.

    Raises:
        UsageError: it cannot be read, holds none, or one that is quickly guessed.
    """
    if file is None:
        return ()
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens or any(len(token) < _SHORTEST_TOKEN or not token.isascii() for token in tokens):
        raise UsageError(
            f"{file}: expected tokens of {_SHORTEST_TOKEN} or more ASCII characters, one a line",
            hint="`openssl rand -hex 32` makes one.",
        )
    return tokens


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
