"""The Spark process that measures data sets: `python evaluator.py <folder> <idle seconds>`.

It takes plans `<n>.plan.json` from the folder in order and answers each by `<n>.measured.json`; after the given time
without a plan it ends. It runs in the interpreter of Glue jobs, so it needs nothing but pyspark.

A plan is a list of tables: `runs` (run -> indices of units), `units` (folder and values of the partition keys), `keys`
(name and type of the partition keys), `format` (parquet, or csv with `csv`: its options and columns), `measures`
(id -> measure) and `references` (alias -> table without runs and measures). Runs of one table are measured together:
one pass for all aggregates, one for each set of columns whose groups are counted, one for each reference. An answer
gives for each run its `columns`, the `values` of its measures and the `errors` of those that it has none for, or the
`failure` of a run whose files can't be read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

Table = dict[str, Any]
Measures = dict[str, dict[str, Any]]
RUN, UNIT = "dq_run", "dq_unit"
POLL_SECONDS = 0.02
_KINDS: dict[str, tuple[type[T.DataType], ...]] = {
    "any": (T.DataType,),
    "number": (T.ByteType, T.ShortType, T.IntegerType, T.LongType, T.FloatType, T.DoubleType, T.DecimalType),
    "string": (T.StringType,),
}


class MeasureError(Exception):
    """A measure that a data set can't have; the message is for its owner."""


def main(folder: Path, idle_seconds: float) -> None:
    """Answer plans until none has come for the given time."""
    spark = SparkSession.builder.getOrCreate()
    number, waited_since = 0, time.monotonic()
    while time.monotonic() - waited_since < idle_seconds:
        plan = folder / f"{number}.plan.json"
        if not plan.is_file():
            time.sleep(POLL_SECONDS)
            continue
        answer = folder / f"{number}.measured.json"
        unfinished = answer.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(measure_tables(spark, json.loads(plan.read_text()))))
        unfinished.rename(answer)
        number, waited_since = number + 1, time.monotonic()
    spark.stop()


def measure_tables(spark: SparkSession, tables: list[Table]) -> dict[str, Any]:
    """Return what was measured of every run of a plan."""
    return {run: measured for table in tables for run, measured in _measure_apart(spark, table).items()}


def _measure_apart(spark: SparkSession, table: Table) -> dict[str, Any]:
    """Measure runs together; if that fails, each by itself, so that a broken file fails the runs that read it only."""
    try:
        return dict(_measure_table(spark, table))
    except Exception as error:
        print(f"measuring {', '.join(table['runs'])} failed: {error}", file=sys.stderr)
        if len(table["runs"]) == 1:
            return {run: {"failure": _first_line(error)} for run in table["runs"]}
    alone = [{**table, "runs": {run: units}} for run, units in table["runs"].items()]
    return {run: measured for each in alone for run, measured in _measure_apart(spark, each).items()}


