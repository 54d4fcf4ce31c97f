"""SHOW and DESCRIBE: what the Glue catalog holds, in the layout of Hive's tools."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from local_aws.athena import projection
from local_aws.athena.catalog import Catalog, Table
from local_aws.athena.failures import QueryFailure
from local_aws.athena.statements import Look

_WIDTH = 20
_COLUMNS = {
    "SHOW_DATABASES": ["database_name"],
    "SHOW_TABLES": ["tab_name"],
    "SHOW_PARTITIONS": ["partition"],
    "SHOW_COLUMNS": ["field"],
    "DESCRIBE_TABLE": ["col_name", "data_type", "comment"],
}


def answer(look: Look, catalog: Catalog, database: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the ColumnInfo and the lines of an answer; each line is one value, as in Athena."""
    columns = [
        {"CatalogName": "hive", "SchemaName": "", "TableName": "", "Name": name, "Label": name, "Type": "string",
         "Precision": 0, "Scale": 0, "Nullable": "UNKNOWN", "CaseSensitive": False}
        for name in _COLUMNS[look.substatement]
    ]  # fmt: skip
    return columns, _lines(look, catalog, database)


def _lines(look: Look, catalog: Catalog, database: str | None) -> list[str]:
    if look.substatement == "SHOW_DATABASES":
        return _matching(catalog.databases(), look.pattern)
    schema = look.database or (database or "").lower()
    if not schema:
        raise QueryFailure("MISSING_SCHEMA_NAME: no database: name one in the statement or in QueryExecutionContext")
    if look.table is None:
        return _matching(catalog.tables(schema), look.pattern)
    table = catalog.table(schema, look.table)
    if look.substatement == "SHOW_COLUMNS":
        return [column.name.ljust(_WIDTH) for column in (*table.columns, *table.keys)]
    if look.substatement == "SHOW_PARTITIONS":
        return _partitions(catalog, table)
    return _description(table)


def _matching(names: list[str], pattern: str | None) -> list[str]:
    """Return the names that one of the patterns fits: `a*|b*`, or a regular expression with `.*`."""
    if pattern is None:
        return names
    wanted = [re.compile(fnmatch.translate(each.replace(".*", "*")), re.IGNORECASE) for each in pattern.split("|")]
    return [name for name in names if any(each.match(name) for each in wanted)]


def _partitions(catalog: Catalog, table: Table) -> list[str]:
    if not table.keys:
        raise QueryFailure(f"INVALID_TABLE: {table.database}.{table.name} is not a partitioned table")
    if table.projected:
        first = projection.key_values(table, {})
        raise QueryFailure(
            f"NOT_SUPPORTED: the partitions of {table.database}.{table.name} are projected, not registered: "
            f"{', '.join(f'{len(values)} values of {key.name}' for key, values in zip(table.keys, first, strict=True))}"
        )
    names = [key.name for key in table.keys]
    return sorted(
        "/".join(f"{name}={value}" for name, value in zip(names, partition.values, strict=True))
        for partition in catalog.partitions(table)
    )


def _description(table: Table) -> list[str]:
    every = (*table.columns, *table.keys)
    lines = [_row(column.name, column.type, column.comment) for column in every]
    if table.keys:
        lines += ["\t \t ", "# Partition Information\t \t ", _row("# col_name", "data_type", "comment"), "\t \t "]
        lines += [_row(key.name, key.type, key.comment) for key in table.keys]
    return lines


def _row(*values: str) -> str:
    return "\t".join(value.ljust(_WIDTH) for value in values)
