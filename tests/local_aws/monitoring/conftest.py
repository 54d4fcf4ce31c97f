"""A local AWS whose time stands still, with an endpoint that captures, and monitors that are scripts of a test."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local_aws.clock import Clock
from local_aws.server import running
from local_aws.service import Image, LocalContext
from tests.local_aws.asking import until
from tests.local_aws.executors.serving import CONTAINER, ROLE, capture, model_archive

START = datetime(2030, 5, 1, 5, 30, tzinfo=UTC)
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
PREAMBLE = """
import json, os, pathlib, sys, time
ml = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
place = lambda path: ml / path.removeprefix("/opt/ml/")
def say(text):
    (ml / "output").mkdir(exist_ok=True)
    (ml / "output/message").write_text(text)
def metric(**line):
    folder = ml / "output/metrics/cloudwatch"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\\n")
"""


@dataclass
class Monitoring:
    """Names of a test's own, what it has made, and time that only moves by hand."""

    context: LocalContext
    script: Path
    name: str = field(default_factory=lambda: f"watch-{uuid.uuid4().hex[:8]}")

    @property
    def sagemaker(self) -> Any:
        return self.context.client("sagemaker")

    @property
    def s3(self) -> Any:
        return self.context.client("s3")

    @property
    def clock(self) -> Clock:
        return self.context.clock

    def monitor(self, script: str) -> None:
        """Have the image `monitor` run a script from now on."""
        self.script.write_text(PREAMBLE + script)

    def put(self, key: str, *lines: Any) -> None:
        text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
        self.s3.put_object(Bucket="lake", Key=key, Body=text.encode())

    def get(self, key: str) -> Any:
        return json.loads(self.s3.get_object(Bucket="lake", Key=key)["Body"].read())

    def define(self, kind: str = "DataQuality", name: str | None = None, **changes: Any) -> dict[str, Any]:
        """Return a request for a job definition, in which `job_input`, `app` and `baseline` add to what is needed."""
        endpoint = {"EndpointName": "live", "LocalPath": "/opt/ml/processing/input/endpoint"}
        job_input = {"EndpointInput": endpoint | changes.pop("endpoint_input", {}), **changes.pop("job_input", {})}
        app = {"ImageUri": f"{REGISTRY}/monitor:1", **changes.pop("app", {})}
        baseline = changes.pop("baseline", None)
        target = {"S3Uri": "s3://lake/reports", "LocalPath": "/opt/ml/processing/output"}
        cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 20}
        return {
            "JobDefinitionName": name or self.name,
            f"{kind}AppSpecification": app,
            f"{kind}JobInput": job_input,
            f"{kind}JobOutputConfig": {"MonitoringOutputs": [{"S3Output": target}]},
            "JobResources": {"ClusterConfig": cluster},
            "RoleArn": ROLE,
            **({f"{kind}BaselineConfig": baseline} if baseline else {}),
            **changes,
        }

    def schedule(self, expression: str = "cron(0 * ? * * *)", kind: str = "DataQuality", **changes: Any) -> str:
        """Create a schedule over the definition that has its name, and return the name."""
        config = {
            "ScheduleConfig": {"ScheduleExpression": expression, **changes.pop("times", {})},
            "MonitoringJobDefinitionName": self.name,
            "MonitoringType": kind,
        }
        self.sagemaker.create_monitoring_schedule(
            MonitoringScheduleName=self.name, MonitoringScheduleConfig=config, **changes
        )
        return self.name

    def executions(self, **asked: Any) -> list[dict[str, Any]]:
        """Return the schedule's executions, newest first."""
        found = self.sagemaker.list_monitoring_executions(MonitoringScheduleName=self.name, **asked)
        return list(found["MonitoringExecutionSummaries"])

    def job(self, execution: dict[str, Any]) -> dict[str, Any]:
        name = execution["ProcessingJobArn"].rpartition("/")[2]
        return dict(self.sagemaker.describe_processing_job(ProcessingJobName=name))

    def settle(self) -> None:
        until(self.clock.busy, lambda names: names == [], seconds=30)

    def pass_time(self, **by: float) -> None:
        """Let time pass, and everything happen at its own time."""
        self.reach(self.clock.now() + timedelta(**by))

    def reach(self, moment: datetime) -> None:
        self.settle()
        while self.clock.now() < moment:
            self.clock.advance_to(moment)
            self.settle()

    def next_hour(self, minutes: float = 1) -> None:
        """Go to shortly after the next full hour."""
        self.reach(self.clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1, minutes=minutes))

    def invoke(self, body: str = "1,2", inference_id: str | None = None) -> None:
        more = {"InferenceId": inference_id} if inference_id else {}
        self.context.client("sagemaker-runtime").invoke_endpoint(
            EndpointName="live", ContentType="text/csv", Body=body.encode(), **more
        )


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalContext, Path]]:
    folder = tmp_path_factory.mktemp("local-aws")
    (folder / "model.py").write_text(CONTAINER)
    script = folder / "monitor.py"
    images = {
        "model": Image(sys.executable, (sys.executable, str(folder / "model.py"))),
        "monitor": Image(sys.executable, (sys.executable, str(script))),
        "runtime": Image(sys.executable, ("python3", "-m", "model_runtime")),
    }
    with running(folder / "state", images, clock=Clock(standing_at=START)) as server:
        client = server.context.client
        client("s3").create_bucket(Bucket="lake")
        # what other modules have captured in the same hours
        for page in client("s3").get_paginator("list_objects_v2").paginate(Bucket="lake"):
            for each in page.get("Contents", []):
                client("s3").delete_object(Bucket="lake", Key=each["Key"])
        client("s3").put_object(Bucket="lake", Key="model.tar.gz", Body=model_archive("late"))
        container = {"Image": f"{REGISTRY}/model:1", "ModelDataUrl": "s3://lake/model.tar.gz"}
        sagemaker = client("sagemaker")
        sagemaker.create_model(ModelName="model", ExecutionRoleArn=ROLE, PrimaryContainer=container)
        variant = {"VariantName": "all", "ModelName": "model", "InstanceType": "ml.m5.large"}
        sagemaker.create_endpoint_config(
            EndpointConfigName="config", DataCaptureConfig=capture(), ProductionVariants=[variant]
        )
        sagemaker.create_endpoint(EndpointName="live", EndpointConfigName="config")
        until(lambda: sagemaker.describe_endpoint(EndpointName="live")["EndpointStatus"] == "InService", seconds=30)
        yield server.context, script


@pytest.fixture
def monitoring(local: tuple[LocalContext, Path]) -> Iterator[Monitoring]:
    context, script = local
    found = Monitoring(context, script)
    found.monitor("say('Completed: nothing looked at')")
    yield found
    for schedule in found.sagemaker.list_monitoring_schedules()["MonitoringScheduleSummaries"]:
        found.sagemaker.stop_monitoring_schedule(MonitoringScheduleName=schedule["MonitoringScheduleName"])
    for alarm in context.client("cloudwatch").describe_alarms()["MetricAlarms"]:
        context.client("cloudwatch").delete_alarms(AlarmNames=[alarm["AlarmName"]])
