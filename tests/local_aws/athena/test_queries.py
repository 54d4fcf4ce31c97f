"""Queries through the API: states, results, pages, parameters, errors, limits and events."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.athena.query import QueryLimits
from local_aws.athena.service import AthenaService
from tests.local_aws.athena.conftest import RESULTS


@pytest.fixture(scope="module", autouse=True)
def numbers(lake: Any) -> None:
    """A table of the numbers 0 to 2499, with a text."""
    lake.put_parquet("numbers/a.parquet", "SELECT range::BIGINT AS id, 'n' || range AS name FROM range(2500)")
    lake.table("numbers", {"id": "bigint", "name": "string"})


def refusal(lake: Any, query: str, **request: Any) -> str:
    with pytest.raises(ClientError) as refused:
        lake.start(query, **request)
    assert refused.value.response["Error"]["Code"] == "InvalidRequestException"
    return str(refused.value.response["Error"]["Message"])


def test_a_result_is_written_as_athena_writes_it(lake: Any) -> None:
    execution = lake.run("SELECT 'say \"hi\"' AS said, NULL AS nothing, '' AS empty, 1e7, 0.5e0, true")

    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"{RESULTS}{execution['QueryExecutionId']}.csv"
    body = lake.client("s3").get_object(Bucket="results", Key=location.removeprefix("s3://results/"))["Body"].read()
    assert body.decode() == (
        '"said","nothing","empty","_col3","_col4","_col5"\n"say ""hi""",,"","1.0E7","0.5","true"\n'
    )


def test_pages_give_every_row_once_behind_one_header(lake: Any) -> None:
    athena = lake.client("athena")
    query_id = lake.run("SELECT id, name FROM numbers ORDER BY id")["QueryExecutionId"]

    first = athena.get_query_results(QueryExecutionId=query_id, MaxResults=2)
    rows = lake.results(query_id)

    assert [row["Data"][0]["VarCharValue"] for row in first["ResultSet"]["Rows"]] == ["id", "0"]
    columns = first["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [(column["Name"], column["Type"]) for column in columns] == [("id", "bigint"), ("name", "varchar")]
    assert rows == [["id", "name"], *([str(number), f"n{number}"] for number in range(2500))]
    with pytest.raises(ClientError, match="is not a token"):
        athena.get_query_results(QueryExecutionId=query_id, NextToken="elsewhere")


def test_arithmetic_is_trinos(lake: Any) -> None:
    query = "SELECT count_if(id < 5) / count(*), 7 / 2, 7.0e0 / 2, date_trunc('month', date '2013-02-03') FROM numbers"

    assert lake.rows(query) == [["0", "3", "3.5", "2013-02-01"]]
    assert lake.failure("SELECT 1 / (id - id) FROM numbers") == "DIVISION_BY_ZERO: Division by zero"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT * FROM nowhere", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.lake.nowhere' does not exist"),
        ("SELECT * FROM no.numbers", "SCHEMA_NOT_FOUND: line 1:18: Schema 'no' does not exist"),
        ("SELECT size FROM numbers", "COLUMN_NOT_FOUND: line 1:8: Column 'size' cannot be resolved"),
        ("SELECT shout(name) FROM numbers", "FUNCTION_NOT_FOUND: Function 'shout' not registered"),
        (
            "SELECT * FROM numbers WHERE id = '7'",
            "TYPE_MISMATCH: line 1:29: Cannot apply operator: bigint = varchar(1)",
        ),
        ("SELECT CAST(name AS bigint) FROM numbers", "INVALID_CAST_ARGUMENT: Could not convert string 'n"),
        ("SELECT * FROM read_text('/etc/passwd')", "FUNCTION_NOT_FOUND: line 1:15: Table function"),
        ('SELECT * FROM "/etc/passwd"', "TABLE_NOT_FOUND"),
    ],
)
def test_a_query_that_cannot_work_says_why_as_athena_does(lake: Any, query: str, reason: str) -> None:
    assert lake.failure(query).startswith(reason)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", "line 1:7: mismatched input '1'"),
        ("INSERT INTO numbers SELECT 1, 'a'", "Queries of this type are not supported"),
        ("CREATE TABLE copied AS SELECT 1 AS a", "Queries of this type are not supported"),
        ("UNLOAD (SELECT 1) TO 's3://lake/x/' WITH (format = 'PARQUET')", "Queries of this type are not supported"),
        ("DROP TABLE numbers", "Queries of this type are not supported"),
        ("SET threads = 1", "Queries of this type are not supported"),
        ("SELECT 1; SELECT 2", "Only one sql statement is allowed"),
        ("EXECUTE unknown", "PreparedStatement unknown was not found in workGroup team"),
    ],
)
def test_what_does_not_run_is_refused_at_the_start(lake: Any, query: str, message: str) -> None:
    assert message in refusal(lake, query)


def test_parameters_take_the_place_of_question_marks(lake: Any) -> None:
    query = "SELECT id, 'a?' FROM numbers WHERE name = ? OR id = ? ORDER BY id"
    assert lake.rows(query, ExecutionParameters=["'n7'", "3"]) == [["3", "a?"], ["7", "a?"]]
    assert "expected 2 but found 1" in lake.failure(query, ExecutionParameters=["1"])
    assert "is no constant" in lake.failure(query, ExecutionParameters=["1", "(SELECT 1)"])

    lake.client("athena").create_prepared_statement(
        StatementName="one", WorkGroup="team", QueryStatement="SELECT name FROM numbers WHERE id = ?"
    )
    assert lake.rows("EXECUTE one USING 9") == [["n9"]]
    assert lake.rows("EXECUTE one", ExecutionParameters=["8"]) == [["n8"]]


