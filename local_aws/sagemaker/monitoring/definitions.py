"""What monitoring jobs are made from: job definitions of four kinds, and definitions within a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.monitoring.timing import duration
from local_aws.sagemaker.workspace import Operation, Record, Workspace

DATA_QUALITY, MODEL_QUALITY = "DataQuality", "ModelQuality"
MODEL_BIAS, MODEL_EXPLAINABILITY = "ModelBias", "ModelExplainability"
KINDS: Mapping[str, str] = {
    DATA_QUALITY: "data-quality",
    MODEL_QUALITY: "model-quality",
    MODEL_BIAS: "model-bias",
    MODEL_EXPLAINABILITY: "model-explainability",
}
"""What ARNs and names of jobs call each kind."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A job definition, whatever kind it is of; `name` is None for one within a schedule."""

    kind: str
    name: str | None
    role: str
    app: Mapping[str, Any]
    environment: Mapping[str, str]
    endpoint_input: Mapping[str, Any]
    output: Mapping[str, Any]
    resources: Mapping[str, Any]
    stopping: Mapping[str, Any]
    baseline: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    ground_truth: str | None = None

    @property
    def endpoint(self) -> str:
        return str(self.endpoint_input["EndpointName"])


class JobDefinitions:
    """Job definitions by kind and name. They never change: a changed one is another one."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._records: dict[tuple[str, str], Record] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        found: dict[str, Operation] = {}
        for kind in KINDS:
            found |= {
                f"Create{kind}JobDefinition": lambda request, kind=kind: self._create(kind, request),  # type: ignore[misc]
                f"Describe{kind}JobDefinition": lambda request, kind=kind: self._record(  # type: ignore[misc]
                    kind, request["JobDefinitionName"]
                ),
                f"List{kind}JobDefinitions": lambda request, kind=kind: self._list(kind, request),  # type: ignore[misc]
                f"Delete{kind}JobDefinition": lambda request, kind=kind: self._delete(kind, request),  # type: ignore[misc]
            }
        return found

    def definition(self, kind: str, name: str) -> Definition:
        """Return a definition; ApiError(ResourceNotFound) when there is none."""
        return _defined(kind, self._record(kind, name))

    def _record(self, kind: str, name: str) -> Record:
        with self._workspace.lock:
            if (kind, name) not in self._records:
                arn = self._workspace.arn(f"{KINDS[kind]}-job-definition", name)
                raise ApiError("ResourceNotFound", f"Could not find the job definition {arn}.")
            return self._records[kind, name]

    def _create(self, kind: str, request: Record) -> Record:
        name = request["JobDefinitionName"]
        arn = self._workspace.arn(f"{KINDS[kind]}-job-definition", name)
        record = {
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            **{member: value for member, value in request.items() if member != "Tags"},
            "JobDefinitionArn": arn,
            "CreationTime": self._workspace.now(),
        }
        check(_defined(kind, record))
        with self._workspace.lock:
            if (kind, name) in self._records:
                raise ApiError("ResourceInUse", f"The job definition {arn} exists already.")
            self._records[kind, name] = record
        self._workspace.tag(arn, request.get("Tags", []))
        return {"JobDefinitionArn": arn}

    def _list(self, kind: str, request: Record) -> Record:
        with self._workspace.lock:
            summaries = [
                {
                    "MonitoringJobDefinitionName": name,
                    "MonitoringJobDefinitionArn": record["JobDefinitionArn"],
                    "CreationTime": record["CreationTime"],
                    "EndpointName": _input(record[f"{kind}JobInput"])["EndpointName"],
                }
                for (its_kind, name), record in self._records.items()
                if its_kind == kind
            ]
        wanted = [each for each in summaries if request.get("EndpointName") in (None, each["EndpointName"])]
        found, token = listed(wanted, request, name="MonitoringJobDefinitionName")
        return {"JobDefinitionSummaries": found, "NextToken": token}

    def _delete(self, kind: str, request: Record) -> Record:
        """Delete a definition; schedules that name it fail from now on, as on AWS nothing keeps it."""
        arn = self._record(kind, request["JobDefinitionName"])["JobDefinitionArn"]
        with self._workspace.lock:
            self._records.pop((kind, request["JobDefinitionName"]), None)
        self._workspace.forget(arn)
        return {}


def within_schedule(kind: str, definition: Mapping[str, Any]) -> Definition:
    """Return the definition that a schedule holds itself."""
    inputs = definition["MonitoringInputs"]
    if len(inputs) != 1:
        raise ApiError("ValidationException", f"MonitoringInputs must hold exactly one input, got {len(inputs)}")
    found = Definition(
        kind=kind,
        name=None,
        role=definition["RoleArn"],
        app=definition["MonitoringAppSpecification"],
        environment=definition.get("Environment", {}),
        endpoint_input=_input(inputs[0]),
        output=definition["MonitoringOutputConfig"],
        resources=definition["MonitoringResources"],
        stopping=definition.get("StoppingCondition", {"MaxRuntimeInSeconds": 3600}),
        baseline=definition.get("BaselineConfig", {}),
        network=definition.get("NetworkConfig", {}),
    )
    check(found)
    return found


def check(definition: Definition) -> None:
    """Refuse what SageMaker refuses, or can't be run here: ApiError(ValidationException)."""
    try:
        for member in ("StartTimeOffset", "EndTimeOffset"):
            if member in definition.endpoint_input:
                duration(definition.endpoint_input[member])
    except ValueError as error:
        raise ApiError("ValidationException", f"EndpointInput: {error}") from error
    if definition.endpoint_input.get("S3InputMode") == "Pipe":
        raise ApiError("ValidationException", "EndpointInput: the S3InputMode Pipe isn't run by the local AWS")
    if len(definition.output["MonitoringOutputs"]) != 1:
        raise ApiError("ValidationException", "MonitoringOutputs must hold exactly one output")


def _defined(kind: str, record: Mapping[str, Any]) -> Definition:
    app, job_input = record[f"{kind}AppSpecification"], record[f"{kind}JobInput"]
    return Definition(
        kind=kind,
        name=record["JobDefinitionName"],
        role=record["RoleArn"],
        app=app,
        environment=app.get("Environment", {}),
        endpoint_input=_input(job_input),
        output=record[f"{kind}JobOutputConfig"],
        resources=record["JobResources"],
        stopping=record["StoppingCondition"],
        baseline=record.get(f"{kind}BaselineConfig", {}),
        network=record.get("NetworkConfig", {}),
        ground_truth=job_input.get("GroundTruthS3Input", {}).get("S3Uri"),
    )


def _input(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    if "EndpointInput" not in holder:
        raise ApiError(
            "ValidationException",
            "the local AWS monitors what endpoints capture: it runs no BatchTransformInput",
        )
    found: Mapping[str, Any] = holder["EndpointInput"]
    return found