def _measure_table(spark: SparkSession, table: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    _find_schemas(spark, table)
    for runs in _runs_by_schema(table):
        frame = _read(spark, table, runs)
        columns = {field.name: field.dataType for field in frame.schema if field.name != RUN}
        errors = _errors(frame, columns, table["measures"])
        sound = {key: measure for key, measure in table["measures"].items() if key not in errors}
        values: dict[str, dict[str, Any]] = {run: {} for run in runs}
        with ThreadPoolExecutor(4) as pool:
            for keys, found in pool.map(_take, _steps(spark, frame, table, sound)):
                if isinstance(found, str):
                    errors |= dict.fromkeys(keys, found)
                    continue
                for run in runs:
                    row = found.get(run, {})
                    values[run] |= {key: row.get(key, _nothing(sound[key])) for key in keys}
        types = {name: kind.simpleString() for name, kind in columns.items()}
        for run in runs:
            yield run, {"columns": types, "values": values[run], "errors": errors}


Found = dict[str, dict[str, Any]]
Step = tuple[list[str], Callable[[], Found]]


def _steps(spark: SparkSession, frame: DataFrame, table: Table, measures: Measures) -> list[Step]:
    """Return the passes over a table, each with the measures that it gives."""
    steps: list[Step] = []
    aggregates = {key: measure for key, measure in measures.items() if measure["kind"] == "aggregate"}
    if aggregates:
        steps.append((list(aggregates), partial(_aggregates, frame, aggregates)))
    for key, measure in measures.items():
        if measure["kind"] == "groups":
            steps.append(([key], partial(_groups, frame, key, measure)))
        if measure["kind"] == "reference":
            other = table["references"].get(measure["alias"])
            steps.append(([key], partial(_reference, spark, frame, other, key, measure)))
    return steps


def _take(step: Step) -> tuple[list[str], Found | str]:
    """Return the values of a pass by run and measure, or why its data set can't have them."""
    keys, found = step
    try:
        return keys, found()
    except MeasureError as error:
        return keys, str(error)


def _errors(frame: DataFrame, columns: dict[str, T.DataType], measures: Measures) -> dict[str, str]:
    """Return the measures that a data set can't have, with the reason, without looking at its rows."""
    kinds = {name.lower(): kind for name, kind in columns.items()}
    filters = {measure["where"] for measure in measures.values()} - {None}
    invalid = {where: reason for where in filters if (reason := _refusal(partial(frame.where, where)))}
    errors: dict[str, str] = {}
    for key, measure in measures.items():
        reasons = [_column_error(column, kinds, measure["column_kind"]) for column in measure["columns"]]
        if measure["where"] in invalid:
            reasons.append(f"The provided where clause is invalid: {invalid[measure['where']]}")
        if found := [reason for reason in reasons if reason]:
            errors[key] = found[0]
    aggregates = {
        key: measure for key, measure in measures.items() if measure["kind"] == "aggregate" and key not in errors
    }
    # most often all are sound
    if _refusal(partial(_selected, frame, aggregates.values())):
        for key, measure in aggregates.items():
            if reason := _refusal(partial(_selected, frame, [measure])):
                errors[key] = f"Exception thrown while evaluating rule: {reason}"
    return errors


def _selected(frame: DataFrame, aggregates: Iterable[dict[str, Any]]) -> DataFrame:
    return frame.select(*(_aggregate(measure) for measure in aggregates))


def _column_error(column: str, kinds: dict[str, T.DataType], wanted: str) -> str | None:
    if column.lower() not in kinds:
        return f"Input data does not include column {column}!"
    found = kinds[column.lower()]
    if isinstance(found, _KINDS[wanted]):
        return None
    expected = "a type of numbers" if wanted == "number" else "StringType"
    return f"Expected type of column {column} to be {expected}, but found {type(found).__name__} instead!"


def _refusal(analysed: Callable[[], object]) -> str | None:
    """Return why Spark refuses an expression, None if it doesn't."""
    try:
        analysed()
    except Exception as error:
        return _first_line(error)
    return None


def _aggregates(frame: DataFrame, measures: Measures) -> Found:
    values = [_aggregate(measure).alias(key) for key, measure in measures.items()]
    return {row[RUN]: row.asDict() for row in frame.groupBy(RUN).agg(*values).collect()}


def _aggregate(measure: dict[str, Any]) -> Column:
    where = f" FILTER (WHERE ({measure['where']}))" if measure["where"] is not None else ""
    return F.expr(f"CAST({measure['sql']}{where} AS DOUBLE)")


def _groups(frame: DataFrame, key: str, measure: dict[str, Any]) -> Found:
    names = [_quoted(column) for column in measure["columns"]]
    rows = frame.where(measure["where"]) if measure["where"] is not None else frame
    sizes = (
        rows.where(" OR ".join(f"{name} IS NOT NULL" for name in names))
        .groupBy(RUN, *(F.col(name) for name in names))
        .agg(F.count(F.lit(1)).alias("dq_size"))
    )
    counts = sizes.groupBy(RUN).agg(
        F.sum("dq_size").alias("rows"), F.count(F.lit(1)).alias("groups"), F.expr("count_if(dq_size = 1) AS single")
    )
    parts = ("rows", "groups", "single")
    return {row[RUN]: {key: {part: row[part] for part in parts}} for row in counts.collect()}


def _reference(spark: SparkSession, frame: DataFrame, other: Table | None, key: str, measure: dict[str, Any]) -> Found:
    if other is None:
        raise MeasureError(f"{measure['alias']} not found in additional sources")
    other = {**other, "runs": {"": list(range(len(other["units"])))}}
    _find_schemas(spark, other)
    reference = _read(spark, other, [""])
    existing = {name.lower() for name in reference.columns}
    for column in measure["other_columns"]:
        if column.lower() not in existing:
            raise MeasureError(f"Input data does not include column {measure['alias']}.{column}!")
    marks = [f"dq_other_{index}" for index in range(len(measure["other_columns"]))]
    others = reference.select(
        *(F.col(_quoted(column)).alias(mark) for column, mark in zip(measure["other_columns"], marks, strict=True))
    ).distinct()
    same = [frame[_quoted(column)] == others[mark] for column, mark in zip(measure["columns"], marks, strict=True)]
    joined = frame.join(others, same, "left")
    counts = joined.groupBy(RUN).agg(F.count(F.lit(1)).alias("rows"), F.count(F.col(marks[0])).alias("found"))
    return {row[RUN]: {key: {"rows": row["rows"], "found": row["found"]}} for row in counts.collect()}


def _first_line(error: Exception) -> str:
    java = getattr(error, "java_exception", None)
    return str(java.toString() if java is not None else error).strip().split("\n", 1)[0]


def _nothing(measure: dict[str, Any]) -> Any:
    """Return the value of a measure of no rows."""
    empty = {"groups": {"rows": 0, "groups": 0, "single": 0}, "reference": {"rows": 0, "found": 0}}
    return empty.get(measure["kind"], measure["empty"])


def _find_schemas(spark: SparkSession, table: Table) -> None:
    """Note with each unit that the runs read what schemas its files have."""
    if table["format"] == "parquet":
        units = [table["units"][unit] for unit in sorted({unit for units in table["runs"].values() for unit in units})]
        with ThreadPoolExecutor(4) as pool:
            schemas = pool.map(lambda unit: _parquet_schemas(spark, Path(unit["folder"])), units)
            for unit, found in zip(units, schemas, strict=True):
                unit["schemas"] = found


def _runs_by_schema(table: Table) -> list[list[str]]:
    """Split the runs by the schemas of their files: a column may have changed its type from day to day."""
    alike: dict[frozenset[str], list[str]] = {}
    for run, units in table["runs"].items():
        schemas = frozenset(schema for unit in units for schema in table["units"][unit].get("schemas", ()))
        alike.setdefault(schemas, []).append(run)
    return list(alike.values())


def _parquet_schemas(spark: SparkSession, folder: Path) -> frozenset[str]:
    """Return the schemas of a folder's files as Spark's JSON, without a job of Spark."""
    jvm: Any = spark._jvm
    configuration = spark._jsc.hadoopConfiguration()
    hadoop, parquet = jvm.org.apache.parquet.hadoop, jvm.org.apache.spark.sql.execution.datasources.parquet
    converter = parquet.ParquetToSparkSchemaConverter(spark._jsparkSession.sessionState().conf())
    schemas = set()
    for file in folder.iterdir():
        path = jvm.org.apache.hadoop.fs.Path(str(file))
        reader = hadoop.ParquetFileReader.open(hadoop.util.HadoopInputFile.fromPath(path, configuration))
        try:
            footer = hadoop.Footer(path, reader.getFooter())
            schemas.add(str(parquet.ParquetFileFormat.readSchemaFromFooter(footer, converter).json()))
        finally:
            reader.close()
    return frozenset(schemas)


def _read(spark: SparkSession, table: Table, runs: list[str]) -> DataFrame:
    """Return the rows of the runs' units with the partition keys and the run that they belong to."""
    units = sorted({unit for run in runs for unit in table["runs"][run]})
    filled = [table["units"][unit] for unit in units if any(Path(table["units"][unit]["folder"]).iterdir())]
    if not filled:
        rows = _no_rows(spark, table)
    else:
        rows = _read_csv(spark, table, filled) if table["format"] == "csv" else _read_parquet(spark, filled)
    keys = table["keys"]
    names = {key.lower() for key, _ in keys}
    rows = rows.select(*(F.col(_quoted(column)) for column in rows.columns if column.lower() not in names))
    owners = [
        [_owner(table, unit, run) for run in runs if unit in table["runs"][run]] if unit in units else []
        for unit in range(len(table["units"]))
    ]
    by_unit = ", ".join(f"array({', '.join(each)})" if each else "NULL" for each in owners)
    return rows.select("*", F.expr(f"inline(element_at(array({by_unit}), {UNIT} + 1))")).drop(UNIT)


def _owner(table: Table, unit: int, run: str) -> str:
    """Return a run that a unit's rows belong to, with the values of the partition keys, as SQL."""
    keys = zip(table["units"][unit]["values"], table["keys"], strict=True)
    values = [f"CAST({_literal(value)} AS {kind}) AS {_quoted(name)}" for value, (name, kind) in keys]
    return f"struct({', '.join([f'{_literal(run)} AS {RUN}', *values])})"


def _read_parquet(spark: SparkSession, units: list[dict[str, Any]]) -> DataFrame:
    folders = [unit["folder"] for unit in units]
    reader = spark.read.option("basePath", str(Path(folders[0]).parent))
    schemas = {schema for unit in units for schema in unit["schemas"]}
    if len(schemas) == 1:
        # a schema that is known spares Spark a job that looks for it
        schema = T.StructType.fromJson(json.loads(schemas.pop()))
        return reader.schema(schema.add(UNIT, T.IntegerType())).parquet(*folders)
    return reader.option("mergeSchema", True).parquet(*folders)


def _read_csv(spark: SparkSession, table: Table, units: list[dict[str, Any]]) -> DataFrame:
    folders = [unit["folder"] for unit in units]
    columns = table["columns"]
    texts = T.StructType([T.StructField(name, T.StringType()) for name, _ in columns])
    reader = spark.read.schema(texts.add(UNIT, T.IntegerType())).option("basePath", str(Path(folders[0]).parent))
    raw = reader.options(**table["csv"]["options"]).csv(folders)
    null = F.lit(table["csv"]["null"])
    values = []
    for name, kind in columns:
        column = F.col(_quoted(name))
        # a blank field is an empty text, and no value in columns of other types
        text = F.coalesce(column, F.lit("")) if kind == "string" else column
        values.append(F.when(text == null, None).otherwise(text).cast(kind).alias(name))
    return raw.select(*values, UNIT)


def _no_rows(spark: SparkSession, table: Table) -> DataFrame:
    fields = ", ".join(f"{_quoted(name)} {kind}" for name, kind in table["columns"])
    return spark.createDataFrame([], f"{fields}, {UNIT} int")


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
