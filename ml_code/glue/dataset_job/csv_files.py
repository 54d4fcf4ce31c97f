"""CSV files before Spark reads them: their header, and whether they arrived whole."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from dataset_job.declaration import RawTable
from dataset_job.storage import Storage, StoredObject, in_parallel

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 16 * 1024
_PATTERN = re.compile(r"[*?\[\]{}\\]")
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


@dataclass(frozen=True)
class CsvFile:
    """A file that fits its table: the names in its header, and which of them the table doesn't know."""

    uri: str
    table: str
    header: tuple[str, ...]
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileProblem:
    """Why nothing of a file can be trusted."""

    uri: str
    reason: str

    def __str__(self) -> str:
        return f"{self.uri}: {self.reason}"


def inspect(storage: Storage, table: RawTable, objects: Iterable[StoredObject]) -> list[CsvFile | FileProblem]:
    """Look at the first and the last bytes of each file.

    A problem is an empty file, another encoding than UTF-8, a header that misses or doubles a column, and a last line
    that ends before its last value: the rest of the file hasn't arrived. Columns may come in any order, and a file may
    have more of them than the table.
    """
    return in_parallel(lambda each: _inspect(storage, table, each), objects)


def _inspect(storage: Storage, table: RawTable, file: StoredObject) -> CsvFile | FileProblem:
    if _PATTERN.search(file.uri):
        return FileProblem(file.uri, "the name has one of * ? [ ] { } \\, which Spark takes for a pattern: rename it")
    if not file.size:
        return FileProblem(file.uri, "the file is empty, it doesn't even have a header")
    head = storage.read(file.uri, 0, min(HEAD_BYTES, file.size))
    try:
        first = head.split(b"\n", 1)[0].decode("utf-8").removeprefix(BYTE_ORDER_MARK).rstrip("\r")
    except UnicodeDecodeError:
        return FileProblem(file.uri, "the header isn't UTF-8 text")
    if "\0" in first:
        return FileProblem(file.uri, "the header isn't UTF-8 text (UTF-16?)")
    header = tuple(name.strip() for name in _values(first))
    known = [column.name for column in table.columns]
    missing = [name for name in known if name not in header]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        return FileProblem(file.uri, f"the header misses {shown}; it has {', '.join(header)[:200] or 'no column'}")
    # Spark doesn't tell names apart by their case
    doubled = [name for name, count in Counter(name.lower() for name in header).items() if count > 1]
    if doubled:
        return FileProblem(file.uri, f"the header has {', '.join(doubled)} twice")
    if _is_cut_off(storage, file, len(header)):
        return FileProblem(file.uri, "the file ends in the middle of a row: only a part of it has arrived")
    return CsvFile(file.uri, table.name, header, tuple(name for name in header if name not in known))


def _is_cut_off(storage: Storage, file: StoredObject, columns: int) -> bool:
    length = min(TAIL_BYTES, file.size)
    tail = storage.read(file.uri, file.size - length, length)
    last = tail.rpartition(b"\n")[2]
    # many writers leave the last line break out, so that only the number of values tells
    return bool(last.strip()) and len(last) < length and len(_values(last.decode("utf-8", "replace"))) < columns


def _values(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=False), [])
    except csv.Error:
        return []
