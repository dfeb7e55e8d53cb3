"""Every command that a page shows is one that there is: the real parser takes it. Some pages are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from sqsd_lint.cli.app import build
from tests.test_docs import PAGES, ROOT

APP: Any = get_command(build())
# By the page's name in the site's configuration, which tells readers so.
RUN = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["extra"]["run_by_tests"]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
_BLOCK = re.compile(r"^(?P<fence>```+)(?P<kind>[^\n]*)\n(?P<text>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)
_SHELL = {"", "sh", "console", "bash", "text"}


def blocks(text: str) -> Iterator[str]:
    """Yield the blocks of a page that a shell might be given, fenced or indented, without prompts."""
    for block in _BLOCK.finditer(text):
        if block["kind"].strip() in _SHELL:
            yield block["text"]
    for found in _INDENTED.finditer(_BLOCK.sub("", text)):
        yield re.sub(r"^    ", "", found[0], flags=re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words behind `sqsd-lint` of every command in the blocks of a page."""
    for block in blocks(text):
        block = re.sub(r"^\$ ", "", block, flags=re.MULTILINE)
        for line in re.sub(r"\\\n\s*(> )?", " ", block).splitlines():
            if "sqsd-lint" not in line or line.lstrip().startswith("#"):
                continue
            try:
                lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
                lexer.commenters, lexer.whitespace_split = "#", True
                words = list(lexer)
            except ValueError:  # prose, or output with an apostrophe
                continue
            yield from _split(words)


def _split(words: list[str]) -> Iterator[list[str]]:
    """Cut a line at `|`, `&&`, `;` and redirections; yield what calls the command, by uvx and pipx too."""
    part: list[str] = []
    for word in [*words, ";"]:
        if not set(word) <= set("();<>|&"):
            part.append(word)
            continue
        while part and re.fullmatch(r"\w+=.*", part[0]):  # variables in front
            part.pop(0)
        if part[:1] in (["sqsd-lint"], ["uvx"], ["pipx"]):
            given = part[part.index("sqsd-lint") + 1 :]
            yield [word.strip("[]") for word in given]  # what may be left out is taken as given
        part = []


@pytest.mark.parametrize("name", NAMES)
def test_the_parser_takes_every_command(name: str) -> None:
    for words in commands((ROOT / name).read_text(encoding="utf-8")):
        if "--version" in words or "--help" in words:
            continue
        try:
            _parse(APP, words)
        except Exception as error:
            raise AssertionError(f"{name}: sqsd-lint {shlex.join(words)}: {error}") from error


def _parse(command: Any, words: list[str]) -> None:
    """Parse words as `command` would, and as its commands in turn; nothing is run."""
    context = command.make_context("sqsd-lint", list(words))
    if hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        _, inner, arguments = command.resolve_command(context, rest)
        _parse(inner, arguments)


@pytest.mark.parametrize("name", NAMES)
def test_options_in_the_text_are_options_of_their_command(name: str) -> None:
    text = _BLOCK.sub("", (ROOT / name).read_text(encoding="utf-8"))
    for found in re.findall(r"`sqsd-lint ([a-z][^`]*)`", text):
        words = found.split()
        command: Any = APP
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        known = {
            each for parameter in command.params for each in (*parameter.opts, *parameter.secondary_opts)
        }
        if hasattr(command, "commands"):  # a folder to lint, or a word of prose
            continue
        options = {word.partition("=")[0].rstrip(".,;") for word in words if word.startswith("--")}
        assert options <= known | {"--help"}, f"{name}: sqsd-lint {found}"


def test_what_is_run_is_there() -> None:
    assert set(RUN) <= set(NAMES)
    for page, test in RUN.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8"), (page, test)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```sh\nA=1 sqsd-lint check a; echo $?\n```\n", [["check", "a"]]),
        (
            "```console\n$ sqsd-lint b \\\n    --c d  # no more\nsqsd-lint e\n```\n",
            [["b", "--c", "d"], ["e"]],
        ),
        ("```python\nsqsd-lint check\n```\n", []),
        ("Words:\n\n    sqsd-lint x && sqsd-lint y -o z\n", [["x"], ["y", "-o", "z"]]),
        ("```sh\nsqsd-lint f [--json]\n```\n", [["f", "--json"]]),
        ('```sh\nuvx --from "sqsd-lint[local]" sqsd-lint data/\n```\n', [["data/"]]),
    ],
)
def test_commands_are_found(text: str, expected: list[list[str]]) -> None:
    assert list(commands(text)) == expected
