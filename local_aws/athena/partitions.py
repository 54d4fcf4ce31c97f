"""The partitions and objects of a table that a query has to read."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from local_aws.athena import projection
from local_aws.athena.catalog import Catalog, Partition, Table
from local_aws.athena.failures import QueryFailure
from local_aws.athena.hive_types import duckdb_type
from local_aws.athena.object_cache import S3Object
from local_aws.athena.pruning import Reference
from local_aws.jobs.s3_files import S3Uri

# above this many places one listing of what they have in common is cheaper than one for each
LISTED_ONE_BY_ONE = 8
# rows of partition values, grouped by what varies independently; predicates in DuckDB's SQL; the rows that meet them
Chooser = Callable[[list[dict[str, Any]], list[str]], list[tuple[str, ...]]]


@dataclass(frozen=True)
class DataFile:
    """An object of a table with the values of its partition keys."""

    item: S3Object
    values: tuple[str, ...]


def files(catalog: Catalog, s3: Any, found: Sequence[Reference], choose: Chooser) -> list[DataFile]:
    """Return the objects that at least one of a table's references reads."""
    table = found[0].table
    if not table.keys:
        return _objects(s3, [Partition((), table.location)])
    if table.projected:
        chosen = {values for reference in found for values in _projected(table, reference, choose)}
        return _objects(s3, [Partition(values, projection.location(table, values)) for values in sorted(chosen)])
    registered = list(catalog.partitions(table))
    rows = {partition.values for partition in registered}
    wanted: set[tuple[str, ...]] = set()
    for reference in found:
        wanted |= set(_registered(table, reference, rows, choose))
    return _objects(s3, [partition for partition in registered if partition.values in wanted])


def _registered(
    table: Table, reference: Reference, rows: set[tuple[str, ...]], choose: Chooser
) -> Iterable[tuple[str, ...]]:
    if not reference.predicates or not rows:
        return rows
    types = [[key.name, duckdb_type(key.type)] for key in table.keys]
    return choose([{"columns": types, "rows": sorted(rows)}], _conditions(reference))


def _projected(table: Table, reference: Reference, choose: Chooser) -> Iterable[tuple[str, ...]]:
    values = projection.key_values(table, reference.wanted())
    if reference.predicates:
        groups = [
            {"columns": [[key.name, duckdb_type(key.type)]], "rows": [[value] for value in of_key]}
            for key, of_key in zip(table.keys, values, strict=True)
        ]
        return choose(groups, _conditions(reference))
    count = math.prod(len(each) for each in values)
    if count > projection.MOST_VALUES:
        raise QueryFailure(
            f"HIVE_EXCEEDED_PARTITION_LIMIT: {table.database}.{table.name} projects {count} partitions, more than "
            f"{projection.MOST_VALUES}: ask for fewer in WHERE"
        )
    return itertools.product(*values)


def _conditions(reference: Reference) -> list[str]:
    """Return a reference's predicates in DuckDB's SQL, on columns without their table."""
    found = []
    for predicate in reference.predicates:
        alone = predicate.copy()
        for column in alone.find_all(exp.Column):
            for part in ("table", "db", "catalog"):
                column.set(part, None)
        found.append(alone.sql("duckdb"))
    return found


def _objects(s3: Any, partitions: Sequence[Partition]) -> list[DataFile]:
    """List the objects of partitions; names that begin with a dot or underscore and empty objects hold no rows."""
    by_bucket: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for partition in partitions:
        try:
            uri = S3Uri.parse(partition.location)
        except ValueError as error:
            raise QueryFailure(f"HIVE_FILESYSTEM_ERROR: the location {partition.location!r} is not of S3") from error
        folder = uri.key.rstrip("/") + "/" if uri.key else ""
        by_bucket.setdefault(uri.bucket, []).append((folder, partition.values))
    found = []
    for bucket, folders in by_bucket.items():
        if len(folders) <= LISTED_ONE_BY_ONE:
            for folder, values in folders:
                found += [DataFile(item, values) for item in _list(s3, bucket, folder)]
        else:
            listed = _list(s3, bucket, _common_prefix(folder for folder, _ in folders))
            keys = [item.key for item in listed]
            for folder, values in folders:
                index = bisect_left(keys, folder)
                while index < len(keys) and keys[index].startswith(folder):
                    found.append(DataFile(listed[index], values))
                    index += 1
    return found


def _common_prefix(folders: Iterable[str]) -> str:
    ordered = sorted(folders)
    first, last = ordered[0], ordered[-1]
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: sum(1 for _ in same)]


def _list(s3: Any, bucket: str, prefix: str) -> list[S3Object]:
    found = []
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                name = entry["Key"].rpartition("/")[2]
                if name and name[0] not in "._" and entry["Size"] > 0:
                    found.append(S3Object(bucket, entry["Key"], entry["Size"], entry["ETag"]))
    except s3.exceptions.NoSuchBucket as error:
        raise QueryFailure(f"HIVE_FILESYSTEM_ERROR: the bucket {bucket} does not exist") from error
    return sorted(found, key=lambda item: item.key)
