"""One piece of a query's work: `python -m local_aws.athena.engine.worker <folder>` reads plan.json, writes answer.json.

A plan chooses partitions, or runs the query into rows.jsonl and result.csv. No SQL of the user's runs before DuckDB is
confined to the folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import duckdb

from local_aws.athena.engine.json_lines import BadDataError
from local_aws.athena.engine.tables import create_view, quoted, text
from local_aws.athena.engine.values import UNNAMED, column_info, text_of

FETCHED_ROWS = 10_000


def main(directory: Path) -> None:
    """Do what the plan says; what fails because of the query is part of the answer."""
    plan = json.loads((directory / "plan.json").read_text())
    answer: dict[str, Any]
    try:
        connection = _confined(directory, plan)
        work = _choose if plan["work"] == "choose" else _run
        answer = work(connection, plan, directory)
    except BadDataError as error:
        answer = {"error": {"kind": "", "message": str(error)}}
    except (duckdb.Error, OverflowError, MemoryError, UnicodeDecodeError) as error:
        kind = "OutOfRangeException" if isinstance(error, OverflowError) else type(error).__name__
        answer = {"error": {"kind": kind, "message": str(error)}}
    (directory / "answer.json").write_text(json.dumps(answer))


def _confined(directory: Path, plan: dict[str, Any]) -> Any:
    connection = duckdb.connect()
    settings = {
        "memory_limit": text(plan["memory"]),
        "threads": str(plan["threads"]),
        "temp_directory": text(str(directory / "spilled")),
        "max_temp_directory_size": text(plan["spill"]),
        "TimeZone": "'UTC'",
        # as in Trino, a quotient of integers is one
        "integer_division": "true",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allowed_directories": f"[{text(str(directory))}]",
        "enable_external_access": "false",
        "lock_configuration": "true",
    }
    for name, value in settings.items():
        connection.execute(f"SET {name} = {value}")
    return connection


def _choose(connection: Any, plan: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Return the combinations of partition values that meet the conditions."""
    names, sources = [], []
    for number, group in enumerate(plan["groups"]):
        file = directory / f"group{number}.json"
        columns = [f"v{index}" for index in range(len(group["columns"]))]
        file.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in group["rows"]))
        types = ", ".join(f"{column}: 'VARCHAR'" for column in columns)
        selected = ", ".join(
            f"{column} AS {quoted('text of ' + name)}, TRY_CAST({column} AS {kind}) AS {quoted(name)}"
            for column, (name, kind) in zip(columns, group["columns"], strict=True)
        )
        sources.append(
            f"(SELECT {selected} FROM read_json({text(str(file))}, format='newline_delimited', columns={{{types}}}))"  # noqa: S608
        )
        names += [quoted("text of " + name) for name, _ in group["columns"]]
    conditions = " AND ".join(f"({condition})" for condition in plan["conditions"])
    rows = connection.execute(
        f"SELECT {', '.join(names)} FROM {' CROSS JOIN '.join(sources)} WHERE {conditions} LIMIT {plan['most'] + 1}"  # noqa: S608
    ).fetchall()
    if len(rows) > plan["most"]:
        raise BadDataError(f"HIVE_EXCEEDED_PARTITION_LIMIT: the query reads more than {plan['most']} partitions")
    return {"rows": rows}


def _run(connection: Any, plan: dict[str, Any], directory: Path) -> dict[str, Any]:
    for table in plan["tables"]:
        create_view(connection, table, directory)
    cursor = connection.execute(plan["query"])
    kinds = [str(column[1]) for column in cursor.description]
    names = [column[0] for column in cursor.description]
    names = [f"_col{index}" if name.startswith(UNNAMED) else name for index, name in enumerate(names)]
    count, size = 0, 0
    with (directory / "rows.jsonl").open("w") as rows, (directory / "result.csv").open("w", newline="") as table:
        table.write(_csv_line(names))
        while batch := cursor.fetchmany(FETCHED_ROWS):
            for row in batch:
                texts = [text_of(value, kind) for value, kind in zip(row, kinds, strict=True)]
                size += rows.write(json.dumps(texts) + "\n")
                table.write(_csv_line(texts))
            count += len(batch)
            if size > plan["result_bytes"]:
                raise BadDataError(f"Query exhausted resources: its result is larger than {plan['result_bytes']} bytes")
    columns = [column_info(name, kind) for name, kind in zip(names, kinds, strict=True)]
    return {"columns": columns, "rows": count}


def _csv_line(texts: list[str | None]) -> str:
    """Write a row as Athena does: every value in quotes, NULL as nothing."""
    return ",".join("" if value is None else '"' + value.replace('"', '""') + '"' for value in texts) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
