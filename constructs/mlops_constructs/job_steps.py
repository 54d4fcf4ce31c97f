"""Steps that run a container: Processing and Training jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .job_resources import JobNetwork, JobResources
from .native_debugger import NativeDebugger
from .pipeline_expressions import Get, Join, JsonAt, JsonGet, Value
from .pipeline_step import InvalidPipelineError, as_text
from .step_policies import JOB_RETRIES, Caching, RetryPolicy, policies_json
from .training_engine import TrainingEngine


@dataclass(frozen=True, kw_only=True)
class PropertyFile:
    """A JSON file among a processing step's outputs, which conditions can read."""

    name: str
    output: str
    path: str


@dataclass(frozen=True)
class Manifest:
    """An input that is a list of objects: the S3 URI of a JSON file with a common prefix and the rest of each URI.

    The files keep the rest of their URI as their path, so that folders as ``day=2013-01-01/`` survive. A step that is
    cached needs the URI of a manifest that never changes: see `newest`.
    """

    uri: Value

    @classmethod
    def newest(cls, uri: Value) -> Manifest:
        """What a manifest stands for when the step starts, by the file ``<uri>.version`` beside it.

        That file says ``{"manifest": "<URI of the same content that never changes>"}``. So the step's inputs name the
        version of the data, and a cached step runs again exactly when there is another one.
        """
        return cls(JsonAt(uri=Join("", [uri, ".version"]), path="manifest"))


@dataclass(frozen=True, kw_only=True)
class ProcessingStep:
    """A Processing job: `inputs` and `outputs` map a name to its S3 URI, or an input to a `Manifest`.

    SageMaker reads every key that starts with an input's URI: one that ends with a slash is a folder and no more.
    An input called `x` is found under /opt/ml/processing/input/x; an output called `x` is collected from
    /opt/ml/processing/output/x. An isolated job has no network.
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
    environment: Mapping[str, Value] = field(default_factory=dict)
    property_files: Sequence[PropertyFile] = ()
    kms_key_arn: str | None = None
    network: JobNetwork | None = None
    isolated: bool = False
    caching: Caching | None = None
    retries: Sequence[RetryPolicy] = JOB_RETRIES
    depends_on: Sequence[str] = ()

    def output(self, name: str) -> Get:
        """The S3 URI of an output; using it makes the user run after this step."""
        if name not in self.outputs:
            raise InvalidPipelineError(f"step {self.name!r} has no output {name!r}; it has {sorted(self.outputs)}")
        return Get(f"Steps.{self.name}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")

    def input(self, name: str) -> Get:
        """The S3 URI that an input was read from; using it makes the user run after this step."""
        if name not in self.inputs:
            raise InvalidPipelineError(f"step {self.name!r} has no input {name!r}; it has {sorted(self.inputs)}")
        return Get(f"Steps.{self.name}.ProcessingInputs['{name}'].S3Input.S3Uri")

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
        if self.network or self.isolated:
            body["NetworkConfig"] = {
                "EnableInterContainerTrafficEncryption": True,
                "EnableNetworkIsolation": self.isolated,
            }
            if self.network:
                body["NetworkConfig"]["VpcConfig"] = self.network.to_json()
        return body

    def extras(self) -> dict[str, Any]:
        """What the step says beside the job: its property files, when it is cached, and when it is tried again."""
        extras: dict[str, Any] = {}
        if self.property_files:
            extras["PropertyFiles"] = [
                {"PropertyFileName": file.name, "OutputName": file.output, "FilePath": file.path}
                for file in self.property_files
            ]
        return extras | policies_json(self.caching, self.retries)


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """A training job on the image's `train` command: a channel called `x` is found under /opt/ml/input/data/x.

    `metrics` maps the names of numbers that the job prints to regular expressions with one group, the number. With a
    `debugger` SageMaker's own rules watch it.
    """

    type = "Training"
    name: str
    image_uri: str
    role_arn: str
    resources: JobResources
    channels: Mapping[str, Value]
    output_path: Value
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)
    environment: Mapping[str, Value] = field(default_factory=dict)
    kms_key_arn: str | None = None
    network: JobNetwork | None = None
    engine: TrainingEngine = field(default_factory=TrainingEngine)
    metrics: Mapping[str, str] = field(default_factory=dict)
    debugger: NativeDebugger | None = None
    caching: Caching | None = None
    retries: Sequence[RetryPolicy] = JOB_RETRIES
    depends_on: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse what SageMaker would refuse."""
        self.engine.check(self.name, list(self.channels), self.resources.max_runtime_seconds)

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
            body["HyperParameters"] = {name: as_text(value) for name, value in self.hyperparameters.items()}
        if self.environment:
            body["Environment"] = dict(self.environment)
        if self.network:
            body["EnableInterContainerTrafficEncryption"] = True
            body["VpcConfig"] = self.network.to_json()
        if self.metrics:
            body["AlgorithmSpecification"]["MetricDefinitions"] = [
                {"Name": name, "Regex": regex} for name, regex in self.metrics.items()
            ]
        if self.debugger:
            body |= self.debugger.members()
        return self.engine.added_to(body)

    def extras(self) -> dict[str, Any]:
        """When it is cached, and when it is tried again."""
        return policies_json(self.caching, self.retries)


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
