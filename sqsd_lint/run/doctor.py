"""What `doctor` finds: whether a check could run here, and what is missing with the command that mends it.

Nothing is fetched but what a scoring service says of itself, and nothing is scored. Torch is imported only to
ask it for the device.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

from sqsd_lint._version import __version__
from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.load import Bundle, BundleInfo
from sqsd_lint.bundle.resolve import open_bundle
from sqsd_lint.common.extras import MissingExtraError
from sqsd_lint.common.file_system import network_file_system
from sqsd_lint.config import Resolved, Settings
from sqsd_lint.errors import ConfigError, SqsdLintError

Level = Literal["ok", "note", "missing"]

_DISTRIBUTION = "sqsd-lint"
_SCORING = ("torch", "transformers", "peft", "safetensors", "huggingface-hub")
_CACHED = {"scores": "scores.sqlite*", "models": "models", "bundles": "bundles"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the answer.

    Attributes:
        level: "missing" keeps a check from running, "note" does not.
        hint: what mends it; commands stand in backticks.
    """

    name: str
    text: str
    level: Level = "ok"
    hint: str = ""


def examine(resolve: Callable[[], Resolved]) -> Iterator[Fact]:
    """Every fact, each as soon as it is known.

    Args:
        resolve: the settings of a run here; may raise ConfigError, which is a fact like others.
    """
    yield Fact("sqsd-lint", f"{__version__} in {Path(__file__).parents[1]}")
    yield Fact(
        "python",
        f"{platform.python_version()} ({platform.python_implementation()}) at {sys.executable}, "
        f"{platform.system()} {platform.machine()}",
    )
    packages = list(_packages())
    yield from packages
    settings = Settings()
    try:
        resolved = resolve()
        settings = resolved.settings
        text = ", which extends ".join(resolved.files) or "no file, defaults"
        yield Fact("configuration", text)
    except ConfigError as error:
        yield _missing("configuration", error)
    cache = cache_root(Path(settings.cache_dir) if settings.cache_dir else None)
    yield _cache(cache)
    if settings.scorer:
        scorer = _scorer(settings, cache)
        yield scorer
        if scorer.level == "ok":
            yield _rules(settings)
        yield _git()
        return
    device = _device(settings)
    yield device
    bundle = None
    try:
        bundle = open_bundle(
            settings.bundle, model=None if settings.proxy else settings.model, cache_dir=cache
        )
        yield Fact("bundle", f"{bundle.id}@{bundle.digest.rpartition(':')[2][:12]} in {bundle.root}")
    except SqsdLintError as error:
        yield _missing("bundle", error)
    if bundle is not None:
        yield _model(bundle, settings, cache)
        if settings.model and device.level == "ok":
            yield from _fit(bundle, settings, cache)
        if all(fact.level != "missing" for fact in (device, *packages)):
            yield _rules(settings)
    yield _git()


def _missing(name: str, error: SqsdLintError) -> Fact:
    return Fact(name, error.message, "missing", error.hint or "")


def _packages() -> Iterator[Fact]:
    """Yield the versions that scores depend on, then every requirement that is not met here."""
    found = [f"{name} {version}" for name in _SCORING if (version := _version(name))]
    yield Fact("packages", ", ".join(found) or "none of those that score", "ok" if found else "note")
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Fact("packaging", "not installed", "missing", "`pip install packaging`")
        return
    try:
        wanted = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        yield Fact("installation", "not installed, so that its requirements are unknown", "note")
        return
    for requirement in map(Requirement, wanted):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            state = f"{version} is too old or too new" if version else "not installed"
            yield Fact(
                requirement.name,
                f"{state}, {requirement.specifier} is needed",
                "missing",
                f'`pip install "{requirement.name}{requirement.specifier}"`',
            )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _scorer(settings: Settings, cache: Path) -> Fact:
    """Whether the scoring service that the settings name answers, and with which bundle."""
    from sqsd_lint.run.remote_scorer import ScoringService

    try:
        bundle = ScoringService(settings, cache_dir=cache).bundle
    except SqsdLintError as error:
        return _missing("scorer", error)
    return Fact("scorer", f"{settings.scorer} with {bundle.id}@{bundle.digest[:12]}; rows are sent there")


def _device(settings: Settings) -> Fact:
    # Asked anew, without the answer that the cache holds: a doctor does not go by yesterday's visit.
    from sqsd_lint.scoring.device import resolve

    if _version("torch") is None:
        return _missing("device", MissingExtraError("local", "torch"))
    try:
        device, dtype = resolve(settings.device, settings.dtype, None)
        from sqsd_lint.scoring.device import describe

        return Fact("device", f"{device} in {dtype}: {describe(device)}")
    except SqsdLintError as error:
        return _missing("device", error)
    except Exception as error:  # a broken torch fails in many ways, from ImportError to the loader's OSError
        text = f"torch cannot be used: {type(error).__name__}: {error}"
        return Fact("device", text, "missing", "`pip install --force-reinstall torch`")


