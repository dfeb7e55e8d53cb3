"""The exceptions of sqsd-lint and the exit code that each one means.

SqsdLintError
├── UsageError                  exit 2: the command line or the configuration is wrong
│   ├── ConfigError             a configuration file, key or value
│   └── RecipeError             a bundle recipe that its schema refuses
└── CannotScoreError            exit 3: something that had to be scored could not be
    ├── BundleError             a bundle is missing, damaged or for another model
    │   ├── BundleNotFoundError     nothing cached or on disk under that name
    │   ├── BundleCorruptError      a digest or the manifest does not hold
    │   └── WrongBaseModelError     made for another base model
    ├── ScorerError             a scoring service cannot be reached, refuses, or answers what cannot be
    ├── ModelError              the base model cannot be loaded or run
    │   └── ModelNotFoundError
    └── AdapterError            an adapter that is not LoRA, or does not fit the model

A row or a file that cannot be scored is no exception but a `types.Problem`: it is reported
beside the others, and the run goes on.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; several at once: the highest."""

    OK = 0
    VIOLATIONS = 1
    USAGE = 2
    CANNOT_SCORE = 3


class SqsdLintError(Exception):
    """An error with a remedy.

    Args:
        message: what is wrong, naming the file and the row where there is one, and what was expected.
        hint: what to do about it, in the imperative; printed on a line of its own.
    """

    exit_code: ExitCode = ExitCode.CANNOT_SCORE

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SqsdLintError):
    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    pass


class RecipeError(UsageError):
    pass


class CannotScoreError(SqsdLintError):
    exit_code = ExitCode.CANNOT_SCORE


class BundleError(CannotScoreError):
    pass


class BundleNotFoundError(BundleError):
    pass


class BundleCorruptError(BundleError):
    pass


class WrongBaseModelError(BundleError):
    pass


class ScorerError(CannotScoreError):
    pass


class ModelError(CannotScoreError):
    pass


class ModelNotFoundError(ModelError):
    pass


class AdapterError(CannotScoreError):
    pass


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); what holds for an interrupt from the keyboard holds here."""
