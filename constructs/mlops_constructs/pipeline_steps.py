"""The steps of a SageMaker pipeline: jobs, the registration of a model, conditions and failures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .pipeline_expressions import Get, Join, JsonGet, Value, render

# Families with a d after the generation (m5d, c6gd, g4dn, p3dn, p4d), and those that have no other kind.
_LOCAL_DISK = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|dl1|g[567]e?|p[56][a-z0-9-]*|trn[12]n?)\.")


class InvalidPipelineError(ValueError):
    """The definition would be refused by SageMaker; the message names the step and the fix."""


def has_local_disk(instance_type: str) -> bool:
    """Whether a machine works on disks that it brings itself.

    Its hardware encrypts them, and SageMaker refuses jobs and endpoints that name a key for them.
    """
    return bool(_LOCAL_DISK.match(instance_type))


@dataclass(frozen=True, kw_only=True)
class JobResources:
    """Machines of one job: instance type and count, disk in GiB, and the time in seconds after which it is stopped."""

    instance_type: str
    instance_count: int = 1
    volume_gb: int = 30
    max_runtime_seconds: int = 3600

    def __post_init__(self) -> None:
        """Refuse sizes that no job can have."""
        if not self.instance_type.startswith("ml."):
            raise InvalidPipelineError(f"instance_type must start with ml., as ml.m5.xlarge: {self.instance_type!r}")
        if self.instance_count < 1 or self.volume_gb < 1 or self.max_runtime_seconds < 1:
            raise InvalidPipelineError(f"instance_count, volume_gb and max_runtime_seconds must be positive: {self}")

    def cluster(self, kms_key_arn: str | None) -> dict[str, Any]:
        """The machines as SageMaker takes them, with the key for disks that take one."""
        cluster: dict[str, Any] = {
            "InstanceType": self.instance_type,
            "InstanceCount": self.instance_count,
            "VolumeSizeInGB": self.volume_gb,
        }
        if kms_key_arn and not has_local_disk(self.instance_type):
            cluster["VolumeKmsKeyId"] = kms_key_arn
        return cluster


@dataclass(frozen=True, kw_only=True)
class JobNetwork:
    """The subnets and security groups that jobs and endpoints run in."""

    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """SageMaker's `VpcConfig`."""
        return {"SecurityGroupIds": list(self.security_group_ids), "Subnets": list(self.subnet_ids)}


@dataclass(frozen=True, kw_only=True)
class PropertyFile:
    """A JSON file among a processing step's outputs, which conditions can read."""

    name: str
    output: str
    path: str


@dataclass(frozen=True)
class Manifest:
    """An input that is a list of objects: the S3 URI of a JSON file with a common prefix and the rest of each URI.

    The files keep the rest of their URI as their path, so that folders as ``day=2013-01-01/`` survive.
    """

    uri: Value


