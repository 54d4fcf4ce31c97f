"""The toy model's code and rows in S3, and the platform's own pipelines that train it there."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_aws.service import Image
from mlops_constructs.pipeline_definition import PipelineDefinition
from stacks.training_definition import Surroundings
from tests.runtime.container import TOY, rows

ROLE = "arn:aws:iam::123456789012:role/pipeline"
ENDED = ("Succeeded", "Failed", "Stopped")


def fill(server: Any) -> Surroundings:
    """Put the code and thirty days of rows into the bucket `lake`, and make the runtime the container."""
    server.images["mlops-runtime"] = Image(sys.executable, (sys.executable, "-m", "model_runtime"))
    s3 = server.client("s3")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        for name, text in TOY.items():
            package.writestr(f"toy/{name}", text)
    s3.put_object(Bucket="lake", Key="code/asset.zip", Body=archive.getvalue())
    keys = []
    for (day,), part in rows().group_by("day"):
        body = io.BytesIO()
        part.drop("day").write_parquet(body)
        keys.append(f"day={day}/part-0.parquet")
        s3.put_object(Bucket="lake", Key=f"curated/{keys[-1]}", Body=body.getvalue())
    manifest = [{"prefix": "s3://lake/curated/"}, *sorted(keys)]
    s3.put_object(Bucket="lake", Key="manifest.json", Body=json.dumps(manifest).encode())
    version = {"manifest": "s3://lake/manifest.json"}
    s3.put_object(Bucket="lake", Key="manifest.json.version", Body=json.dumps(version).encode())
    return Surroundings(
        image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-runtime:1",
        role_arn=ROLE,
        kms_key_arn="",
        group_name="toy",
        code="s3://lake/code/asset.zip",
        manifest="s3://lake/manifest.json",
        artifacts="s3://lake/artifacts/toy",
    )


@dataclass(frozen=True)
class ToyPipeline:
    """The pipeline `toy` of a server, whose versions go to the group `toy`."""

    server: Any
    wait: Callable[..., Any]

    def __call__(self, definition: PipelineDefinition | None = None) -> dict[str, Any]:
        """Run a definition to its end, or the same one again, and return the steps by name."""
        sagemaker = self.server.client("sagemaker")
        if definition is not None:
            found = sagemaker.list_pipelines(PipelineNamePrefix="toy")["PipelineSummaries"]
            if found:
                sagemaker.update_pipeline(PipelineName="toy", PipelineDefinition=definition.to_body())
            else:
                sagemaker.create_pipeline(PipelineName="toy", RoleArn=ROLE, PipelineDefinition=definition.to_body())
        arn = sagemaker.start_pipeline_execution(PipelineName="toy")["PipelineExecutionArn"]
        ended = self.wait(
            lambda: sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn),
            lambda found: found["PipelineExecutionStatus"] in ENDED,
            120,
        )
        assert ended["PipelineExecutionStatus"] == "Succeeded", ended.get("FailureReason")
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
        return {step["StepName"]: step for step in steps}

    def registered(self, steps: dict[str, Any]) -> dict[str, Any]:
        """The version that the steps of an execution registered."""
        arn = steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
        return dict(self.server.client("sagemaker").describe_model_package(ModelPackageName=arn))

    def report(self, package: dict[str, Any], name: str) -> bytes:
        """A file beside the evaluation report of a version."""
        uri = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
        key = uri.removeprefix("s3://lake/").replace("evaluation.json", name)
        return bytes(self.server.client("s3").get_object(Bucket="lake", Key=key)["Body"].read())
