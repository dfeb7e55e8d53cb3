"""Data sets of a recipe: where rows come from, and which of them are taken.

Rows are ordered and split by hashes of their prompts alone. Two files with the same prompts, harmful
answers in one and refusals in the other, are so cut at the same prompts, and what a slice holds out of
the one it holds out of the other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from sqsd_lint.bundle.manifest import Provenance
from sqsd_lint.common.json_io import sha256_file, sha256_text
from sqsd_lint.errors import RecipeError
from sqsd_lint.training.recipe import Condition, DataSet, find_recipe, load_recipe
from sqsd_lint.types import Message, Problem, Row, Sample, Undesirable, Where

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s|\Z)|[。！？]")


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows of one data set that an adapter is trained on, and where they came from."""

    samples: tuple[Sample, ...]
    source: Provenance


def select(data: DataSet, role: str, *folders: Path) -> Selected:
    """Read a data set and take the rows that the recipe asks for.

    Args:
        role: the adapter that is trained on it.
        folders: what a local path is relative to: the first where it is a file.

    Raises:
        RecipeError: the source cannot be read, holds a row that is no training sample, or too few rows.
    """
    rows, source_sha256 = _hub_rows(data) if data.hub else _local_rows(data, folders)
    kept: list[tuple[str, Sample]] = []
    for row in (one for prompt in rows for one in _answered(prompt, data)):
        sample = _wanted(_picked(row, data), data)
        if sample is not None:
            order = _hash(f"{data.seed}\n{_normal(prompt_of(sample))}")
            kept.append((order + sample.fingerprint, sample))
    kept.sort(key=lambda pair: pair[0])
    ordered = _reshaped([sample for _, sample in kept], data)
    end = None if data.rows is None else data.offset + data.rows
    samples = tuple(_shortened(sample, data.max_chars) for sample in ordered[data.offset : end])
    if not samples or (data.rows is not None and len(samples) < data.rows):
        raise RecipeError(
            f"data set {data.name!r}: {len(samples)} of {data.rows or 'any'} rows found"
            f" ({len(ordered)} pass filter and slice, offset {data.offset})",
            hint="ask for fewer rows, or widen filter or slice",
        )
    content = "\n".join(sample.fingerprint for sample in samples)
    selection = {
        **{key: getattr(data, key) for key in ("config", "split", "columns")},
        "pick": asdict(data.pick) if data.pick else None,
        "filter": [condition.to_json() for condition in data.filter],
        **{key: getattr(data, key) for key in ("slice", "offset", "seed", "max_chars", "responses")},
        **({"harmful": True} if data.harmful else {}),
        **({"join": data.join} if data.join > 1 else {}),
        **({} if data.prompts else {"prompts": False}),
    }
    source = Provenance(
        name=data.name,
        role=role,
        source=data.hub or Path(data.path or "").name,
        licence=data.licence,
        revision=data.revision,
        rows=len(samples),
        sha256=sha256_text(content),
        source_sha256=source_sha256,
        selection=selection,
    )
    return Selected(samples, source)


def reference_sets(
    recipe: Path, data_dir: Path | None, most: int | None = None
) -> dict[str, dict[str, tuple[Sample, ...]]]:
    """Return the calibration sets of a recipe: "benign" and "harmful" -> name of the set -> its rows.

    Args:
        most: at most so many rows of each set.

    Raises:
        RecipeError: the recipe has none, or a set cannot be read.
    """
    loaded = load_recipe(find_recipe(recipe))
    if not loaded.benign:
        raise RecipeError(f"{recipe}: has no calibration sets", hint="add `calibration`, or use --benign")
    folders = (data_dir or loaded.folder, loaded.folder)
    return {
        role: {data.name: select(data, role, *folders).samples[:most] for data in sets}
        for role, sets in (("benign", loaded.benign), ("harmful", loaded.harmful))
    }


