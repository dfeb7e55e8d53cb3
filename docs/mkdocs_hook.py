"""Lay the repository out for MkDocs, as its hook: pages outside docs/, pages of the API, formulas."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

# What pages link to lies where it lies in the repository.
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "Dockerfile",
    "pyproject.toml",
    "action.yml",
    "rules/**/*",
    "examples/**/*",
)

# What programs outside may import: a page for each, with a word on it and what is shown.
# No names: all that is public.
API: dict[str, tuple[str, tuple[str, ...]]] = {
    "sqsd_lint": ("Check and score files from Python.", ("check", "score", "passing", "ScoredRows")),
    "sqsd_lint.types": ("What runs hand on: rows, samples, scores, problems, violations, reports.", ()),
    "sqsd_lint.errors": ("What may be raised, and the exit code of each.", ()),
    "sqsd_lint.config": ("Settings and where they come from.", ("Settings", "load_settings")),
    "sqsd_lint.drift.callback": ("Drift in the log of a Trainer.", ()),
    "sqsd_lint.scoring.scorer": ("Projections of encoded samples on directions.", ()),
    "sqsd_lint.scoring.directions": ("Directions and expansion points.", ()),
    "sqsd_lint.bundle.load": ("Bundles on disk.", ()),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the parts of the navigation that list what is there: rules and API."""
    parts = {
        "rules": [{path.stem: f"rules/{path.name}"} for path in sorted((ROOT / "rules").glob("*.md"))],
        "api": [{name: f"api/{name}.md"} for name in API],
    }
    for entry in config.nav or []:
        for title, pages in entry.items():
            if isinstance(pages, list) and pages[0] in list(parts):
                entry[title] = parts[pages[0]]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Move docs/ under its own name, and add what lies outside it and the pages of the API."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
            files.append(_shown(config, f"docs/{file.src_uri}", ROOT / "docs" / file.src_uri, file))
    files.append(_shown(config, "index.md", ROOT / "README.md"))
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                files.append(_shown(config, path.relative_to(ROOT).as_posix(), path))
    for name, (words, members) in API.items():
        text = f"# {name}\n\n{words}\n\n::: {name}\n    options:\n      show_root_heading: false\n"
        if members:
            text += f"      members: [{', '.join(members)}]\n"
        files.append(File.generated(config, f"api/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Leave out the README's badges, which come from elsewhere, and say what tests do with the commands."""
    text = re.sub(r"^\[!\[.*\n", "", markdown, flags=re.MULTILINE)
    if not re.search(r"^(\$ |    )?sqsd-lint ", text, re.MULTILINE):
        return text
    ran = page.file.src_uri in config.extra["run_by_tests"]
    said = "runs" if ran else "parses, but does not run,"
    return f"{text}\n\n<small>A test {said} the commands of this page.</small>\n"


def on_page_content(content: str, **_: Any) -> str:
    r"""Turn the formulas that arithmatex has marked, `\(...\)` and `\[...\]`, into MathML."""

    def formula(match: re.Match[str]) -> str:
        block = match[1] == "div"
        source = html.unescape(match[2].strip()[2:-2])
        made = convert(source, display="block" if block else "inline")
        return f'<div class="formula">{made}</div>' if block else made

    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', formula, content, flags=re.DOTALL)


def _shown(config: MkDocsConfig, address: str, path: Path, like: File | None = None) -> File:
    file = File.generated(config, address, abs_src_path=str(path))
    if like is not None:
        file.inclusion = like.inclusion
    return file
