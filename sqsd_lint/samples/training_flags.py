"""What rows and turns say of their own training: flags that take a turn out, and signs that turn it round.

A preference trainer pushes the model away from a row whose `label` (TRL, ms-swift) or `kto_tag`
(LLaMA-Factory) is false, as it does from a rejected answer: such text is not learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqsd_lint.samples.values import Malformed, as_flag, as_number, is_missing, kind_of

if TYPE_CHECKING:
    from sqsd_lint.samples.context import Context

SIGNS = ("label", "kto_tag", "kto_label", "desirable", "is_desirable")
"""Columns, and keys of a turn, that are false where training pushes away from the answer."""

_WEIGHTS = ("weight", "loss_weight", "loss_scale")  # OpenAI, ms-swift
_ON = ("train", "training", "trainable", "loss")  # axolotl, ms-swift
_OFF = ("masked", "mask", "ignore_loss")  # LitGPT, NeMo
_DETAILS = ("train_detail", "training_detail")  # axolotl: spans of a turn
_UNSURE = ("loss_mask", "label_mask", "is_masked", "compute_loss", "is_trainable")  # of no trainer known here
KEYS = frozenset((*_WEIGHTS, *_ON, *_OFF, *_DETAILS, *_UNSURE, *SIGNS))
"""Keys of a turn that this module reads."""


def is_trained(item: Mapping[str, Any], assistant: bool, what: str, context: Context) -> bool:
    """Return whether a turn is learnt: an assistant's is, unless every flag that it has says no.

    Flags that are not heeded, or change what is scored, leave a remark in `context`.

    Args:
        item: the turn as the row has it.
        what: names the place in error messages.

    Raises:
        Malformed: a weight that is no number.
    """
    if item.keys().isdisjoint(KEYS):
        return assistant
    votes: dict[str, bool] = {}
    for name in _WEIGHTS:
        if not is_missing(item.get(name)):
            votes[name] = _weighs(item[name], name, what, assistant, context)
    for name in (*_ON, *_OFF):
        value = item.get(name)
        if is_missing(value):
            continue
        flag = as_flag(value)
        if flag is not None:
            votes[name] = flag is (name in _ON)
        elif assistant:
            context.remark(f"turns with a {name} that is neither true nor false, not heeded")
    if not assistant:
        if any(votes.get(name) for name in _ON):
            context.remark(
                "turns of other roles than the assistant's that are marked for training, not scored"
            )
        return False
    for name in _UNSURE:
        if not is_missing(item.get(name)):
            context.remark(f"turns with a {name}, not heeded")
    for name in _DETAILS:
        if item.get(name):
            context.remark(f"turns of which {name} takes parts out of training, scored whole")
    if votes and not any(votes.values()):
        names = " and ".join(f"`{name}`" for name in votes)
        context.remark(f"turns that {names} take{'s' * (len(votes) == 1)} out of training, not scored")
        return False
    for name in SIGNS:
        if sign_of(item.get(name)) is False:
            context.pushed_away = name
            context.remark(f"turns that training pushes away from, since `{name}` is false, not scored")
            return False
    return True


def _weighs(value: Any, name: str, what: str, assistant: bool, context: Context) -> bool:
    number = as_number(value) if not isinstance(value, str) else _spelt(value)
    if number is None:
        if name != "weight":
            context.remark(f"turns with a {name} that is no number, not heeded")
            return True
        found = kind_of(value) if not isinstance(value, (int, float, str)) else "no finite number"
        raise Malformed(f"{what} has a weight that is {found}, expected 0 or 1")
    if number < 0:
        context.pushed_away = name
    elif number not in (0.0, 1.0) and assistant:
        context.remark(f"turns with a {name} other than 0 and 1, scored as those of weight 1")
    return number > 0


def _spelt(text: str) -> float | None:
    flag = as_flag(text)
    return as_number(text) if flag is None else float(flag)


def sign_of(value: Any) -> bool | None:
    """Return whether a sign says that an answer is learnt or (False) pushed away from; None if neither."""
    flag = as_flag(value)
    if flag is None and as_number(value) == -1.0:
        return False
    return flag


def pushing_sign(raw: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the name of the column that says that a row's answer is pushed away from, "" if none does."""
    return next((name for name in names if name in raw and sign_of(raw[name]) is False), "")
