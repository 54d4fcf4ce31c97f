"""JSON lines as Hive's SerDes read them: names in any case, members that a table lacks left out, text for strings."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO


class BadDataError(Exception):
    """A file doesn't hold what its table says."""


def normalise(source: Path, target: Path, columns: Mapping[str, str], *, ignore_malformed: bool) -> None:
    """Write the objects of a file with exactly the given columns; their values are DuckDB types.

    BadDataError for a line that is no object, unless the table ignores those: it is a row of NULLs then.
    """
    with _opened(source) as lines, target.open("w", encoding="utf-8") as out:
        for line in lines:
            if not line.strip():
                continue
            row = _parsed(line, ignore_malformed)
            out.write(json.dumps({name: _fitted(row.get(name), kind) for name, kind in columns.items()}) + "\n")


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _parsed(line: str, ignore_malformed: bool) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if isinstance(row, dict):
            return {name.lower(): value for name, value in row.items()}
    except ValueError:
        pass
    if ignore_malformed:
        return {}
    raise BadDataError(f"HIVE_CURSOR_ERROR: Row is not a valid JSON Object: {line.strip()[:200]}")


def _fitted(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "VARCHAR":
        return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    if kind.startswith("STRUCT") and isinstance(value, dict):
        return _lower(value)
    if kind.startswith(("STRUCT", "MAP")) or kind.endswith("]"):
        return _lower(value) if kind.endswith("]") else value
    return value if not isinstance(value, dict | list) else None


def _lower(value: Any) -> Any:
    if isinstance(value, dict):
        return {name.lower(): _lower(item) for name, item in value.items()}
    return [_lower(item) for item in value] if isinstance(value, list) else value
