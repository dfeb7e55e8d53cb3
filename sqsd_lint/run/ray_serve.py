"""The scoring service as an application of Ray Serve: `serve run sqsd_lint.run.ray_serve:app`.

Each replica is a whole service with a model of its own, so that its engine batches what Serve gives it. Its
settings come from its environment (SQSD_LINT_BUNDLE, SQSD_LINT_DEVICE, ...): no file of whatever folder it
starts in is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqsd_lint.config import load_settings
from sqsd_lint.errors import UsageError
from sqsd_lint.server.tokens import read_tokens

if TYPE_CHECKING:
    from ray.serve import Application

_ARGUMENTS = {"token_file": str, "queue": int, "keep_models": int}


def app(arguments: Mapping[str, Any]) -> Application:
    """Return the application; its replicas, devices and queues are a matter of Serve's own configuration.

    Args:
        arguments: `token_file`, `queue` and `keep_models`, as `sqsd-lint serve` has them.

    Raises:
        UsageError: an argument that is none of these.
    """
    for name, value in arguments.items():
        if not isinstance(value, _ARGUMENTS.get(name, ())):
            raise UsageError(f"args.{name}: expected one of {', '.join(_ARGUMENTS)}, of its type")

    from ray import serve

    replica = serve.deployment(name=ScoringReplica.__name__)(serve.ingress()(ScoringReplica))
    bound: Application = replica.bind(dict(arguments))
    return bound


class ScoringReplica:
    """A replica: made where it runs, since the model, and what holds it, never travel.

    Args:
        arguments: as `app` takes them, and has checked.

    Raises:
        SqsdLintError: its settings, tokens or bundle are not as they must be.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        from sqsd_lint.run.serve import make_service

        settings = load_settings({}, isolated=True, cwd=Path.cwd(), environ=os.environ).settings
        file = arguments.get("token_file")
        self._service = make_service(
            settings,
            tokens=read_tokens(Path(file)) if file else (),
            # Where it listens is Serve's matter. Without a token it is for this machine alone, as `serve` is.
            hosts=() if file else ("localhost", "127.0.0.1", "::1"),
            most_rows=arguments.get("queue", 4096),
            most_models=arguments.get("keep_models", 2),
        )

    def __serve_build_asgi_app__(self) -> Any:
        """Return the application, as Serve calls for it."""
        from sqsd_lint.server.app import make_app

        return make_app(self._service)

    def check_health(self) -> None:
        """Let Serve replace a replica that can score nothing, instead of sending it rows.

        Raises:
            SqsdLintError: why its model could not be loaded.
        """
        if self._service.engine.failure is not None:
            raise self._service.engine.failure