@dataclass(frozen=True, kw_only=True)
class ProcessingStep:
    """A Processing job: `inputs` and `outputs` map a name to its S3 URI, or an input to a `Manifest`.

    SageMaker reads every key that starts with an input's URI: one that ends with a slash is a folder and no more.
    An input called `x` is found under /opt/ml/processing/input/x; an output called `x` is collected from
    /opt/ml/processing/output/x.
    """

    type = "Processing"
    name: str
    image_uri: str
    role_arn: str
    command: Sequence[str]
    resources: JobResources
    arguments: Sequence[Value] = ()
    inputs: Mapping[str, Value | Manifest] = field(default_factory=dict)
    outputs: Mapping[str, Value] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    property_files: Sequence[PropertyFile] = ()
    kms_key_arn: str | None = None
    network: JobNetwork | None = None
    depends_on: Sequence[str] = ()

    def output(self, name: str) -> Get:
        """The S3 URI of an output; using it makes the user run after this step."""
        if name not in self.outputs:
            raise InvalidPipelineError(f"step {self.name!r} has no output {name!r}; it has {sorted(self.outputs)}")
        return Get(f"Steps.{self.name}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")

    def folder(self, name: str) -> Join:
        """The S3 URI of an output with a slash at its end, as an input of another job: that folder and no more."""
        return Join("", [self.output(name), "/"])

    def read(self, property_file: str, path: str) -> JsonGet:
        """A value inside one of the step's property files."""
        return JsonGet(step=self.name, property_file=property_file, path=path)

    def job(self) -> dict[str, Any]:
        """The input of CreateProcessingJob, less the job's name."""
        container: dict[str, Any] = {"ImageUri": self.image_uri, "ContainerEntrypoint": list(self.command)}
        if self.arguments:
            container["ContainerArguments"] = list(self.arguments)
        outputs: dict[str, Any] = {"Outputs": [_processing_output(name, uri) for name, uri in self.outputs.items()]}
        if self.kms_key_arn:
            outputs["KmsKeyId"] = self.kms_key_arn
        body: dict[str, Any] = {
            "AppSpecification": container,
            "ProcessingInputs": [_processing_input(name, source) for name, source in self.inputs.items()],
            "ProcessingOutputConfig": outputs,
            "ProcessingResources": {"ClusterConfig": self.resources.cluster(self.kms_key_arn)},
            "StoppingCondition": {"MaxRuntimeInSeconds": self.resources.max_runtime_seconds},
            "RoleArn": self.role_arn,
        }
        if self.environment:
            body["Environment"] = dict(self.environment)
        if self.network:
            body["NetworkConfig"] = {
                "EnableInterContainerTrafficEncryption": True,
                "EnableNetworkIsolation": False,
                "VpcConfig": self.network.to_json(),
            }
        return body

    def extras(self) -> dict[str, Any]:
        """What the step says beside the job: its property files."""
        if not self.property_files:
            return {}
        return {
            "PropertyFiles": [
                {"PropertyFileName": file.name, "OutputName": file.output, "FilePath": file.path}
                for file in self.property_files
            ]
        }


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """A training job on the image's `train` command: a channel called `x` is found under /opt/ml/input/data/x."""

    type = "Training"
    name: str
    image_uri: str
    role_arn: str
    resources: JobResources
    channels: Mapping[str, Value]
    output_path: Value
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    kms_key_arn: str | None = None
    network: JobNetwork | None = None
    depends_on: Sequence[str] = ()

    @property
    def model_artifact(self) -> Get:
        """The S3 URI of the model.tar.gz that the job writes."""
        return Get(f"Steps.{self.name}.ModelArtifacts.S3ModelArtifacts")

    def job(self) -> dict[str, Any]:
        """The input of CreateTrainingJob, less the job's name."""
        output: dict[str, Any] = {"S3OutputPath": self.output_path}
        if self.kms_key_arn:
            output["KmsKeyId"] = self.kms_key_arn
        body: dict[str, Any] = {
            "AlgorithmSpecification": {"TrainingImage": self.image_uri, "TrainingInputMode": "File"},
            "InputDataConfig": [_channel(name, uri) for name, uri in self.channels.items()],
            "OutputDataConfig": output,
            "ResourceConfig": self.resources.cluster(self.kms_key_arn),
            "StoppingCondition": {"MaxRuntimeInSeconds": self.resources.max_runtime_seconds},
            "RoleArn": self.role_arn,
        }
        if self.hyperparameters:
            body["HyperParameters"] = {name: _text(value) for name, value in self.hyperparameters.items()}
        if self.environment:
            body["Environment"] = dict(self.environment)
        if self.network:
            body["EnableInterContainerTrafficEncryption"] = True
            body["VpcConfig"] = self.network.to_json()
        return body

    def extras(self) -> dict[str, Any]:
        """Nothing beside the job."""
        return {}


