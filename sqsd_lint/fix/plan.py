"""Turn violations into moves of rows, out of files that may be touched.

Every row is looked at again: what was scored must still stand where it stood. A file must be a regular one
in the working folder, under its own name: paths may come from a configuration that somebody else wrote, and
links from a repository that somebody else filled. So nothing is changed through a link, and nothing outside
of the folder in which the user stands.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqsd_lint.common.atomic import identity_of
from sqsd_lint.discover import suffix_of
from sqsd_lint.discover.default_excludes import ARCHIVE, QUARANTINE_MARK, base_suffix, is_quarantine
from sqsd_lint.errors import SqsdLintError, UsageError
from sqsd_lint.fix.content import opener
from sqsd_lint.fix.cuts import layout_of
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
        keys, spans = _checked_rows(file, rows, reading, whole=layout is None)
        cuts = layout.cuts(opener(file), spans) if layout is not None else {}
    except FileNotFoundError:
        raise _changed(rows[min(rows)][0].where) from None
    except (Unreadable, OSError, EOFError, zlib.error) as error:
        raise CannotBeFixed(f"the file cannot be read to its end: {error or 'cut off'}") from error
    moves = [Move(rows[n][0].where, rows[n], keys[n], cuts.get(n)) for n in sorted(rows)]
    return FilePlan(file, quarantine, identity, tuple(moves))


def _checked_rows(
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


def quarantine_of(path: str) -> str:
    """Return the quarantine file of a data file: "a/train.jsonl.gz" -> "a/train.quarantine.jsonl.gz".

    Raises:
        ValueError: the name ends in no known suffix.
    """
    folder, name = os.path.split(path)
    suffix = suffix_of(name)
    if not suffix:
        raise ValueError(f"no data file: {path}")
    stem, ending = name[: -len(suffix)], name[-len(suffix) :]
    return os.path.join(folder, f"{stem}{QUARANTINE_MARK}{ending}")


_STDIN = ("-", "<stdin>")


def refuse_stdin(paths: Sequence[str]) -> None:
    """Say before any work is done that standard input cannot be fixed.

    Raises:
        UsageError: it is among the paths.
    """
    if any(path in _STDIN for path in paths):
        raise UsageError("standard input cannot be fixed", hint="save it to a file, and name the file")


def checked_places(file: str) -> str:
    """Return the quarantine file of a file, after a look at both.

    Raises:
        UsageError: one of the two may not be changed.
        FileNotFoundError: the file is gone.
    """
    refuse_stdin((file,))
    quarantine = quarantine_of(file)
    _refuse_outside(file)
    for path in (file, quarantine):
        if path == quarantine and not os.path.lexists(path):
            continue
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            raise UsageError(
                f"{path}: a symbolic link, which is not fixed", hint="name the file that it leads to"
            )
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path}: not a regular file", hint="move it away")
        if not mode & 0o222 or not os.access(path, os.W_OK):  # root may write what nobody should
            raise UsageError(f"{path}: read-only", hint="make it writable, if it may be changed")
    folder = os.path.dirname(file) or os.curdir
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"{folder}: no file can be written there", hint="make the folder writable: files are replaced"
        )
    return quarantine


def _refuse_outside(file: str) -> None:
    real, here = os.path.realpath(file), os.path.realpath(os.curdir)
    if os.path.islink(file) or os.path.commonpath([real, here]) == here:
        return  # a link is refused for what it is
    raise UsageError(
        f"{file}: lies outside of the working folder, in {os.path.dirname(real)}",
        hint="run sqsd-lint in the folder that holds it",
    )
