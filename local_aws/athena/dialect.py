"""A query of Athena as DuckDB's SQL, with the differences that the translation alone leaves."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp
from sqlglot.errors import ErrorLevel, UnsupportedError

from local_aws.athena.engine.values import UNNAMED
from local_aws.athena.failures import QueryFailure
from local_aws.athena.pruning import Reference

_COARSE_UNITS = {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}


def to_duckdb(tree: exp.Expr, references: Iterable[Reference]) -> str:
    """Return DuckDB's SQL; QueryFailure for what can't be translated. The tree is changed."""
    found = list(references)
    _name_unnamed(tree)
    dates = {name for each in found for name, kind in each.table.types.items() if kind == "date"}
    others = {name for each in found for name, kind in each.table.types.items() if kind != "date"}
    _keep_dates(tree, dates - others)
    for reference in found:
        # views are named by the catalog's database, in one catalog
        reference.node.set("catalog", None)
        reference.node.set("db", exp.to_identifier(reference.table.database, quoted=True))
        reference.node.set("this", exp.to_identifier(reference.table.name, quoted=True))
    for column in tree.find_all(exp.Column):
        column.set("catalog", None)
    if isinstance(tree, exp.Values):
        names = [f"{UNNAMED}{index}" for index in range(len(tree.expressions[0].expressions))]
        tree = exp.select("*").from_(exp.alias_(tree, "rows", table=names))
    try:
        return tree.sql("duckdb", unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise QueryFailure(f"NOT_SUPPORTED: the local AWS can't translate the query for DuckDB: {error}") from error


def _name_unnamed(tree: exp.Expr) -> None:
    """Mark the projections of the result that have no name: DuckDB would name them by their text."""
    while isinstance(tree, exp.SetOperation | exp.Subquery):
        tree = tree.this
    if not isinstance(tree, exp.Select):
        return
    named = (exp.Alias, exp.Aliases, exp.Column, exp.Star, exp.Dot)
    tree.set(
        "expressions",
        [
            each if isinstance(each, named) else exp.alias_(each, f"{UNNAMED}{index}", quoted=True)
            for index, each in enumerate(tree.expressions)
        ],
    )


def _keep_dates(tree: exp.Expr, dates: set[str]) -> None:
    """Have arithmetic on dates give dates, as in Trino; DuckDB makes timestamps of them."""
    for node in list(tree.find_all(exp.DateTrunc, exp.TimestampTrunc, exp.DateAdd, exp.DateSub, exp.Add, exp.Sub)):
        if _is_date_arithmetic(node, dates) and not isinstance(node.parent, exp.Cast):
            node.replace(exp.cast(node.copy(), "date"))


def _is_date_arithmetic(node: exp.Expr, dates: set[str]) -> bool:
    if isinstance(node, exp.DateTrunc | exp.TimestampTrunc | exp.DateAdd | exp.DateSub):
        unit = node.args.get("unit")
        return unit is not None and unit.name.upper() in _COARSE_UNITS and _is_date(node.this, dates)
    if isinstance(node, exp.Add | exp.Sub):
        interval = node.expression
        unit = interval.args.get("unit") if isinstance(interval, exp.Interval) else None
        return unit is not None and unit.name.upper() in _COARSE_UNITS and _is_date(node.this, dates)
    return False


def _is_date(node: exp.Expr, dates: set[str]) -> bool:
    node = node.unnest()
    if isinstance(node, exp.Column):
        return node.name.lower() in dates
    if isinstance(node, exp.Cast | exp.TryCast):
        return bool(node.to.this == exp.DataType.Type.DATE)
    return isinstance(node, exp.CurrentDate | exp.Date | exp.TsOrDsToDate) or _is_date_arithmetic(node, dates)
