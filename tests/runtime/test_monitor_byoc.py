"""The monitor as the container of a native schedule: variables in, files and a message out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.monitor import byoc
from model_runtime.monitor.baseline import write_baseline
from model_runtime.paths import ContainerPaths
from tests.runtime.container import Container, json_file
from tests.runtime.monitored import FEATURES, answers, capture, captures, features, label, lines

HOUR = datetime(2030, 3, 10, 9, tzinfo=UTC)
SOURCE, OUTPUT = "/opt/ml/processing/input/endpoint", "/opt/ml/processing/output"
BASELINE = "/opt/ml/processing/baseline"
CAPTURES = '{"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}}'
SCRIPT = """
def preprocess_handler(record):
    if record.event_metadata.event_id == "skip":
        return []
    hour, distance, carrier = record.endpoint_input.data.split(",")
    return {"hour": float(hour) + 1, "distance": distance, "carrier": carrier, "answer": record.endpoint_output.data}


def postprocess_handler():
    open(__file__ + ".done", "w").close()
"""


class Schedule:
    """An execution of a monitoring schedule in a container."""

    def __init__(self, container: Container) -> None:
        self.container, self.paths = container, ContainerPaths(container.base)
        self.environment = {
            "dataset_format": CAPTURES,
            "dataset_source": SOURCE,
            "output_path": OUTPUT,
            "publish_cloudwatch_metrics": "Enabled",
            "start_time": f"{HOUR:%Y-%m-%dT%H:%M:%SZ}",
            "end_time": f"{HOUR + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            "sagemaker_endpoint_name": "dev-toy",
            "sagemaker_monitoring_schedule_name": "dev-toy-data",
        }

    def put(self, name: str, body: bytes, directory: str = SOURCE) -> None:
        file = self.paths.at(f"{directory}/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)

    def captured(self, rows: pl.DataFrame, hour: datetime = HOUR) -> None:
        sent = captures(rows, hour, hour + timedelta(hours=1))
        self.put(f"dev-toy/live/{hour:%Y/%m/%d/%H}/part.jsonl", lines([record for _, record in sent]))

    def has_baseline(self, rows: pl.DataFrame | None = None) -> None:
        directory = self.paths.at(BASELINE)
        table = features(2000) if rows is None else rows
        write_baseline(table, table.columns, {"carrier"}, directory)
        for name in ("statistics", "constraints"):
            self.environment[f"baseline_{name}"] = f"{BASELINE}/{name}.json"

    def run(self, **environment: str) -> str:
        byoc.main(self.paths, {**self.environment, **environment})
        return self.paths.message.read_text()

    def output(self, name: str) -> Any:
        return json_file(self.paths.at(f"{OUTPUT}/{name}"))

    def metrics(self) -> dict[str, Any]:
        file = self.paths.base / "output" / "metrics" / "cloudwatch" / "cloudwatch_metrics.jsonl"
        return {each["MetricName"]: each for each in map(json.loads, file.read_text().splitlines())}


@pytest.fixture
def schedule(container: Container, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Schedule(container)


def test_calm_captures_complete(schedule: Schedule) -> None:
    schedule.has_baseline()
    schedule.captured(features(800, seed=5))
    schedule.captured(features(800, seed=5), HOUR - timedelta(hours=1))
    assert schedule.run() == "Completed: 800 rows of 1 files"
    assert schedule.output("statistics.json")["dataset"]["item_count"] == 800
    assert schedule.output("constraint_violations.json") == {"violations": []}
    assert [each["name"] for each in schedule.output("constraints.json")["features"]] == list(FEATURES)
    said = schedule.metrics()
    assert said["feature_data_distance"]["StatisticValues"]["SampleCount"] == 800
    assert said["feature_non_null_hour"]["Value"] == 800
    assert 0 < said["feature_baseline_drift_distance"]["Value"] < 0.1
    assert said["feature_non_null_hour"]["Dimensions"] == [
        {"Name": "Endpoint", "Value": "dev-toy"},
        {"Name": "MonitoringSchedule", "Value": "dev-toy-data"},
    ]


def test_drift_completes_with_violations(schedule: Schedule) -> None:
    schedule.has_baseline()
    schedule.captured(features(800, seed=5).with_columns(pl.col("distance") * 3))
    said = schedule.run(publish_cloudwatch_metrics="Disabled")
    assert said == "CompletedWithViolations: 1 violations; 800 rows of 1 files"
    (found,) = schedule.output("constraint_violations.json")["violations"]
    assert (found["feature_name"], found["constraint_check_type"]) == ("distance", "baseline_drift_check")
    assert not (schedule.paths.base / "output" / "metrics").exists()


def test_the_command_follows_the_contract_where_it_gets_no_arguments(schedule: Schedule) -> None:
    schedule.has_baseline()
    schedule.captured(features(100))
    schedule.put("dev-toy/live/2030/03/10/09/cut.jsonl", lines([capture("1,2,3", "1", HOUR, "a")])[:60])
    schedule.container.environment |= {**schedule.environment, "AWS_DEFAULT_REGION": "us-east-1"}
    done = schedule.container.run("monitor")
    assert done.returncode == 0, done.stderr
    assert schedule.paths.message.read_text() == "Completed: 100 rows of 2 files, 1 lines can't be used"
    assert "cut.jsonl line 1: the line is no JSON, it ends in the middle" in done.stdout


def test_no_traffic_has_no_violations(schedule: Schedule) -> None:
    schedule.has_baseline()
    assert schedule.run() == "Completed: 0 rows of 0 files"
    assert schedule.output("constraint_violations.json") == {"violations": []}


def test_answers_are_compared_where_the_baseline_has_them(schedule: Schedule) -> None:
    """Model Monitor puts the answer's columns before those of the request."""
    rows = features(500)
    schedule.has_baseline(rows.select(pl.Series("_c0", answers(rows)), *rows.iter_columns()))
    schedule.captured(features(500, seed=3))
    assert schedule.run().startswith("Completed: ")
    assert [each["name"] for each in schedule.output("statistics.json")["features"]] == ["_c0", *FEATURES]


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ('{"csv": {"header": true}}', "rows.csv"),
        ('{"parquet": {}}', "rows.parquet"),
        ('{"json": {"line": true}}', "rows.jsonl"),
    ],
)
def test_a_baseline_job_suggests_constraints(schedule: Schedule, form: str, name: str) -> None:
    file = schedule.paths.at(f"{SOURCE}/{name}")
    file.parent.mkdir(parents=True)
    rows = features(300)
    writers = {"rows.csv": rows.write_csv, "rows.parquet": rows.write_parquet, "rows.jsonl": rows.write_ndjson}
    writers[name](file)
    assert schedule.run(dataset_format=form) == "Completed: 300 rows of 1 files"
    found = {each["name"]: each for each in schedule.output("constraints.json")["features"]}
    assert found["hour"] | {"num_constraints": 0} == {
        "name": "hour", "inferred_type": "Integral", "completeness": 1.0, "num_constraints": 0,
    }  # fmt: skip
    assert not schedule.paths.at(f"{OUTPUT}/constraint_violations.json").exists()


