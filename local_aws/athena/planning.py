"""What a SELECT needs: its tables, their objects, and the views on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlglot import exp

from local_aws.athena import partitions, projection
from local_aws.athena.catalog import Catalog, Table
from local_aws.athena.dialect import to_duckdb
from local_aws.athena.failures import QueryFailure
from local_aws.athena.hive_types import duckdb_type
from local_aws.athena.object_cache import ObjectCache
from local_aws.athena.partitions import DataFile
from local_aws.athena.pruning import Reference, place, references

PATH_COLUMN = "$path"


class BytesLimitError(Exception):
    """The query would read more than its workgroup lets it."""


class SelectPlan:
    """A parsed query with the files that it reads. `work` runs a plan in a process and returns its answer."""

    def __init__(
        self,
        tree: exp.Expr,
        database: str | None,
        client: Callable[[str], Any],
        work: Callable[[Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._s3 = client("s3")
        self._run = work
        self._with_path = any(column.name == PATH_COLUMN for column in tree.find_all(exp.Column))
        catalog = Catalog(client("glue"))
        known: dict[tuple[str, str], Table] = {}

        def find(schema: str, name: str, where: str) -> Table:
            if (schema, name) not in known:
                known[schema, name] = catalog.table(schema, name, where)
            return known[schema, name]

        found = references(tree, database, find)
        self._tables = [
            (table, self._files(catalog, [each for each in found if each.table is table])) for table in known.values()
        ]
        self._places = {column.name.lower(): place(column) for column in reversed(list(tree.find_all(exp.Column)))}
        self._query = to_duckdb(tree, found)

    def place(self, column: str) -> str:
        """Return where the query names a column first, as messages begin; nothing if it doesn't."""
        return self._places.get(column.lower(), "")

    def check_size(self, cutoff: int | None) -> int:
        """Return the bytes of all files that the query reads; BytesLimitError if that is more than the cutoff."""
        sizes = {file.item.uri: file.item.size for _, files in self._tables for file in files}
        total = sum(sizes.values())
        if cutoff is not None and total > cutoff:
            raise BytesLimitError(
                f"Bytes scanned limit was exceeded: the query reads {total} bytes, its workgroup allows {cutoff}"
            )
        return total

    def fetch(self, cache: ObjectCache, directory: Path) -> None:
        """Put the files, and lists of them, below the directory."""
        wanted = []
        for number, (table, files) in enumerate(self._tables):
            folder = directory / _folder(number)
            folder.mkdir()
            lines = []
            for index, file in enumerate(files):
                wanted.append((file.item, folder / _name(index, file)))
                values = dict(zip((key.name for key in table.keys), file.values, strict=True))
                lines.append(json.dumps({"_file": index, PATH_COLUMN: file.item.uri, **values}) + "\n")
            (folder / "files.json").write_text("".join(lines))
        cache.link(self._s3, wanted)

    def work(self) -> dict[str, Any]:
        """Return the plan of the process that runs the query."""
        return {"work": "run", "query": self._query, "tables": [self._spec(*each) for each in enumerate(self._tables)]}

    def _spec(self, number: int, found: tuple[Table, list[DataFile]]) -> dict[str, Any]:
        table, files = found
        return {
            "schema": table.database,
            "name": table.name,
            "format": table.format,
            "options": dict(table.options),
            "columns": [[column.name, duckdb_type(column.type)] for column in table.columns],
            "keys": [[key.name, duckdb_type(key.type)] for key in table.keys],
            "with_path": self._with_path,
            "folder": _folder(number),
            "files": [_name(index, file) for index, file in enumerate(files)],
        }

    def _files(self, catalog: Catalog, found: list[Reference]) -> list[DataFile]:
        return partitions.files(catalog, self._s3, found, self._choose)

    def _choose(self, groups: list[dict[str, Any]], conditions: list[str]) -> list[tuple[str, ...]]:
        plan = {"work": "choose", "groups": groups, "conditions": conditions, "most": projection.MOST_VALUES}
        return [tuple(row) for row in self._run(plan)["rows"]]


def _folder(number: int) -> str:
    return f"table{number}"


def _name(index: int, file: DataFile) -> str:
    """Return a file's name: its ending says how it is compressed."""
    ending = file.item.key.rpartition("/")[2].rpartition(".")[2].lower()
    if ending in ("bz2", "zst", "lzo", "snappy", "deflate"):
        raise QueryFailure(f"NOT_SUPPORTED: {file.item.uri}: the local AWS reads plain files and .gz")
    return f"_file={index}/data.{'gz' if ending == 'gz' else 'rows'}"
