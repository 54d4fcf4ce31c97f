"""The runtime image as the container of monitoring schedules: what it says under the contract is what people see."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from model_runtime.monitor.baseline import write_baseline
from tests.local_aws.monitoring.conftest import REGISTRY, Monitoring

APP = {"ImageUri": f"{REGISTRY}/runtime:1", "ContainerArguments": ["monitor"]}
FEATURES = ("distance", "hour")
_random = np.random.default_rng(11)


def rows(count: int, shift: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame({"distance": _random.normal(500 + shift, 100, count), "hour": _random.integers(5, 23, count)})


def captured(table: pl.DataFrame, scores: list[float], name: str) -> list[dict[str, Any]]:
    """Return a captured line for each row, as an endpoint writes it."""
    return [
        {
            "captureData": {
                "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "encoding": "CSV",
                                  "data": ",".join(map(str, row))},
                "endpointOutput": {"observedContentType": "text/csv", "mode": "OUTPUT", "encoding": "CSV",
                                   "data": str(score)},
            },
            "eventMetadata": {"eventId": f"{name}-{number}", "inferenceId": f"{name}/{number}",
                              "inferenceTime": "2030-05-01T06:10:00Z"},
            "eventVersion": "0",
        }
        for number, (row, score) in enumerate(zip(table.iter_rows(), scores, strict=True))
    ]  # fmt: skip


def put_hour(monitoring: Monitoring, lines: list[dict[str, Any]]) -> None:
    """Have these lines captured in the hour that runs, five minutes after its begin."""
    monitoring.next_hour(minutes=5)
    now = monitoring.clock.now()
    for line in lines:
        line["eventMetadata"]["inferenceTime"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    monitoring.put(f"captured/live/all/{now:%Y/%m/%d/%H}/05-00-000-{monitoring.name}.jsonl", *lines)


def report(monitoring: Monitoring, execution: dict[str, Any], name: str) -> Any:
    at = execution["ScheduledTime"]
    return monitoring.get(f"reports/live/{monitoring.name}/{at:%Y/%m/%d/%H}/{name}.json")


def test_shifted_hour_completes_with_violations_and_metrics(monitoring: Monitoring, tmp_path: Path) -> None:
    write_baseline(rows(3000), FEATURES, set(), tmp_path)
    for path in tmp_path.iterdir():
        monitoring.put(f"prepared/{path.name}", path.read_text())
    baseline = {f"{name.capitalize()}Resource": {"S3Uri": f"s3://lake/prepared/{name}.json"} for name in
                ("statistics", "constraints")}  # fmt: skip
    monitoring.sagemaker.create_data_quality_job_definition(**monitoring.define(app=APP, baseline=baseline))
    monitoring.schedule()
    put_hour(monitoring, captured(rows(400, shift=80), [0.5] * 400, "shifted"))
    monitoring.next_hour()
    (execution, *_) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "CompletedWithViolations", execution
    found = report(monitoring, execution, "constraint_violations")["violations"]
    assert ("distance", "baseline_drift_check") in {
        (each["feature_name"], each["constraint_check_type"]) for each in found
    }
    assert report(monitoring, execution, "statistics")["dataset"]["item_count"] == 400
    dimensions = [
        {"Name": "Endpoint", "Value": "live"}, {"Name": "MonitoringSchedule", "Value": monitoring.name},
    ]  # fmt: skip
    now = monitoring.clock.now()
    points = monitoring.context.client("cloudwatch").get_metric_statistics(
        Namespace="aws/sagemaker/Endpoints/data-metrics", MetricName="feature_baseline_drift_distance", Period=3600,
        Dimensions=dimensions, Statistics=["Maximum"], StartTime=now - timedelta(minutes=50), EndTime=now,
    )["Datapoints"]  # fmt: skip
    assert [point["Maximum"] > 0.1 for point in points] == [True]


def test_quality_is_judged_by_the_labels_that_were_joined(monitoring: Monitoring) -> None:
    limits = {"auc": {"threshold": 0.9, "comparison_operator": "LessThanThreshold"}}
    monitoring.put("judged/constraints.json", {"version": 0.0, "binary_classification_constraints": limits})
    request = monitoring.define(
        "ModelQuality",
        app={**APP, "ProblemType": "BinaryClassification"},
        endpoint_input={"ProbabilityAttribute": "0", "StartTimeOffset": "-PT1H", "EndTimeOffset": "PT0H"},
        job_input={"GroundTruthS3Input": {"S3Uri": f"s3://lake/labels/{monitoring.name}"}},
        baseline={"ConstraintsResource": {"S3Uri": "s3://lake/judged/constraints.json"}},
    )
    monitoring.sagemaker.create_model_quality_job_definition(**request)
    monitoring.schedule(kind="ModelQuality")
    # whatever the score, every second flight is late
    put_hour(monitoring, captured(rows(200), [number / 200 for number in range(200)], monitoring.name))
    labels = [
        {"groundTruthData": {"data": str(number % 2), "encoding": "CSV"},
         "eventMetadata": {"eventId": f"{monitoring.name}/{number}"}, "eventVersion": "0"}
        for number in range(200)
    ]  # fmt: skip
    monitoring.put(f"labels/{monitoring.name}/{monitoring.clock.now():%Y/%m/%d/%H}/a.jsonl", *labels)
    monitoring.next_hour()
    (execution, *_) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "CompletedWithViolations", execution
    statistics = report(monitoring, execution, "statistics")
    assert statistics["dataset"]["item_count"] == 200
    assert abs(statistics["binary_classification_metrics"]["auc"]["value"] - 0.5) < 0.05
    assert [each["metric_name"] for each in report(monitoring, execution, "constraint_violations")["violations"]] == [
        "auc"
    ]
    assert json.loads(monitoring.job(execution)["Environment"]["dataset_format"]).keys() == {"sagemakerMergeJson"}
