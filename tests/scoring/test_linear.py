"""A module's forward comes back, whichever it was and however the block ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from sqsd_lint.scoring.linear import replaced


def test_forwards_come_back_in_turn_and_after_an_error() -> None:
    plain, hooked, x = nn.Identity(), nn.Identity(), torch.ones(2)
    hooked.forward = lambda x: 3 * x  # as accelerate sets its own
    with replaced([(plain, lambda x: 5 * x), (hooked, lambda x: 7 * x)]):
        with replaced([(plain, lambda x: 11 * x)]):
            assert (plain(x)[0], hooked(x)[0]) == (11, 7)
        assert (plain(x)[0], hooked(x)[0]) == (5, 7)
    assert (plain(x)[0], hooked(x)[0]) == (1, 3)
    assert "forward" not in plain.__dict__

    def broken() -> Iterator[tuple[nn.Module, Callable[..., Any]]]:
        yield plain, lambda x: 5 * x
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), replaced(broken()):
        pass
    assert plain(x)[0] == 1
