"""Golden pages, hostile rows, and the published schema."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import jsonschema
import pytest
from rich.cells import cell_len

from sqsd_lint.common.escape import _UNSAFE
from sqsd_lint.errors import UsageError
from sqsd_lint.explain.model import Explanation, Spans
from sqsd_lint.report import Options
from sqsd_lint.report.views.explanation import write
from sqsd_lint.resources import load_schema
from sqsd_lint.types import AnswerPart, AnswerWindow
from tests.report.explanation.explanations import ANSWER, FULL, HOSTILE, PLAIN, PROMPT, explanation
from tests.report.golden import assert_golden


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def render(value: Explanation, format: str = "text", top: int = 4, **options: object) -> str:
    stream = io.StringIO()
    write(value, format, stream, Options(**options), top=top)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "value", "redact"),
    [("full", FULL, False), ("redact", FULL, True), ("plain", PLAIN, False), ("hostile", HOSTILE, False)],
)
def test_golden_text(name: str, value: Explanation, redact: bool, width: int) -> None:
    text = render(value, width=width, redact=redact)
    assert_golden(f"explain-{name}-{width}.txt", text)
    assert max(cell_len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("format", ["text", "json", "html"])
def test_nothing_of_a_hostile_row_gets_through(format: str) -> None:
    text = render(HOSTILE, format)
    assert not _UNSAFE.search(text.replace("\n", ""))
    assert "##[" not in text
    assert not re.search(r"^\s*::", text, re.M)
    text.encode("utf-8")


def test_colours_are_the_only_sequences_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLORTERM", "truecolor")
    for value in (FULL, HOSTILE):
        text = render(value, width=80)
        assert not _UNSAFE.search(re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\n", ""))
    coloured = render(FULL, width=80)
    assert "48;2;179;38;30" in coloured, "the hottest background"
    assert "38;2;0;0;0" in coloured, "with a foreground of its own"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in render(FULL, width=80)


@pytest.mark.parametrize("redact", [False, True])
@pytest.mark.parametrize("value", [PLAIN, FULL, HOSTILE])
def test_json_keeps_its_schema(value: Explanation, redact: bool) -> None:
    schema = load_schema("explain")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(render(value, "json", redact=redact)), schema)


def test_json_sums_to_the_score() -> None:
    found = json.loads(render(FULL, "json"))
    for unit in ("sentences", "words", "tokens"):
        whole = sum(p["sqsd"] for p in found[unit]) + found["prompt"]["sqsd"] + found["other"]["sqsd"]
        assert whole == pytest.approx(found["row"]["sqsd"])
    assert "".join(p["text"] for p in found["tokens"]) == ANSWER


@pytest.mark.parametrize("format", ["text", "json", "html"])
def test_redacting_shows_no_text_of_the_row(format: str) -> None:
    text = render(FULL, format, redact=True)
    for words in ("cake", "knife", "Sure", "蛋糕", "Enjoy", *PROMPT.split()[:1]):
        assert words not in text
    assert FULL.row.fingerprint in text


class Page(HTMLParser):
    """Tags and attributes of a page, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_holds_nothing_but_its_own_tags() -> None:
    hostile, full = Page(render(HOSTILE, "html")), Page(render(FULL, "html"))
    assert {tag for tag, _ in hostile.tags} <= {tag for tag, _ in full.tags} | {"br"}
    for tag, attributes in hostile.tags:
        assert tag not in ("script", "img", "iframe", "link", "a")
        assert not {name for name in attributes if name.startswith("on")} | {"style", "src", "href"} & set(
            attributes
        )
    assert "</span><script>alert(1)</script>" in hostile.text


def test_a_page_asks_for_nothing() -> None:
    import base64
    import hashlib

    text = render(FULL, "html")
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert text == render(FULL, "html")


def test_the_answer_stands_in_the_page_as_it_is_in_the_row() -> None:
    assert ANSWER.replace("\n", "").replace("\t", " ") in Page(render(FULL, "html")).text.replace("\n", "")


