"""The column types of the Glue catalog, as DuckDB names them."""

from __future__ import annotations

import re

_SIMPLE = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "char": "VARCHAR",
    "varchar": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "decimal": "DECIMAL(10,0)",
}
_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_TEXT = re.compile(r"(?:var)?char\(\s*\d+\s*\)")
_NESTED = re.compile(r"(array|map|struct)<(.*)>", re.DOTALL)


def duckdb_type(hive: str) -> str:
    """Return DuckDB's name of a type; ValueError for one that the local AWS doesn't know."""
    name = hive.strip().lower()
    if name in _SIMPLE:
        return _SIMPLE[name]
    if decimal := _DECIMAL.fullmatch(name):
        return f"DECIMAL({decimal[1]},{decimal[2] or 0})"
    if _TEXT.fullmatch(name):
        return "VARCHAR"
    if nested := _NESTED.fullmatch(name):
        parts = _split(nested[2])
        if nested[1] == "array" and len(parts) == 1:
            return f"{duckdb_type(parts[0])}[]"
        if nested[1] == "map" and len(parts) == 2:
            return f"MAP({duckdb_type(parts[0])}, {duckdb_type(parts[1])})"
        if nested[1] == "struct":
            return f"STRUCT({', '.join(_member(part) for part in parts)})"
    raise ValueError(f"columns of the type {hive!r} can't be read locally")


def _member(text: str) -> str:
    name, colon, kind = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not a member of a struct: write name:type")
    return f'"{name.strip()}" {duckdb_type(kind)}'


def _split(text: str) -> list[str]:
    """Split at the commas that aren't inside of <> or ()."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "<(":
            depth += 1
        elif character in ">)":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]