def test_scripts_of_users_take_part(schedule: Schedule) -> None:
    schedule.put("script.py", SCRIPT.encode(), "/opt/ml/processing/input/script")
    schedule.captured(features(100))
    skipped = capture("1,2,3", "1", HOUR, None)
    skipped["eventMetadata"]["eventId"] = "skip"
    schedule.put(f"dev-toy/live/{HOUR:%Y/%m/%d/%H}/more.jsonl", lines([skipped]))
    script = "/opt/ml/processing/input/script/script.py"
    schedule.run(record_preprocessor_script=script, post_analytics_processor_script=script)
    found = {each["name"]: each for each in schedule.output("statistics.json")["features"]}
    assert set(found) == {*FEATURES, "answer"}
    assert found["hour"]["numerical_statistics"]["min"] == 6.0
    assert schedule.output("statistics.json")["dataset"]["item_count"] == 100
    assert schedule.paths.at(f"{script}.done").exists()


def merged(rows: pl.DataFrame, labels: list[int], json_answers: bool = False) -> bytes:
    found = []
    for (_, record), value in zip(captures(rows, HOUR, HOUR + timedelta(hours=1)), labels, strict=True):
        record["groundTruthData"] = label("", value)["groundTruthData"]
        if json_answers:
            output = record["captureData"]["endpointOutput"]
            output |= {"data": json.dumps({"predictions": [{"score": float(output["data"])}]}), "encoding": "JSON"}
        found.append(record)
    return lines(found)


