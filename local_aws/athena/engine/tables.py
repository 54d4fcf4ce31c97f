"""Views of DuckDB that stand for the tables of a query, on the files in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from local_aws.athena.engine.json_lines import BadDataError, normalise

Spec = dict[str, Any]
# the column of the folder names that tell files apart
FILE = "_file"
# no text holds these: separators of files and groups
NO_DELIMITER, NO_NULL = "\x1c\x1d", "\x1e"
# how Hive writes NULL as a partition's value
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
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
    columns = ", ".join([f"{text(FILE)}: 'INTEGER'", *(f"{text(name)}: 'VARCHAR'" for name, _ in names)])
    typed = ", ".join(
        f"CAST(nullif({quoted(name)}, {text(NO_VALUE)}) AS {kind}) AS {quoted(name)}" for name, kind in names
    )
    listing = quoted(f"{spec['folder']} files")
    connection.execute(
        f"CREATE TABLE {listing} AS SELECT {FILE}, {typed} FROM read_json({text(str(folder / 'files.json'))}, "  # noqa: S608
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
    return _lines(spec, paths) if spec["format"] == "text" else _quoted_fields(spec, paths)


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
    """Read text as Hive splits it: no quotes, missing fields are NULL, further ones are left out."""
    options = spec["options"]
    if "escape.delim" in options:
        raise BadDataError("NOT_SUPPORTED: the local AWS reads no text with escape.delim")
    delimiter = options.get("field.delim") or options.get("serialization.format") or "\x01"
    delimiter = {"1": "\x01", "\\t": "\t"}.get(delimiter, delimiter)
    null = text(options.get("serialization.null.format", r"\N"))
    rows = _csv(spec, paths, f"{{'line': 'VARCHAR'}}, delim={text(NO_DELIMITER)}, quote='', escape=''")
    split = f"(SELECT string_split(line, {text(delimiter)}) AS fields, {FILE} FROM {rows})"  # noqa: S608
    fields = ((f"nullif(rows.fields[{index}], {null})", *column) for index, column in enumerate(spec["columns"], 1))
    return [f"{_lenient(field, kind)} AS {quoted(name)}" for field, name, kind in fields], split


def _lenient(field: str, kind: str) -> str:
    if kind == "VARCHAR":
        return field
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"):
        # a number with a fraction is no integer to Hive
        field = rf"CASE WHEN regexp_full_match({field}, '[+-]?\d+') THEN {field} END"
    return f"TRY_CAST({field} AS {kind})"


def _quoted_fields(spec: Spec, paths: list[str]) -> tuple[list[str], str]:
    options = spec["options"]
    columns = ", ".join(f"{text(name)}: 'VARCHAR'" for name, _ in spec["columns"])
    separator, quote, escape = (
        text(options.get(name, default))
        for name, default in (("separatorChar", ","), ("quoteChar", '"'), ("escapeChar", '"'))
    )
    # quoted fields may go over several lines
    layout = f"{{{columns}}}, delim={separator}, quote={quote}, escape={escape}, parallel=false"
    fields = (
        f"rows.{quoted(name)}" if kind == "VARCHAR" else f"CAST(nullif(trim(rows.{quoted(name)}), '') AS {kind})"
        for name, kind in spec["columns"]
    )
    names = (quoted(name) for name, _ in spec["columns"])
    return [f"{field} AS {name}" for field, name in zip(fields, names, strict=True)], _csv(spec, paths, layout)


def _csv(spec: Spec, paths: list[str], layout: str) -> str:
    # DuckDB takes no text as NULL by itself: Hive doesn't either
    return (
        f"read_csv({_listed(paths)}, columns={layout}, header=false, auto_detect=false, skip={_header_lines(spec)}, "
        f"null_padding=true, strict_mode=false, nullstr={text(NO_NULL)}, {_layout()})"
    )


def _header_lines(spec: Spec) -> int:
    value = spec["options"].get("skip.header.line.count", "0")
    if not value.isdigit():
        raise BadDataError(f"HIVE_INVALID_METADATA: skip.header.line.count must be a number, got {value!r}")
    return int(value)


def _layout() -> str:
    return f"hive_partitioning=true, hive_types={{'{FILE}': INTEGER}}"


def _listed(paths: list[str]) -> str:
    return "[" + ", ".join(text(path) for path in paths) + "]"
