"""What the rules of a training find reaches CloudWatch through the job's log, and turns the model's alarm on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_aws.cloudwatch import CloudWatchService

RUNTIME = Path(__file__).parents[3] / "ml_code/runtime"
WATCHED = f"""
import os, pathlib, sys
sys.path.insert(0, {str(RUNTIME)!r})
from model_runtime.diagnostics import Diagnostics

watching = Diagnostics()
for number in range(4):
    watching.round_ended("model", number, {{"validation": {{"logloss": [0.6, 0.4, 0.5, 0.7][: number + 1]}}}})
watching.write(pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model")
"""
PLACE = {"METRICS_NAMESPACE": "mlops/Training", "METRICS_ENVIRONMENT": "dev", "MODEL_NAME": "flight_delay"}
MODEL = [{"Name": "Environment", "Value": "dev"}, {"Name": "Model", "Value": "flight_delay"}]


@pytest.fixture
def train(server: Any, sagemaker: Any, wait: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    server.add(CloudWatchService(server.context))

    def run(name: str, script: str, variables: dict[str, str]) -> dict[str, Any]:
        sagemaker.create_training_job(
            TrainingJobName=name,
            RoleArn="arn:aws:iam::123456789012:role/training",
            AlgorithmSpecification={"TrainingImage": server.image(script), "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": "s3://lake/models"},
            ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            Environment=variables,
            EnableNetworkIsolation=True,
        )
        ended = ("Completed", "Failed", "Stopped")
        job = wait(
            lambda: sagemaker.describe_training_job(TrainingJobName=name),
            lambda each: each["TrainingJobStatus"] in ended,
        )
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        return dict(job)

    return run


def metric(server: Any, name: str, *dimensions: dict[str, str]) -> list[float]:
    stat = {"Namespace": "mlops/Training", "MetricName": name, "Dimensions": [*MODEL, *dimensions]}
    now = datetime.now(UTC)
    found = server.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "found", "MetricStat": {"Metric": stat, "Period": 3600, "Stat": "Maximum"}}],
        StartTime=now - timedelta(minutes=30),
        EndTime=now + timedelta(minutes=20),
    )
    return list(found["MetricDataResults"][0]["Values"])


def turned(server: Any, state: str) -> Any:
    """The state that the alarm was in before it came to one; None if it didn't yet."""
    events = [each for _, _, each in list(server.events) if each.get("alarmName") == "diagnostics"]
    return next((each["previousState"] for each in events if each["state"]["value"] == state), None)


def test_a_broken_rule_of_an_isolated_training_is_a_metric_and_an_alarm(
    server: Any, train: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    cloudwatch = server.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="diagnostics",
        Namespace="mlops/Training",
        MetricName="RulesWarning",
        Dimensions=MODEL,
        Statistic="Maximum",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Threshold=1,
        Period=3600,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
    )
    train("watched", WATCHED, PLACE)
    assert metric(server, "RuleBroken", {"Name": "Rule", "Value": "overfitting"}) == [1.0]
    assert metric(server, "RuleBroken", {"Name": "Rule", "Value": "exploding_metric"}) == [0.0]
    assert metric(server, "RulesWarning") == [1.0]
    wait(
        lambda: cloudwatch.describe_alarms(AlarmNames=["diagnostics"])["MetricAlarms"][0]["StateValue"],
        lambda state: state == "ALARM",
    )
    assert wait(lambda: turned(server, "ALARM"), bool)["value"] == "OK"
    # an alarm begins without a state
    assert turned(server, "OK")["value"] == "INSUFFICIENT_DATA"


def test_a_training_that_isn_t_told_where_its_metrics_belong_has_none(server: Any, train: Callable[..., Any]) -> None:
    train("alone", WATCHED, {"MODEL_NAME": "flight_delay"})
    assert server.client("cloudwatch").list_metrics(Namespace="mlops/Training")["Metrics"] == []
