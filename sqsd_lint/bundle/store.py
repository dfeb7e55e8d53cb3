"""Finding, checking and keeping bundles.

Whatever opens a bundle goes through `load_bundle`, which reads every byte of it once: a bundle that was
opened is the one that its digest names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqsd_lint import resources
from sqsd_lint.bundle.cache import bundles_folder, is_cached_name, mark_used, staging, swap_in
from sqsd_lint.bundle.digests import sha256_file
from sqsd_lint.bundle.manifest import MANIFEST, Manifest
from sqsd_lint.bundle.manifest_json import load
from sqsd_lint.bundle.pulled import forget
from sqsd_lint.bundle.sources import is_remote
from sqsd_lint.errors import BundleCorruptError, BundleError, BundleNotFoundError, UsageError

_REFETCH = "get or build the bundle again; `sqsd-lint bundle verify` lists everything that is wrong"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose files were checked.

    Attributes:
        digest: identity in reports: scores and thresholds. scoring_digest: identity in score caches.
    """

    root: Path
    manifest: Manifest
    digest: str
    scoring_digest: str

    @property
    def id(self) -> str:
        return self.manifest.id

    def adapter_dir(self, name: str) -> Path:
        """The PEFT folder of one of `manifest.adapters`."""
        if name not in self.manifest.adapters:
            raise KeyError(name)
        return self.root / name


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of `bundle list`: a cached or embedded bundle whose manifest was read and whose files were not.

    Attributes:
        manifest: None if it cannot be read; `problem` then says why.
    """

    id: str
    root: Path
    embedded: bool
    manifest: Manifest | None
    problem: str = ""


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle's manifest and check all of its files against it.

    Raises:
        BundleNotFoundError: there is no bundle in the folder.
        BundleCorruptError: the manifest or a file does not hold, or a file lies there that it does not name.
    """
    if not (folder / MANIFEST).is_file():
        raise BundleNotFoundError(
            f"{folder}: not a bundle, {MANIFEST} is missing",
            hint="name the folder that `sqsd-lint bundle build` or `bundle import` wrote",
        )
    manifest = load(folder)
    problems = file_problems(folder, manifest)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BundleCorruptError(f"{folder}: {problems[0]}{more}", hint=_REFETCH)
    return Bundle(folder, manifest, manifest.digest, manifest.scoring_digest)


def file_problems(folder: Path, manifest: Manifest) -> list[str]:
    """What is wrong with a bundle's files: missing, changed, unnamed, or led out of the folder by a link."""
    problems = []
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif not path.resolve().is_relative_to(folder.resolve()):
            problems.append(f"{name} is a link that leaves the bundle")
        elif sha256_file(path) != expected:
            problems.append(f"{name} is not the file that the manifest names (its SHA-256 differs)")
    for directory, folders, files in os.walk(folder):
        # Hidden files (.gitattributes, a hub client's .cache) are read by nobody; neither is prose.
        folders[:] = [d for d in folders if not d.startswith(".")]
        inner = Path(directory).relative_to(folder)
        problems += [
            f"{(inner / d).as_posix()} is a link to a folder"
            for d in folders
            if (folder / inner / d).is_symlink()
        ]
        for file in files:
            name = (inner / file).as_posix()
            if not (
                file.startswith(".") or name.endswith(".md") or name == MANIFEST or name in manifest.files
            ):
                problems.append(f"{name} lies in the bundle but the manifest does not name it")
    return problems


def open_bundle(
    ref: str | None,
    *,
    model: str | None = None,
    cache_dir: Path | None = None,
    status: Callable[[str], None] | None = None,
) -> Bundle:
    """Find the bundle that a run uses; one on the Hub or in a store is pulled if it is not cached.

    Args:
        ref: `--bundle`: a folder, the id of a cached or embedded bundle, or an address (`bundle.sources`).
        model: `--model`: a Hub id or a folder; decides where no bundle is named.
        status: told what is being fetched.

    Returns:
        The bundle of `ref`, else the one whose base model is `model`, else the embedded default.

    Raises:
        BundleNotFoundError: nothing fits; a named model never falls back on the default.
        BundleCorruptError: the bundle found does not hold.
        BundleError: it cannot be fetched.
        UsageError: several cached bundles fit the model; no such form of an address.
    """
    if ref is not None and is_remote(ref):
        from sqsd_lint.bundle.pull import cached_or_pulled

        return used(cached_or_pulled(ref, cache_dir, status), cache_dir)
    if ref is not None:
        return used(load_bundle(_find(ref, cache_dir)), cache_dir)
    if model is not None:
        return used(load_bundle(_find_for_model(model, cache_dir)), cache_dir)
    folder = resources.bundles_dir() / "default"
    if not folder.is_dir():
        raise BundleNotFoundError(
            "this installation has no embedded default bundle",
            hint="install the released wheel, or name a bundle with --bundle",
        )
    return load_bundle(folder)


def used(bundle: Bundle, cache_dir: Path | None = None) -> Bundle:
    """The bundle, its use noted if it is a cached one: `bundle prune` goes by that."""
    if bundle.root.parent == bundles_folder(cache_dir):
        mark_used(bundle.root)
    return bundle


def find_digest(digest: str, cache_dir: Path | None = None) -> Bundle | None:
    """The cached bundle of a digest, None if there is none."""
    parent = bundles_folder(cache_dir)
    for folder in parent.glob(f"*@{digest[:12]}"):
        if (folder / MANIFEST).is_file() and (bundle := load_bundle(folder)).digest == digest:
            return bundle
    return None


