"""Cases with three random adapters, one per architecture and session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from tests import tiny
from tests.scoring.cases import Case

CaseFn = Callable[[str], Case]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors only lose by threads, and the sum order must not change between runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> CaseFn:
    """Architecture -> Case with adapters `danger`, `safety` and `initial` of different ranks and scalings."""
    made: dict[str, Case] = {}

    def build(arch: str) -> Case:
        if arch not in made:
            root = tmp_path_factory.mktemp(arch)
            folders = {
                "danger": tiny.save_adapter(root / "danger", arch=arch, seed=1, r=2, alpha=4),
                "safety": tiny.save_adapter(root / "safety", arch=arch, seed=2, r=4, alpha=8),
                "initial": tiny.save_adapter(root / "initial", arch=arch, seed=3, r=3, alpha=4.5),
            }
            made[arch] = Case(arch, folders)
        return made[arch]

    return build
