"""Characters in an answer that no reader sees, where no script or emoji needs them.

Characters of no width between letters give a model other tokens than a reader sees words, tag characters and
runs of variation selectors hide whole texts, and an override of the writing direction shows another text.
All of them have proper uses, which are told by what stands beside them: joiners in Persian, in the scripts of
India and in emoji, spaces of no width in Khmer and Thai, marks of direction beside Hebrew and Arabic, one
selector behind a symbol, hyphens between syllables, the tags of a flag. What remains may be a leftover of a
web page, too, so that it is told only where it is dense.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from sqsd_lint.types import OTHER_TEXT, Sample

# So many within so many characters: every other letter, or a text in signs of no width.
_DENSE, _WITHIN = 4, 24
# Or so many in all, if there is one for so many characters: every word.
_MANY, _FOR_EACH = 8, 30

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# A black flag, the letters of a region, and the end: the flags of England, Scotland, Wales, Texas.
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")
# Arabic to Mongolian, with what lies between: scripts whose letters join, and those that nobody parts.
_JOINING = re.compile(
    "[\u0600-\u109f\u1780-\u18af\u1a00-\u1cff\ua840-\ua8ff\ua930-\uabff\ufb50-\ufefc\U00011000-\U00011fff]"
)
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u1950-\u1aaf\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u060b\u060d-\u061a\u061e-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_NEAR = 32  # characters between a mark of direction and a letter that it may be about
_JOINERS, _SPACES = "\u200c\u200d", "\u200b\u2060"
_MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_OVERRIDES = "\u202d\u202e"
_SELECTED = {"So", "Sm", "Sk", "Sc", "Po", "Pd", "Nd", "Lo", "Mn", "Mc"}  # general categories


def invisible_characters(sample: Sample) -> tuple[tuple[str, int], ...]:
    """Return the invisible characters in what a sample trains on, by name with counts, most frequent first.

    Returns:
        Nothing where there are few of them, or where each has its use.
    """
    found: Counter[str] = Counter()
    for message, trained in zip(sample.messages, sample.mask, strict=True):
        if trained:
            beside = (message.extra[key] for key in OTHER_TEXT if isinstance(message.extra.get(key), str))
            for text in (message.content, *beside):
                found.update(hidden_in(text))
    return tuple(found.most_common())


def hidden_in(text: str) -> Counter[str]:
    """Count the invisible characters of a text by name, if they are more than leftovers."""
    if text.isascii() or not _INVISIBLE.search(text):
        return Counter()
    text = _FLAG.sub("\U0001f3f4", text)
    places = list(_without_use(text))
    if not places or not (
        any(_is_tag(text[at]) or text[at] in _OVERRIDES for at in places)
        or any(last - first < _WITHIN for first, last in zip(places, places[_DENSE - 1 :], strict=False))
        or any(_is_run(text, at) for at in places)
        or (len(places) >= _MANY and len(places) * _FOR_EACH >= len(text))
    ):
        return Counter()
    return Counter(map(_name, (text[at] for at in places)))


def _without_use(text: str) -> Iterator[int]:
    """Yield the places of invisible characters that nothing beside them needs."""
    for match in _INVISIBLE.finditer(text):
        at = match.start()
        if not _has_use(text, at):
            yield at


def _has_use(text: str, at: int) -> bool:
    mark = text[at]
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if mark in _JOINERS:
        return bool(_JOINING.match(before)) or (_is_pictured(before) and _is_pictured(after))
    if mark in _SPACES:
        return bool(_UNSPACED.match(before) or _UNSPACED.match(after))
    if mark in _MARKS:
        return bool(_RIGHT_TO_LEFT.search(text, max(0, at - _NEAR), at + _NEAR))
    if mark == "\u00ad":  # syllables have two letters or more
        near = text[max(0, at - 2) : at] + text[at + 1 : at + 3]
        return before.isalpha() and after.isalpha() and "\u00ad" not in near
    if _is_selector(mark):
        wide = mark <= "\ufe0f" or unicodedata.category(before or " ") == "Lo"
        return (
            wide and bool(before) and unicodedata.category(before) in _SELECTED and not _is_selector(before)
        )
    if "\u180b" <= mark <= "\u180f":
        return "\u1800" <= before <= "\u18af" and not "\u180b" <= before <= "\u180f"
    if mark == "\ufeff":
        return at == 0  # the mark of a file's encoding
    if mark == "\u034f":
        return unicodedata.category(before or " ") == "Mn"
    if mark in "\u115f\u1160":
        return "\u1100" <= before <= "\u11ff" or "\u1100" <= after <= "\u11ff"
    if mark in "\u17b4\u17b5":
        return "\u1780" <= before <= "\u17ff"
    return False


def _is_pictured(character: str) -> bool:
    """Tell whether an emoji may end or begin with a character: a picture, a skin tone, a selector, a sign."""
    return bool(character) and (
        character == "\ufe0f" or unicodedata.category(character) in ("So", "Sk") or character >= "\U0001f000"
    )


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _is_tag(character: str) -> bool:
    return "\U000e0000" <= character <= "\U000e007f"


def _is_run(text: str, at: int) -> bool:
    """Tell whether a selector follows another, as those do that spell something."""
    return at > 0 and _is_selector(text[at]) and _is_selector(text[at - 1])


def _name(character: str) -> str:
    """Return what Unicode calls a character, "tag" and "variation selector" without their numbers."""
    if _is_tag(character):
        return "tag"
    if _is_selector(character):
        return "variation selector"
    return unicodedata.name(character, f"U+{ord(character):04X}").lower()
