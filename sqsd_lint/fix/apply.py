"""Moving rows: the quarantine file first, then the file they leave.

Both are written beside the old ones, and checked, before either takes its place. A machine that stops in
between leaves the rows in both files, never in none; the next run finds them in the quarantine file and does
not add them again.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

from sqsd_lint.common.atomic import Identity, Replacement, identity_of
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix.content import opener, packed
from sqsd_lint.fix.cuts import TextLayout, layout_of
from sqsd_lint.fix.plan_types import FilePlan, Moved, Plan
from sqsd_lint.fix.row_identity import keys_in, read_otherwise, require_same_rows
from sqsd_lint.fix.texts import copy_without
from sqsd_lint.read.formats import format_of
from sqsd_lint.read.problems import Unreadable


def apply(plan: Plan) -> Iterator[Moved]:
    """Move the rows of a plan, file by file: each item is a file that is safely in place.

    Nothing happens before the iterator is advanced.

    Raises:
        SqsdLintError: a file has changed since the plan was made, or cannot be written. It is as it was.
    """
    for file in plan.files:
        try:
            moved = _move(file)
        except SqsdLintError as error:
            raise SqsdLintError(f"{file.file}: not fixed: {error.message}", hint=error.hint) from error
        except (OSError, EOFError, zlib.error, Unreadable, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "cut off"
            raise SqsdLintError(
                f"{file.file}: not fixed: {reason}",
                hint="the file is as it was; check its disk and run again",
            ) from error
        yield moved


def _move(plan: FilePlan) -> Moved:
    before = identity_of(plan.quarantine)
    exists = before is not None
    fresh = _fresh(plan, exists=exists)
    with ExitStack() as stack:
        kept = stack.enter_context(Replacement(plan.file, like=plan.file))
        like = plan.quarantine if exists else plan.file
        taken = stack.enter_context(Replacement(plan.quarantine, like=like)) if fresh else None
        shelf = taken.file if taken else None
        layout = layout_of(plan.file)
        if layout is None:
            _write_table(plan, fresh, kept.file, shelf, exists=exists)
        else:
            _write_text(plan, layout, fresh, kept.file, shelf, exists=exists)
        kept.seal()
        if layout is None or layout.ambiguous:
            require_same_rows(plan, kept.temporary)
        if layout and layout.must_stay and layout_of(kept.temporary, name=plan.file) != layout:
            raise read_otherwise()
        if taken:
            taken.seal()
            _require_same(plan.quarantine, before)
            _require_same(plan.file, plan.identity)
            taken.put()
        _require_same(plan.file, plan.identity)
        kept.put()
    return Moved(plan.file, plan.quarantine, plan.rows, len(fresh))


def _fresh(plan: FilePlan, *, exists: bool) -> frozenset[int]:
    """Return the numbers of the rows that the quarantine file does not hold yet, as often as they occur."""
    there = keys_in(plan.quarantine) if exists else {}
    fresh = set()
    for move in plan.moves:
        if there.get(move.key, 0):
            there[move.key] -= 1
        else:
            fresh.add(move.where.index)
    return frozenset(fresh)


def _require_same(path: str, identity: Identity | None) -> None:
    if identity_of(path) != identity:
        raise SqsdLintError(f"{path} has changed meanwhile", hint="run the same command again")


def _write_text(
    plan: FilePlan,
    layout: TextLayout,
    fresh: frozenset[int],
    keep: BinaryIO,
    quarantine: BinaryIO | None,
    *,
    exists: bool,
) -> None:
    compression = format_of(plan.file).compression
    source, kept = opener(plan.file), packed(keep, compression)
    spans = [move.span for move in plan.moves if move.span is not None]
    rows = copy_without(source, spans, kept)
    if quarantine is None:
        deque(rows, maxlen=0)
    else:
        taken = packed(quarantine, compression)
        writer = layout.writer(taken, opener(plan.quarantine) if exists else None, source)
        for row, move in zip(rows, plan.moves, strict=True):
            if move.where.index in fresh:
                writer.add(row)
        writer.finish()
        taken.close()
    kept.close()


def _write_table(
    plan: FilePlan, fresh: frozenset[int], keep: BinaryIO, quarantine: BinaryIO | None, *, exists: bool
) -> None:
    import pyarrow as pa

    from sqsd_lint.fix.columnar import move_rows, open_table

    moved = [move.where.index for move in plan.moves]
    with ExitStack() as stack:
        try:
            source = stack.enter_context(open_table(plan.file))
            existing = stack.enter_context(open_table(plan.quarantine)) if exists and quarantine else None
            move_rows(source, existing, moved, fresh, keep=keep, quarantine=quarantine)
        except pa.ArrowException as error:
            raise SqsdLintError(
                f"pyarrow cannot write it anew: {str(error)[:200]}", hint="take the rows out yourself"
            ) from error
