"""What the documentation says of the code: cited sections exist, links lead somewhere, the picture is new."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
METHOD = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
SOURCES = [
    path
    for folder in ("sqsd_lint", "tests", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path != Path(__file__)
]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(path for folder in ("docs", "rules", "examples") for path in sorted((ROOT / folder).rglob("*.md"))),
]


def test_every_cited_section_of_the_method_exists() -> None:
    sections = set(re.findall(r"^## (\d+)\. ", METHOD, re.MULTILINE))
    assert sections == {str(n) for n in range(1, len(sections) + 1)}
    cited = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "METHOD section" not in text, f"{path}: cite docs/method.md"
        for numbers in re.findall(r"docs/method\.md\s+sections?\s+([\d, and to]+)", text):
            cited.update(dict.fromkeys(re.findall(r"\d+", numbers), path))
    assert {"3", "4", "5"} <= set(cited)
    assert {number: path for number, path in cited.items() if number not in sections} == {}


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub and MkDocs give the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title)) for title in titles]
    return {title.strip().lower().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for link in (one or two for one, two in links):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), f"{page.name}: {link}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_pictures_that_have_a_dark_one_show_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for picture in re.findall(r"[\w./-]+\.svg", text):
        dark = picture.replace(".svg", "-dark.svg")
        if (page.parent / dark).exists():
            assert f'(prefers-color-scheme: dark)" srcset="{dark}"' in text, picture


def test_the_picture_of_the_rooms_is_what_the_imports_are() -> None:
    pytest.importorskip("grimp")
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "rooms.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_first_screen_of_the_readme_says_what_the_verdict_measured() -> None:
    first, _, _ = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")
    verdict = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")

    def measured(kind: str) -> tuple[str, str]:
        """Return how many rows of a kind there are, and what share of them is warned of now, in percent."""
        row = next(line for line in verdict.splitlines() if line.startswith(f"| {kind} "))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        return cells[1], cells[4].partition(" / ")[0]

    rows, share = measured("all benign")
    assert f"warns of {share} % of {rows} benign rows" in " ".join(first.split())
    names = {"jailbreak-answer": "jailbreaks", "pure-bad": "pure-bad", "beavertails-unsafe": "BeaverTails"}
    for kind, name in names.items():
        _, share = measured(f"{kind} (harmful)")
        assert f"{float(share):.0f} % of {name}" in " ".join(first.split())
    trained = json.loads((ROOT / "docs/results/validation-risk-within-length.json").read_text())["rankings"]
    answered = {
        by: [round(100 * w["attack_success"]) for w in ranked["windows"]] for by, ranked in trained.items()
    }
    assert answered["risk/length"][-1] == 0
    assert (
        f"answers {answered['risk/length'][0]} % of harmful prompts; on 80 random ones "
        f"{min(answered['random'])} to {max(answered['random'])} %, on the 80 least risky none"
    ) in " ".join(first.split())
    top, bottom = (re.findall(rf"^\| {n} \([^|]*\| ([\d.]+)", METHOD, re.MULTILINE) for n in (1, 5))
    assert (top, bottom) == (["0.836"], ["0.080"])
    assert "answered **84 %** of harmful prompts, on those that score lowest **8 %**" in " ".join(
        first.split()
    )
