"""Tables of the Glue catalog, as a query needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from local_aws.athena.failures import QueryFailure
from local_aws.athena.hive_types import duckdb_type

CATALOG = "awsdatacatalog"
_LAZY = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
_FORMATS = {
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe": "parquet",
    "parquet.hive.serde.ParquetHiveSerDe": "parquet",
    _LAZY: "text",
    "org.apache.hadoop.hive.serde2.OpenCSVSerde": "csv",
    "org.openx.data.jsonserde.JsonSerDe": "json",
    "org.apache.hive.hcatalog.data.JsonSerDe": "json",
    "org.apache.hadoop.hive.serde2.JsonSerDe": "json",
}


@dataclass(frozen=True)
class Column:
    """A column or partition key; `type` is the catalog's word for it."""

    name: str
    type: str
    comment: str = ""


@dataclass(frozen=True)
class Partition:
    """The values of a table's partition keys, as written in the catalog, and where the files lie."""

    values: tuple[str, ...]
    location: str


@dataclass(frozen=True)
class Table:
    """A table of files. `format` is parquet, text, csv or json."""

    database: str
    name: str
    columns: tuple[Column, ...]
    keys: tuple[Column, ...]
    location: str
    format: str
    options: Mapping[str, str]
    parameters: Mapping[str, str]

    @cached_property
    def types(self) -> dict[str, str]:
        """The catalog's type of each column and partition key."""
        return {column.name: column.type.strip().lower() for column in (*self.columns, *self.keys)}

    @property
    def projected(self) -> bool:
        """Whether the partitions are computed, not registered."""
        return self.parameters.get("projection.enabled", "").lower() == "true"


class Catalog:
    """Reads the Glue catalog of one account and region with a client of Glue."""

    def __init__(self, glue: Any) -> None:
        self._glue = glue

    def databases(self) -> list[str]:
        pages = self._glue.get_paginator("get_databases").paginate()
        return sorted(database["Name"] for page in pages for database in page["DatabaseList"])

    def tables(self, database: str) -> list[str]:
        """Return the names of a database's tables; QueryFailure if there is no such database."""
        self._check_database(database)
        pages = self._glue.get_paginator("get_tables").paginate(DatabaseName=database)
        return sorted(table["Name"] for page in pages for table in page["TableList"])

    def table(self, database: str, name: str, place: str = "") -> Table:
        """Return a table; QueryFailure, which begins with the place in the query, says what is wrong with it."""
        try:
            found = self._glue.get_table(DatabaseName=database, Name=name)["Table"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "EntityNotFoundException":
                raise
            self._check_database(database, place)
            raise QueryFailure(f"TABLE_NOT_FOUND: {place}Table '{CATALOG}.{database}.{name}' does not exist") from error
        return _table(database, found)

    def partitions(self, table: Table) -> Iterator[Partition]:
        """Yield the registered partitions of a table."""
        pages = self._glue.get_paginator("get_partitions").paginate(DatabaseName=table.database, TableName=table.name)
        for page in pages:
            for partition in page["Partitions"]:
                location = partition.get("StorageDescriptor", {}).get("Location")
                if not location:
                    values = "/".join(partition["Values"])
                    raise QueryFailure(f"HIVE_METASTORE_ERROR: the partition {values} of {table.name} has no location")
                yield Partition(tuple(partition["Values"]), location)

    def _check_database(self, database: str, place: str = "") -> None:
        try:
            self._glue.get_database(Name=database)
        except ClientError as error:
            if error.response["Error"]["Code"] != "EntityNotFoundException":
                raise
            raise QueryFailure(f"SCHEMA_NOT_FOUND: {place}Schema '{database}' does not exist") from error


def _table(database: str, found: Mapping[str, Any]) -> Table:
    name = f"{database}.{found['Name']}"
    parameters = found.get("Parameters") or {}
    if found.get("TableType") == "VIRTUAL_VIEW":
        raise QueryFailure(f"NOT_SUPPORTED: {name} is a view: the local AWS queries tables of files")
    if str(parameters.get("table_type", "")).upper() == "ICEBERG":
        raise QueryFailure(f"NOT_SUPPORTED: {name} is an Iceberg table: the local AWS queries plain files")
    storage = found.get("StorageDescriptor") or {}
    serde = storage.get("SerdeInfo") or {}
    library = serde.get("SerializationLibrary", "")
    if library not in _FORMATS:
        raise QueryFailure(
            f"HIVE_UNSUPPORTED_FORMAT: {name} has the SerDe {library!r}: the local AWS reads {', '.join(_FORMATS)}"
        )
    table = Table(
        database=database,
        name=found["Name"],
        columns=_columns(storage.get("Columns")),
        keys=_columns(found.get("PartitionKeys")),
        location=storage.get("Location", ""),
        format=_FORMATS[library],
        # table properties may hold the count of header lines too
        options={**parameters, **(serde.get("Parameters") or {})},
        parameters=parameters,
    )
    for column in (*table.columns, *table.keys):
        try:
            kind = duckdb_type(column.type)
        except ValueError as error:
            raise QueryFailure(f"HIVE_INVALID_METADATA: {name}.{column.name}: {error}") from error
        if table.format in ("text", "csv") and column in table.columns and kind[-1] in ")]" and "DECIMAL" not in kind:
            raise QueryFailure(
                f"NOT_SUPPORTED: {name}.{column.name} is {column.type}: the local AWS reads no nested columns of text"
            )
    return table


def _columns(found: list[Mapping[str, Any]] | None) -> tuple[Column, ...]:
    return tuple(
        Column(each["Name"].lower(), each.get("Type", "string"), each.get("Comment", "")) for each in found or []
    )