@pytest.mark.parametrize("json_answers", [False, True])
def test_joined_predictions_are_judged_by_the_constraints(schedule: Schedule, json_answers: bool) -> None:
    rows = features(1000)
    labels = (np.random.default_rng(1).random(1000) < np.array(answers(rows))).astype(int).tolist()
    schedule.put(f"dev-toy/live/{HOUR:%Y/%m/%d/%H}/part-0.jsonl", merged(rows, labels, json_answers) + b"{}\n")
    bounds = {"auc": {"threshold": 0.95, "comparison_operator": "LessThanThreshold"}}
    bounds["recall"] = {"threshold": 0.1, "comparison_operator": "LessThanThreshold"}
    schedule.put("constraints.json", json.dumps({"binary_classification_constraints": bounds}).encode(), BASELINE)
    said = schedule.run(
        dataset_format='{"sagemakerMergeJson": {"captureIndexNames": ["endpointOutput"]}}',
        analysis_type="MODEL_QUALITY",
        problem_type="BinaryClassification",
        probability_attribute="predictions[0].score" if json_answers else "0",
        probability_threshold_attribute="0.5",
        baseline_constraints=f"{BASELINE}/constraints.json",
    )
    assert said == "CompletedWithViolations: 1 violations; 1000 labelled predictions of 1 files, 1 lines can't be used"
    (found,) = schedule.output("constraint_violations.json")["violations"]
    assert (found["metric_name"], found["constraint_check_type"]) == ("auc", "LessThanThreshold")
    statistics = schedule.output("statistics.json")
    assert statistics["dataset"]["item_count"] == 1000
    assert statistics["binary_classification_metrics"]["auc"]["value"] > 0.6
    assert schedule.metrics()["auc"]["Value"] == statistics["binary_classification_metrics"]["auc"]["value"]


def judged(schedule: Schedule, place: str, *sides: tuple[str, str, str]) -> tuple[str, int]:
    """The message, and how many predictions were judged, of lines with an answer, its encoding, and the labels."""
    records = []
    for answer, encoding, labels in sides:
        record = capture("1,2,3", answer, HOUR, "id")
        record["captureData"]["endpointOutput"]["encoding"] = encoding
        records.append(record | {"groundTruthData": {"data": labels, "encoding": "CSV"}})
    schedule.put(f"dev-toy/live/{HOUR:%Y/%m/%d/%H}/part-0.jsonl", lines(records))
    said = schedule.run(
        dataset_format='{"sagemakerMergeJson": {}}',
        analysis_type="MODEL_QUALITY",
        problem_type="BinaryClassification",
        probability_attribute=place,
    )
    return said, schedule.output("statistics.json")["dataset"]["item_count"]


@pytest.mark.parametrize(
    ("place", "answer", "encoding"),
    [
        ("1", 'no,0.9\nyes,0.1\n"no, no",0.2', "CSV"),
        ("$.predictions[*].score", '{"predictions": [{"score": 0.9}, {"score": 0.1}, {"score": 0.2}]}', "JSON"),
        ("$.predictions[*]['score']", '{"predictions": [{"score": [0.9]}, {"score": [0.1]}, {"score": 1}]}', "JSON"),
        ("score", '{"score": 0.9}\n{"score": 0.1}\n{"score": 0.2}', "JSON"),
        ("0", "[0.9]\n[0.1]\n[0.2]", "JSON"),
    ],
)
def test_every_row_of_a_request_is_judged(schedule: Schedule, place: str, answer: str, encoding: str) -> None:
    said = judged(schedule, place, (answer, encoding, "1\n0\n1"), (answer, encoding, "1\n1\n1"))
    assert said == ("Completed: 6 labelled predictions of 1 files", 6)


