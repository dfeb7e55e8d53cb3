"""Which invisible characters in answers are told, and which have their use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd_lint.samples.invisible import hidden_in, invisible_characters
from sqsd_lint.types import Message, Sample, Where

BREAD = "Mix the flour with water, then wait for an hour."
TAGS = "".join(chr(0xE0000 + ord(c)) for c in "put salt in it")
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
SELECTORS = "".join(chr(0xFE00 + n) for n in (4, 1, 12, 7, 7, 2))
MORE_SELECTORS = "".join(chr(0xE0100 + n) for n in (70, 101, 3))


def sample(*turns: tuple[str, str], mask: tuple[bool, ...], **extra: str) -> Sample:
    messages = tuple(Message(role, content, extra if role == "assistant" else {}) for role, content in turns)
    return Sample("0" * 32, messages, mask, Where("rows.jsonl", 1, 0))


@pytest.mark.parametrize(
    "text",
    [
        *("\u200b".join(BREAD), "\u200c".join(BREAD), "\u200d".join(BREAD), "\u2060".join(BREAD)),
        *("\ufeff".join(BREAD), "\u00ad".join(BREAD), "\u2063".join(BREAD), "\u200e".join(BREAD)),
        *("\ufe0f".join(BREAD), "\u034f".join(BREAD), "\u180e".join(BREAD), "\u3164".join(BREAD)),
        "\u200b".join(BREAD[i : i + 2] for i in range(0, len(BREAD), 2)),
        "\u200b\u200c".join(BREAD[i : i + 6] for i in range(0, len(BREAD), 6)),
        " ".join(f"{word[:2]}\u200b{word[2:]}" for word in (BREAD * 3).split()),
        f"{BREAD} {TAGS}",
        f"{BREAD}{chr(0xE0041)}",
        f"{BREAD} \U0001f60a{SELECTORS}",
        f"{BREAD} \U0001f60a{MORE_SELECTORS}",
        f"{BREAD} {chr(0x4E00)}{MORE_SELECTORS}",
        f"{BREAD} \u202eretaw\u202c",
        f"\U0001f3f4{TAGS * 3}\U000e007f",
        f"{FAMILY} " + "\u200d".join(BREAD),
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 " + "\u200c".join(BREAD),
        "\u05d0 " + "x" * 60 + "\u200e".join(BREAD),
        "\u200b" * 12 + BREAD,
    ],
)
def test_what_hides_or_shreds_a_text_is_told(text: str) -> None:
    assert hidden_in(text)


@pytest.mark.parametrize(
    "text",
    [
        BREAD,
        *(FAMILY * 20, "\U0001f3f3\ufe0f\u200d\U0001f308" * 9, "\U0001f9d1\U0001f3fd\u200d\u2695\ufe0f " * 9),
        *("\u2764\ufe0f\u200d\U0001f525" * 9, "1\ufe0f\u20e3 2\ufe0f\u20e3 #\ufe0f\u20e3 *\ufe0f\u20e3" * 3),
        "".join(
            f"\U0001f3f4{region}\U000e007f" for region in ("".join(chr(0xE0000 + ord(c)) for c in "gbsct"),)
        ),
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 " * 9,
        "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627\u06cc\u200c\u0645\u0646 " * 9,
        "\u0915\u094d\u200d\u0937 \u0930\u094d\u200d\u092f \u0915\u094d\u200c\u0937 " * 9,
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3 \u0dbd\u0d82\u0d9a\u0dcf \u0d9a\u0dca\u200d\u0dbb " * 9,
        "\u1797\u17b6\u179f\u17b6\u200b\u1781\u17d2\u1798\u17c2\u179a\u200b\u179f\u17d2\u179a\u17bd\u179b\u200b"
        * 9,
        "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u200b\u0e04\u0e23\u0e31\u0e1a\u200b" * 9,
        "\u4f60\u597d\u200b\u4e16\u754c\u200b" * 9,
        "\u05e9\u05dc\u05d5\u05dd\u200f (ok)\u200e, \u05e2\u05d5\u05dc\u05dd\u200f " * 9,
        "\u0645\u0631\u062d\u0628\u0627 \u2067abc\u2069 \u202bxyz\u202c " * 9,
        "Do\u00adnau\u00addampf\u00adschiff\u00adfahrts\u00adge\u00adsell\u00adschaft " * 9,
        f"\ufeff{BREAD}",
        f"{BREAD}\u200b",
        f"Call \u202a+1 555 0100\u202c. {BREAD}",
        "https://example.org/\u200ba/\u200bb/" + BREAD * 2,
        "Auf\u200clage und Schiff\u200cfahrt",
        "\u2603\ufe0e \u2600\ufe0f \u2618\ufe0f \u26a1\ufe0f \u2708\ufe0f \u2764\ufe0f",
        "\u845b\U000e0100\u57ce \u9089\U000e0103\u8fbb\U000e0101",
        "\u182e\u1823\u1829\u182d\u1823\u182f \u182a\u1822\u1834\u1822\u182d\u180c \u1820\u180e\u1820\u180e"
        * 5,
        "x\u0301\u034f\u0308 " * 9,
    ],
)
def test_what_scripts_and_emoji_need_is_not_told(text: str) -> None:
    assert not hidden_in(text)


@given(st.text(alphabet=st.characters(exclude_categories=("Cf", "Cs", "Cn", "Mn", "Lo", "Co")), max_size=200))
def test_visible_text_is_never_told(text: str) -> None:
    assert not hidden_in(text)


@given(st.text(max_size=100))
def test_any_text_can_be_looked_at_and_what_is_told_is_there(text: str) -> None:
    found = hidden_in(text)
    assert sum(found.values()) <= len(text)
    assert all(count > 0 for count in found.values())


def test_only_what_is_trained_on_is_looked_at() -> None:
    hidden = "\u200b".join(BREAD)
    turns = (("user", hidden), ("assistant", hidden), ("user", "x"), ("assistant", BREAD))
    assert invisible_characters(sample(*turns, mask=(False, False, False, True))) == ()
    count = len(BREAD) - 1
    assert invisible_characters(sample(*turns, mask=(False, True, False, True))) == (
        ("zero width space", count),
    )


def test_thoughts_are_looked_at() -> None:
    one = sample(("user", "x"), ("assistant", BREAD), mask=(False, True), reasoning_content=f"well{TAGS}")
    assert invisible_characters(one) == (("tag", len(TAGS)),)


def test_the_most_frequent_come_first() -> None:
    one = sample(("user", "x"), ("assistant", f"{TAGS}a\u2060b\u2060c"), mask=(False, True))
    assert invisible_characters(one) == (("tag", len(TAGS)), ("word joiner", 2))
