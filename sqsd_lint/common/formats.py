"""Files of ours as typed models: each format is declared once, and what is wrong is named by its path.

A model is a `msgspec.Struct`. `read_as` turns decoded JSON into it; its error is one sentence that names the
value that does not hold and what was expected there. `common.json_schema` makes the model's JSON Schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import EllipsisType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from sqsd_lint.types import Positive, Proportion, Sha256

__all__ = [
    "ACCEPTABLE_RULES",
    "Count",
    "Distance",
    "FieldError",
    "JsonModel",
    "Name",
    "Positive",
    "Proportion",
    "Sha256",
    "Text",
    "ascending",
    "check_version",
    "is_a",
    "known_part",
    "path_text",
    "plain",
    "read_as",
    "shown",
    "text_like",
]  # fmt: skip

# Stands in a schema for the codes of rules that may be accepted, which the registry has.
ACCEPTABLE_RULES = "acceptable-rules"

T = TypeVar("T")
Steps = Sequence["str | int | EllipsisType"]

_AT = re.compile(r"(?s)(?P<message>.*) - at `(?P<key>key` in `)?\$(?P<path>[^`]*)`\Z")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(.*)`", re.S)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.S)
_LONGEST = 60


class FieldError(ValueError):
    """A value is missing, unknown or of the wrong kind. The message starts with its path."""


class JsonModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A JSON object of known keys; one that has its default is not written.

    The docstring of a model describes its fields under `Attributes:`, for readers and for the JSON Schema.
    What no type can say, `__post_init__` checks: it raises ValueError(".field: what was expected").
    """

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, texts and numbers, in the order in which the file has them."""
        found: dict[str, Any] = plain(self)
        return found


def text_like(pattern: str, expected: str, **more: Any) -> Meta:
    """Return the constraint of a text by a regular expression that Python and ECMA-262 read alike.

    Args:
        expected: what it matches, in words, for messages.
        more: further arguments of `Meta`.
    """
    return Meta(pattern=pattern, extra={"expected": expected}, **more)


Name = Annotated[
    str,
    # Python's `$` also matches before a line break at the end.
    text_like(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?!\n)$", "a name of letters, digits, '.', '_' and '-'"),
]  # fit for a folder
Count = Annotated[int, Meta(ge=0)]
Distance = Annotated[float, Meta(ge=0)]
Text = Annotated[str, Meta(min_length=1)]


def read_as(kind: type[T], value: Any, *, root: str = "", whole: str = "the document") -> T:
    """Return decoded JSON as a model.

    Args:
        kind: a `JsonModel`, or any type that msgspec knows.
        root: where the value stands in its file; paths in messages start with it.
        whole: what to call the value where it is wrong as a whole and has no root.

    Raises:
        FieldError: a field is missing, unknown or of the wrong kind.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise FieldError(_explain(error, kind, value, root, whole)) from None


def known_part(kind: Any, value: Any) -> tuple[Any, tuple[str, ...]]:
    """Return decoded JSON without the keys that its model does not have, and the paths of those keys.

    For answers of a program that may be newer. What else is wrong stays, and `read_as` names it. The time is
    linear in the size of the value.

    Args:
        kind: a `JsonModel`, or a type that holds some.

    Returns:
        The value; and each path once, with `[]` for every place in a list: `rows[].colour`.
    """
    unknown: dict[str, None] = {}
    return _known(kind, value, "", unknown), tuple(unknown)


def _known(kind: Any, value: Any, path: str, unknown: dict[str, None]) -> Any:
    for each, _ in _members(kind):
        origin, arguments = get_origin(each) or each, get_args(each)
        if isinstance(value, list):
            if origin in (list, tuple) and arguments and (origin is list or arguments[-1] is ...):
                return [_known(arguments[0], one, f"{path}[]", unknown) for one in value]
        elif isinstance(value, dict):
            if origin in (dict, Mapping) and arguments:
                return {
                    key: _known(arguments[1], one, path + _step_text(_Key(key)), unknown)
                    for key, one in value.items()
                }
            if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
                config = origin.__struct_config__
                if config.tag_field is None or value.get(config.tag_field) == config.tag:
                    return _known_fields(origin, value, path, unknown)
    return value


