"""Job definitions and monitoring schedules as CloudFormation deploys them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.cloudformation.deployer import Deployer
from tests.local_aws.monitoring.conftest import Monitoring

KINDS = ("DataQuality", "ModelQuality", "ModelBias", "ModelExplainability")
_numbers = itertools.count()


@pytest.fixture
def stack(monitoring: Monitoring) -> Iterator[Deployer]:
    deployer = Deployer(monitoring.context, f"monitors-{next(_numbers)}")
    yield deployer
    with suppress(ClientError):  # the test may have deleted it
        deployer.destroy()


def resources(monitoring: Monitoring, kind: str, version: str, *, hours: int = 8) -> dict[str, Any]:
    """Return a definition whose name has a version in it, and the schedule that runs it."""
    more: dict[str, Any] = {}
    if kind in ("ModelBias", "ModelExplainability"):
        more["app"] = {"ConfigUri": "s3://lake/config/analysis_config.json"}
    if kind in ("ModelQuality", "ModelBias"):
        more["job_input"] = {"GroundTruthS3Input": {"S3Uri": "s3://lake/truth"}}
    if kind == "ModelQuality":
        more["app"] = {"ProblemType": "Regression"}
    definition = monitoring.define(kind, name=f"{monitoring.name}-{version}", **more)
    definition["StoppingCondition"] = {"MaxRuntimeInSeconds": 600 + len(version)}
    config = {
        "ScheduleConfig": {"ScheduleExpression": f"cron(0 6/{hours} ? * * *)"},
        "MonitoringType": kind,
        # the registry has no attribute of the name
        "MonitoringJobDefinitionName": definition["JobDefinitionName"],
    }
    schedule = {"MonitoringScheduleName": monitoring.name, "MonitoringScheduleConfig": config}
    return {
        "Definition": {"Type": f"AWS::SageMaker::{kind}JobDefinition", "Properties": definition},
        "Schedule": {
            "Type": "AWS::SageMaker::MonitoringSchedule", "Properties": schedule, "DependsOn": ["Definition"],
        },
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_changed_definition_is_another_one_and_the_schedule_goes_on(
    monitoring: Monitoring, stack: Deployer, kind: str
) -> None:
    sagemaker = monitoring.sagemaker
    found = stack.deploy(resources(monitoring, kind, "a"))
    assert found["StackStatus"] == "CREATE_COMPLETE", found
    schedule = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=monitoring.name)
    assert (schedule["MonitoringType"], schedule["MonitoringScheduleStatus"]) == (kind, "Scheduled")
    monitoring.pass_time(hours=8)
    assert len(monitoring.executions()) == 1
    found = stack.deploy(resources(monitoring, kind, "bb", hours=12))
    assert found["StackStatus"] == "UPDATE_COMPLETE", found
    changed = sagemaker.describe_monitoring_schedule(MonitoringScheduleName=monitoring.name)
    assert changed["CreationTime"] == schedule["CreationTime"]
    config = changed["MonitoringScheduleConfig"]
    assert config["MonitoringJobDefinitionName"] == f"{monitoring.name}-bb"
    assert config["ScheduleConfig"]["ScheduleExpression"] == "cron(0 6/12 ? * * *)"
    listed = getattr(sagemaker, f"list_{_snake(kind)}_job_definitions")(NameContains=monitoring.name)
    assert [each["MonitoringJobDefinitionName"] for each in listed["JobDefinitionSummaries"]] == [
        f"{monitoring.name}-bb"
    ]
    stack.destroy()
    with pytest.raises(ClientError, match="Could not find the monitoring schedule"):
        sagemaker.describe_monitoring_schedule(MonitoringScheduleName=monitoring.name)
    assert len(monitoring.executions()) >= 1


def test_stack_is_deleted_when_the_execution_that_runs_has_ended(monitoring: Monitoring, stack: Deployer) -> None:
    monitoring.monitor("time.sleep(0.4)\nsay('Completed: slowly')")
    monitoring.invoke()
    monitoring.settle()
    assert stack.deploy(resources(monitoring, "DataQuality", "a"))["StackStatus"] == "CREATE_COMPLETE"
    now = {"ScheduleExpression": "NOW", "DataAnalysisStartTime": "-PT1H", "DataAnalysisEndTime": "PT1H"}
    monitoring.sagemaker.update_monitoring_schedule(
        MonitoringScheduleName=monitoring.name,
        MonitoringScheduleConfig={
            "ScheduleConfig": now, "MonitoringType": "DataQuality",
            "MonitoringJobDefinitionName": f"{monitoring.name}-a",
        },
    )  # fmt: skip
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    assert monitoring.executions()[0]["MonitoringExecutionStatus"] == "Completed"


def _snake(kind: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("_")