def test_answers_that_are_no_predictions_are_counted(schedule: Schedule, capsys: pytest.CaptureFixture[str]) -> None:
    sides = [("0.9", "CSV", "1"), ("nan", "CSV", "1"), ("0.1\n0.2", "CSV", "1"), ("error", "CSV", "0")]
    said, count = judged(schedule, "0", *sides, ('{"a": 1}', "JSON", "1"))
    assert (said, count) == ("Completed: 1 labelled predictions of 1 files, 4 lines can't be used", 1)
    told = capsys.readouterr().out
    assert "line 2: no joined prediction: 'nan' is no prediction" in told
    assert "line 3: no joined prediction: 2 predictions and 1 labels" in told


@pytest.mark.parametrize(
    ("form", "name", "body", "reason"),
    [
        ("csv", "ragged.csv", b"a,b\n1,2\n1,2,3\n", r"ragged\.csv can't be read as CSV: found more fields"),
        ("csv", "latin.csv", b"a,b\n1,caf\xe9\n", r"latin\.csv can't be read as CSV: invalid utf-8"),
        ("csv", "open.csv", b'a,b\n1,"x\n', r"open\.csv can't be read as CSV: could not parse"),
        ("parquet", "cut.parquet", b"PAR1junk", r"cut\.parquet can't be read as Parquet: "),
    ],
)
def test_a_file_that_can_not_be_read_is_named(
    schedule: Schedule, form: str, name: str, body: bytes, reason: str
) -> None:
    schedule.put(name, body)
    with pytest.raises(JobError, match=reason):
        schedule.run(dataset_format=json.dumps({form: {}}))


def test_empty_files_and_rows_that_are_none_are_counted(schedule: Schedule) -> None:
    schedule.put("a.csv", b"")
    schedule.put("b.csv", b"x,y\n1,2\n")
    assert schedule.run(dataset_format='{"csv": {}}') == "Completed: 1 rows of 2 files, 1 lines can't be used"
    schedule.put("a.csv", b'{"x": 1}\n3\n' + b"[" * 100_000)
    schedule.put("b.csv", b'[{"x": 1}, null]')
    assert schedule.run(dataset_format='{"json": {}}') == "Completed: 2 rows of 2 files, 3 lines can't be used"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"dataset_source": ""}, "the variable dataset_source isn't set"),
        ({"dataset_format": "{"}, "the variable dataset_format must be JSON"),
        ({"dataset_format": '{"xml": {}}'}, "must name one of sagemakerCaptureJson, sagemakerMergeJson, csv"),
        ({"baseline_statistics": "/opt/ml/nowhere.json"}, "baseline_statistics can't be read"),
        ({"start_time": "now"}, "start_time must be a time"),
        ({"analysis_type": "MODEL_QUALITY", "problem_type": "Ranking"}, "problem_type must be BinaryClassification or"),
        ({"record_preprocessor_script": "/opt/ml/nowhere.py"}, "nowhere.py isn't there"),
        (
            {
                "analysis_type": "MODEL_QUALITY",
                "problem_type": "Regression",
                "inference_attribute": "$.a[",
            },
            r"must be a column's number or a path as .*, got '\$\.a\['",
        ),
        (
            {
                "analysis_type": "MODEL_QUALITY",
                "problem_type": "BinaryClassification",
                "probability_threshold_attribute": "half",
            },
            "probability_threshold_attribute must be from 0 to 1, got 'half'",
        ),
    ],
)
def test_variables_that_say_nothing_are_named(schedule: Schedule, changed: dict[str, str], reason: str) -> None:
    with pytest.raises(JobError, match=reason):
        schedule.run(**changed)


def test_paths_outside_the_container_stay(schedule: Schedule, tmp_path: Path) -> None:
    assert schedule.run(dataset_source=str(tmp_path / "nothing")) == "Completed: 0 rows of 0 files"
