"""Write docs/layouts.md, what rows may look like, from the table of layouts: `python docs/layouts.py`."""

from __future__ import annotations

from pathlib import Path

from sqsd_lint.samples.conversation import ANSWERS, PROMPTS
from sqsd_lint.samples.convert import MEDIA
from sqsd_lint.samples.layouts import LAYOUTS, Layout
from sqsd_lint.samples.readers import CONTEXTS, SYSTEMS, TRANSCRIPTS
from sqsd_lint.samples.roles import ROLES, TEMPLATE_ROLES
from sqsd_lint.samples.training_flags import SIGNS
from sqsd_lint.types import OTHER_TEXT

PAGE = Path(__file__).with_suffix(".md")

HEAD = """\
# What a row may look like

*This page is made by `python docs/layouts.py` from the table that reads the rows.*

Every row is read by itself: the first layout below whose columns are there and not null is taken. Where no
layout has them as they are written, upper and lower case, blanks and hyphens in the names of columns do not
matter. What fits none is one finding a file (SQSD303), with the line of configuration that mends it.
"""

TAIL = """\
## Beside prompt and answer

* **System prompt:** {systems}, unless the conversation brings its own.
* **Context:** {contexts} go behind the prompt after a blank line; with `context-separator = "line-break"`, as
  the paper's authors join them, after a line break. `history` holds earlier rounds, as `[prompt, answer]`
  pairs or as messages.
* **Sign:** where {signs} is false, 0, "False" or -1,
  preference training pushes away from the answer, as it does from a rejected one. Such a row is not judged,
  and the coverage says so. In the layouts *preference*, *openai-preference*, *text* and a few others a label
  is no sign.
* **Flags of a turn:** `weight` 0, `train`, `training` or `loss` false and `masked` true take a turn out of
  training; a note counts them. Flags that are not heeded (fractional weights, `train_detail`) are named.
* **Text beside the content:** {beside}
  are scored as the chat template of the model writes them. What it does
  not write is counted in a note; a row of whose answer nothing is written cannot be scored (SQSD301).
* **Media:** columns {media}
  are named in a note: only text is scored.

## Names of prompts and answers

The layout *pair* takes the first column of each list that a row has.

* prompt: {prompts}
* answer: {answers}

A column of such a name whose text is not part of what is read is named in a note.

## Roles

{roles}

Case, marks around a name and what stands between its words do not matter. Others are named in the
configuration:

```toml
[roles]
patient = "user"
doctor = "assistant"
```

## Columns of your own

```toml
[columns]                      # where a row has both of these columns
prompt = "query_text"
response = "reply_text"

[columns."legacy/*.csv"]       # only in these files
text = "body"
```

A mapping holds for the rows that have the columns it names; all others are read by their layout. Parts:
`messages`; or `text`; or `prompt` and `response`, of which the one that is not named is found under its usual
names; and `context`, `system`, `history` and `label`, where an empty name says that there is none.
"""


def render() -> str:
    """Return the page."""
    known = [layout for layout in LAYOUTS if layout.read]
    refused = [layout for layout in LAYOUTS if not layout.read]
    lines = [HEAD, "| layout | columns | written or read by |", "|---|---|---|"]
    lines += [f"| {layout.name} | {_columns(layout)} | {layout.used_by} |" for layout in known]
    lines += ["", "These are known, and refused:", "", "| layout | columns | what it is | what to do |"]
    lines += ["|---|---|---|---|"]
    lines += [
        f"| {layout.name}: {layout.used_by} | {_columns(layout)} | {layout.why} | {layout.mend} |"
        for layout in refused
    ]
    roles = [f"* {role}: {_code(name for name in ROLES if ROLES[name] == role)}" for role in TEMPLATE_ROLES]
    tail = TAIL.format(
        systems=_code(SYSTEMS),
        contexts=_code(CONTEXTS),
        signs=_code(SIGNS),
        beside=_code(OTHER_TEXT),
        media=_code(MEDIA),
        prompts=_code(PROMPTS),
        answers=_code(ANSWERS),
        roles="\n".join(roles),
    )
    return "\n".join([*lines, "", tail])


def _columns(layout: Layout) -> str:
    if layout.keys:
        return _code(layout.keys)
    return _code(TRANSCRIPTS) if layout.name == "conversation" else "see below"


def _code(names) -> str:  # type: ignore[no-untyped-def]
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
