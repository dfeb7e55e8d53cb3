"""Violations into moves. Every row is looked at again: what was scored must still stand where it stood."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqsd_lint.common.atomic import identity_of
from sqsd_lint.discover.default_excludes import ARCHIVE, base_suffix, is_quarantine
from sqsd_lint.errors import SqsdLintError
from sqsd_lint.fix.allowed_paths import checked_places
from sqsd_lint.fix.content import opener
from sqsd_lint.fix.layout import layout_of
from sqsd_lint.fix.plan_types import CannotBeFixed, FilePlan, Left, Move, Plan
from sqsd_lint.fix.row_identity import key_of
from sqsd_lint.read import read_rows
from sqsd_lint.read.problems import Unreadable
from sqsd_lint.rules.registry import RULES
from sqsd_lint.samples import Reading, to_sample
from sqsd_lint.types import Problem, Row, Sample, Severity, Violation, Where

_Rows = Mapping[int, tuple[Violation, ...]]


def plan(
    violations: Iterable[Violation],
    *,
    severities: Collection[Severity] = (Severity.ERROR,),
    reading: Reading | None = None,
) -> Plan:
    """Return what `apply` will move: the rows with a violation of one of the `severities`.

    Only a violation of a movable rule moves its row. Writes nothing.

    Args:
        violations: of a report; files in their order.
        reading: how the rows were read.

    Raises:
        UsageError: standard input, a symbolic link, a file outside of the working folder or a read-only one.
        SqsdLintError: a row is not the one that was scored.
    """
    files: dict[str, dict[int, tuple[Violation, ...]]] = {}
    left: list[Left] = []
    for violation in violations:
        if violation.severity not in severities:
            continue
        reason = _why_left(violation)
        if reason:
            left.append(Left(violation, reason))
            continue
        rows = files.setdefault(violation.where.file, {})
        rows[violation.where.index] = (*rows.get(violation.where.index, ()), violation)
    plans = []
    for file, rows in files.items():
        try:
            plans.append(_plan_file(file, rows, reading or Reading()))
        except CannotBeFixed as error:
            left += [Left(violation, str(error)) for found in rows.values() for violation in found]
    return Plan(tuple(plans), tuple(left))


def remaining(violations: Iterable[Violation], plan: Plan) -> tuple[Violation, ...]:
    """Return the violations that are left when the plan has been applied: all but those on rows that move."""
    moved = {(file.file, move.where.index) for file in plan.files for move in file.moves}
    return tuple(v for v in violations if (v.where.file, v.where.index) not in moved)


def _why_left(violation: Violation) -> str:
    rule = RULES.get(violation.rule)
    if rule is not None and rule.unscored:
        return "what has no score is to be repaired, not moved"
    if rule is None or not rule.movable or violation.where.index < 0:
        return "moving a row is no answer to it"
    if is_quarantine(violation.where.file):
        return "the file is a quarantine file itself"
    return ""


def _plan_file(file: str, rows: _Rows, reading: Reading) -> FilePlan:
    try:
        quarantine = checked_places(file)
        identity = identity_of(file)
        if identity is None:
            raise FileNotFoundError
        if base_suffix(file) == ARCHIVE:
            raise CannotBeFixed("no row is moved inside of an archive: unpack it")
        layout = layout_of(file)
        keys, spans = _look_again(file, rows, reading, whole=layout is None)
        cuts = layout.cuts(opener(file), spans) if layout is not None else {}
    except FileNotFoundError:
        raise _changed(rows[min(rows)][0].where) from None
    except (Unreadable, OSError, EOFError, zlib.error) as error:
        raise CannotBeFixed(f"the file cannot be read to its end: {error or 'cut off'}") from error
    moves = [Move(rows[n][0].where, rows[n], keys[n], cuts.get(n)) for n in sorted(rows)]
    return FilePlan(file, quarantine, identity, tuple(moves))


def _look_again(
    file: str, rows: _Rows, reading: Reading, *, whole: bool
) -> tuple[dict[int, bytes], dict[int, tuple[int, int]]]:
    """Return the keys of rows, decoded again at their places and compared, and which bytes they are.

    Args:
        whole: whether the file is written anew as a whole, as Parquet and Arrow are: all of it must be sound.

    Raises:
        CannotBeFixed: a row has no bytes of its own, or the file cannot be read to its end.
        SqsdLintError: a row is not the one that was scored.
    """
    keys: dict[int, bytes] = {}
    spans: dict[int, tuple[int, int]] = {}
    for item in read_rows(file):
        index = item.where.index
        if isinstance(item, Problem):
            if whole:
                raise CannotBeFixed(f"row {item.where.line} cannot be read: {item.message}")
            if item.code == "SQSD304":
                raise CannotBeFixed(f"the file cannot be read to its end: {item.message}")
            if index in rows:
                raise _changed(rows[index][0].where)
        elif index in rows:
            keys[index] = _checked_key(item.raw, rows[index][0], reading)
            if item.span is not None:
                spans[index] = item.span
            elif not whole:
                raise CannotBeFixed("its rows are no pieces of the file, but a table by columns or by labels")
    missing = sorted(rows.keys() - keys.keys())
    if missing:
        raise _changed(rows[missing[0]][0].where)
    return keys, spans


def _checked_key(raw: Any, violation: Violation, reading: Reading) -> bytes:
    """Return the key of a row that is still the one with the violation.

    Raises:
        SqsdLintError: it is another.
    """
    sample = to_sample(Row(violation.where, raw), reading)
    if not isinstance(sample, Sample) or sample.fingerprint != violation.fingerprint:
        raise _changed(violation.where)
    return key_of(raw)


def _changed(where: Where) -> SqsdLintError:
    return SqsdLintError(
        f"{where}: the row there is not the one that was scored: the file has changed meanwhile",
        hint="run the same command again; nothing has been moved",
    )
