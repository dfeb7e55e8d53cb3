"""Settings with the configuration of a commit.

Its files are laid out in a temporary folder, as they lie below the root of the file system, and read from
there as any configuration is.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from sqsd_lint.config import TABLE, Resolved, load_settings
from sqsd_lint.config.files import LOCK, find_file
from sqsd_lint.config.schema import EXTEND
from sqsd_lint.config.table import Table
from sqsd_lint.discover.git.policy_ref import OPTION, PolicyRef
from sqsd_lint.errors import ConfigError, SqsdLintError

_NAMES = ("sqsd-lint.toml", "pyproject.toml")
_ACCEPTED = ("baseline", "suppressions")


def settings_at(
    policy: PolicyRef,
    cli: Mapping[str, Any],
    *,
    config: str | None = None,
    isolated: bool = False,
    environ: Mapping[str, str],
    table: Table = TABLE,
) -> tuple[Resolved, str]:
    """Return the settings as `config.load_settings` resolves them, with the configuration of a commit.

    Returns:
        The settings, and what the report's head says about them.

    Raises:
        ConfigError: as there; a named configuration that the commit does not hold; an `extend` that leads
            back into the work tree.
    """
    if isolated:
        found = load_settings(cli, config=config, isolated=True, cwd=Path.cwd(), environ=environ, table=table)
        return found, f"rules, baseline and suppressions are those of {policy.label}"
    with tempfile.TemporaryDirectory(prefix="sqsd-lint-") as folder:
        mirror = _Mirror(policy, Path(folder).resolve(), table)
        try:
            file, note = mirror.configuration(config)
            # Without one, none may be looked for: the search would go on above the mirror.
            found = load_settings(
                cli,
                config=str(file) if file else None,
                isolated=file is None,
                cwd=mirror.here,
                environ=environ,
                table=table,
            )
        except SqsdLintError as error:
            raise type(error)(f"{mirror.shown(error.message)} (at {policy.label})", hint=error.hint) from None
        changes: dict[str, Any] = {"lock": mirror.value(found.settings.lock) if found.settings.lock else None}
        if file is None:  # the commit may hold a baseline and suppressions all the same
            changes = {name: None for name in _ACCEPTED if found.origins[name] == "default"}
            changes["lock"] = LOCK
        for name, origin in found.origins.items():
            value = getattr(found.settings, name)
            if origin in ("default", "command line") or origin.startswith("environment ") or not value:
                continue
            setting = table.by_name["bundle" if name == "opinions" else name]
            changes[name] = setting.map_paths(value, mirror.value)
        origins = {name: mirror.shown(origin) for name, origin in found.origins.items()}
        files = tuple(map(mirror.shown, found.files))
        return Resolved(replace(found.settings, **changes), origins, files), note


class _Mirror:
    """The file system as it would be with the commit checked out, as far as configuration needs it.

    Attributes:
        here: the working folder in it.
    """

    def __init__(self, policy: PolicyRef, top: Path, table: Table) -> None:
        self._policy = policy
        self._table = table
        self._top = top
        self._cwd = Path.cwd().resolve()
        self.here = self._of(self._cwd)
        self.here.mkdir(parents=True, exist_ok=True)

    def configuration(self, named: str | None) -> tuple[Path | None, str]:
        """Lay out a configuration with all it extends; return it, None if there is none, and a note on it."""
        rest = f"rules, baseline and suppressions are those of {self._policy.label}"
        if named is not None:
            path = Path(os.path.normpath(self._cwd / Path(named).expanduser()))
            file = self._lay(path)
            if file is None:
                raise ConfigError(
                    f"{named}: no such configuration file", hint=f"{OPTION} reads it from that commit."
                )
            self._lay_extended(file)
            return file, f"configuration, {rest}"
        for folder in (self._cwd, *self._cwd.parents):
            for name in _NAMES:
                self._lay(folder / name)
        nearest = find_file(self.here)
        if nearest is not None and nearest.is_relative_to(self._top):
            self._lay_extended(nearest)
            return nearest, f"configuration, {rest}"
        return None, f"there is no configuration at {self._policy.label}, so the defaults hold; {rest}"

    def shown(self, text: str) -> str:
        """Return a text that may name files of the mirror, with their real names."""
        return text.replace(str(self._top), "")

    def value(self, value: str) -> str:
        """Return a path that was made relative to `here`, as it is from the working folder."""
        target = os.path.normpath(os.path.join(self.here, value))
        # Within the mirror the way is the same as without; what led out of it was absolute.
        return value if Path(target).is_relative_to(self._top) else target

    def _refuse_above(self, file: Path, table: Mapping[str, Any]) -> None:
        """Refuse a path with more `..` than there are folders: from the mirror it would lead elsewhere."""
        depth = (
            len(file.parent.relative_to(self._top).parts) if file.is_relative_to(self._top) else sys.maxsize
        )
        for key in (EXTEND, *(setting.key for setting in self._table if setting.paths != "never")):
            for text in _texts(table.get(key)):
                if PurePath(os.path.normpath(text)).parts.count("..") > depth:
                    raise ConfigError(f"{file}: {key}: {text!a} leads above the root of the file system")

    def _of(self, path: Path) -> Path:
        return self._top / path.relative_to(path.anchor)

    def _lay(self, path: Path) -> Path | None:
        """Put a file into the mirror, None where there is none."""
        data = self._policy.read(str(path))
        if data is None:
            return None
        copy = self._of(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data)
        return copy

    def _lay_named(self, file: Path, table: Mapping[str, Any]) -> None:
        """Put what a configuration may name beside it, since a name is a path only if something is there.

        A folder comes without its content, of which the settings need nothing.
        """
        for key in (setting.key for setting in self._table if setting.paths == "maybe"):
            for text in _texts(table.get(key)):
                place = Path(os.path.normpath(file.parent / os.path.expanduser(text)))
                if "\0" in text or not place.is_relative_to(self._top):
                    continue
                real = Path(place.anchor) / place.relative_to(self._top)
                with suppress(OSError):  # something else is there, so that it is a path already
                    if real.is_dir() or self._policy.has_folder(str(real)):
                        place.mkdir(parents=True, exist_ok=True)
                    elif key == "rules":
                        self._lay(real)

    def _lay_extended(self, file: Path) -> None:
        """Put what a configuration extends beside it, link by link."""
        seen: set[Path] = set()
        while file not in seen:
            seen.add(file)
            table = _table(file)
            self._refuse_above(file, table)
            self._lay_named(file, table)
            following = table.get(EXTEND)
            if not isinstance(following, str):
                return
            file = Path(os.path.normpath(file.parent / os.path.expanduser(following)))
            if file.is_relative_to(self._top):
                self._lay(Path(file.anchor) / file.relative_to(self._top))
            elif self._policy.holds(str(file)):
                raise ConfigError(
                    f"`extend` leads to {file} in the work tree, which {OPTION} does not read",
                    hint="Write the path relative to the file that extends it.",
                )


def _table(file: Path) -> dict[str, Any]:
    """Return the settings in a configuration; empty for what is none at all."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # reading it again, as a configuration, says what is wrong
    if file.name == "pyproject.toml":
        tool = table.get("tool")
        table = tool.get("sqsd-lint") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else {}


def _texts(value: Any) -> list[str]:
    """Return the texts of a value, and of the lists and tables in it."""
    if isinstance(value, dict):
        return [text for item in value.items() for part in item for text in _texts(part)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []
