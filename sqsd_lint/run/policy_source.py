"""What judges the rows beside the settings: rule pack, accepted findings, ignore files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqsd_lint.bundle.cache import cache_root
from sqsd_lint.bundle.remote.address import folder_of
from sqsd_lint.bundle.resolve import configured
from sqsd_lint.config import Settings
from sqsd_lint.discover.git.comparison import RANGE
from sqsd_lint.discover.git.policy_ref import OPTION, PolicyRef
from sqsd_lint.discover.ignore import ON_DISK, IgnoreFiles
from sqsd_lint.errors import ConfigError
from sqsd_lint.rules import (
    DEFAULT_BASELINE,
    DEFAULT_SUPPRESSIONS,
    Accepted,
    Pack,
    load_accepted,
    load_pack,
    parse_baseline,
    parse_pack,
    parse_suppressions,
)
from sqsd_lint.rules.packs import embedded_packs


@dataclass(frozen=True, slots=True)
class PolicySource:
    """The rule pack, accepted findings and ignore files that judge the rows of a run.

    Attributes:
        notes: what the report's head says about it.
        policy: the commit that all of it is taken from, if one is named.
    """

    pack: Pack
    accepted: Accepted
    ignore_files: IgnoreFiles = ON_DISK
    notes: tuple[str, ...] = ()
    policy: PolicyRef | None = None

    def refuse_changed_models(self, folders: Iterable[Path | None]) -> None:
        """Refuse folders of base models that are not as the commit of the policy has them.

        Args:
            folders: None for a model that lies outside the work tree.

        Raises:
            UsageError: one of them is not.
        """
        for folder in folders:
            if self.policy and folder:
                self.policy.refuse_change(str(folder), "the base model")


@contextmanager
def open_policy_source(settings: Settings) -> Iterator[PolicySource]:
    """Yield what the settings name, from the commit `settings.policy_ref` if there is one.

    Raises:
        ConfigError, UsageError: something of it is missing or wrong, or the bundle or model in the repository
            is not as that commit has it.
    """
    if settings.policy_ref is None:
        accepted = load_accepted(
            settings.baseline, settings.suppressions, inline=settings.inline_suppressions
        )
        yield PolicySource(load_pack(settings.rules), accepted)
        return
    with closing(PolicyRef(settings.policy_ref)) as policy:
        yield _at(policy, settings)


def _at(policy: PolicyRef, settings: Settings) -> PolicySource:
    # A change may bring weights, or scores that nobody has computed, as well as rows.
    bundles = settings.opinions or (configured(settings),)
    folders = [
        *(("bundle", folder_of(bundle)) for bundle in bundles if bundle),
        ("model", settings.model),
        ("folder of scores", settings.scores),
        ("cache", str(cache_root(Path(settings.cache_dir) if settings.cache_dir else None))),
    ]
    for what, folder in folders:
        if folder:
            policy.refuse_change(os.path.expanduser(folder), f"the {what}")
    inline = settings.inline_suppressions and _judges_itself(settings, policy)
    notes: tuple[str, ...] = ()
    if settings.inline_suppressions and not inline:
        notes = (f"suppressions within rows do not count: they are not those of {policy.label}",)
    return PolicySource(
        _pack(settings.rules, policy),
        _accepted(settings, policy, inline=inline),
        IgnoreFiles(text=policy.text),
        notes,
        policy,
    )


def _judges_itself(settings: Settings, policy: PolicyRef) -> bool:
    """Whether rows are taken from the very commit that judges them, so that they cannot loosen it."""
    _, dots, judged = (settings.changed_since or "").partition(RANGE)
    return bool(dots) and policy.git.commit(judged) == policy.commit


def _pack(name: str, policy: PolicyRef) -> Pack:
    path = os.path.expanduser(name)
    if name in embedded_packs() or not policy.holds(path):
        return load_pack(name)
    return parse_pack(_data(path, policy), name=name)


def _accepted(settings: Settings, policy: PolicyRef, *, inline: bool) -> Accepted:
    baseline = _named(settings.baseline, DEFAULT_BASELINE, policy)
    suppressions = _named(settings.suppressions, DEFAULT_SUPPRESSIONS, policy)
    return Accepted(
        parse_baseline(_data(baseline, policy), source=baseline, folder=_folder(baseline))
        if baseline
        else None,
        parse_suppressions(_data(suppressions, policy), source=suppressions, folder=_folder(suppressions))
        if suppressions
        else None,
        inline,
    )


def _named(name: str | None, default: str, policy: PolicyRef) -> str:
    """The file of a setting; that of the default name if it is there, "" for none."""
    if name is None:
        return "" if policy.read(default) is None else default
    return os.path.expanduser(name)


def _data(path: str, policy: PolicyRef) -> bytes:
    data = policy.read(path)
    if data is None:
        raise ConfigError(f"{path}: no such file at {policy.label}", hint=f"{OPTION} reads it there.")
    return data


def _folder(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))
