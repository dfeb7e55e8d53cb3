"""Logs of the service as JSON lines, without a word of any row.

Messages of exceptions may quote rows: of an exception that nobody expected only its type and the places in
the code are written.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from typing import Any

LOGGER = "sqsd_lint.server"
_FIELDS = "sqsd_lint_fields"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event and what `log_event` was given."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["exception"] = type(error).__name__
            line["at"] = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)][-8:]
        return json.dumps(line)


def log_event(event: str, *, error: BaseException | None = None, **fields: Any) -> None:
    """Write one line, of level error where there is one.

    Args:
        fields: numbers, and words of our own; never text of a row.
    """
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    level = logging.ERROR if error is not None else logging.INFO
    logging.getLogger(LOGGER).log(level, event, extra={_FIELDS: fields}, exc_info=exc_info)


def logging_config() -> dict[str, Any]:
    """Return the configuration for `logging.config`: the service's lines and uvicorn's on standard error."""
    handlers = {"handlers": ["stderr"], "level": "INFO", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}
        },
        "loggers": {LOGGER: handlers, "uvicorn": handlers},
    }
