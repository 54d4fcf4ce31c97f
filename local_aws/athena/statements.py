"""What a query string asks for: a SELECT, a look into the catalog, or a prepared statement."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlglot
from botocore.exceptions import ClientError
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, TokenError

from local_aws.athena.failures import QueryFailure
from local_aws.json_api import ApiError

# sqlglot warns of each statement that it only knows by its first word, of which we say ourselves what becomes
logging.getLogger("sqlglot").setLevel(logging.ERROR)

DIALECT = "athena"
_NAME = r"(?:`(?:[^`]+)`|\"(?:[^\"]+)\"|[\w$-]+)"
_TABLE = rf"(?P<table>{_NAME}(?:\s*\.\s*{_NAME}){{0,2}})"
_IN = r"(?:\s+(?:in|from)\s+"
_LOOKS = {
    "SHOW_DATABASES": r"show\s+(?:databases|schemas)(?:\s+like)?(?:\s+'(?P<pattern>[^']*)')?",
    "SHOW_TABLES": rf"show\s+tables{_IN}(?P<database>{_NAME}))?(?:\s+'(?P<pattern>[^']*)')?",
    "SHOW_PARTITIONS": rf"show\s+partitions\s+{_TABLE}",
    "SHOW_COLUMNS": rf"show\s+columns\s+(?:in|from)\s+{_TABLE}{_IN}(?P<database>{_NAME}))?",
    "DESCRIBE_TABLE": rf"(?:describe|desc)\s+{_TABLE}",
}
_EXECUTE = re.compile(rf"execute\s+(?P<name>{_NAME})(?:\s+using\s+(?P<values>.+))?", re.IGNORECASE | re.DOTALL)
_QUOTES = '`"'
# nodes of which a parameter's value may consist
_CONSTANT = (
    exp.Literal, exp.Neg, exp.Boolean, exp.Null, exp.Cast, exp.DataType, exp.DataTypeParam, exp.Interval, exp.Var,
    exp.Array, exp.Paren,
)  # fmt: skip


@dataclass(frozen=True)
class Select:
    """A query on tables, in Athena's SQL."""

    text: str
    kind: str = "DML"
    substatement: str = "SELECT"

    def tree(self, parameters: Sequence[str]) -> exp.Expr:
        """Return the parsed query with its parameters filled in; QueryFailure if they don't fit."""
        tree = sqlglot.parse(_filled(self.text, parameters), read=DIALECT)[0]
        if not isinstance(tree, exp.Expr):
            raise QueryFailure("SYNTAX_ERROR: the query is empty")
        return tree


@dataclass(frozen=True)
class Look:
    """SHOW or DESCRIBE; `database` and `table` are None where the statement leaves them out."""

    substatement: str
    database: str | None
    table: str | None
    pattern: str | None
    kind: str = "UTILITY"


@dataclass(frozen=True)
class Execute:
    """EXECUTE of a prepared statement."""

    name: str
    values: tuple[str, ...]
    kind: str = "DML"
    substatement: str = "EXECUTE"

    def check_prepared(self, athena: Any, work_group: str) -> None:
        """Refuse to start when there is no such statement, or one that the local AWS doesn't run."""
        self.prepared(athena, work_group)

    def prepared(self, athena: Any, work_group: str) -> Select:
        """Return the prepared statement that is to be executed."""
        try:
            found = athena.get_prepared_statement(StatementName=self.name, WorkGroup=work_group)
        except ClientError as error:
            message = f"PreparedStatement {self.name} was not found in workGroup {work_group}"
            raise ApiError("InvalidRequestException", message) from error
        statement = parse_statement(found["PreparedStatement"]["QueryStatement"])
        if not isinstance(statement, Select):
            raise _unsupported(f"the prepared statement {self.name}", "only prepared SELECT statements run")
        return statement


Statement = Select | Look | Execute