@dataclass(frozen=True, kw_only=True)
class RegisterModelStep:
    """A new version in a model package group, with what it needs to be served and the report it was judged by."""

    type = "RegisterModel"
    name: str
    group_name: str
    image_uri: str
    model_artifact: Value
    content_types: Sequence[str]
    response_types: Sequence[str]
    instance_types: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    quality_report: Value | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)
    approval: Literal["PendingManualApproval", "Approved", "Rejected"] = "PendingManualApproval"
    depends_on: Sequence[str] = ()

    def job(self) -> dict[str, Any]:
        """The input of CreateModelPackage."""
        container: dict[str, Any] = {"Image": self.image_uri, "ModelDataUrl": self.model_artifact}
        if self.environment:
            container["Environment"] = dict(self.environment)
        inference: dict[str, Any] = {
            "Containers": [container],
            "SupportedContentTypes": list(self.content_types),
            "SupportedResponseMIMETypes": list(self.response_types),
        }
        if self.instance_types:
            inference["SupportedRealtimeInferenceInstanceTypes"] = list(self.instance_types)
            inference["SupportedTransformInstanceTypes"] = list(self.instance_types)
        body: dict[str, Any] = {
            "ModelPackageGroupName": self.group_name,
            "InferenceSpecification": inference,
            "ModelApprovalStatus": self.approval,
        }
        if self.quality_report is not None:
            report = {"ContentType": "application/json", "S3Uri": self.quality_report}
            body["ModelMetrics"] = {"ModelQuality": {"Statistics": report}}
        if self.metadata:
            body["CustomerMetadataProperties"] = {name: _text(value) for name, value in self.metadata.items()}
        return body

    def extras(self) -> dict[str, Any]:
        """Nothing beside the package."""
        return {}


@dataclass(frozen=True, kw_only=True)
class FailStep:
    """Ends the execution as failed, with a message."""

    type = "Fail"
    name: str
    message: Value
    depends_on: Sequence[str] = ()

    def job(self) -> dict[str, Any]:
        """The message."""
        return {"ErrorMessage": self.message}

    def extras(self) -> dict[str, Any]:
        """Nothing beside the message."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two values and how they have to compare."""

    operator: Literal["Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo"]
    left: Value
    right: Value

    def to_json(self) -> dict[str, Any]:
        """The condition, expressions unrendered."""
        return {"Type": self.operator, "LeftValue": self.left, "RightValue": self.right}


@dataclass(frozen=True, kw_only=True)
class ConditionStep:
    """Runs `then` when every condition holds, `otherwise` when one doesn't."""

    type = "Condition"
    name: str
    conditions: Sequence[Comparison]
    then: Sequence[Step] = ()
    otherwise: Sequence[Step] = ()
    depends_on: Sequence[str] = ()

    def job(self) -> dict[str, Any]:
        """The conditions and both branches."""
        return {
            "Conditions": [condition.to_json() for condition in self.conditions],
            "IfSteps": [step_json(step) for step in self.then],
            "ElseSteps": [step_json(step) for step in self.otherwise],
        }

    def extras(self) -> dict[str, Any]:
        """Nothing beside the condition."""
        return {}


Step: TypeAlias = ProcessingStep | TrainingStep | RegisterModelStep | ConditionStep | FailStep


def walk(steps: Iterable[Step]) -> Iterator[Step]:
    """Every step, those inside of conditions included, parents first."""
    for step in steps:
        yield step
        if isinstance(step, ConditionStep):
            yield from walk((*step.then, *step.otherwise))


def step_json(step: Step) -> dict[str, Any]:
    """A step as the definition lists it, expressions rendered."""
    body: dict[str, Any] = {"Name": step.name, "Type": step.type, "Arguments": render(step.job())}
    if step.depends_on:
        body["DependsOn"] = list(step.depends_on)
    return body | step.extras()


def _text(value: Value) -> Value:
    """A value as a string, for the maps in which SageMaker takes strings only."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value


def _processing_input(name: str, source: Value | Manifest) -> dict[str, Any]:
    listed = isinstance(source, Manifest)
    place = {
        "S3Uri": source.uri if isinstance(source, Manifest) else source,
        "LocalPath": f"/opt/ml/processing/input/{name}",
        "S3DataType": "ManifestFile" if listed else "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
        "S3CompressionType": "None",
    }
    return {"InputName": name, "S3Input": place}


def _processing_output(name: str, uri: Value) -> dict[str, Any]:
    target = {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/output/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "S3Output": target}


def _channel(name: str, uri: Value) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}
