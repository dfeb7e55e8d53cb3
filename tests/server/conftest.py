from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.running import service, serving_settings


@pytest.fixture(scope="session")
def url(
    tiny_bundle: Path, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a service of the tiny bundle, in this process."""
    with service(
        serving_settings(tiny_bundle, tiny_model_folder, tmp_path_factory.mktemp("served"))
    ) as found:
        yield found
