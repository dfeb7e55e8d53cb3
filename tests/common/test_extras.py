from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from sqsd_lint.common.extras import EXTRAS, missing_extra

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", text, maxsplit=1)[0].lower() for text in requirements}


def test_every_package_of_the_table_comes_with_its_extra_alone() -> None:
    distributions = packages_distributions()
    for module, extra in EXTRAS.items():
        known = {name.lower().replace("_", "-") for name in distributions.get(module, [module])}
        if module == "tokenizers":
            continue  # comes with transformers
        assert known & names(PROJECT["optional-dependencies"][extra]), module
        assert not known & names(PROJECT["dependencies"]), module


def test_dev_brings_every_extra_that_tests_need() -> None:
    dev = next(each for each in PROJECT["optional-dependencies"]["dev"] if each.startswith("sqsd-lint["))
    assert {"local", "plots", "server", "train"} <= set(re.findall(r"\w+", dev.partition("[")[2]))


def test_a_missing_package_names_its_extra() -> None:
    error = missing_extra(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert error is not None
    assert error.hint == '`pip install "sqsd-lint[local]"`'
    assert error.exit_code == 3


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("x", name="sqsd_lint.x"), ImportError("broken", name="torch"), ImportError("x")],
)
def test_other_faults_of_imports_are_none(error: ImportError) -> None:
    assert missing_extra(error) is None