def test_a_part_that_was_cut_off_is_said_to_be_missing() -> None:
    tokens = replace(PLAIN.tokens, parts=PLAIN.tokens.parts[:5])
    value = replace(PLAIN, tokens=tokens)
    left = len(ANSWER) - tokens.parts[-1].end
    assert f"{left} further characters not scored" in render(value)
    assert f"{left} further characters not scored" in render(value, "html")


@pytest.mark.parametrize(
    ("window", "said"),
    [(AnswerPart(1, 2, 0, 5, 9, 1), "part"), (AnswerWindow(1, 2, 0, 5, 9), "window")],
)
def test_what_other_parts_or_windows_hold_is_scored(window: AnswerWindow, said: str) -> None:
    tokens = replace(PLAIN.tokens, parts=PLAIN.tokens.parts[:5])
    left = len(ANSWER) - tokens.parts[-1].end
    score = replace(PLAIN.row.score, window=window, whole=PLAIN.row.score)
    value = replace(PLAIN, tokens=tokens, row=replace(PLAIN.row, score=score))
    for format in ("text", "html"):
        assert f"{left} further characters outside of the {said} that is explained" in render(value, format)
        assert "not scored" not in render(value, format)


def test_an_answer_without_words_of_its_own_still_sums() -> None:
    nothing = Spans((), PLAIN.tokens.prompt, PLAIN.tokens.other)
    value = replace(PLAIN, tokens=nothing, words=nothing, sentences=nothing)
    for format in ("text", "json", "html"):
        assert "prompt" in render(value, format)


def test_one_sentence_is_listed_by_its_words() -> None:
    text = render(explanation("Sure, here it is"))
    assert re.search(r"━  Sure,$", text, re.M)


@pytest.mark.parametrize(
    ("masked", "removed", "advice"),
    [
        (1.0, 1.0, "Mask or cut"),
        (1.0, 2.0, "Mask these parts"),
        (1.0, None, "Mask these parts"),
        (2.0, 1.0, "Cut these parts out"),
        (2.0, 2.0, "remove the row"),
    ],
)
def test_advice(masked: float, removed: float | None, advice: str) -> None:
    assert FULL.remedy
    remedy = replace(FULL.remedy, masked=masked, removed=removed, enough=masked < 1.5)
    for format in ("text", "html"):
        assert advice in render(replace(FULL, remedy=remedy), format)


def test_a_risky_row_without_a_remedy_is_told_so() -> None:
    for format in ("text", "html"):
        assert "No part of the answer stands out" in render(replace(FULL, remedy=None), format)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="no format 'xml'"):
        render(FULL, "xml")


@pytest.mark.parametrize(
    ("answer", "is_label"),
    [
        ("Positive", True),
        ("Science and technology", True),
        ("A longer answer than that.", False),
        ("a\nb", False),
    ],
)
def test_a_label_is_not_to_be_rewritten(answer: str, is_label: bool) -> None:
    messages = [replace(m, content=answer) if m.role == "assistant" else m for m in FULL.sample.messages]
    row = replace(FULL, sample=replace(FULL.sample, messages=tuple(messages)), remedy=None)
    for format in ("text", "html"):
        shown = " ".join(render(row, format).split())
        assert ("there is nothing to rewrite" in shown) is is_label, format
        assert ("rewrite it, or remove the row" in shown) is not is_label, format


def test_what_explains_numbers_stands_between_the_answer_and_what_helps() -> None:
    told = "p99.9: 1 of 1,000 benign rows"
    head = replace(FULL.head, notes=(*FULL.head.notes, told), details=(told,))
    shown = render(replace(FULL, head=head))
    assert shown.index(FULL.head.notes[0]) < shown.index("Layers") < shown.index(f"note: {told}")
    assert shown.index(f"note: {told}") < shown.index("What would bring it")
    assert shown.count(told) == 1