def _cache(root: Path) -> Fact:
    sizes = {name: sum(map(_size, root.glob(pattern))) for name, pattern in _CACHED.items()}
    held = ", ".join(f"{name} {_megabytes(size)}" for name, size in sizes.items() if size)
    there = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        hint = "Name another folder with `--cache-dir DIR` or SQSD_LINT_CACHE_DIR."
        return Fact("cache", f"{root}: cannot be written, so that nothing is remembered", "note", hint)
    if kind := network_file_system(root):
        hint = "Name a local folder with `--cache-dir DIR`; `sqsd-lint cache export` and `merge` move scores."
        return Fact("cache", f"{root}: {held or 'empty'}, on a network file system ({kind})", "note", hint)
    return Fact("cache", f"{root}: {held or 'empty'}")


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _model(bundle: Bundle, settings: Settings, cache: Path) -> Fact:
    """Whether the model that a check would load is here and is the bundle's own."""
    from sqsd_lint.bundle.base_model import check_base_model
    from sqsd_lint.bundle.embedded import EMBEDDED_MODEL_ID, find_gguf, unpacked_folder

    name = _named(settings) or bundle.manifest.base_model.id
    try:
        folder = place_of_model(bundle, settings, cache)
        if name == EMBEDDED_MODEL_ID and not unpacked_folder(cache).is_dir():
            return Fact("model", f"{name}: the first check unpacks it from {find_gguf()}")
        if folder is None:
            hint = (
                f"`hf download {shlex.quote(name)}`, which a check would do by itself, given a network; "
                f"`hf download {shlex.quote(name)} config.json` is enough to have its memory foretold here"
            )
            return Fact("model", f"{name}: neither a folder nor downloaded from the Hub", "missing", hint)
        check_base_model(bundle.manifest, folder, cache_dir=cache)
    except SqsdLintError as error:
        return _missing("model", error)
    return Fact("model", f"{name} in {folder}")


def _downloaded(name: str) -> Path | None:
    """Return the folder of what was downloaded from the Hub under a name. The Hub is not asked."""
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, local_files_only=True))
    except Exception:  # of several libraries: nothing there, a name that the Hub does not allow, no library
        return None


def _fit(bundle: Bundle, settings: Settings, cache: Path) -> Iterator[Fact]:
    """Yield what a check would take in memory and time; nothing of a model without a configuration here."""
    from sqsd_lint.run import fit as f

    folder = place_of_model(bundle, settings, cache)
    if folder is None or not (folder / "config.json").is_file():
        return
    try:
        found = f.estimate(bundle, folder, settings)
    except SqsdLintError as error:
        yield Fact("memory", error.message, "note", error.hint or "")
        return
    rows = "a row" if found.rows == 1 else f"{found.rows} rows"
    merging = found.loading > found.running
    batch = f"{rows} of {found.tokens:,} tokens{', checkpointed' if found.checkpointed else ''}"
    yield Fact(
        "memory",
        f"about {f.gigabytes(found.total)} of {f.gigabytes(found.free)} free: "
        f"weights {f.gigabytes(found.weights)} ({found.parameters / 1e6:,.1f} million parameters), "
        f"adapters {f.gigabytes(found.adapters)}, activations {f.gigabytes(found.activations)} ({batch})"
        + (f", libraries {f.gigabytes(found.runtime)}" if found.runtime else "")
        + (", less than loading takes: the base adapter is merged in float32" if merging else ""),
        "ok" if found.fits else "note",
        ""
        if found.fits
        else f"It does not fit. Any of these helps: {'; '.join(f.remedies(found, settings))}.",
    )
    yield Fact(
        "time",
        f"about {_duration(found.seconds)} for 1,000 rows of {found.tokens:,} tokens, less for shorter ones: "
        f"{found.flops / 1e12:,.0f} TFLOP at {found.rate / 1e9:,.0f} GFLOP/s",
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:,.1f} hours"


def _named(settings: Settings) -> str | None:
    """Return the base model that the settings name: with --proxy they name what it stands in for."""
    return None if settings.proxy else settings.model


def place_of_model(bundle: BundleInfo, settings: Settings, cache: Path) -> Path | None:
    """Return the folder of the model that a check would load, if there is one."""
    from sqsd_lint.bundle.base_model import local_folder
    from sqsd_lint.bundle.embedded import EMBEDDED_MODEL_ID, unpacked_folder

    named = _named(settings)
    name = named or bundle.manifest.base_model.id
    if name == EMBEDDED_MODEL_ID:
        return unpacked_folder(cache)
    return local_folder(name, own_folder=named is not None) or _downloaded(name)


def _rules(settings: Settings) -> Fact:
    """Return the rule pack and its lines, which only the bundle's calibration can tell."""
    from sqsd_lint.run.bundle_run import BundleRun
    from sqsd_lint.run.policy_source import open_policy_source

    try:
        with open_policy_source(settings) as source:
            policy = BundleRun(replace(settings, cache=False)).policy(source.pack)
    except SqsdLintError as error:
        return _missing("rules", error)
    both = (("error", policy.error_threshold), ("warning", policy.warning_threshold))
    lines = [f"{name} line {line.value:.4g} ({line.spec})" for name, line in both if line]
    return Fact("rules", ", ".join([settings.rules, *lines]))


def _git() -> Fact:
    path = shutil.which("git")
    if path is None:
        return Fact("git", "not found: a check cannot tell changed rows from others", "note", "Install git.")
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return Fact("git", done.stdout.strip().removeprefix("git version ") or "version unknown")
