"""Where the rows of a data source are: a table of the catalog, and those of its partitions that a run asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local_aws.glue.operations import Owner
from local_aws.jobs.s3_files import RemoteFile, S3Uri, list_folder
from local_aws.service import LocalContext

Record = Mapping[str, Any]
# AdditionalOptions of a data source that choose partitions
PREDICATES = ("catalogPartitionPredicate", "pushDownPredicate")
HIVE_NULL = "\\N"


class SourceError(Exception):
    """A data source that can't be read; the message becomes the run's ErrorString."""


@dataclass(frozen=True)
class Unit:
    """A partition's folder (or the table's) and the values of its keys."""

    location: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """How the files of a table are read: columns and partition keys as (name, type of Hive), options of Spark's CSV."""

    format: Literal["parquet", "csv"]
    columns: tuple[tuple[str, str], ...]
    keys: tuple[tuple[str, str], ...] = ()
    csv_options: tuple[tuple[str, str], ...] = ()
    csv_null: str = HIVE_NULL


def glue_table(data_source: Record) -> Record:
    """Return what a DataSource says of its table."""
    table: Record = data_source.get("GlueTable") or data_source.get("DataQualityGlueTable") or {}
    return table


def catalog(context: LocalContext, owner: Owner) -> Any:
    """Return a client of Glue in an account and region."""
    account, region = owner
    role = None if account == context.account else f"arn:aws:iam::{account}:role/glue"
    return context.client("glue", region=region, role_arn=role)


def find_units(glue: Any, data_source: Record) -> tuple[Layout, list[Unit]]:
    """Return the layout of a data source's table and the folders that its rows are in."""
    named = glue_table(data_source)
    table = glue.get_table(DatabaseName=named["DatabaseName"], Name=named["TableName"])["Table"]
    label = f"{named['DatabaseName']}.{named['TableName']}"
    layout = _layout(label, table)
    options = named.get("AdditionalOptions", {})
    predicates = [options[option] for option in PREDICATES if options.get(option)]
    if not layout.keys:
        if predicates:
            raise SourceError(f"{predicates[0]} can't choose partitions of {label}: the table has no partition keys")
        return layout, [Unit(_location(label, table))]
    found = [_partitions(glue, named, predicate) for predicate in predicates or [None]]
    chosen = [values for values in found[0] if all(values in others for others in found[1:])]
    if not chosen:
        asked = f" matches {' and '.join(predicates)}" if predicates else " is registered"
        raise SourceError(f"no partition of {label}{asked}: the catalog has no rows to evaluate")
    return layout, [Unit(_location(f"{label} {list(values)}", found[0][values]), values) for values in chosen]


def list_files(s3: Any, unit: Unit) -> tuple[str, list[RemoteFile]]:
    """Return bucket and files of a unit, all for one folder; names that start with _ or . are not data."""
    try:
        uri = S3Uri.parse(unit.location)
    except ValueError as error:
        raise SourceError(str(error)) from error
    keys = [file.key for file in list_folder(s3, uri) if not file.relative.rpartition("/")[2].startswith(("_", "."))]
    return uri.bucket, [RemoteFile(key, f"{index:05}-{key.rpartition('/')[2]}") for index, key in enumerate(keys)]


def _partitions(glue: Any, named: Record, predicate: str | None) -> dict[tuple[str, ...], Record]:
    pages = glue.get_paginator("get_partitions").paginate(
        DatabaseName=named["DatabaseName"],
        TableName=named["TableName"],
        **({"Expression": predicate.replace("==", "=")} if predicate else {}),
    )
    return {tuple(partition["Values"]): partition for page in pages for partition in page["Partitions"]}


def _location(label: str, owner: Record) -> str:
    location = owner.get("StorageDescriptor", {}).get("Location")
    if not location:
        raise SourceError(f"{label} has no location in the catalog")
    return str(location)


def _layout(label: str, table: Record) -> Layout:
    storage = table.get("StorageDescriptor", {})
    serde = storage.get("SerdeInfo", {})
    library = f"{serde.get('SerializationLibrary', '')} {storage.get('InputFormat', '')}".lower()
    kind = str(table.get("Parameters", {}).get("classification", "")).lower()
    columns = tuple((column["Name"], column.get("Type", "string")) for column in storage.get("Columns", []))
    keys = tuple((key["Name"], key.get("Type", "string")) for key in table.get("PartitionKeys", []))
    if "parquet" in library or kind == "parquet":
        return Layout("parquet", columns, keys)
    if "opencsvserde" in library or "lazysimpleserde" in library or kind == "csv":
        parameters = {**table.get("Parameters", {}), **storage.get("Parameters", {}), **serde.get("Parameters", {})}
        options, null = _csv(label, parameters, "opencsvserde" in library)
        return Layout("csv", columns, keys, options, null)
    raise SourceError(f"{label} is neither Parquet nor CSV: data quality reads no other formats in the local AWS")


def _csv(label: str, parameters: Record, opencsv: bool) -> tuple[tuple[tuple[str, str], ...], str]:
    header = parameters.get("skip.header.line.count", "0")
    if header not in ("0", "1"):
        raise SourceError(f"{label} skips {header} lines of each file: data quality skips one header line at most")
    default = "," if opencsv else "\x01"
    separator = parameters.get("separatorChar") or parameters.get("field.delim") or parameters.get("delimiter")
    options = (
        ("header", "true" if header == "1" else "false"),
        ("sep", separator or default),
        ("quote", parameters.get("quoteChar") or '"'),
        ("escape", parameters.get("escapeChar") or parameters.get("escape.delim") or "\\"),
    )
    return options, parameters.get("serialization.null.format", HIVE_NULL)
