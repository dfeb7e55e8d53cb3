"""`bundle import --release`: the adapters that the paper's authors published, or others laid out like them.

    Direction/<name with "danger">/      one or several
    Direction/<name with "safety">/      one
    initial-state/<name>/                one

Each is a PEFT folder. Of a repository on the Hub, at the commit that the revision names, all configurations
are fetched, since they tell which adapters there are, and then the safetensors weights of those in use.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqsd_lint.adapters.peft_folder import CONFIG, WEIGHTS
from sqsd_lint.bundle.importer import import_bundle
from sqsd_lint.bundle.load import Bundle
from sqsd_lint.bundle.remote.address import Address, is_remote, parse
from sqsd_lint.bundle.remote.hub import explained
from sqsd_lint.common.progress import Status
from sqsd_lint.config import nearest
from sqsd_lint.errors import AdapterError, UsageError

MODEL = "Qwen/Qwen3-8B"
"""What the published adapters were trained on."""

# The authors render Qwen3 with an empty thought in the prompt; other templates know no such argument.
_TEMPLATE_ARGUMENTS = {"enable_thinking": False}

_DIRECTIONS, _STATES = "Direction", "initial-state"
# What docs/method.md section 2 says of the published folders, by a part of their names.
_TRAINED_ON = {
    "beaver": "3,000 random unsafe rows of BeaverTails, learning rate 5e-6",
    "ageis": "3,000 random unsafe rows of Aegis, learning rate 5e-6",
    "pkurlhf": "10,000 safer rows of PKU-SafeRLHF, learning rate 5e-6, checkpoint 7000",
    "dolly_ckpt_5850": "5,000 rows of Dolly, checkpoint 5850",
}


@dataclass(frozen=True, slots=True)
class Release:
    """Adapter folders by their names; those that come from the Hub have their configurations alone.

    Attributes:
        source: where they come from: "hf://org/name", or the folder's name.
        revision: the commit on the Hub; None for a folder.
    """

    source: str
    revision: str | None
    danger: Mapping[str, Path]
    safety: Path
    initial: Path


def import_release(
    reference: str,
    *,
    model: str = MODEL,
    danger: str | None = None,
    output: Path,
    status: Status | None = None,
    **settings: Any,
) -> Bundle:
    """Make a bundle of a release with the authors' settings.

    They are safety scaling 1.0, cosine, paper expansion, and a chat template without thoughts.

    Args:
        reference: a folder, or hf://org/name[@revision].
        danger: the name of a danger adapter, where there are several.
        settings: further arguments of `import_bundle`, which override the authors'.

    Raises:
        AdapterError: a piece is missing, damaged or does not fit the model.
        BundleError: it cannot be fetched.
        UsageError: no such danger adapter, or several and none named.
    """
    release = open_release(reference, status)
    name, folder = choose(release.danger, danger)
    if release.revision is not None:
        address = parse(release.source).at(release.revision)
        if status:
            status(f"fetching {name}, {release.safety.name} and {release.initial.name}")
        used = [f"{_DIRECTIONS}/{name}", f"{_DIRECTIONS}/{release.safety.name}"]
        used.append(f"{_STATES}/{release.initial.name}")
        _fetch(address, [f"{glob.escape(place)}/{WEIGHTS}" for place in used])
    names = {"danger": name, "safety": release.safety.name, "initial": release.initial.name}
    facts = {role: _facts(release, named) for role, named in names.items()}
    return import_bundle(
        model,
        folder,
        release.safety,
        release.initial,
        output=output,
        facts=facts,
        status=status,
        **{"template_arguments": _TEMPLATE_ARGUMENTS, **settings},
    )


def open_release(reference: str, status: Status | None = None) -> Release:
    """Find the adapters of a release, fetching their configurations first where it lies on the Hub.

    Raises:
        AdapterError: a piece is missing, or there is more than one safety adapter or initial state.
        BundleError: it cannot be fetched.
    """
    root, source, revision = Path(reference), Path(reference).resolve().name, None
    if is_remote(reference):
        address = parse(reference)
        if status:
            status(f"looking into {address}")
        if not address.on_hub:
            raise UsageError(f"{address}: a release is a folder or hf://org/name[@revision]")
        root = _fetch(address, [f"{top}/*/{CONFIG}" for top in (_DIRECTIONS, _STATES)])
        revision = root.name  # a snapshot's folder is named after its commit
        source = address.url
    directions, states = _adapters(root / _DIRECTIONS), _adapters(root / _STATES)
    danger = {name: path for name, path in directions.items() if "danger" in name.casefold()}
    safety = {name: path for name, path in directions.items() if "safety" in name.casefold()}
    if not danger:
        raise _wrong(reference, f"no danger adapter: {_DIRECTIONS}/ holds {_listed(directions)}")
    for what, found, where in (
        ("safety adapter", safety, _DIRECTIONS),
        ("initial state", states, _STATES),
    ):
        if len(found) != 1:
            raise _wrong(reference, f"expected one {what} in {where}/, found {_listed(found)}")
    return Release(source, revision, danger, *safety.values(), *states.values())


def choose(named: Mapping[str, Path], wanted: str | None) -> tuple[str, Path]:
    """Return one of several danger adapters.

    Raises:
        UsageError: none is named and there are several, or there is none of that name.
    """
    if wanted is None and len(named) == 1:
        return next(iter(named.items()))
    if wanted is not None and wanted in named:
        return wanted, named[wanted]
    hint = "name one: " + " or ".join(f"--danger {name}" for name in named)
    if wanted is None:
        raise UsageError(f"the release has {len(named)} danger adapters", hint=hint)
    close = nearest(wanted, named)
    raise UsageError(
        f"the release has no danger adapter {wanted!r}",
        hint=f"did you mean {close}? {hint}" if close else hint,
    )


def _adapters(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if (path / CONFIG).is_file()}


def _wrong(reference: str, problem: str) -> AdapterError:
    return AdapterError(
        f"{reference}: {problem}",
        hint=f"a release is {_DIRECTIONS}/<danger adapters>, {_DIRECTIONS}/<one safety adapter> and"
        f" {_STATES}/<one adapter>, each a folder of PEFT; import others with --danger, --safety, --initial",
    )


def _listed(found: Mapping[str, Path]) -> str:
    return ", ".join(found) or f"no folder with {CONFIG}"


def _facts(release: Release, name: str) -> dict[str, Any]:
    facts = {"release": release.source, "revision": release.revision, "folder": name}
    known = [text for part, text in _TRAINED_ON.items() if part in name.casefold()]
    return {**facts, "authors_say": known[0]} if known else facts


def _fetch(address: Address, patterns: Sequence[str]) -> Path:
    """Fetch the files of a repository that the patterns match; returns the snapshot's folder.

    Raises:
        BundleError: they cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    try:
        wanted = list(patterns)
        return Path(snapshot_download(address.repository, revision=address.revision, allow_patterns=wanted))
    # The Hub client raises its own errors, those of its HTTP library and OSError, by version and cause.
    except Exception as error:
        raise explained(error, address, "fetched") from error
