"""From what happened to an exit code: 0, 1, 2 or 3, and nothing else."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import IO, Any, cast

import typer

from sqsd_lint.common.extras import missing_extra
from sqsd_lint.errors import ExitCode, SqsdLintError, Terminated

DEBUG_VARIABLE = "SQSD_LINT_DEBUG"

# The base of every "wrong command line" exception. Typer exports one leaf of that tree only, and where the
# rest of it lives differs between its versions.
_WrongUsage = cast("type[Exception]", typer.BadParameter.__base__)


def run(call: Callable[[], None], *, debug: bool = False) -> int:
    """Run a command to its exit code; whatever goes wrong is one or two lines on standard error.

    Args:
        debug: print the traceback of an unexpected exception; SQSD_LINT_DEBUG=1 does so for every one.
    """
    asked = os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")
    try:
        call()
        sys.stdout.flush()
        return ExitCode.OK
    except typer.Exit as done:
        return _flushed(done.exit_code)
    except SqsdLintError as error:
        _say(error.message, error.hint, trace=asked)
        return error.exit_code
    except _WrongUsage as error:
        _say(_usage_message(error), _usage_hint(error), trace=asked)
        return ExitCode.USAGE
    except Terminated:
        _say("terminated", "Scores computed so far are kept: the same command goes on from there.")
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted", "Scores computed so far are kept: the same command goes on from there.")
    except (BrokenPipeError, SystemExit):  # the pages of --help end so when their reader is gone
        silence(sys.stdout)
    except ImportError as error:
        missing = missing_extra(error)
        _say(*((missing.message, missing.hint) if missing else _bug(error)), trace=asked or debug)
    except OSError as error:
        _say(_os_message(error), "Check that the path exists and may be used.", trace=asked or debug)
    except Exception as error:
        _say(*_bug(error), trace=asked or debug)
    return ExitCode.CANNOT_SCORE


def prepare_streams() -> None:
    """Lets a terminal that is not UTF-8 show escapes instead of ending the run with an encoding error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def silence(stream: IO[str]) -> None:
    """Points a stream whose reader is gone at the null device, so that nothing fails when Python exits."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):  # no file behind it: nothing to fail later either
        pass


def _flushed(code: int) -> int:
    """Return a code of our own; the reader of a pipe may be gone by now, which changes no verdict."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    return code if code in tuple(ExitCode) else ExitCode.CANNOT_SCORE


def _bug(error: Exception) -> tuple[str, str]:
    return (
        f"unexpected {type(error).__name__}: {error}",
        "This is a bug in sqsd-lint. Please report it, with the output of the same command under "
        f"{DEBUG_VARIABLE}=1.",
    )


def _usage_message(error: Any) -> str:
    return str(error.format_message()).rstrip(".")


def _usage_hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path if context else 'sqsd-lint'} --help`."


def _os_message(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def _say(message: str, hint: str | None, *, trace: bool = False) -> None:
    from sqsd_lint.report.style.messages import print_error

    try:
        if trace:
            print_error(message, hint, trace=traceback.format_exc())
        else:
            print_error(message, hint)
    except BrokenPipeError:
        silence(sys.stderr)
