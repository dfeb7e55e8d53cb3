"""CSV as spreadsheets and databases write it: read, or refused once and in words that help."""

from __future__ import annotations

from typing import Any

import pytest

from tests.read.brief import brief, only_problem
from tests.read.conftest import Read

ROW = {"prompt": "How old is oak?", "completion": "Some, a thousand years."}
CELLS = '"How old is oak?","Some, a thousand years."'
HEADER = "prompt,completion"

READ = [
    ("sep", f"sep=,\n{HEADER}\n{CELLS}\n", [(3, 0, ROW)]),
    ("sep quoted", f'"sep=,"\r\n{HEADER}\r\n{CELLS}\r\n', [(3, 0, ROW)]),
    ("SEP", f"\nSEP=,\n\n{HEADER}\n{CELLS}", [(5, 0, ROW)]),
    ("sep bar", "sep=|\nprompt|completion\nHow old is oak?|Some, a thousand years.\n", [(3, 0, ROW)]),
    ("sep semicolon", "\ufeffsep=;\r\nprompt;completion\r\n" + CELLS.replace('","', '";"'), [(3, 0, ROW)]),
    (
        "sep tab",
        "sep=\t\n" + f"{HEADER}\n{CELLS}\n".replace(",c", "\tc").replace('","', '"\t"'),
        [(3, 0, ROW)],
    ),
    ("semicolons", "prompt;completion\r\n" + CELLS.replace('","', '";"'), [(2, 0, ROW)]),
    ("semicolons and quotes", '"prompt";"completion"\n' + CELLS.replace('","', '";"'), [(2, 0, ROW)]),
    ("tabs", "prompt\tcompletion\nHow old is oak?\tSome, a thousand years.\n", [(2, 0, ROW)]),
    ("CR alone", f"{HEADER}\r{CELLS}\r{CELLS}", [(2, 0, ROW), (3, 1, ROW)]),
    (
        "CR in a cell",
        f'{HEADER}\r"How\rold",b\r{CELLS}',
        [(2, 0, {"prompt": "How\nold", "completion": "b"}), (4, 1, ROW)],
    ),
    ("mark", f"\ufeff{HEADER}\n{CELLS}\n", [(2, 0, ROW)]),
    ("mark and quotes", f'\ufeff"prompt","completion"\n{CELLS}\n', [(2, 0, ROW)]),
    ("blanks", 'prompt, completion\nHow old is oak?, "Some, a thousand years."\n', [(2, 0, ROW)]),
    ("names with blanks", f"prompt ,completion \n{CELLS}\n", [(2, 0, ROW)]),
    ("empty rows below", f"{HEADER}\n{CELLS}\n,\n , \n,\n", [(2, 0, ROW)]),
    ("empty rows above", f",\n{HEADER}\n{CELLS}\n", [(3, 0, ROW)]),
    ("empty columns", f"{HEADER},,\n{CELLS},,\n", [(2, 0, {**ROW, "": ""})]),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_what_is_read(read: Read, text: str, expected: list[Any]) -> None:
    assert brief(read("rows.csv", text)) == expected


TWENTY = 20
REFUSED = [
    ("prose with a semicolon above", "text; or so\nno mark here\n", "divided by ';'", "sep=;"),
    (
        "semicolons and commas",
        "prompt;completion, or so\n" + '"a, b";c\n' * TWENTY,
        "divided by ';'",
        "commas",
    ),
    ("tabs", "prompt\tcompletion, last\n" + "a\tb\n" * TWENTY, "divided by '\\t'", "tabs"),
    ("backslashes", HEADER + '\n"say \\"hi\\", now",b' * TWENTY, 'written \\"', "doubled"),
    ("code page", (HEADER + "\ncafé,b" * TWENTY).encode("cp1252"), "code page", "CSV UTF-8"),
    ("code page in the header", "größe,text\na,b\n".encode("latin-1"), "code page", "iconv"),
    ("Mac code page", (HEADER + "\nna\x8fve,b" * TWENTY).encode("latin-1"), "code page", "iconv"),
    ("UTF-16", (HEADER + "\na,b\n").encode("utf-16"), "UTF-16", "CSV UTF-8"),
    ("UTF-16 without a mark", (HEADER + "\na,b\n").encode("utf-16-be"), "UTF-16-BE", "iconv"),
    ("no rows", HEADER + "\n", "a header and no rows", "put a line with names before it"),
    ("no rows but blank ones", HEADER + "\r\n\r\n,\r\n", "a header and no rows", "remove the file"),
    ("a row alone", CELLS, "a header and no rows", "prompt,completion"),
    ("NUL bytes", b"\0" * 100, "NUL bytes", "fetch"),
    ("many NUL bytes", b"\0" * 100_000, "NUL bytes", "fetch"),
    ("NUL bytes in the header", b"a,b\0\n1,2\n", "NUL bytes", "names the columns"),
]


@pytest.mark.parametrize(
    ("data", "message", "hint"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_is_refused_once(read: Read, data: Any, message: str, hint: str) -> None:
    (problem,) = read("rows.csv", data)
    problem = only_problem([problem])
    assert problem.code == "SQSD304"
    assert message in problem.message
    assert hint in problem.hint


PRINTED = [
    "[{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': \"It's\"}]",
    "[{'role': 'user', 'content': 'Hi'}\n {'role': 'assistant', 'content': 'Ho'}]",
    "array([{'content': 'Hi', 'role': 'user'}], dtype=object)",
    "({'from': 'human', 'value': 'Hi'},)",
]


@pytest.mark.parametrize("column", ["messages", "conversations", "chosen"])
@pytest.mark.parametrize("text", PRINTED, ids=["list", "numpy", "array", "tuple"])
def test_printed_lists_are_refused_once(read: Read, text: str, column: str) -> None:
    import json

    quoted = text.replace('"', '""')
    for items in (
        read("rows.csv", f"id,{column}\n" + f'1,"{quoted}"\n' * TWENTY),
        read("rows.jsonl", (json.dumps({column: text}) + "\n") * TWENTY),
        read("rows.json", json.dumps([{column: text}] * TWENTY)),
    ):
        problem = only_problem(items)
        assert len(items) == 1
        assert column in problem.message
        assert ("numpy" if "array" in text or "}\n" in text else "Python") in problem.message
        assert "to_json" in problem.hint


def test_text_that_only_looks_printed_is_read(read: Read) -> None:
    rows = [
        {"prompt": PRINTED[0], "completion": "c"},
        {"messages": "[{\"role\": 'x'}]"},
        {"notes": PRINTED[1]},
    ]
    import json

    assert [raw for *_, raw in brief(read("rows.json", json.dumps(rows)))] == rows


def test_one_bad_byte_among_other_characters_costs_one_record(read: Read) -> None:
    items = read("rows.csv", "prompt,completion\ncafé,b\n".encode() + b"caf\xe9,b\nd,e\n")
    assert [what if isinstance(what, str) else "row" for *_, what in brief(items)] == [
        "row",
        "SQSD303",
        "row",
    ]
