"""Whole days are predicted by the released versions: by an event, by hand, again, and not by a run that is stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import pytest

from mlops_cli.data import published
from mlops_cli.data.dataset import deployed_dataset
from mlops_cli.deployment import dashed
from mlops_cli.repository import declaration
from mlops_cli.scoring import invoke_csv
from tests.end_to_end.conftest import Platform, switch_batch

BLOCK_TIME, FLIGHT_DELAY = "block_time", "flight_delay"
DAYS = (date(2013, 7, 15), date(2013, 7, 16))
SECONDS = 120


def wait(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {SECONDS} s for {what}"
        time.sleep(0.2)
    return found


def batch(platform: Platform, *words: str, check: bool = True) -> Any:
    return platform.run(["mlops", "batch", *words], check=check)


def status(platform: Platform, model: str, *words: str) -> Any:
    return json.loads(batch(platform, "status", "--model", model, "--json", *words).stdout)


def number(package: str) -> str:
    """The version that a package's ARN is of."""
    return package.rpartition("/")[2]


def query(platform: Platform, sql: str) -> list[list[str | None]]:
    athena = platform.client("athena")
    started = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": platform.output("data", "DatabaseName")},
        WorkGroup=platform.output("data", "QueryWorkGroupName"),
    )["QueryExecutionId"]

    def ended() -> Any:
        found = athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"]
        return found if found["State"] not in ("QUEUED", "RUNNING") else None

    outcome = wait(ended, sql)
    assert outcome["State"] == "SUCCEEDED", outcome
    _, *rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows]


def executions(platform: Platform, model: str) -> Sequence[dict[str, Any]]:
    found = platform.client("sagemaker").list_pipeline_executions(PipelineName=f"dev-{dashed(model)}-batch")
    return list(found["PipelineExecutionSummaries"])


def ended_since(platform: Platform, model: str, count: int) -> dict[str, Any] | None:
    """The newest execution, once there are more than before and all of them have ended."""
    found = executions(platform, model)
    busy = [each for each in found if each["PipelineExecutionStatus"] in ("Executing", "Stopping")]
    return found[0] if len(found) > count and not busy else None


def written(platform: Platform, model: str) -> dict[str, Any]:
    """The objects of a model's predictions, with when they were written."""
    s3, bucket = platform.client("s3"), platform.output("data", "CuratedBucketName")
    found = s3.list_objects_v2(Bucket=bucket, Prefix=f"predictions/{model}/").get("Contents", [])
    return {each["Key"].removeprefix(f"predictions/{model}/"): each["LastModified"] for each in found}


@pytest.fixture(scope="module")
def packages(platform: Platform) -> dict[str, str]:
    """The version of each model that predicts days: the demo's, and a hasty one of block_time, approved now."""
    few = ("FirstDay=2013-06-01", "LastDay=2013-07-14", "TestDays=7", "ValidationDays=7", "MaximumError=100")
    platform.run(["mlops", "train", BLOCK_TIME, "--follow", *(word for each in few for word in ("-p", each))])
    platform.run(["mlops", "model", "approve", BLOCK_TIME])
    switch_batch(platform, on=True)
    return {model: status(platform, model)["released"] for model in (BLOCK_TIME, FLIGHT_DELAY)}


def test_model_without_a_released_version_says_so_and_is_started_by_nothing(platform: Platform) -> None:
    told = batch(platform, "run", "--model", BLOCK_TIME, check=False)
    assert told.returncode == 1
    assert "no version of dev-block-time is released yet: approve one, see `mlops model approve`" in told.stderr
    rules = [rule["Name"] for rule in platform.client("events").list_rules()["Rules"]]
    assert not [name for name in rules if name.startswith("dev-block-time-batch") and "NewData" in name]


def test_event_of_published_days_has_all_models_predict_what_is_due(
    platform: Platform, packages: dict[str, str]
) -> None:
    before = {model: len(executions(platform, model)) for model in packages}
    detail = json.dumps({"dataset": "flights", "workflow": "dev-flights", "days": [f"{DAYS[0]}"]})
    told = {"Source": "mlops.data", "DetailType": "Dataset Published", "Detail": detail}
    assert platform.client("events").put_events(Entries=[told])["FailedEntryCount"] == 0
    for model, package in packages.items():
        newest = wait(lambda model=model: ended_since(platform, model, before[model]), f"predictions of {model}")
        assert newest["PipelineExecutionStatus"] == "Succeeded", newest
        found = status(platform, model)
        predicted = found["days"][-7:]
        assert found["released"] == package
        assert {day["state"] for day in predicted} == {"predicted"}
        assert all(day["predicted"] == day["rows"] > 0 and day["model_package"] == package for day in predicted)
        assert not [day for day in found["days"] if day["due"]]