def _find(ref: str, cache_dir: Path | None) -> Path:
    if Path(ref).is_dir():
        return Path(ref)
    entries = list_bundles(cache_dir)
    for entry in entries:
        if ref == entry.id:
            return entry.root
    if versions := [e for e in entries if e.manifest and e.manifest.id == ref]:
        return _newest(versions, cache_dir)
    raise BundleNotFoundError(
        f"no bundle {ref!r}: neither a folder nor the id of a cached bundle",
        hint="`sqsd-lint bundle list` shows the ids; `sqsd-lint bundle pull` fetches one",
    )


def _newest(versions: list[Entry], cache_dir: Path | None) -> Path:
    """Of several versions of a bundle, the one that was pulled or installed last.

    Raises:
        UsageError: they come from different places: whoever publishes a bundle chooses its name.
    """
    if len({entry.manifest.digest for entry in versions if entry.manifest}) > 1:
        from sqsd_lint.bundle.pulled import sources

        known = sources(cache_dir)
        pulls = [known.get(entry.root.name) for entry in versions]
        places = {pulled[0].source.partition("@")[0] if pulled else "" for pulled in pulls}
        if len(places) > 1:
            raise UsageError(
                f"cached bundles of the name {versions[0].id!r} come from different places: "
                + ", ".join(sorted(place or "installed here" for place in places)),
                hint="choose one with --bundle ID@DIGEST, or name its address",
            )
    return max(versions, key=lambda entry: (entry.root / MANIFEST).stat().st_mtime).root


def _find_for_model(model: str, cache_dir: Path | None) -> Path:
    found = [e for e in list_bundles(cache_dir) if e.manifest]
    if Path(model).is_dir():
        from sqsd_lint.bundle.model_digests import weights_digest

        wanted = weights_digest(Path(model), cache_dir=cache_dir)
        found = [e for e in found if e.manifest and e.manifest.base_model.weights_digest == wanted]
    else:
        found = [e for e in found if e.manifest and e.manifest.base_model.id == model]
    cached = [e for e in found if not e.embedded]
    if len({e.manifest.id for e in cached if e.manifest}) > 1:
        raise UsageError(
            f"several cached bundles have the base model {model!r}: {', '.join(e.id for e in cached)}",
            hint="choose one with --bundle ID, or in the configuration under [bundles]",
        )
    if cached:
        return _newest(cached, cache_dir)
    if not found:
        raise BundleNotFoundError(
            f"no bundle for the model {model!r}",
            hint="pull one: `sqsd-lint bundle pull hf://ORG/NAME`; build one: "
            "`sqsd-lint bundle build --recipe FILE --output DIR`, or import PEFT adapters: "
            f"`sqsd-lint bundle import --model {model} --danger DIR --safety DIR --initial DIR"
            " --output DIR`; then name it with --bundle DIR",
        )
    return found[0].root


def list_bundles(cache_dir: Path | None = None) -> list[Entry]:
    """All cached bundles by id, then the embedded ones. Manifests only; no file is hashed."""
    entries = []
    for parent, embedded in ((bundles_folder(cache_dir), False), (resources.bundles_dir(), True)):
        folders = sorted(parent.iterdir()) if parent.is_dir() else []
        names = [f for f in folders if is_cached_name(f.name) and (f / MANIFEST).is_file()]
        entries += [_entry(folder, embedded) for folder in names]
    return entries


def _entry(folder: Path, embedded: bool) -> Entry:
    try:
        manifest = load(folder)
    except BundleError as error:
        return Entry(folder.name, folder, embedded, None, error.message)
    return Entry(manifest.id if embedded else folder.name, folder, embedded, manifest)


def install(folder: Path, *, cache_dir: Path | None = None, replace: bool = False) -> Bundle:
    """Copy a bundle into the cache, where its id or its base model's name finds it.

    Raises:
        BundleError: the bundle does not hold.
        UsageError: another bundle of that id is cached, and `replace` is not set.
    """
    bundle = load_bundle(folder)
    target = bundles_folder(cache_dir) / bundle.id
    if (target / MANIFEST).is_file() and not replace:
        entry = _entry(target, embedded=False)
        if entry.manifest is None or entry.manifest.digest != bundle.digest:
            raise UsageError(
                f"another bundle {bundle.id!r} is already cached",
                hint=f"remove it first: `sqsd-lint bundle remove {bundle.id}`",
            )
    with staging(target) as stage:
        for name in [MANIFEST, *bundle.manifest.files]:
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, stage / name)
        load_bundle(stage)
        swap_in(stage, target)
    return load_bundle(target)


def remove_bundle(name: str, *, cache_dir: Path | None = None) -> Path:
    """Delete a cached bundle and return the folder that is gone.

    Raises:
        UsageError: `name` is no plain id; folders outside the cache are never touched.
        BundleNotFoundError: nothing of that id is cached.
    """
    if not is_cached_name(name):
        raise UsageError(
            f"{name!r} is not the id of a cached bundle",
            hint="`sqsd-lint bundle list` shows the ids; a folder elsewhere is yours to delete",
        )
    target = bundles_folder(cache_dir) / name
    if target.is_symlink():
        target.unlink()
    elif (target / MANIFEST).is_file():
        shutil.rmtree(target)
    else:
        raise BundleNotFoundError(f"no cached bundle {name!r}", hint="`sqsd-lint bundle list` shows the ids")
    forget(name, cache_dir)
    return target
