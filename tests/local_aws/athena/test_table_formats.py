"""What queries read from the files of each format."""

from __future__ import annotations

import gzip
from typing import Any

LAZY = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
OPENX = "org.openx.data.jsonserde.JsonSerDe"


def test_parquet_is_read_by_the_names_of_its_columns(lake: Any) -> None:
    lake.put_parquet(
        "trips/one.parquet", "SELECT 'x' AS extra, 2.5::DOUBLE AS Fare, 1 AS id, TIMESTAMP '2013-01-01' AS at"
    )
    lake.put_parquet("trips/two.parquet", "SELECT 2::BIGINT AS id")
    lake.put("trips/_SUCCESS", "no rows")
    lake.put("trips/.part.crc", "no rows")
    lake.table("trips", {"id": "bigint", "fare": "double", "at": "timestamp", "tags": "array<string>"})

    assert lake.rows("SELECT * FROM trips ORDER BY id") == [
        ["1", "2.5", "2013-01-01 00:00:00.000", None],
        ["2", None, None, None],
    ]


def test_parquet_of_another_type_than_the_table_says_is_bad_data(lake: Any) -> None:
    lake.put_parquet("mistyped/one.parquet", "SELECT 'three' AS id")
    lake.table("mistyped", {"id": "bigint"})

    reason = lake.failure("SELECT * FROM mistyped")

    assert reason.startswith("HIVE_BAD_DATA: Field id's type VARCHAR")


def test_delimited_text_has_no_quotes_and_gives_null_for_what_does_not_parse(lake: Any) -> None:
    lake.put("weather/a.csv", 'origin,temp,note\r\nEWR,39.02,"a\r\nJFK,NA,b\r\nLGA\r\nEWR,cold,c,more\r\n')
    lake.put("weather/b.csv", "origin,temp,note\nJFK,1,\n")
    lake.table(
        "weather",
        {"origin": "string", "temp": "double", "note": "string"},
        serde=LAZY,
        options={"field.delim": ",", "serialization.null.format": "NA"},
        parameters={"skip.header.line.count": "1"},
    )

    assert sorted(lake.rows("SELECT * FROM weather"), key=str) == [
        ["EWR", "39.02", '"a'],
        ["EWR", None, "c"],
        ["JFK", "1.0", ""],
        ["JFK", None, "b"],
        ["LGA", None, None],
    ]


def test_quoted_csv_may_hold_separators_and_line_ends(lake: Any) -> None:
    text = 'a;b\n"1";"x;y"\n"2";"two\nlines"\n"3";"say ""hi"""\n'
    lake.put("quoted/a.csv.gz", gzip.compress(text.encode()))
    lake.table(
        "quoted",
        {"a": "int", "b": "string"},
        serde=OPEN_CSV,
        options={"separatorChar": ";", "quoteChar": '"', "skip.header.line.count": "1"},
    )

    assert lake.rows("SELECT a + 1, b FROM quoted ORDER BY a") == [["2", "x;y"], ["3", "two\nlines"], ["4", 'say "hi"']]


def test_json_members_are_found_in_any_case(lake: Any) -> None:
    lake.put(
        "truth/a.jsonl",
        '{"groundTruthData": {"data": "1", "Encoding": "CSV"}, "eventVersion": "0", "scores": [1, 2.5]}\n'
        '{"groundTruthData": null, "eventVersion": {"major": 1}, "other": true}\n',
    )
    lake.table(
        "truth",
        {"groundTruthData": "struct<data:string,encoding:string>", "eventVersion": "string", "scores": "array<double>"},
        serde=OPENX,
    )

    assert lake.rows("SELECT groundtruthdata.data, groundTruthData.encoding, eventversion, scores FROM truth") == [
        ["1", "CSV", "0", "[1.0, 2.5]"],
        [None, None, '{"major":1}', None],
    ]


def test_a_broken_json_line_fails_the_query_unless_the_table_ignores_it(lake: Any) -> None:
    lake.put("broken/a.jsonl", '{"a": 1}\n{"a": \n')
    lake.table("broken", {"a": "int"}, serde=OPENX)
    lake.put("lenient/a.jsonl", '{"a": 1}\n{"a": \n')
    lake.table("lenient", {"a": "int"}, serde=OPENX, options={"ignore.malformed.json": "TRUE"})

    assert lake.failure("SELECT * FROM broken").startswith("HIVE_CURSOR_ERROR: Row is not a valid JSON Object")
    assert lake.rows("SELECT * FROM lenient") == [["1"], [None]]


def test_a_table_without_files_has_its_columns_and_no_rows(lake: Any) -> None:
    lake.table("empty", {"a": "int", "b": "decimal(5,2)"})

    execution = lake.run("SELECT * FROM empty")

    assert lake.results(execution["QueryExecutionId"]) == [["a", "b"]]
    assert execution["Statistics"]["DataScannedInBytes"] == 0


def test_what_is_no_table_of_files_is_refused_by_name(lake: Any) -> None:
    lake.table("rc", {"a": "int"}, serde="org.apache.hadoop.hive.ql.io.orc.OrcSerde")
    lake.table("ice", {"a": "int"}, parameters={"table_type": "ICEBERG"})
    lake.table("odd", {"a": "uniontype<int>"})

    assert lake.failure("SELECT * FROM rc").startswith("HIVE_UNSUPPORTED_FORMAT: lake.rc has the SerDe")
    assert "Iceberg" in lake.failure("SELECT * FROM ice")
    assert "lake.odd.a: columns of the type 'uniontype<int>'" in lake.failure("SELECT * FROM odd")