def test_days_by_hand_can_be_joined_with_what_became_of_them(platform: Platform, packages: dict[str, str]) -> None:
    told = batch(platform, "run", "--model", BLOCK_TIME, "--day", f"{DAYS[0]}", "--to", f"{DAYS[1]}").stdout
    days = [day for day in status(platform, BLOCK_TIME)["days"] if day["day"] in map(str, DAYS)]
    rows = sum(day["rows"] for day in days)
    assert f"{rows:,} predictions of 2 days by version {number(packages[BLOCK_TIME])}" in told
    ((count, distinct, ids, error, version),) = query(
        platform,
        "SELECT count(*), count(DISTINCT p.flight_number || p.route || CAST(p.day AS varchar)), "
        "count(DISTINCT p.inference_id), avg(abs(p.prediction - f.block_minutes)), max(p.model_package) "
        "FROM block_time_predictions p JOIN flights f "
        "ON p.day = f.day AND p.flight_number = f.flight_number AND p.route = f.route "
        f"WHERE p.day BETWEEN DATE '{DAYS[0]}' AND DATE '{DAYS[1]}'",
    )
    assert int(count or 0) == int(distinct or 0) == int(ids or 0) == rows
    assert 0 < float(error or 0) < 30
    assert version == packages[BLOCK_TIME]


def test_batch_and_endpoint_give_the_same_answers(platform: Platform, packages: dict[str, str]) -> None:
    newest = status(platform, FLIGHT_DELAY)["days"][-1]["day"]
    rows = published.newest_rows(platform.deployment, deployed_dataset(platform.deployment, "flights"), 50)
    features = declaration(FLIGHT_DELAY)["data"]["features"]
    answers = invoke_csv(platform.client("sagemaker-runtime"), "dev-flight-delay", rows.select(features))
    found = query(
        platform,
        "SELECT flight_number, route, prediction, predicted_class FROM flight_delay_predictions "
        f"WHERE day = DATE '{newest}'",
    )
    of_batch = {(flight, route): (float(score or "nan"), kind) for flight, route, score, kind in found}
    keys = rows.select("flight_number", "route").rows()
    assert [of_batch[key][0] for key in keys] == pytest.approx(list(answers), abs=1e-6)
    assert {kind == ("1" if score >= 0.5 else "0") for score, kind in of_batch.values()} == {True}


def test_a_day_that_runs_again_has_the_same_rows_once(platform: Platform, packages: dict[str, str]) -> None:
    sql = (
        "SELECT count(*), count(DISTINCT inference_id), sum(prediction), max(predicted_at) FROM block_time_predictions "
        f"WHERE day = DATE '{DAYS[0]}'"
    )
    (before,) = query(platform, sql)
    batch(platform, "run", "--model", BLOCK_TIME, "--day", f"{DAYS[0]}")
    (after,) = query(platform, sql)
    assert after[:2] == before[:2]
    assert float(after[2] or 0) == pytest.approx(float(before[2] or 1))
    assert str(after[3]) > str(before[3])


def test_run_that_is_stopped_in_between_publishes_nothing(platform: Platform, packages: dict[str, str]) -> None:
    sagemaker, before = platform.client("sagemaker"), written(platform, BLOCK_TIME)
    day = date(2013, 7, 1)
    assert f"day={day}/predictions.parquet" not in before
    given = [{"Name": name, "Value": f"{value}"} for name, value in (("FirstDay", day), ("LastDay", DAYS[1]))]
    execution = sagemaker.start_pipeline_execution(PipelineName="dev-block-time-batch", PipelineParameters=given)[
        "PipelineExecutionArn"
    ]

    def transforming() -> bool:
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
        return "Transform" in [step["StepName"] for step in steps]

    wait(transforming, "the transform job")
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken="s" * 32)
    described = wait(
        lambda: (found := sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution))[
            "PipelineExecutionStatus"
        ] not in ("Executing", "Stopping") and found,
        "the end of the execution",
    )  # fmt: skip
    assert described["PipelineExecutionStatus"] == "Stopped"
    assert written(platform, BLOCK_TIME) == before


def test_a_day_without_published_rows_is_named(platform: Platform, packages: dict[str, str]) -> None:
    told = batch(platform, "run", "--model", BLOCK_TIME, "--day", "2013-12-25", check=False)
    assert told.returncode == 1
    assert "no rows of 2013-12-25 are published" in told.stderr


def test_status_shows_what_is_predicted_and_by_whom(platform: Platform, packages: dict[str, str]) -> None:
    told = batch(platform, "status", "--model", BLOCK_TIME, "--from", f"{DAYS[0]}", "--to", "2013-07-17").stdout
    assert f"version {number(packages[BLOCK_TIME])}" in told
    lines = [line.split() for line in told.splitlines() if "2013-07-1" in line and "newest" not in line]
    assert [(line[1], line[0]) for line in lines] == [(f"{DAYS[0]}", "■"), (f"{DAYS[1]}", "■"), ("2013-07-17", "□")]
    assert "mlops batch run --model block_time --day" in told


def test_unknown_models_and_days_the_wrong_way_round_are_refused(platform: Platform) -> None:
    assert "no model 'block_tim'" in batch(platform, "status", "--model", "block_tim", check=False).stderr
    words = ("run", "--model", BLOCK_TIME, "--day", f"{DAYS[1]}", "--to", f"{DAYS[0]}")
    assert "--day 2013-07-16 is after --to 2013-07-15" in batch(platform, *words, check=False).stderr
