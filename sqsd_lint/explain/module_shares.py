"""Split a module's name into a block of the model and a kind of layer, and sum terms over either."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sqsd_lint.explain.model import ModuleShare, Share, total

_BLOCK = re.compile(r"\.(\d+)\.")


def module_shares(terms: Mapping[str, Sequence[float]]) -> tuple[ModuleShare, ...]:
    """Return terms by module name, (danger, safety[, weighted harm]) each, by block, others last."""
    shares = [_module_share(name, Share(*term)) for name, term in terms.items()]
    return tuple(sorted(shares, key=lambda m: (m.block is None, m.block or 0)))


def _module_share(name: str, share: Share) -> ModuleShare:
    match = _BLOCK.search(name)
    if match is None:
        return ModuleShare(name, None, name, share)
    return ModuleShare(name, int(match[1]), name[match.end() :], share)


def by_block(modules: Sequence[ModuleShare]) -> dict[int | None, Share]:
    """Return sums over the layers of each block, from the input to the output."""
    found: dict[int | None, list[Share]] = {}
    for module in modules:
        found.setdefault(module.block, []).append(module.share)
    return {block: total(shares) for block, shares in found.items()}


def by_kind(modules: Sequence[ModuleShare]) -> dict[str, Share]:
    """Return sums over blocks of each kind of layer, under the last word of its name where that is enough."""
    found: dict[str, list[Share]] = {}
    for module in modules:
        found.setdefault(module.kind, []).append(module.share)
    short = [kind.rpartition(".")[2] for kind in found]
    names = short if len(set(short)) == len(short) else list(found)
    return dict(zip(names, map(total, found.values()), strict=True))
