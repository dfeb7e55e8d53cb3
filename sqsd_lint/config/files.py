"""Configuration files: finding the nearest, reading TOML, following `extend`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqsd_lint.common.schema import validate
from sqsd_lint.config.schema import EXTEND, SCHEMA_KEY, schema_of
from sqsd_lint.config.settings import TABLE
from sqsd_lint.config.table import Setting, Table
from sqsd_lint.errors import ConfigError

# A configuration may come with a pull request; nobody writes a megabyte of settings by hand.
_MAX_BYTES = 1 << 20
LOCK = "sqsd-lint.lock"


def find_file(cwd: Path) -> Path | None:
    """Find the nearest `sqsd-lint.toml`, or `pyproject.toml` with our table, from `cwd` upwards."""
    for folder in (cwd, *cwd.parents):
        own = folder / "sqsd-lint.toml"
        if os.path.isfile(own):
            return own
        project = folder / "pyproject.toml"
        # Somebody else's pyproject.toml is none of our business, not even its syntax errors.
        if os.path.isfile(project) and b"sqsd-lint" in _read(project) and _table(project) is not None:
            return project
    return None


@dataclass(frozen=True, slots=True)
class Layers:
    """The values of a configuration file and of those that it extends.

    Attributes:
        values: by kebab-case key, each from the strongest file that has it.
        origins: the file that a value comes from, by the same keys.
        files: all of them, the strongest first.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    files: tuple[str, ...]


def read_file(path: Path, cwd: Path, settings: Table = TABLE) -> Layers:
    """Return the values of a file over those of the files it extends.

    Values that are paths come back relative to `cwd`, which is what the rest of the program resolves
    them against; in the file they are relative to the file.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    chain = _chain(path, cwd, settings)
    for link, table in reversed(chain):
        for key in table.keys() - {SCHEMA_KEY, EXTEND}:
            values[key] = _rebased(settings.by_key[key], table[key], link.parent, cwd)
            origins[key] = shown(link, cwd)
    return Layers(values, origins, tuple(shown(link, cwd) for link, _ in chain))


def shown(path: Path, cwd: Path) -> str:
    """Return a path as messages show it: relative where it lies below the working directory."""
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


def _chain(path: Path, cwd: Path, settings: Table) -> list[tuple[Path, dict[str, Any]]]:
    """Read the file and those it extends, the strongest first."""
    chain = [(path, _validated(path, cwd, settings))]
    while EXTEND in chain[-1][1]:
        last, table = chain[-1]
        following = Path(os.path.normpath(last.parent / os.path.expanduser(table[EXTEND])))
        link = (following, _validated(following, cwd, settings))
        if any(following.samefile(earlier) for earlier, _ in chain):
            loop = " -> ".join(shown(file, cwd) for file, _ in [*chain, link])
            raise ConfigError(
                f"{loop}: `extend` leads back to a file that is already being read",
                hint="Remove one of the links.",
            )
        chain.append(link)
    return chain


def _validated(path: Path, cwd: Path, settings: Table) -> dict[str, Any]:
    name = shown(path, cwd)
    table = _table(path)
    if table is None:
        raise ConfigError(f"{name}: no table [tool.sqsd-lint]", hint="Add the table, or name another file.")
    for setting in settings.of_the_command_line:
        if setting.key in table or setting.name in table:
            raise ConfigError(
                f"{name}: {setting.key} cannot be set in a file, since {setting.only_command_line}",
                hint=f"Give {setting.flag} on the command line.",
            )
    validate(table, schema_of(settings), source=name)
    return table


def _table(path: Path) -> dict[str, Any] | None:
    """Read the settings in a TOML file: all of it, or the table [tool.sqsd-lint] of a pyproject.toml."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, Any] = tomllib.loads(_read(path).decode("utf-8"))
    except UnicodeDecodeError as fault:
        raise ConfigError(
            f"{path}: not UTF-8 at byte {fault.start}", hint="Save the file as UTF-8."
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise ConfigError(f"{path}: not TOML: {fault}") from None
    if path.name != "pyproject.toml":
        return document
    tool = document.get("tool")
    table = tool.get("sqsd-lint") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: tool.sqsd-lint is a {type(table).__name__}, expected a table")
    return table


def _read(path: Path) -> bytes:
    try:
        if not os.path.isfile(path):
            raise ConfigError(f"{path}: no such configuration file", hint="Check the path.")
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read: {fault.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_BYTES:,} bytes, too large for a configuration file")
    return data


def _rebased(setting: Setting, value: Any, folder: Path, cwd: Path) -> Any:
    """Return a value with its paths, which are relative to `folder`, made relative to `cwd`."""

    def rebase(text: str) -> str:
        is_path = setting.paths == "always" or _is_path(text, folder)
        return _relative(folder, text, cwd) if is_path else text

    return setting.map_paths(value, rebase)


def lock_path(file: Path | None, cwd: Path) -> str:
    """Return where the lock of a configuration lies, relative to `cwd`; with no configuration, in `cwd`."""
    return LOCK if file is None else _relative(file.parent, LOCK, cwd)


def _is_path(value: str, folder: Path) -> bool:
    return value.startswith(("./", "../", "~")) or value.endswith(".json") or os.path.exists(folder / value)


def _relative(folder: Path, value: str, cwd: Path) -> str:
    path = folder / os.path.expanduser(value)
    try:
        return os.path.relpath(path, cwd)
    except ValueError:  # another drive on Windows
        return str(path)
