"""Pushing a bundle to the Hub or to a store, so that others can pull it.

The model card of a bundle on the Hub, written from its manifest, whose names may be anybody's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.manifest import MANIFEST, MAX_MANIFEST, Manifest, parse_manifest
from sqsd_lint.bundle.remote.address import Address
from sqsd_lint.bundle.remote.connect import connect, reaching
from sqsd_lint.bundle.remote.files import Remote
from sqsd_lint.bundle.verify import verify
from sqsd_lint.common.progress import Status
from sqsd_lint.errors import BundleCorruptError, UsageError

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$:@-])")
_LONGEST = 200


def card(manifest: Manifest, address: Address) -> str:
    """Return README.md for the repository at `address`: what the bundle is, was made of and is used for.

    Nothing reads it back: a pull leaves it where it is.
    """
    base = manifest.base_model
    parts = [
        _front_matter(manifest),
        f"# {_plain(manifest.id)}",
        "A direction bundle for [sqsd-lint](https://pypi.org/project/sqsd-lint/), the linter for fine-tuning"
        f" data. Rows are scored by how far they would push **{_plain(base.id)}** towards danger.",
        _code(
            f"sqsd-lint bundle pull {address}",
            f"sqsd-lint check data/ --bundle {address} --model {base.id}",
        ),
        "> The adapter in `danger/` was fine-tuned on harmful answers: that is what it is for. Merged into"
        " the model it makes the model unsafe. Do not serve it.",
        "## What it is",
        _table(("", ""), _facts(manifest)),
    ]
    if manifest.notes:
        parts += ["\n".join(f"- {_plain(note)}" for note in manifest.notes)]
    if manifest.provenance:
        rows = [
            (s.role, s.name, f"{s.rows:,}", s.licence, s.revision or "", s.sha256[:12])
            for s in manifest.provenance
        ]
        head = ("adapter", "data set", "rows", "licence", "revision", "sha256 of the rows")
        parts += ["## What it was trained on", _table(head, rows)]
    if manifest.training:
        settings = [(name, _settings(value)) for name, value in manifest.training.items()]
        parts += ["## Training settings", _table(("adapter", "settings"), settings)]
    parts += ["## Calibration", _calibration(manifest)]
    return "\n\n".join(parts) + "\n"


def _front_matter(manifest: Manifest) -> str:
    """Return what the Hub indexes. A JSON string is a YAML string, whatever is in it."""
    lines = [
        "library_name: peft",
        *([f"base_model: {json.dumps(manifest.base_model.id)}"] if "/" in manifest.base_model.id else []),
        "tags:",
        *(f"- {tag}" for tag in ("sqsd-lint", "lora", "safety", "data-selection")),
    ]
    return "\n".join(["---", *lines, "---"])


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    base = manifest.base_model
    modules = "all linear layers" if manifest.modules == "all" else f"top {manifest.modules} blocks"
    facts = [
        ("digest", manifest.digest),
        ("base model", f"{base.id} ({base.architecture})"),
        ("base revision", base.revision or "not recorded"),
        ("base weights", f"sha256 {base.weights_digest[:12]}"),
        ("metric", manifest.metric),
        ("expansion", manifest.expansion),
        ("scored", modules),
        ("update", manifest.update),
    ]
    for name, direction in manifest.directions.items():
        scaling = "" if direction.scaling is None else f", scaling {direction.scaling:g}"
        at = direction.expansion or "the model as it is"
        facts.append((name, f"{direction.adapter} at {at}{scaling} ({direction.kind})"))
    if manifest.base_adapter:
        facts.append(("merged first", manifest.base_adapter))
    return [*facts, ("made with", f"sqsd-lint {manifest.tool_version}")]


def _calibration(manifest: Manifest) -> str:
    found = manifest.calibration
    if found is None:
        return "None: only raw scores can be thresholds. `sqsd-lint bundle calibrate` adds one."
    rows = [
        (role, each.name, f"{each.rows:,}", each.sha256[:12])
        for role, sets in (("benign", found.sets.benign), ("known-harmful", found.sets.harmful))
        for each in sets
    ]
    return _table(("", "data set", "rows", "sha256"), rows)


def _settings(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _code(*lines: str) -> str:
    # Indented: no text can end such a block, as a fence could be ended.
    return "\n".join(f"    {_line(line)}" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head)]
    body = [[_plain(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (*lines, *body))


def _plain(text: str) -> str:
    """Return a text without markup: one line, every character that Markdown or HTML know escaped."""
    return _SPECIAL.sub(r"\\\1", _line(text))


def _line(text: str) -> str:
    flat = "".join(c if c.isprintable() else " " for c in text)
    return flat if len(flat) <= _LONGEST else f"{flat[: _LONGEST - 3]}..."


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that is done.

    Attributes:
        address: where the bundle is now, on the Hub with the commit that holds it.
    """

    address: Address
    digest: str


def push(
    bundle: Bundle,
    address: Address,
    *,
    private: bool = True,
    force: bool = False,
    message: str | None = None,
    status: Status | None = None,
) -> Pushed:
    """Write a bundle to an address; only the manifest and the files that it names go there, and a model card.

    Args:
        private: of a repository on the Hub that is made here; one that exists stays as it is.
        force: also over another bundle in a store, or into a repository that holds something else.
        message: of the commit on the Hub.
        status: told what is being written.

    Raises:
        BundleCorruptError: the bundle does not hold. BundleError: the address cannot be written.
        UsageError: something else is there.
    """
    if wrong := verify(bundle.root):
        raise BundleCorruptError(
            f"{bundle.root}: {wrong[0].where}: {wrong[0].message}",
            hint="`sqsd-lint bundle verify` lists everything that is wrong; nothing was pushed",
        )
    if status:
        status(f"pushing {bundle.id} to {address}")
    files = {name: bundle.root / name for name in (*bundle.manifest.files, MANIFEST)}
    if address.on_hub:
        from sqsd_lint.bundle.remote.hub import push_hub

        with reaching(address, "written"):
            address = push_hub(
                address,
                files,
                card(bundle.manifest, address),
                private=private,
                force=force,
                message=message or f"{bundle.id}@{bundle.digest[:12]}",
            )
        return Pushed(address, bundle.digest)
    remote = connect(address)
    with reaching(address, "written"):
        _push_store(remote, bundle.digest, files, force=force, status=status)
    return Pushed(address, bundle.digest)


def _push_store(
    remote: Remote, digest: str, files: dict[str, Path], *, force: bool, status: Status | None
) -> None:
    """Write the manifest last: a pull meanwhile gets the old bundle, or is told of files that differ."""
    old = _there(remote)
    if old is not None and old.digest == digest:
        return
    if old is not None and not force:
        raise UsageError(
            f"{remote.address} holds the bundle {old.id}@{old.digest[:12]}; nothing was written",
            hint="write to a place of its own for each version, or replace it with --force",
        )
    for name, path in files.items():
        if status:
            status(f"writing {name}")
        remote.put(path, name)
    for name in set(old.files) - set(files) if old else ():
        remote.remove(name)


def _there(remote: Remote) -> Manifest | None:
    """Return the manifest of the bundle in a store; None if there is none."""
    try:
        return parse_manifest(remote.read(MANIFEST, MAX_MANIFEST))
    except FileNotFoundError:
        return None
    except ValueError:
        raise UsageError(
            f"{remote.address} holds a {MANIFEST} that is no manifest of a bundle; nothing was written",
            hint="name an empty place",
        ) from None
