"""The repository's account is one variable: every page, workflow and example names the same one."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from sqsd_lint._version import OWNER, REPOSITORY, __version__

ROOT = Path(__file__).resolve().parent.parent


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


owner = load("owner", ROOT / "docs" / "owner.py")


def test_everybody_names_the_same_account() -> None:
    found = {path: owner.named(path.read_text(encoding="utf-8")) for path in owner.files(ROOT)}
    naming = {path.relative_to(ROOT).as_posix() for path, names in found.items() if names}
    assert {
        "README.md",
        "SECURITY.md",
        "CITATION.cff",
        "docs/ci.md",
        "examples/github-workflow.yml",
    } <= naming
    others = {str(path): set(names) - {OWNER} for path, names in found.items()}
    assert {path: names for path, names in others.items() if names} == {}
    assert f"https://github.com/{OWNER}/sqsd-lint" == REPOSITORY
    # Nothing is left that looks like the placeholder and is not found.
    if OWNER != "OWNER":
        for path in owner.files(ROOT):
            assert not re.search(r"\bOWNER/", path.read_text(encoding="utf-8")), path


def test_the_account_is_set_in_one_go(tmp_path: Path) -> None:
    for path in [ROOT / "sqsd_lint" / "_version.py", *owner.files(ROOT)]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    changed = owner.set_owner(tmp_path, "acme-ai")
    assert tmp_path / "sqsd_lint" / "_version.py" in changed
    texts = [path.read_text(encoding="utf-8") for path in changed]
    assert not [text for text in texts if re.search(rf"\b{OWNER}/sqsd-lint", text)]
    assert (
        load("version", tmp_path / "sqsd_lint/_version.py").REPOSITORY
        == "https://github.com/acme-ai/sqsd-lint"
    )
    assert owner.set_owner(tmp_path, "acme-ai") == []
    with pytest.raises(ValueError, match="no name of an account"):
        owner.set_owner(tmp_path, "a b")


def test_no_release_leaves_under_another_account() -> None:
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    steps = release["jobs"]["build"]["steps"]
    (step,) = [step for step in steps if "_version.py" in step.get("run", "")]
    assert step["env"] == {"ACCOUNT": "${{ github.repository_owner }}"}


def test_links_are_absolute_where_pypi_shows_them() -> None:
    pytest.importorskip("hatchling")
    build = load("hatch_build", ROOT / "hatch_build.py")
    assert build.addresses() == (REPOSITORY, __version__)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = build.with_absolute_links(text, REPOSITORY, __version__)
    links = re.findall(
        r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", re.sub(r"```.*?```", "", shown, flags=re.DOTALL)
    )
    targets = [one or two for one, two in links]
    assert targets
    assert [link for link in targets if not link.startswith(("https://", "#"))] == []
    pages = f"{REPOSITORY}/blob/v{__version__}/"
    inside = [link.removeprefix(pages).partition("#")[0] for link in targets if link.startswith(pages)]
    assert "docs/verdict.md" in inside
    assert [path for path in inside if not (ROOT / path).exists()] == []
    assert f"/{OWNER}/sqsd-lint/v{__version__}/docs/images/report.svg" in shown
    metadata: dict[str, object] = {}
    build.Metadata(str(ROOT), {}).update(metadata)
    assert metadata["urls"]["Issues"] == f"{REPOSITORY}/issues"  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/a.md#b)", "[a](https://github.com/o/r/blob/v1/docs/a.md#b)"),
        ("![a](i.svg)", "![a](https://raw.githubusercontent.com/o/r/v1/i.svg)"),
        ("[![b](i.svg)](LICENSE)", "[![b](i.svg)](https://github.com/o/r/blob/v1/LICENSE)"),
        ("[a](#b) [c](https://d)", "[a](#b) [c](https://d)"),
        ('<img src="i.svg">', '<img src="https://raw.githubusercontent.com/o/r/v1/i.svg">'),
    ],
)
def test_kinds_of_links(text: str, expected: str) -> None:
    pytest.importorskip("hatchling")
    build = load("hatch_build", ROOT / "hatch_build.py")
    assert build.with_absolute_links(text, "https://github.com/o/r", "1") == expected


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert citation["repository-code"] == REPOSITORY
    (paper,) = citation["references"]
    assert paper["url"] == "https://arxiv.org/abs/2605.04572"
