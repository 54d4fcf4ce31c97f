"""Steps that ask a model about many rows: a model, and a transform job with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .job_resources import JobNetwork, JobResources
from .pipeline_expressions import Get, Value
from .pipeline_step import InvalidPipelineError
from .step_policies import JOB_RETRIES, REQUEST_RETRIES, RetryPolicy, policies_json


@dataclass(frozen=True, kw_only=True)
class ModelStep:
    """A model of one container, as transform jobs and endpoints take it; SageMaker keeps it until it is deleted."""

    type = "Model"
    name: str
    role_arn: str
    image_uri: Value
    model_artifact: Value
    environment: Mapping[str, Value] = field(default_factory=dict)
    network: JobNetwork | None = None
    retries: Sequence[RetryPolicy] = REQUEST_RETRIES
    depends_on: Sequence[str] = ()

    @property
    def model_name(self) -> Get:
        """The name that SageMaker gives the model."""
        return Get(f"Steps.{self.name}.ModelName")

    def job(self) -> dict[str, Any]:
        """The input of CreateModel, less the model's name."""
        container: dict[str, Any] = {"Image": self.image_uri, "ModelDataUrl": self.model_artifact}
        if self.environment:
            container["Environment"] = dict(self.environment)
        body: dict[str, Any] = {"ExecutionRoleArn": self.role_arn, "PrimaryContainer": container}
        if self.network:
            body["VpcConfig"] = self.network.to_json()
        return body

    def extras(self) -> dict[str, Any]:
        """When it is tried again."""
        return policies_json(None, self.retries)


MOST_PAYLOAD_MB = 100
"""What SageMaker takes at most, for a request and for all that are sent at the same time."""


@dataclass(frozen=True, kw_only=True)
class RecordFilters:
    """What a transform job does with rows beside its container, by JSONPaths of indexes, as ``$[1:]`` or ``$[0,-1]``.

    `sent` are the columns that the container gets, all when left out. With `joined` an answer has the columns of its
    row before its own. `kept` are the columns that stay of it, all when left out. Source: "Associate Prediction Results
    with Input Records", https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
    """

    sent: str = "$"
    joined: bool = False
    kept: str = "$"

    def to_json(self) -> dict[str, Any]:
        """SageMaker's `DataProcessing`."""
        return {
            "InputFilter": self.sent,
            "JoinSource": "Input" if self.joined else "None",
            "OutputFilter": self.kept,
        }


@dataclass(frozen=True, kw_only=True)
class TransformStep:
    """A transform job: each line of the CSV files below `data` is a row, and the file `x` has its answers in `x.out`.

    Rows are sent together, as many as fit into `payload_mb`; the answers come in their order. `concurrent` is how many
    requests each machine sends at a time: what the container says, or one, when left out. Machines share the files, so
    more of them need as many files.
    """

    type = "Transform"
    name: str
    model_name: Value
    data: Value
    output_path: Value
    resources: JobResources
    payload_mb: int = 6
    concurrent: int | None = None
    filters: RecordFilters | None = None
    kms_key_arn: str | None = None
    retries: Sequence[RetryPolicy] = JOB_RETRIES
    depends_on: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        together = self.payload_mb * (self.concurrent or 1)
        if self.payload_mb < 1 or (self.concurrent is not None and self.concurrent < 1):
            raise InvalidPipelineError(
                f"step {self.name!r}: payload_mb and concurrent must be at least 1, "
                f"got {self.payload_mb} and {self.concurrent}"
            )
        if together > MOST_PAYLOAD_MB:
            raise InvalidPipelineError(
                f"step {self.name!r}: concurrent times payload_mb may be {MOST_PAYLOAD_MB} at most, got {together}"
            )

    @property
    def answers(self) -> Get:
        """The S3 URI that the answers lie below; using it makes the user run after this step."""
        return Get(f"Steps.{self.name}.TransformOutput.S3OutputPath")

    def job(self) -> dict[str, Any]:
        """The input of CreateTransformJob, less the job's name."""
        machines: dict[str, Any] = {
            "InstanceType": self.resources.instance_type,
            "InstanceCount": self.resources.instance_count,
        }
        output: dict[str, Any] = {"S3OutputPath": self.output_path, "Accept": "text/csv", "AssembleWith": "Line"}
        cluster = self.resources.cluster(self.kms_key_arn)
        if "VolumeKmsKeyId" in cluster:
            machines["VolumeKmsKeyId"] = cluster["VolumeKmsKeyId"]
        if self.kms_key_arn:
            output["KmsKeyId"] = self.kms_key_arn
        source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": self.data}}
        body: dict[str, Any] = {
            "ModelName": self.model_name,
            "TransformInput": {"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
            "TransformOutput": output,
            "TransformResources": machines,
            "BatchStrategy": "MultiRecord",
            "MaxPayloadInMB": self.payload_mb,
        }
        if self.concurrent:
            body["MaxConcurrentTransforms"] = self.concurrent
        if self.filters:
            body["DataProcessing"] = self.filters.to_json()
        return body

    def extras(self) -> dict[str, Any]:
        """When it is tried again."""
        return policies_json(None, self.retries)
