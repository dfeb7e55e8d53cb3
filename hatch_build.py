"""What the build adds to pyproject.toml: addresses of the project, and a README whose links work anywhere.

In the repository the README's links are relative, so that they lead to the version that is looked at; PyPI
shows the same text with absolute ones.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).resolve().parent


def addresses(root: Path = ROOT) -> tuple[str, str]:
    """Return the repository's address and the version, as `sqsd_lint/_version.py` has them."""
    found: dict[str, Any] = {}
    exec((root / "sqsd_lint" / "_version.py").read_text(encoding="utf-8"), found)
    return found["REPOSITORY"], found["__version__"]


def with_absolute_links(text: str, repository: str, version: str) -> str:
    """Return Markdown whose links into the repository are absolute: pages as such, pictures as files."""
    pages = f"{repository}/blob/v{version}"
    files = repository.replace("https://github.com", "https://raw.githubusercontent.com") + f"/v{version}"

    def link(match: re.Match[str]) -> str:
        mark, target = match[1], match[2]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        return f"{mark}]({files if mark.startswith('!') else pages}/{target})"

    text = re.sub(r"(!?\[(?:[^][]|\[[^]]*\]\([^)]*\))*)\]\(([^)\s]+)\)", link, text)
    return re.sub(r'(src|srcset)="(?![a-z]+:)([^"]+)"', rf'\1="{files}/\2"', text)


class Metadata(MetadataHookInterface):
    """Fill in the dynamic fields `readme` and `urls`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Write the fields into the metadata of the project."""
        root = Path(self.root)
        repository, version = addresses(root)
        text = (root / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(text, repository, version),
        }
        metadata["urls"] = {
            "Homepage": repository,
            "Repository": repository,
            "Documentation": f"{repository}/tree/v{version}/docs",
            "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
            "Issues": f"{repository}/issues",
        }