def training_sets(
    recipe: Path, data_dir: Path | None, most: int | None = None
) -> dict[str, dict[str, tuple[Sample, ...]]]:
    """Return what directions are trained on: "danger" and "safety" -> name of a set -> its rows.

    Args:
        most: at most so many rows of each set.

    Raises:
        RecipeError: a set cannot be read.
    """
    loaded = load_recipe(recipe)
    folders = (data_dir or loaded.folder, loaded.folder)
    return {
        adapter.name: {
            data.name: select(data, adapter.name, *folders).samples[:most] for data in adapter.data
        }
        for adapter in loaded.adapters
        if adapter.name in ("danger", "safety")
    }


def prompt_of(sample: Sample) -> str:
    """Return what stands before the first trained message, without system messages; a text's own words."""
    first = sample.mask.index(True) if True in sample.mask else len(sample.messages)
    before = [m.content for m in sample.messages[:first] if m.role != "system"]
    return "\n".join(before or [m.content for m in sample.messages])


def position(prompt: str) -> float:
    """Return a prompt's place in [0, 1): the same for every file and seed, whatever its case and blanks."""
    return int(_hash(_normal(prompt))[:13], 16) / 16**13


def _normal(prompt: str) -> str:
    return " ".join(prompt.casefold().split())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _local_rows(data: DataSet, folders: Sequence[Path]) -> tuple[Iterable[Row], str]:
    from sqsd_lint.read import read_rows

    paths = [folder / str(data.path) for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise RecipeError(
            f"data set {data.name!r}: {paths[0]} does not exist",
            hint="paths are relative to the folder of data (--data), or else to the recipe",
        )
    return _only_rows(read_rows(str(path)), data), sha256_file(path)


def _only_rows(found: Iterable[Row | Problem], data: DataSet) -> Iterator[Row]:
    for item in found:
        if isinstance(item, Problem):
            raise RecipeError(f"data set {data.name!r}: {item.where}: {item.message}", hint=item.hint or None)
        yield item


def _hub_rows(data: DataSet) -> tuple[Iterable[Row], None]:
    """Rows of a Hub data set. Its scripts are never run: `datasets` reads data files only."""
    from datasets import load_dataset

    try:
        table = load_dataset(data.hub, data.config, split=data.split, revision=data.revision)
    # The Hub client's errors differ by version and cause; all of them mean that the set is not to be had.
    except Exception as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise RecipeError(
            f"data set {data.name!r}: {data.hub} ({data.split}) cannot be loaded from the Hub: {first}",
            hint="check name, config, split and network; gated sets need `hf auth login`",
        ) from error
    name = f"{data.hub}:{data.split}"
    return (Row(Where(name, i + 1, i), dict(raw)) for i, raw in enumerate(table)), None


def _answered(row: Row, data: DataSet) -> list[Row]:
    """Return a row that is a prompt alone, once with each of the recipe's answers; any other row as it is."""
    if not data.responses or not isinstance(row.raw, dict):
        return [row]
    return [replace(row, raw={**row.raw, "response": answer}) for answer in data.responses]


def _picked(row: Row, data: DataSet) -> Row:
    pick = data.pick
    if pick is None:
        return row
    try:
        chosen = row.raw[pick.from_[int(row.raw[pick.by])]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RecipeError(
            f"data set {data.name!r}: {row.where}: cannot pick {pick.column!r} from"
            f" {', '.join(pick.from_)} by {pick.by!r}: {type(error).__name__} {error}"
        ) from error
    return replace(row, raw={**row.raw, pick.column: chosen})


def _wanted(row: Row, data: DataSet) -> Sample | None:
    """Return the row's sample if filter and slice keep it. A row that its columns rule out need be none."""
    by_content = [c for c in data.filter if c.column in _CONTENT]
    for condition in data.filter:
        if condition.column not in _CONTENT:
            raw = row.raw.get(condition.column) if isinstance(row.raw, dict) else None
            if not _holds(condition, raw):
                return None
    sample = _sample(row, data)
    if not all(_holds(c, _CONTENT[c.column](sample)) for c in by_content):
        return None
    return sample if data.slice[0] <= position(prompt_of(sample)) < data.slice[1] else None


def _sample(row: Row, data: DataSet) -> Sample:
    from sqsd_lint.samples import Columns, Reading, to_sample

    found = to_sample(row, Reading.by(Columns.from_mapping(data.columns) if data.columns else None))
    if isinstance(found, Undesirable):
        raise RecipeError(
            f"data set {data.name!r}: {found.where}: training pushes away from the answer, since"
            f" {found.sign!r} is false",
            hint="filter such rows out in the recipe",
        )
    if isinstance(found, Problem):
        raise RecipeError(
            f"data set {data.name!r}: {found.where}: {found.message}",
            hint=found.hint or "say with `columns` where prompt and answer are",
        )
    return found


def _answer_of(sample: Sample) -> str:
    return "\n".join(m.content for m, on in zip(sample.messages, sample.mask, strict=True) if on)


_CONTENT: dict[str, Callable[[Sample], str]] = {"@prompt": prompt_of, "@answer": _answer_of}
_TESTS: dict[str, Callable[[Any, str, Any], bool]] = {
    "equals": lambda value, text, wanted: bool(value == wanted),
    "in": lambda value, text, wanted: value in wanted,
    "matches": lambda value, text, wanted: re.search(wanted, text, re.IGNORECASE) is not None,
    "min_chars": lambda value, text, wanted: len(text) >= wanted,
    "max_chars": lambda value, text, wanted: len(text) <= wanted,
}


def _holds(condition: Condition, value: Any) -> bool:
    text, given = "" if value is None else str(value), condition.to_json()
    held = all(test(value, text, given[key]) for key, test in _TESTS.items() if key in given)
    return held is not given.get("negate", False)


def _reshaped(samples: list[Sample], data: DataSet) -> list[Sample]:
    """Return samples joined to conversations and without prompts, as the recipe asks; a rest is left out."""
    found = samples
    if data.join > 1:
        starts = range(0, len(samples) - data.join + 1, data.join)
        found = [_conversation(samples[start : start + data.join]) for start in starts]
    return found if data.prompts else [_text_alone(sample) for sample in found]


def _conversation(samples: Sequence[Sample]) -> Sample:
    messages = tuple(message for sample in samples for message in sample.messages)
    return _with_messages(samples[0], messages, tuple(on for sample in samples for on in sample.mask))


def _text_alone(sample: Sample) -> Sample:
    trained = (m.content for m, on in zip(sample.messages, sample.mask, strict=True) if on)
    return _with_messages(sample, (Message("text", "\n\n".join(trained)),), (True,))


def _with_messages(sample: Sample, messages: tuple[Message, ...], mask: tuple[bool, ...]) -> Sample:
    """Return another sample of the same place, under a fingerprint of its own: caches answer by it."""
    from sqsd_lint.samples import fingerprint

    return replace(
        sample, messages=messages, mask=mask, fingerprint=fingerprint(messages, mask, sample.tools)
    )


def _shortened(sample: Sample, limit: int | None) -> Sample:
    """Cut every trained answer to `limit` characters, so that paired sets have answers of one length."""
    trained = [m for m, on in zip(sample.messages, sample.mask, strict=True) if on]
    if limit is None or all(len(m.content) <= limit for m in trained):
        return sample
    messages = tuple(
        Message(m.role, cut_at_sentence(m.content, limit), m.extra) if on else m
        for m, on in zip(sample.messages, sample.mask, strict=True)
    )
    return _with_messages(sample, messages, sample.mask)


def cut_at_sentence(text: str, limit: int) -> str:
    """Return the whole sentences within `limit` characters; whole words where no sentence ends there."""
    if len(text) <= limit:
        return text
    ends = [m.end() for m in _SENTENCE_END.finditer(text) if m.end() <= limit]
    if ends:
        return text[: ends[-1]].rstrip()
    cut = text[:limit]
    if not text[limit].isspace():
        cut = cut.rsplit(None, 1)[0] if len(cut.split()) > 1 else cut
    return cut.rstrip()
