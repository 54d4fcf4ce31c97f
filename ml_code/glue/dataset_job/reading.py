"""Raw CSV as typed rows: the sound ones for the preparation, the bad ones with their line and the reason.

Reading costs what reading a typed CSV costs: a row is checked while it is parsed, and bad rows are only counted. When
there are any, `BadRows` reads once more to say which and why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark.sql import Observation, Window
from pyspark.sql import functions as F

from dataset_job.csv_files import CsvFile
from dataset_job.declaration import Column, RawTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession

CORRUPT = "_corrupt_record"
LINE = "_line"
FILE = "_file"
FOLDER_DAY = "_folder_day"
NOT_UTF_8 = "\N{REPLACEMENT CHARACTER}"  # what Spark reads bytes as that aren't text
OPTIONS = {
    "nullValue": "NA",
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": CORRUPT,
    "escape": '"',  # a quote within quotes is doubled
    # without formats Spark takes "10:00" for ten o'clock of the day on which the job runs
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss[.SSS]XXX",
    "dateFormat": "yyyy-MM-dd",
}


def read(spark: SparkSession, table: RawTable, files: Sequence[CsvFile], bad: Observation) -> DataFrame:
    """The sound rows of a table's files, with the table's columns in their order. Counts the others in `bad`."""
    counted = _judged(spark, table, files).observe(bad, F.count_if("_bad").alias("bad"))
    return counted.where(~F.col("_bad")).select(*_names(table))


def read_unique(spark: SparkSession, table: RawTable, files: Sequence[CsvFile]) -> DataFrame:
    """The sound rows, one of several equal ones, and none of those that say different things under one key.

    A key belongs to one row of a day in a daily table.
    """
    rows = _judged(spark, table, files).where(~F.col("_bad")).drop("_bad")
    if table.key:
        alike = Window.partitionBy(FOLDER_DAY, *table.key)
        rows = rows.dropDuplicates().withColumn("_alike", F.count("*").over(alike)).where("_alike = 1")
    return rows.select(*_names(table))


def _judged(spark: SparkSession, table: RawTable, files: Sequence[CsvFile]) -> DataFrame:
    """All rows, with the day of their folder ("" in a table that isn't cut by day), and whether they are bad."""
    frames = [
        _with_day(spark, _parse(spark, table, header, uris), table, F.col("_metadata.file_path")).select(
            *_names(table), FOLDER_DAY, _is_bad(table).alias("_bad")
        )
        for header, uris in _by_header(files)
    ]
    return _union(frames)


def bad_rows(spark: SparkSession, table: RawTable, files: Sequence[CsvFile]) -> DataFrame:
    """The rows that `read` and `read_unique` leave out.

    Columns: `source_table`, `file`, `reason` and `row` (the line as it came), all text, `day` (date, of the folder;
    null in a table that isn't cut by day), and `landed`, the number of rows of that day (or of
    that table) in all.
    """
    lines = _union([_lines(spark, table, header, uris) for header, uris in _by_header(files)])
    reasons = _duplicates(_with_reasons(lines, table), table)
    landed = lines.groupBy(FOLDER_DAY).agg(F.count("*").alias("landed"))
    day = F.to_date(FOLDER_DAY) if table.daily else F.lit(None).cast("date")
    return (
        reasons.where("_reason IS NOT NULL")
        .join(F.broadcast(landed), FOLDER_DAY)
        .select(
            F.lit(table.name).alias("source_table"),
            F.col(FILE).alias("file"),
            F.col("_reason").alias("reason"),
            F.make_valid_utf8(LINE).alias("row"),
            day.alias("day"),
            "landed",
        )
    )


def _parse(spark: SparkSession, table: RawTable, header: Sequence[str], uris: Sequence[str]) -> DataFrame:
    # enforceSchema takes the schema's names for the header's: it is in the order of these files' header already
    schema = _schema(table, header)
    reader = spark.read.schema(schema).options(**OPTIONS).option("header", True)
    return reader.csv(list(uris))


def _schema(table: RawTable, header: Sequence[str]) -> str:
    types = {column.name: column.type for column in table.columns}
    columns = [f"`{name}` {types.get(name, 'string')}" for name in header]
    return ", ".join([*columns, f"{CORRUPT} STRING"])


def _with_day(spark: SparkSession, rows: DataFrame, table: RawTable, file: SparkColumn) -> DataFrame:
    if not table.daily:
        return rows.withColumn(FOLDER_DAY, F.lit(""))
    folder = F.substring_index(F.substring_index(file, "/day=", -1), "/", 1)
    with _lenient(spark):
        # a row whose day isn't one is bad, not the end of the run
        row_day = F.expr(table.day).cast("string") if table.day else folder
        return rows.withColumns({FOLDER_DAY: folder, "_row_day": row_day})


@contextmanager
def _lenient(spark: SparkSession) -> Iterator[None]:
    """Within, expressions are analyzed that give null instead of an error."""
    before = spark.conf.get("spark.sql.ansi.enabled") or "true"
    spark.conf.set("spark.sql.ansi.enabled", "false")
    try:
        yield
    finally:
        spark.conf.set("spark.sql.ansi.enabled", before)


def _is_bad(table: RawTable) -> SparkColumn:
    # Spark parses the columns that are read: those are all here, so that a broken value that no feature uses is found.
    nulls = sum((F.col(column.name).isNull().cast("int") for column in table.columns), F.lit(0))
    bad = F.col(CORRUPT).isNotNull() | (nulls > len(table.columns))
    for column in table.columns:
        if column.required:
            bad = bad | F.col(column.name).isNull()
        if _is_text(column):
            bad = bad | F.coalesce(F.col(column.name).contains(NOT_UTF_8), F.lit(False))
        if column.type in ("float", "double"):
            bad = bad | _is_not_finite(column)
    if table.daily:
        bad = bad | ~F.col("_row_day").eqNullSafe(F.col(FOLDER_DAY))
    return bad


def _is_not_finite(column: Column) -> SparkColumn:
    return F.coalesce(F.isnan(column.name) | (F.abs(column.name) == float("inf")), F.lit(False))


def _lines(spark: SparkSession, table: RawTable, header: Sequence[str], uris: Sequence[str]) -> DataFrame:
    """Every line but headers and empty ones, as text and parsed by the same parser that `_parse` uses."""
    text = spark.read.text(list(uris)).select(F.col("value").alias(LINE), F.col("_metadata.file_path").alias(FILE))
    values = F.regexp_replace(F.regexp_replace(LINE, '[\ufeff"\r]', ""), r"\s*,\s*", ",")
    lines = text.where((F.trim(values) != ",".join(header)) & (F.trim(LINE) != ""))
    typed = F.from_csv(LINE, F.lit(_schema(table, header)), OPTIONS)
    strings = F.from_csv(LINE, F.lit(_schema(RawTable(table.name, ()), header)), OPTIONS)
    parsed = lines.withColumns({"_typed": typed, "_strings": strings})
    flat = parsed.select(LINE, FILE, "_strings", "_typed.*")
    written = F.struct(*(F.col(f"_strings.{name}").alias(name) for name in _names(table)))
    return _with_day(spark, flat, table, F.col(FILE)).select(
        LINE,
        FILE,
        F.col(f"_strings.{CORRUPT}").alias("_malformed"),
        written.alias("_strings"),
        CORRUPT,
        *_names(table),
        FOLDER_DAY,
        *(["_row_day"] if table.daily else []),
    )


def _with_reasons(lines: DataFrame, table: RawTable) -> DataFrame:
    """Each line with the first thing that is wrong with it, in words."""
    cases: list[tuple[SparkColumn, SparkColumn]] = [
        (F.col("_malformed").isNotNull(), F.lit("the row has too many or too few values")),
        (~F.is_valid_utf8(LINE) | F.col(LINE).contains(NOT_UTF_8), F.lit("the row isn't UTF-8 text")),
    ]
    for column in table.columns:
        written = F.col(f"_strings.{column.name}")
        unread = F.col(CORRUPT).isNotNull() & F.col(column.name).isNull() & written.isNotNull()
        if not _is_text(column):
            if column.type in ("float", "double"):
                unread = unread | _is_not_finite(column)
            cases.append((unread, F.format_string(f"{column.name} isn't {_article(column.type)}: %s", written)))
    cases.append((F.col(CORRUPT).isNotNull(), F.lit("the row can't be read")))
    cases += [
        (F.col(column.name).isNull(), F.lit(f"{column.name} is missing")) for column in table.columns if column.required
    ]
    if table.daily:
        wrong = ~F.col("_row_day").eqNullSafe(F.col(FOLDER_DAY))
        row_day = F.coalesce("_row_day", F.lit("no day"))
        cases.append((wrong, F.format_string("the row is of %s, it lies in the folder of %s", row_day, FOLDER_DAY)))
    reason = F.lit(None).cast("string")
    for condition, words in reversed(cases):
        reason = F.when(condition, words).otherwise(reason)
    return lines.withColumn("_reason", reason)


def _duplicates(lines: DataFrame, table: RawTable) -> DataFrame:
    """Add the reasons of rows that share a key with others."""
    if not table.key:
        return lines
    sound = F.col("_reason").isNull()
    values = F.struct(*_names(table))
    key = [F.when(sound, F.col(name)) for name in table.key]
    # bad rows have no key; each stands alone
    alone = F.when(~sound, F.struct(FILE, LINE, F.monotonically_increasing_id()))
    group = Window.partitionBy(FOLDER_DAY, *key, alone)
    written = F.concat_ws(", ", *(F.col(name).cast("string") for name in table.key))
    counted = lines.withColumns(
        {
            "_different": F.size(F.collect_set(values).over(group)),
            "_copy": F.row_number().over(group.orderBy(FILE, LINE)),
        }
    )
    conflict = F.format_string(
        f"%d different rows for one key ({', '.join(table.key)}): %s", F.col("_different"), written
    )
    duplicate = F.format_string(f"the row is there already ({', '.join(table.key)}): %s", written)
    reason = F.when(sound & (F.col("_different") > 1), conflict).when(sound & (F.col("_copy") > 1), duplicate)
    return counted.withColumn("_reason", F.coalesce("_reason", reason)).drop("_different", "_copy")


def _by_header(files: Iterable[CsvFile]) -> list[tuple[tuple[str, ...], list[str]]]:
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file in files:
        groups[file.header].append(file.uri)
    return sorted(groups.items())


def _union(frames: Sequence[DataFrame]) -> DataFrame:
    first, *others = frames
    for each in others:
        first = first.unionByName(each)
    return first


def _names(table: RawTable) -> list[str]:
    return [column.name for column in table.columns]


def _is_text(column: Column) -> bool:
    return column.type == "string"


_ARTICLES: dict[str, str] = {
    "int": "a whole number", "bigint": "a whole number", "float": "a number", "double": "a number",
    "date": "a date", "timestamp": "a time", "boolean": "true or false",
}  # fmt: skip


def _article(kind: str) -> str:
    return _ARTICLES.get(kind, f"a {kind}")
