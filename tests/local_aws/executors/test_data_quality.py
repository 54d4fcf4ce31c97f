"""Glue Data Quality end to end: tables of the catalog, rulesets, runs, results and their events."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import ClientError

from local_aws.glue import GlueService
from local_aws.glue.quality import evaluator_process
from local_aws.glue.quality.evaluator_process import EvaluatorProcess

ROLE = "arn:aws:iam::123456789012:role/checks"
ENDED = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"}
PARQUET = {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"}
# rows of each day: x, of which one in four has no value
DAYS = {"2013-07-04": 8, "2013-07-05": 4, "2013-07-06": 12}


@pytest.fixture
def glue(server: Any) -> Any:
    server.add(GlueService(server.context, minute_seconds=0.05))
    return server.client("glue")


@pytest.fixture
def flights(server: Any, glue: Any, tmp_path: Path) -> Any:
    """A table with a partition for each day, and rulesets on it."""
    glue.create_database(DatabaseInput={"Name": "mlops"})
    columns = [{"Name": "id", "Type": "bigint"}, {"Name": "x", "Type": "double"}]
    storage = {"Columns": columns, "Location": "s3://lake/flights/", "SerdeInfo": PARQUET}
    keys = [{"Name": "day", "Type": "date"}]
    table = {"Name": "flights", "PartitionKeys": keys, "StorageDescriptor": storage}
    glue.create_table(DatabaseName="mlops", TableInput=table)
    for day, rows in DAYS.items():
        file = tmp_path / "rows.parquet"
        query = f"SELECT i AS id, CASE WHEN i % 4 = 0 THEN NULL ELSE i::DOUBLE END AS x FROM range({rows}) t(i)"
        duckdb.sql(f"COPY ({query}) TO '{file}'")
        location = f"s3://lake/flights/load=1/day={day}/"
        server.client("s3").upload_file(str(file), "lake", f"flights/load=1/day={day}/part-0.parquet")
        server.client("s3").put_object(Bucket="lake", Key=f"flights/load=1/day={day}/_SUCCESS", Body=b"")
        partition = {"Values": [day], "StorageDescriptor": {**storage, "Location": location}}
        glue.create_partition(DatabaseName="mlops", TableName="flights", PartitionInput=partition)
    target = {"DatabaseName": "mlops", "TableName": "flights"}
    glue.create_data_quality_ruleset(
        Name="dataset", Ruleset='Rules = [ RowCount > 5, Completeness "x" > 0.5 ]', TargetTable=target
    )
    glue.create_data_quality_ruleset(Name="model", Ruleset='Rules = [ Mean "x" > 3, IsComplete "y" ]')
    return glue


def source(predicate: str | None = None, option: str = "catalogPartitionPredicate") -> dict[str, Any]:
    options = {"AdditionalOptions": {option: predicate}} if predicate else {}
    return {"GlueTable": {"DatabaseName": "mlops", "TableName": "flights", **options}}


@pytest.fixture
def start(flights: Any) -> Callable[..., str]:
    def start_run(predicate: str | None = None, *rulesets: str, **more: Any) -> str:
        names = list(rulesets or ("dataset",))
        return str(
            flights.start_data_quality_ruleset_evaluation_run(
                DataSource=source(predicate), Role=ROLE, RulesetNames=names, **more
            )["RunId"]
        )

    return start_run


@pytest.fixture
def ended(flights: Any, wait: Callable[..., Any]) -> Callable[[str], dict[str, Any]]:
    def wait_for_end(run_id: str) -> dict[str, Any]:
        def look() -> Any:
            return flights.get_data_quality_ruleset_evaluation_run(RunId=run_id)

        return dict(wait(look, lambda run: run["Status"] in ENDED, 120))

    return wait_for_end


def test_runs_of_one_table_share_a_process_and_each_ruleset_gives_a_result(
    server: Any,
    flights: Any,
    start: Callable[..., str],
    ended: Callable[[str], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    wait: Callable[..., Any],
) -> None:
    started = _count_processes(monkeypatch)
    runs = {day: start(f"day = '{day}'", "dataset", "model") for day in DAYS}
    several = start("day in ('2013-07-04', '2013-07-05') and day > '2013-07-04' or day = '2013-07-06'")
    by_pushdown = flights.start_data_quality_ruleset_evaluation_run(
        DataSource=source("day between '2013-07-04' and '2013-07-05'", "pushDownPredicate"),
        Role="checks",
        RulesetNames=["dataset"],
    )["RunId"]
    nowhere = start("day = '2012-01-01'")
    everything = start()

    ends = {day: ended(run) for day, run in runs.items()}
    assert {end["Status"] for end in ends.values()} == {"SUCCEEDED"}, ends
    assert ended(nowhere)["Status"] == "FAILED"
    assert ended(nowhere)["ErrorString"].startswith("no partition of mlops.flights matches day = '2012-01-01'")

    def rows(run: str) -> float:
        (result,) = ended(run)["ResultIds"]
        found = flights.get_data_quality_result(ResultId=result)["RuleResults"][0]
        return float(found["EvaluatedMetrics"]["Dataset.*.RowCount"])

    assert (rows(several), rows(by_pushdown), rows(everything)) == (16.0, 12.0, 24.0)
    assert len(started) == 1

    first = [flights.get_data_quality_result(ResultId=each) for each in ends["2013-07-04"]["ResultIds"]]
    assert [(each["RulesetName"], each["Score"]) for each in first] == [("dataset", 1.0), ("model", 0.5)]
    assert first[1]["RulesetEvaluationRunId"] == runs["2013-07-04"]
    assert first[1]["DataSource"] == source("day = '2013-07-04'")
    assert first[1]["RuleResults"] == [
        {
            "Name": "Rule_1",
            "Description": 'Mean "x" > 3',
            "EvaluatedRule": 'Mean "x" > 3',
            "Result": "PASS",
            "EvaluatedMetrics": {"Column.x.Mean": 4.0},
        },
        {
            "Name": "Rule_2",
            "Description": 'IsComplete "y"',
            "EvaluatedRule": 'IsComplete "y"',
            "EvaluationMessage": "Input data does not include column y!",
            "Result": "FAIL",
            "EvaluatedMetrics": {},
        },
    ]
    failed = flights.get_data_quality_result(ResultId=ends["2013-07-05"]["ResultIds"][0])
    assert [rule["Result"] for rule in failed["RuleResults"]] == ["FAIL", "PASS"]

    event = server.event(resultID=first[1]["ResultId"])
    assert event == {
        "context": {
            "contextType": "GLUE_DATA_CATALOG",
            "runId": runs["2013-07-04"],
            "databaseName": "mlops",
            "tableName": "flights",
            "catalogId": "123456789012",
        },
        "resultID": first[1]["ResultId"],
        "rulesetNames": ["model"],
        "state": "FAILED",
        "score": 0.5,
        "rulesSucceeded": 1,
        "rulesFailed": 1,
        "rulesSkipped": 0,
    }
    assert ("aws.glue-dataquality", "Data Quality Evaluation Results Available") in {each[:2] for each in server.events}
    log = wait(lambda: server.log("/aws-glue/data-quality/output", runs["2013-07-04"]), bool)
    assert "model: 1 of 2 rules passed" in log
    assert 'Rule_2 failed: IsComplete "y"' in log

    listed = flights.list_data_quality_results(Filter={"DataSource": source("day = '2013-07-04'")})["Results"]
    assert {each["ResultId"] for each in listed} == {each["ResultId"] for each in first}
    batch = flights.batch_get_data_quality_result(ResultIds=[first[0]["ResultId"], "dqresult-none"])
    assert [each["ResultId"] for each in batch["Results"]] == [first[0]["ResultId"]]
    assert batch["ResultsNotFound"] == ["dqresult-none"]
    newest = flights.list_data_quality_ruleset_evaluation_runs(MaxResults=2)
    assert [each["RunId"] for each in newest["Runs"]] == [everything, nowhere]
    rest = flights.list_data_quality_ruleset_evaluation_runs(NextToken=newest["NextToken"])["Runs"]
    assert len(rest) == 5
    of_model = {"DataSource": source("day = '2013-07-06'"), "RulesetName": "model"}
    of_model_runs = flights.list_data_quality_ruleset_evaluation_runs(Filter=of_model)["Runs"]
    assert [each["RunId"] for each in of_model_runs] == [runs["2013-07-06"]]


def test_csv_table_is_checked_against_another_table(
    server: Any, flights: Any, ended: Callable[[str], dict[str, Any]]
) -> None:
    serde = {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        "Parameters": {"field.delim": ",", "serialization.null.format": "NA"},
    }
    columns = [{"Name": "plane", "Type": "int"}, {"Name": "seats", "Type": "int"}]
    storage = {"Columns": columns, "Location": "s3://lake/raw/planes/", "SerdeInfo": serde}
    parameters = {"skip.header.line.count": "1"}
    table = {"Name": "planes", "StorageDescriptor": storage, "Parameters": parameters}
    flights.create_table(DatabaseName="mlops", TableInput=table)
    server.client("s3").put_object(Bucket="lake", Key="raw/planes/a.csv", Body=b"plane,seats\n1,20\n9,NA\n")
    server.client("s3").put_object(Bucket="lake", Key="raw/planes/b.csv", Body=b"plane,seats\n2,150\n")
    rules = 'Rules = [ RowCount = 3, Completeness "seats" > 0.6, ReferentialIntegrity "plane" "flights.{id}" > 0.5 ]'
    flights.create_data_quality_ruleset(Name="planes", Ruleset=rules)
    run = flights.start_data_quality_ruleset_evaluation_run(
        DataSource={"GlueTable": {"DatabaseName": "mlops", "TableName": "planes"}},
        AdditionalDataSources={"flights": source("day = '2013-07-04'")},
        Role=ROLE,
        RulesetNames=["planes"],
    )["RunId"]
    end = ended(run)
    assert end["Status"] == "SUCCEEDED", end
    result = flights.get_data_quality_result(ResultId=end["ResultIds"][0])
    assert result["Score"] == 1.0
    metrics = result["RuleResults"][2]["EvaluatedMetrics"]
    assert metrics == {"Column.flights.ReferentialIntegrity": pytest.approx(2 / 3)}


def test_cancelled_runs_and_those_past_their_timeout_end_without_results(
    flights: Any, start: Callable[..., str], ended: Callable[[str], dict[str, Any]]
) -> None:
    cancelled = start("day = '2013-07-04'")
    late = start("day = '2013-07-05'", Timeout=1)
    flights.cancel_data_quality_ruleset_evaluation_run(RunId=cancelled)
    assert ended(cancelled)["Status"] == "STOPPED"
    assert ended(late)["Status"] == "TIMEOUT"
    assert ended(late)["ErrorString"] == "The run exceeded its timeout of 1 minutes."
    assert [ended(run).get("ResultIds", []) for run in (cancelled, late)] == [[], []]
    with pytest.raises(ClientError, match="has ended already"):
        flights.cancel_data_quality_ruleset_evaluation_run(RunId=cancelled)


def test_process_that_dies_fails_its_runs_with_its_last_words(
    server: Any,
    start: Callable[..., str],
    ended: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wait: Callable[..., Any],
) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('no memory left')")
    monkeypatch.setattr(evaluator_process, "SCRIPT", script)
    end = ended(run := start("day = '2013-07-04'"))
    assert (end["Status"], end["ErrorString"]) == ("FAILED", "no memory left")
    wait(lambda: server.log("/aws-glue/data-quality/error", run), lambda log: "no memory left" in log)


def test_process_that_ended_for_want_of_runs_is_replaced(
    start: Callable[..., str],
    ended: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # an evaluator that answers one plan, and has gone when the next one comes
    script = tmp_path / "once.py"
    answer = '{"columns": {}, "values": {"m0": 6, "m1": 3}, "errors": {}}'
    script.write_text(
        "import json, pathlib, sys, time\n"
        "plan = pathlib.Path(sys.argv[1], '0.plan.json')\n"
        "while not plan.exists(): time.sleep(0.01)\n"
        f"runs = {{run: {answer} for table in json.loads(plan.read_text()) for run in table['runs']}}\n"
        "plan.with_name('unfinished').write_text(json.dumps(runs))\n"
        "plan.with_name('unfinished').rename(plan.with_name('0.measured.json'))\n"
    )
    monkeypatch.setattr(evaluator_process, "SCRIPT", script)
    started = _count_processes(monkeypatch)
    assert ended(start("day = '2013-07-04'"))["Status"] == "SUCCEEDED"
    assert ended(start("day = '2013-07-05'"))["Status"] == "SUCCEEDED"
    assert len(started) == 2


def test_stopped_server_ends_the_process_and_its_runs(
    server: Any, flights: Any, start: Callable[..., str], monkeypatch: pytest.MonkeyPatch, wait: Callable[..., Any]
) -> None:
    started = _count_processes(monkeypatch)
    run = start("day = '2013-07-04'")
    wait(lambda: started, bool)
    began = time.monotonic()
    server.services[-1].close()
    assert time.monotonic() - began < 10
    assert not started[0].running
    assert flights.get_data_quality_ruleset_evaluation_run(RunId=run)["Status"] == "STOPPED"
    assert flights.get_data_quality_ruleset_evaluation_run(RunId=start())["Status"] == "STOPPED"


def _count_processes(monkeypatch: pytest.MonkeyPatch) -> list[EvaluatorProcess]:
    started: list[EvaluatorProcess] = []
    begin = EvaluatorProcess.__init__

    def noted(self: EvaluatorProcess, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more)
        started.append(self)

    monkeypatch.setattr(EvaluatorProcess, "__init__", noted)
    return started