def parse_statement(text: str) -> Statement:
    """Return what a query string asks for; ApiError for what can't be parsed, and for what doesn't run locally."""
    text = _bare(text)
    for substatement, pattern in _LOOKS.items():
        if found := re.fullmatch(pattern, text, re.IGNORECASE):
            return _look(substatement, found.groupdict())
    if found := _EXECUTE.fullmatch(text):
        return Execute(_unquoted(found["name"]), tuple(_values(found["values"] or "")))
    try:
        trees = sqlglot.parse(text, read=DIALECT)
    except (ParseError, TokenError) as error:
        raise ApiError("InvalidRequestException", _syntax_error(error)) from error
    except RecursionError as error:
        raise ApiError("InvalidRequestException", "line 1:1: the query is nested too deeply") from error
    if len(trees) != 1:
        raise ApiError("InvalidRequestException", "Only one sql statement is allowed. Got: " + text[:200])
    tree = trees[0]
    if not isinstance(tree, exp.Query | exp.Values):
        word = text.split(None, 1)[0].upper() if text.split() else "An empty query"
        raise _unsupported(word, "use SELECT, WITH, SHOW, DESCRIBE or EXECUTE")
    if any(tree.find_all(exp.Into, exp.Insert, exp.Create, exp.Command)):
        raise _unsupported("a query that writes", "use SELECT without INTO")
    return Select(text)


def _look(substatement: str, found: dict[str, str | None]) -> Look:
    parts = [_unquoted(part) for part in re.findall(_NAME, found.get("table") or "")]
    database = parts[-2] if len(parts) > 1 else found.get("database")
    return Look(
        substatement,
        _unquoted(database) if database else None,
        parts[-1] if parts else None,
        found.get("pattern"),
    )


def _bare(text: str) -> str:
    """Return a statement without comments before it and the semicolon behind it."""
    text = re.sub(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", "", text, flags=re.DOTALL)
    return text.rstrip().removesuffix(";").rstrip()


def _unquoted(name: str) -> str:
    return name.strip(_QUOTES).lower()


def _values(text: str) -> list[str]:
    if not text.strip():
        return []
    try:
        tree = sqlglot.parse_one(f"SELECT {text}", read=DIALECT)
    except (ParseError, TokenError) as error:
        raise ApiError("InvalidRequestException", _syntax_error(error)) from error
    return [value.sql(DIALECT) for value in tree.expressions]


def _filled(text: str, parameters: Sequence[str]) -> str:
    """Put the parameters in place of the question marks, in their order."""
    marks = [token for token in sqlglot.tokenize(text, read=DIALECT) if token.token_type == TokenType.PLACEHOLDER]
    if len(marks) != len(parameters):
        raise QueryFailure(
            f"INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected {len(marks)} "
            f"but found {len(parameters)}"
        )
    for mark, parameter in reversed(list(zip(marks, parameters, strict=True))):
        text = f"{text[: mark.start]}{_constant(parameter)}{text[mark.end + 1 :]}"
    return text


def _constant(parameter: str) -> str:
    try:
        tree = sqlglot.parse_one(parameter, read=DIALECT)
    except (ParseError, TokenError) as error:
        raise QueryFailure(f"SYNTAX_ERROR: the parameter {parameter!r} is no SQL value: {error}") from error
    if not all(isinstance(node, _CONSTANT) for node in tree.walk()):
        raise QueryFailure(
            f"SYNTAX_ERROR: the parameter {parameter!r} is no constant: strings are written in single quotes"
        )
    return f"({tree.sql(DIALECT)})"


def _syntax_error(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if not details:
        return f"line 1:1: {error}"
    first = details[0]
    found = f"mismatched input '{first['highlight']}'" if first.get("highlight") else "unexpected end of the query"
    return f"line {first.get('line') or 1}:{first.get('col') or 1}: {found}: {first['description']}"


def _unsupported(what: str, instead: str) -> ApiError:
    return ApiError(
        "InvalidRequestException",
        f"Queries of this type are not supported: the local AWS doesn't run {what}: {instead}",
    )
