"""Whatever a row holds, it becomes a sample, an undesirable row or a problem: never an exception."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd_lint.samples import LAYOUTS, Reading, fold, to_sample
from sqsd_lint.samples.conversation import ANSWERS, PROMPTS
from sqsd_lint.samples.convert import MEDIA
from sqsd_lint.samples.readers import CONTEXTS, SYSTEMS, TRANSCRIPTS
from sqsd_lint.samples.training_flags import KEYS, SIGNS
from sqsd_lint.types import OTHER_TEXT, Problem, Row, Sample, Undesirable, Where

COLUMNS = sorted(
    {
        *(key for layout in LAYOUTS for key in layout.keys),
        *(*PROMPTS, *ANSWERS, *CONTEXTS, *SYSTEMS, *TRANSCRIPTS, *MEDIA, *SIGNS),
        *(
            "history",
            "tools",
            "rejected",
            "messages",
            "conversations",
            "sqsd_lint",
            "Prompt",
            "RESPONSE",
            "data",
        ),
    }
)
TURN_KEYS = sorted(
    {"role", "from", "content", "value", "parts", "name", "input", "output", *KEYS, *OTHER_TEXT}
)
NUMBERS = [
    0,
    1,
    -1,
    2**70,
    -(10**4000),
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    0.5,
    True,
    False,
]
TEXTS = [
    *(
        "",
        " ",
        "Q",
        "A",
        "false",
        "1e999",
        "9" * 400,
        "[",
        "[]",
        "{}",
        "null",
        '[{"role": "user"}]',
        "\ud800",
    ),
    *("USER: Q\n\nASSISTANT: A", "\n\nHuman: Q\n\nAssistant: A", "\n" * 50, "[" * 900, '{"a": ' * 900),
]
ROLES = [
    "user",
    "assistant",
    "system",
    "tool",
    "Human:",
    "nobody",
    None,
    7,
    ["user"],
    {"role": "user"},
    "\x00",
]

leaves = st.one_of(
    st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.text(max_size=9), st.none(), st.binary(max_size=3)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TURN_KEYS), inner, max_size=4)
    ),
    max_leaves=6,
)


def turn(pick: random.Random, pool: list[Any]) -> Any:
    if pick.random() < 0.1:
        return pick.choice(pool)
    keys = pick.sample(TURN_KEYS, pick.randrange(4))
    turn = {
        "role": pick.choice(ROLES),
        "content": pick.choice(pool),
        **{key: pick.choice(pool) for key in keys},
    }
    if pick.random() < 0.2:
        del turn[pick.choice(list(turn))]
    return turn


def row(pick: random.Random, pool: list[Any]) -> Any:
    def column() -> Any:
        return (
            [turn(pick, pool) for _ in range(pick.randrange(4))] if pick.random() < 0.4 else pick.choice(pool)
        )

    layout = pick.choice(LAYOUTS)
    return {key: column() for key in (*layout.keys, *pick.sample(COLUMNS, pick.randrange(1, 6)))}


@settings(max_examples=100)
@given(pool=st.lists(values, min_size=4, max_size=12), seed=st.integers(0, 2**32))
def test_ten_thousand_rows(pool: list[Any], seed: int) -> None:
    pick = random.Random(seed)
    readings = [
        Reading(),
        Reading.from_tables(
            {"prompt": "input", "history": "chosen", "label": "weight", "rows*": {"messages": "prompt"}},
            {"nobody": "assistant"},
        ),
    ]
    found = []
    for n in range(100):
        raw = row(pick, pool)
        result = to_sample(Row(Where("rows.jsonl", n + 1, n), raw), pick.choice(readings))
        assert isinstance(result, Sample | Problem | Undesirable)
        if isinstance(result, Sample):
            assert any(result.mask)
            assert len(result.messages) == len(result.mask)
            assert all(isinstance(message.content, str) for message in result.messages)
            assert all(len(remark) < 200 for remark in result.remarks)
        else:
            assert len(getattr(result, "message", "")) < 3000
        found.append(result)
    folded = list(fold(found))
    assert sum(item.rows if isinstance(item, Problem) else 1 for item in folded) == 100


def test_a_number_that_python_does_not_print() -> None:
    for key in ("prompt", "completion", "label"):
        result = to_sample(Row(Where("x", 1, 0), {"prompt": "Q", "completion": "A", key: 10**5000}))
        assert isinstance(result, Sample if key == "label" else Problem)
