"""Values and types of DuckDB, as Athena writes them."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

# how projections without a name are marked: Athena names them by their position
UNNAMED = "_unnamed_"

_TYPES = {
    "TINYINT": ("tinyint", 3),
    "SMALLINT": ("smallint", 5),
    "INTEGER": ("integer", 10),
    "UTINYINT": ("smallint", 5),
    "USMALLINT": ("integer", 10),
    "BIGINT": ("bigint", 19),
    "UINTEGER": ("bigint", 19),
    "UBIGINT": ("bigint", 19),
    # sums of integers are wider in DuckDB
    "HUGEINT": ("bigint", 19),
    "DOUBLE": ("double", 17),
    "FLOAT": ("float", 17),
    "BOOLEAN": ("boolean", 0),
    "DATE": ("date", 0),
    "TIME": ("time", 3),
    "INTERVAL": ("interval day to second", 0),
    "BLOB": ("varbinary", 1073741824),
    "JSON": ("json", 0),
    '"NULL"': ("unknown", 0),
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_WIDEST_BIGINT = 2**63 - 1


def column_info(name: str, kind: str) -> dict[str, Any]:
    """Return Athena's ColumnInfo for a column of a DuckDB type."""
    scale = 0
    if decimal := _DECIMAL.fullmatch(kind):
        word, precision, scale = "decimal", int(decimal[1]), int(decimal[2])
    elif kind.endswith("]"):
        word, precision = "array", 0
    elif kind.startswith("MAP("):
        word, precision = "map", 0
    elif kind.startswith("STRUCT("):
        word, precision = "row", 0
    elif kind == "TIMESTAMP WITH TIME ZONE":
        word, precision = "timestamp with time zone", 3
    elif kind.startswith("TIMESTAMP"):
        word, precision = "timestamp", 3
    else:
        word, precision = _TYPES.get(kind, ("varchar", 2147483647))
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": word,
        "Precision": precision,
        "Scale": scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": word == "varchar",
    }


def text_of(value: Any, kind: str) -> str | None:
    """Return a value as Athena's results show it; None is NULL. OverflowError for an integer wider than a bigint."""
    if isinstance(value, int) and kind in ("HUGEINT", "UBIGINT") and abs(value) > _WIDEST_BIGINT:
        raise OverflowError(f"{value} is out of the range of bigint")
    if isinstance(value, float) and kind == "FLOAT":
        return _java_number(value, _shortest_float(value))
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _java_number(value, repr(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC)
        text = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"
        return text if value.tzinfo is None else f"{text} UTC"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, time):
        return f"{value:%H:%M:%S}.{value.microsecond // 1000:03d}"
    if isinstance(value, timedelta):
        return _interval(value)
    if isinstance(value, bytes):
        return value.hex(" ")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_inner(key)}={_inner(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_inner(item) for item in value) + "]"
    return str(value)


def _inner(value: Any) -> str:
    return "null" if value is None else _text(value)


def _interval(value: timedelta) -> str:
    total = round(value.total_seconds() * 1000)
    sign, total = ("-" if total < 0 else ""), abs(total)
    days, rest = divmod(total, 86_400_000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{sign}{days} {hours:02d}:{minutes:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _shortest_float(value: float) -> str:
    """Return the shortest number that is this one in single precision."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if math.isfinite(value) and struct.pack("f", float(text)) == struct.pack("f", value):
            return text
    return repr(value)


def _java_number(value: float, digits: str) -> str:
    """Write a number as Java does: an exponent from 10^7 and below 10^-3, and always a digit behind the point."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    exact = Decimal(digits).normalize()
    if 1e-3 <= abs(value) < 1e7:
        text = format(exact, "f")
        return text if "." in text else f"{text}.0"
    sign, figures, _ = exact.as_tuple()
    mantissa = "".join(map(str, figures))
    return f"{'-' if sign else ''}{mantissa[0]}.{mantissa[1:] or '0'}E{exact.adjusted()}"
