"""Views of DuckDB that stand for the tables of a query, on the files in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local_aws.athena.engine.json_lines import BadDataError, normalise

Spec = dict[str, Any]
# the column of the folder names that tell files apart
FILE = "_file"
_KINDS = {
    "text": ("VARCHAR", "JSON"),
    "number": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "UINTEGER", "UBIGINT"),
    "boolean": ("BOOLEAN",),
    "date": ("DATE",),
    "timestamp": ("TIMESTAMP",),
    "binary": ("BLOB",),
}


def quoted(name: str) -> str:
    """Return a name as SQL writes it in any case."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a string as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def create_view(connection: Any, spec: Spec, directory: Path) -> None:
    """Create the view of a table. `spec` holds schema, name, format, columns, keys, options, folder and files."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(spec['schema'])}")
    view = f"{quoted(spec['schema'])}.{quoted(spec['name'])}"
    names = [*spec["keys"], *([["$path", "VARCHAR"]] if spec["with_path"] else [])]
    if not spec["files"]:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in [*spec["columns"], *names])
        connection.execute(f"CREATE VIEW {view} AS SELECT {columns} WHERE FALSE")
        return
    folder = directory / spec["folder"]
    paths = [str(folder / name) for name in spec["files"]]
    values, rows = _columns(connection, spec, paths)
    if not names:
        connection.execute(f"CREATE VIEW {view} AS SELECT {', '.join(values)} FROM {rows} AS rows")  # noqa: S608
        return
    columns = ", ".join(f"{text(name)}: {text(kind)}" for name, kind in [[FILE, "INTEGER"], *names])
    listing = quoted(f"{spec['folder']} files")
    connection.execute(
        f"CREATE TABLE {listing} AS SELECT * FROM read_json({text(str(folder / 'files.json'))}, "  # noqa: S608
        f"format='newline_delimited', columns={{{columns}}})"
    )
    values += [f"listing.{quoted(name)}" for name, _ in names]
    connection.execute(
        f"CREATE VIEW {view} AS SELECT {', '.join(values)} FROM {rows} AS rows JOIN {listing} AS listing "  # noqa: S608
        f"ON rows.{FILE} = listing.{FILE}"
    )


def _columns(connection: Any, spec: Spec, paths: list[str]) -> tuple[list[str], str]:
    """Return the columns as SQL expressions, and the call that reads the files."""
    if spec["format"] == "parquet":
        return _parquet(connection, spec, paths)
    if spec["format"] == "json":
        return _json(spec, paths)
    return _lines(spec, paths)


def _parquet(connection: Any, spec: Spec, paths: list[str]) -> tuple[list[str], str]:
    rows = f"read_parquet({_listed(paths)}, union_by_name=true, {_layout()})"
    stored = {row[0].lower(): row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()}  # noqa: S608
    values = []
    for name, kind in spec["columns"]:
        if name not in stored:
            values.append(f"CAST(NULL AS {kind}) AS {quoted(name)}")
            continue
        if _family(stored[name]) != _family(kind):
            raise BadDataError(
                f"HIVE_BAD_DATA: Field {name}'s type {stored[name]} in parquet files of {spec['schema']}."
                f"{spec['name']} is incompatible with type {kind} defined in table schema"
            )
        values.append(f"CAST(rows.{quoted(name)} AS {kind}) AS {quoted(name)}")
    return values, rows


def _family(kind: str) -> str:
    if kind.endswith("]"):
        return "array"
    for family, words in _KINDS.items():
        if kind.startswith(words):
            return family
    return kind.partition("(")[0]


def _json(spec: Spec, paths: list[str]) -> tuple[list[str], str]:
    types = dict(spec["columns"])
    lenient = spec["options"].get("ignore.malformed.json", "false").lower() == "true"
    normalised = []
    for path in map(Path, paths):
        target = path.with_name("lines.json")
        normalise(path, target, types, ignore_malformed=lenient)
        normalised.append(str(target))
    columns = ", ".join(f"{text(name)}: {text(kind)}" for name, kind in types.items())
    rows = f"read_json({_listed(normalised)}, format='newline_delimited', columns={{{columns}}}, {_layout()})"
    return [f"rows.{quoted(name)}" for name in types], rows


def _lines(spec: Spec, paths: list[str]) -> tuple[list[str], str]:
    options, quoting = spec["options"], spec["format"] == "csv"
    columns = ", ".join(f"{text(name)}: 'VARCHAR'" for name, _ in spec["columns"])
    if quoting:
        quote, escape = options.get("quoteChar", '"'), options.get("escapeChar", '"')
        settings = f"delim={text(options.get('separatorChar', ','))}, quote={text(quote)}, escape={text(escape)}"
        # quoted fields may go over several lines
        settings += ", parallel=false"
    else:
        delimiter = options.get("field.delim") or options.get("serialization.format") or "\x01"
        delimiter = {"1": "\x01", "\\t": "\t"}.get(delimiter, delimiter)
        settings = f"delim={text(delimiter)}, quote='', escape={text(options.get('escape.delim', ''))}"
    null = r"\N" if quoting else options.get("serialization.null.format", r"\N")
    # rows may have fewer or more fields than the table has columns
    rows = (
        f"read_csv({_listed(paths)}, columns={{{columns}}}, {settings}, header=false, auto_detect=false, "
        f"skip={_header_lines(spec)}, null_padding=true, strict_mode=false, nullstr={text(null)}, {_layout()})"
    )
    return [_from_text(name, kind, quoting) for name, kind in spec["columns"]], rows


def _from_text(name: str, kind: str, strict: bool) -> str:
    column = f"rows.{quoted(name)}"
    if kind == "VARCHAR":
        return column
    if strict:
        return f"CAST(nullif(trim({column}), '') AS {kind}) AS {quoted(name)}"
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"):
        # a number with a fraction is no integer to Hive
        column = rf"CASE WHEN regexp_full_match({column}, '[+-]?\d+') THEN {column} END"
    return f"TRY_CAST({column} AS {kind}) AS {quoted(name)}"


def _header_lines(spec: Spec) -> int:
    value = spec["options"].get("skip.header.line.count", "0")
    if not value.isdigit():
        raise BadDataError(f"HIVE_INVALID_METADATA: skip.header.line.count must be a number, got {value!r}")
    return int(value)


def _layout() -> str:
    return f"hive_partitioning=true, hive_types={{'{FILE}': INTEGER}}"


def _listed(paths: list[str]) -> str:
    return "[" + ", ".join(text(path) for path in paths) + "]"