def _known_fields(
    kind: type[msgspec.Struct], value: dict[str, Any], path: str, unknown: dict[str, None]
) -> dict[str, Any]:
    types, tag = _field_types(kind), kind.__struct_config__.tag_field
    kept = {}
    for key, one in value.items():
        where = (path + _step_text(key)).lstrip(".")
        if key in types:
            kept[key] = _known(types[key], one, where, unknown)
        elif key == tag:
            kept[key] = one
        else:
            unknown[where] = None
    return kept


@cache
def _field_types(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the type of each field of a model, by its key in JSON."""
    return {one.encode_name: one.type for one in msgspec.structs.fields(kind)}


def check_version(value: Any, key: str, known: int) -> None:
    """Refuse a file of another version than the known one, before its other fields are looked at.

    Raises:
        FieldError: `value` is no object, or `value[key]` is not `known`.
    """
    if not isinstance(value, dict):
        raise FieldError(f"the document: expected an object, got {shown(value)}")
    found = value.get(key)
    if isinstance(found, bool) or found != known:
        raise FieldError(f"{key}: only {known} is known; a newer sqsd-lint may read it")


def is_a(kind: Any, value: object) -> bool:
    """Return whether a value is one of a type with constraints, such as `Name`."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def ascending(values: Sequence[float]) -> bool:
    """Tell whether no number is smaller than the one before it."""
    return all(values[i] <= values[i + 1] for i in range(len(values) - 1))


def plain(value: Any) -> Any:
    """Return a value with dicts for models and lists for tuples: JSON and its schema know no others.

    Unlike msgspec, which compares by identity, this leaves out a default whichever way it came.
    """
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        found = {config.tag_field: config.tag} if config.tag_field else {}
        for name, key, default in _fields(type(value)):
            each = getattr(value, name)
            if each is not msgspec.UNSET and not (config.omit_defaults and each == default):
                found[key] = plain(each)
        return found
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    """Return name, key in JSON and default of each field of a model."""
    return tuple(
        (
            one.name,
            one.encode_name,
            one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory(),
        )
        for one in msgspec.structs.fields(kind)
    )


def _explain(error: msgspec.ValidationError, kind: Any, value: Any, root: str, whole: str) -> str:
    message, of_key, steps = _parsed(str(error))
    steps, value = _with_keys(kind, value, of_key, steps)
    where = root + "".join(map(_step_text, steps))
    if found := _MISSING.fullmatch(message):
        return f"{where}.{found[1]}: missing".lstrip(".")
    if found := _UNKNOWN.fullmatch(message):
        return f"{where}{_step_text(found[1])}: unknown key".lstrip(".")
    if error.__cause__ is not None:
        return f"{where}{message if message.startswith('.') else f': {message}'}".lstrip(".")
    where = where.lstrip(".") or whole
    last = steps[-1] if steps else None
    if of_key:
        return f"{where}: expected {_expected(_key_type(kind, steps[:-1]))}"
    found_there = _at(value, steps)
    if last is not None and isinstance(found_there, float) and found_there != found_there:
        return f"{where}: expected a finite number"
    return f"{where}: expected {_expected(_type_at(kind, steps))}, got {shown(found_there)}"


def _parsed(text: str) -> tuple[str, bool, list[str | int | EllipsisType]]:
    """Split msgspec's sentence into its message, whether a key is wrong, and the path as steps."""
    match = _AT.match(text)
    if match is None:
        return text, False, []
    steps: list[str | int | EllipsisType] = []
    for name, index in _STEP.findall(match["path"]):
        steps.append(name or (... if index == "..." else int(index)))
    return match["message"], match["key"] is not None, steps


def _with_keys(
    kind: Any, value: Any, of_key: bool, steps: list[str | int | EllipsisType]
) -> tuple[list[str | int | EllipsisType], Any]:
    """Find the keys of mappings on a path, which msgspec writes as `[...]`: the first that fails is meant."""
    found = [*steps, ...] if of_key else list(steps)
    for at, step in enumerate(found):
        if step is not ...:
            continue
        table = _at(value, found[:at])
        items = list(table.items())
        low, high = 0, len(items)  # the first `low` pass, the first `high` fail
        while high - low > 1:
            middle = (low + high) // 2
            if _fails(kind, _put(value, found[:at], dict(items[:middle])), steps):
                high = middle
            else:
                low = middle
        found[at] = _Key(items[high - 1][0])
        value = _put(value, found[:at], dict([items[high - 1]]))
    return found, value


def path_text(field: str, *keys: str) -> str:
    """Return the path of a value under keys of a mapping, as messages show it: `findings["a.jsonl"]`."""
    return field + "".join(_step_text(_Key(key)) for key in keys)


class _Key(str):
    """A key of a mapping, as a step of a path."""

    __slots__ = ()


def _fails(kind: Any, value: Any, steps: Steps) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return _parsed(str(error))[2] == list(steps)
    return False


def _step_text(step: str | int | EllipsisType) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    name = str(step)
    plain = not isinstance(step, _Key) and len(name) <= _LONGEST and name.isprintable()
    return f".{name}" if plain else f"[{shown(name)}]"


def _at(value: Any, steps: Steps) -> Any:
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _put(value: Any, steps: Steps, new: Any) -> Any:
    """Return a value with another one at the end of a path; what is on the path is copied."""
    if not steps:
        return new
    first, *rest = steps
    copy: Any = list(value) if isinstance(value, list) else dict(value)
    copy[first] = _put(value[first], rest, new)
    return copy


def shown(value: Any) -> str:
    """Return a value as JSON for a message, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _members(kind: Any) -> Iterator[tuple[Any, tuple[Meta, ...]]]:
    """Yield the alternatives of a type, each with what constrains it."""
    if get_origin(kind) is Annotated:
        inner, *meta = get_args(kind)
        for each, more in _members(inner):
            yield each, (*(one for one in meta if isinstance(one, Meta)), *more)
    elif get_origin(kind) in (Union, UnionType):
        for each in get_args(kind):
            yield from _members(each)
    else:
        yield kind, ()


def _inner(kind: Any, step: str | int | EllipsisType) -> Iterator[Any]:
    """Yield the types that a step leads to from a type."""
    for each, _ in _members(kind):
        origin, arguments = get_origin(each) or each, get_args(each)
        if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
            yield from (one.type for one in msgspec.structs.fields(origin) if one.encode_name == step)
        elif origin in (dict, Mapping) and arguments and isinstance(step, str):
            yield arguments[1]
        elif origin in (list, tuple) and arguments and isinstance(step, int):
            yield arguments[0] if arguments[-1] is ... or origin is list else arguments[step]


def _type_at(kind: Any, steps: Steps) -> Any:
    for step in steps:
        kind = next(_inner(kind, step), Any)
    return kind


def _key_type(kind: Any, steps: Steps) -> Any:
    """Return the type of the keys of the mapping at a path."""
    for each, _ in _members(_type_at(kind, steps)):
        if get_args(each):
            return get_args(each)[0]
    return str


def _expected(kind: Any) -> str:
    """Return what a type accepts, in words."""
    words: list[str] = []
    choices: list[str] = []
    for each, metas in _members(kind):
        if get_origin(each) is Literal:
            choices += [shown(choice) for choice in get_args(each)]
        else:
            words.append(_words(get_origin(each) or each, get_args(each), metas))
    if choices:
        words.insert(0, choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}")
    return " or ".join(words)


def _words(kind: Any, arguments: tuple[Any, ...], metas: tuple[Meta, ...]) -> str:
    for meta in metas:
        if meta.extra and "expected" in meta.extra:
            return str(meta.extra["expected"])
    bounds = {
        name: value
        for meta in metas
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if (value := getattr(meta, name)) is not None
    }
    if kind in (int, float):
        return ("a whole number" if kind is int else "a finite number") + _range(bounds)
    if kind is str:
        most = f" of at most {bounds['max_length']} characters" if "max_length" in bounds else ""
        return f"a string{most}{', not empty' if 'min_length' in bounds else ''}"
    if kind in (list, tuple):
        if arguments and kind is tuple and arguments[-1] is not ...:
            return f"a list of {len(arguments)} values"
        least, top = bounds.get("min_length", 0), bounds.get("max_length")
        return "a list" + (f" of {least} to {top}" if top else f" of {least} or more" if least else "")
    if kind is bool:
        return "true or false"
    return "null" if kind in (None, NoneType) else "an object"


def _range(bounds: Mapping[str, Any]) -> str:
    low, high = bounds.get("ge"), bounds.get("le")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    names = {"ge": "{:g} or more", "gt": "more than {:g}", "le": "at most {:g}", "lt": "less than {:g}"}
    said = [text.format(bounds[name]) for name, text in names.items() if name in bounds]
    return f" of {' and '.join(said)}" if said else ""
