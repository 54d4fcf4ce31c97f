"""Why a query failed, in the words of Athena."""

from __future__ import annotations

import re
from collections.abc import Callable

# AthenaError.ErrorCategory
SYSTEM, USER = 1, 2
_DUCKDB_PREFIX = re.compile(r"^[A-Z][\w ]*Error: ")
_COLUMN = re.compile(r'(?:Referenced column|column named|does not have a column named) "([^"]+)"')
_FUNCTION = re.compile(r"(?:Scalar|Aggregate|Table|Macro)?\s*Function with name (\S+) does not exist")


class QueryFailure(Exception):
    """The query ends as FAILED, with the message as its StateChangeReason."""

    def __init__(self, message: str, category: int = USER) -> None:
        super().__init__(message)
        self.category = category


def of_engine(kind: str, message: str, place: Callable[[str], str] = lambda _: "") -> QueryFailure:
    """Return the failure that an exception of DuckDB means.

    `kind` is the exception's class; `place` says where in the query a column is named.
    """
    first = _DUCKDB_PREFIX.sub("", message.strip().split("\n\n")[0]).strip()
    missing = _COLUMN.search(message)
    if kind == "BinderException" and missing:
        return QueryFailure(
            f"COLUMN_NOT_FOUND: {place(missing[1])}Column '{missing[1]}' cannot be resolved or requester is not "
            "authorized to access requested resources"
        )
    function = _FUNCTION.search(message)
    if kind == "CatalogException" and function:
        name = function[1].strip('"')
        return QueryFailure(
            f"FUNCTION_NOT_FOUND: Function '{name}' not registered; the local AWS knows the functions that DuckDB has"
        )
    if "Division by zero" in message:
        return QueryFailure("DIVISION_BY_ZERO: Division by zero")
    if kind == "ConversionException":
        return QueryFailure(f"INVALID_CAST_ARGUMENT: {first}")
    if kind == "OutOfRangeException":
        return QueryFailure(f"NUMERIC_VALUE_OUT_OF_RANGE: {first}")
    if kind in ("OutOfMemoryException", "MemoryError"):
        return QueryFailure(f"Query exhausted resources at this scale factor: {first}")
    if kind in ("BinderException", "ParserException", "SyntaxException", "CatalogException", "InvalidTypeException"):
        return QueryFailure(f"SYNTAX_ERROR: {first}")
    if kind == "PermissionException":
        return QueryFailure(f"PERMISSION_DENIED: {first}")
    return QueryFailure(f"GENERIC_USER_ERROR: {first}")
