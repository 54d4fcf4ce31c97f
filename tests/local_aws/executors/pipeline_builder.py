"""Small pipelines whose containers do what their arguments say, and a view of what came of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ROLE = "arn:aws:iam::123456789012:role/pipeline"
ENDED = ("Succeeded", "Failed", "Stopped")

# each argument is <action>=<value>
CONTAINER = """
import json, os, pathlib, sys, time
ml, marks = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]), pathlib.Path(os.environ["MARKS"])

def wait(mark):
    deadline = time.monotonic() + 15
    while not (marks / mark).exists():
        if time.monotonic() > deadline:
            sys.exit(f"{mark} never came")
        time.sleep(0.01)

def fail(message):
    (ml / "output/failure").write_text(message)
    sys.exit(1)

def write(value):
    path, _, content = value.partition(":")
    (ml / path).parent.mkdir(parents=True, exist_ok=True)
    (ml / path).write_text(content)

actions = {"wait": wait, "mark": lambda mark: (marks / mark).touch(), "fail": fail, "write": write, "say": print}
for word in sys.argv[1:]:
    action, _, value = word.partition("=")
    actions.get(action, lambda _: None)(value)
"""

Step = dict[str, Any]


@dataclass
class PipelineBuilder:
    """Creates and runs one pipeline."""

    sagemaker: Any
    image: str
    marks: str
    wait: Callable[..., Any]
    name: str = "model"
    created: bool = field(default=False)

    def processing(self, name: str, *does: Any, outputs: dict[str, str] | None = None, **extra: Any) -> Step:
        """A step whose container does the actions; `outputs` maps names to S3 URIs."""
        arguments = {
            "AppSpecification": {"ImageUri": self.image, "ContainerArguments": list(does) or ["say=nothing"]},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
            },
            "Environment": {"MARKS": self.marks},
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": output,
                        "S3Output": {
                            "LocalPath": f"/opt/ml/processing/{output}", "S3Uri": uri, "S3UploadMode": "EndOfJob",
                        },
                    }
                    for output, uri in (outputs or {}).items()
                ]
            },
            **extra.pop("arguments", {}),
        }  # fmt: skip
        return {"Name": name, "Type": "Processing", "Arguments": arguments, **extra}

    def training(self, name: str, *does: Any, data: Any = None, **extra: Any) -> Step:
        """A training step; `data` is the S3 URI of its only channel."""
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}}
        arguments = {
            "AlgorithmSpecification": {
                "TrainingImage": self.image,
                "TrainingInputMode": "File",
                "ContainerArguments": list(does) or ["say=nothing"],
            },
            "Environment": {"MARKS": self.marks},
            "OutputDataConfig": {"S3OutputPath": "s3://lake/models"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **({"InputDataConfig": [{"ChannelName": "train", "DataSource": source}]} if data else {}),
            **extra.pop("arguments", {}),
        }
        return {"Name": name, "Type": "Training", "Arguments": arguments, **extra}

    def register(self, name: str, model_data: Any, **arguments: Any) -> Step:
        container = {"Image": self.image, "ModelDataUrl": model_data}
        specification = {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        body = {"ModelPackageGroupName": "group", "InferenceSpecification": specification, **arguments}
        return {"Name": name, "Type": "RegisterModel", "Arguments": body}

    def define(self, *steps: Step, parameters: list[dict[str, Any]] | None = None, **sections: Any) -> str:
        return json.dumps({"Version": "2020-12-01", "Parameters": parameters or [], "Steps": steps, **sections})

    def create(self, *steps: Step, parameters: list[dict[str, Any]] | None = None, **request: Any) -> str:
        """Create the pipeline, or update it, and return its ARN."""
        act = self.sagemaker.update_pipeline if self.created else self.sagemaker.create_pipeline
        self.created = True
        definition = self.define(*steps, parameters=parameters)
        arn = act(PipelineName=self.name, RoleArn=ROLE, PipelineDefinition=definition, **request)["PipelineArn"]
        return str(arn)

    def start(self, parameters: dict[str, str] | None = None, **request: Any) -> str:
        given = [{"Name": name, "Value": value} for name, value in (parameters or {}).items()]
        started = self.sagemaker.start_pipeline_execution(PipelineName=self.name, PipelineParameters=given, **request)
        return str(started["PipelineExecutionArn"])

    def describe(self, execution: str) -> dict[str, Any]:
        return dict(self.sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution))

    def ended(self, execution: str) -> dict[str, Any]:
        """Wait for an execution's end and return its description."""
        found = self.wait(lambda: self.describe(execution), lambda found: found["PipelineExecutionStatus"] in ENDED, 40)
        return dict(found)

    def run(self, parameters: dict[str, str] | None = None, **request: Any) -> str:
        """Start an execution, wait for its end and return its ARN."""
        execution = self.start(parameters, **request)
        self.ended(execution)
        return execution

    def steps(self, execution: str) -> dict[str, dict[str, Any]]:
        """Return the steps of an execution by name, oldest first."""
        found = self.sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution, SortOrder="Ascending")
        return {step["StepName"]: step for step in found["PipelineExecutionSteps"]}

    def statuses(self, execution: str) -> dict[str, str]:
        return {name: step["StepStatus"] for name, step in self.steps(execution).items()}

    def until(self, execution: str, step: str, status: str = "Executing") -> None:
        """Wait until a step has a status and, if it runs a job, the job is there."""
        self.wait(
            lambda: self.steps(execution).get(step, {}),
            lambda found: found.get("StepStatus") == status and found.get("Metadata"),
        )