def test_the_catalog_is_shown_without_a_header(lake: Any) -> None:
    lake.table("shown", {"a": "int"}, keys={"day": "date"})
    lake.partition("shown", ["2013-01-01"], "s3://lake/shown/1/")

    def lines(query: str) -> list[str]:
        return [row[0].rstrip() for row in lake.results(lake.run(query)["QueryExecutionId"])]

    assert lines("SHOW TABLES 's*'") == ["shown"]
    assert lines("SHOW DATABASES") == ["lake"]
    assert lines("SHOW PARTITIONS lake.shown") == ["day=2013-01-01"]
    assert [line.split() for line in lines("DESCRIBE `shown`")[:2]] == [["a", "int"], ["day", "date"]]


def test_queries_run_at_the_same_time_and_are_listed_newest_first(lake: Any) -> None:
    ids = [lake.start(f"SELECT count(*) + {number} FROM numbers") for number in range(8)]

    found = [lake.results(lake.ended(query_id)["QueryExecutionId"])[1] for query_id in ids]
    listed = lake.client("athena").list_query_executions(WorkGroup="team", MaxResults=8)["QueryExecutionIds"]
    batch = lake.client("athena").batch_get_query_execution(QueryExecutionIds=[ids[0], "unknown"])

    assert found == [[str(2500 + number)] for number in range(8)]
    assert listed == ids[::-1]
    assert [each["QueryExecutionId"] for each in batch["QueryExecutions"]] == [ids[0]]
    assert [each["QueryExecutionId"] for each in batch["UnprocessedQueryExecutionIds"]] == ["unknown"]


def test_a_request_sent_twice_starts_one_query(lake: Any) -> None:
    token = "the-same-request-of-a-client-again"

    assert lake.start("SELECT 1", ClientRequestToken=token) == lake.start("SELECT 1", ClientRequestToken=token)
    assert "Idempotent" in refusal(lake, "SELECT 2", ClientRequestToken=token)


ENDLESS = "SELECT count(*) FROM numbers a, numbers b, numbers c, numbers d WHERE a.id + b.id + c.id = d.id * 2"


def test_a_stopped_query_is_cancelled_and_has_no_results(lake: Any) -> None:
    query_id = lake.start(ENDLESS)
    lake.client("athena").stop_query_execution(QueryExecutionId=query_id)

    status = lake.ended(query_id)["Status"]

    assert (status["State"], status["StateChangeReason"]) == ("CANCELLED", "Query cancelled by user")
    with pytest.raises(ClientError, match="Final query state: CANCELLED"):
        lake.client("athena").get_query_results(QueryExecutionId=query_id)


def test_time_memory_and_size_of_results_are_limited(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = next(each for each in lake.server._services if isinstance(each, AthenaService))

    monkeypatch.setattr(service, "_limits", QueryLimits(time_seconds=1.5))
    assert lake.failure(ENDLESS) == "Query timeout"

    monkeypatch.setattr(service, "_limits", QueryLimits(memory="50MB", spill="1MB"))
    wide = "SELECT array_agg(a.name || b.name) FROM numbers a, numbers b"
    assert lake.failure(wide).startswith("Query exhausted resources at this scale factor")

    monkeypatch.setattr(service, "_limits", QueryLimits(result_bytes=1000))
    assert lake.failure("SELECT * FROM numbers").startswith("Query exhausted resources: its result is larger")


def test_a_workgroup_says_where_results_go_how_much_is_read_and_whether_it_is_open(lake: Any) -> None:
    athena = lake.client("athena")
    athena.create_work_group(Name="bare", Configuration={"EnforceWorkGroupConfiguration": False})
    own = {"ResultConfiguration": {"OutputLocation": "s3://results/own"}}
    assert refusal(lake, "SELECT 1", WorkGroup="bare").startswith("No output location provided")
    assert "results/own/" in lake.run("SELECT 1", WorkGroup="bare", **own)["ResultConfiguration"]["OutputLocation"]
    # the workgroup's own location is enforced
    assert lake.run("SELECT 1", **own)["ResultConfiguration"]["OutputLocation"].startswith(RESULTS)
    elsewhere = {"ResultConfiguration": {"OutputLocation": "s3://nowhere/"}}
    assert "Unable to verify/create output bucket" in refusal(lake, "SELECT 1", WorkGroup="bare", **elsewhere)

    lake.put("large/a.csv", b"1\n" * 6_000_000)
    lake.table("large", {"n": "int"}, serde="org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe")
    athena.update_work_group(WorkGroup="team", ConfigurationUpdates={"BytesScannedCutoffPerQuery": 10_000_000})
    status = lake.run("SELECT count(*) FROM large")["Status"]
    assert status["State"] == "CANCELLED"
    assert status["StateChangeReason"].startswith("Bytes scanned limit was exceeded")

    athena.update_work_group(WorkGroup="bare", State="DISABLED")
    assert refusal(lake, "SELECT 1", WorkGroup="bare", **own) == "WorkGroup bare is disabled."
    assert "is not found" in refusal(lake, "SELECT 1", WorkGroup="unknown")


def test_each_state_of_a_query_is_an_event(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[str, str, dict[str, Any]]] = []
    monkeypatch.setattr(lake.server.context, "emit", lambda *event: found.append(event[:3]))

    query_id = lake.run("SELECT size FROM numbers")["QueryExecutionId"]

    deadline = time.monotonic() + 5
    while len(found) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {event[:2] for event in found} == {("aws.athena", "Athena Query State Change")}
    details = [detail for _, _, detail in found]
    assert [each["currentState"] for each in details] == ["QUEUED", "RUNNING", "FAILED"]
    assert {each["queryExecutionId"] for each in details} == {query_id}
    assert details[2]["previousState"] == "RUNNING"
    assert details[2]["athenaError"]["errorCategory"] == 2
