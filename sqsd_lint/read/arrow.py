"""Arrow IPC, both as a stream (`datasets` writes these) and as a file (Feather version 2)."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqsd_lint.read.batches import damaged, rows_of_batches
from sqsd_lint.read.ipc import file_sizes, stream_sizes
from sqsd_lint.read.problems import Unreadable, missing_package, refuse_bomb
from sqsd_lint.read.source import Source
from sqsd_lint.types import Problem, Row

if TYPE_CHECKING:
    import pyarrow as pa

_FILE = b"ARROW1"
_FEATHER_1 = b"FEA1"


def read_arrow(source: Source) -> Iterator[Row | Problem]:
    """Rows of an Arrow file or stream; a row's line is its 1-based number.

    Raises:
        Unreadable: not Arrow, damaged, over a limit, or not seekable.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise missing_package("pyarrow", "an Arrow file") from error
    if not source.seekable:
        raise Unreadable("Arrow cannot be read from standard input", hint="save it to a file first")
    head = source.stream.peek(len(_FILE))
    if not head:
        raise Unreadable("empty, where Arrow data was expected")
    if head.startswith(_FEATHER_1):
        raise Unreadable("Feather version 1", hint="write it again as version 2, or as Parquet")
    # Mapped, not read: `datasets` writes files larger than memory. The map ends with the last batch that
    # refers to it; closing it earlier would pull the rows away.
    mapped = mmap.mmap(source.stream.fileno(), 0, access=mmap.ACCESS_READ)
    data, view = pa.py_buffer(mapped), memoryview(mapped)
    try:
        if head.startswith(_FILE):
            file = pa.ipc.open_file(data)
            schema, sizes = file.schema, file_sizes(view)
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            stream = pa.ipc.open_stream(data)
            schema, sizes, batches = stream.schema, stream_sizes(view), iter(stream)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise damaged(error) from error
    yield from rows_of_batches(source, schema, _bounded(source, sizes, batches))


def _bounded(
    source: Source, sizes: Iterator[int], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The batches, none of which is decompressed before its header has said that it may be."""
    unfolded, rows = 0, 0
    for size in sizes:
        unfolded += size
        refuse_bomb(unfolded, source.size, source.limits, line=rows + 1)
        batch = next(batches, None)
        if batch is None:
            return
        rows += batch.num_rows
        yield batch
    if next(batches, None) is not None:
        raise ValueError("more batches than headers")
