"""A step that lets SageMaker Autopilot search a model.

The step takes what CreateAutoMLJob takes, in the mode ENSEMBLING: SageMaker's pipelines know no step for
CreateAutoMLJobV2, whose tabular jobs are the same. See the class AutoMLStep of the SageMaker SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .job_resources import JobNetwork
from .pipeline_expressions import Get, Value
from .pipeline_step import InvalidPipelineError
from .step_policies import JOB_RETRIES, RetryPolicy, policies_json

ProblemType: TypeAlias = Literal["BinaryClassification", "MulticlassClassification", "Regression"]

PARQUET = "x-application/vnd.amazon+parquet"
MOST_CANDIDATES = 750
_ENVIRONMENT = (
    "MODEL_NAME", "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "SAGEMAKER_PROGRAM", "SAGEMAKER_SUBMIT_DIRECTORY",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AutoMLStep:
    """An AutoML job on Parquet files whose columns are the features and the target, and no others.

    Parameters
    ----------
    role_arn
        Autopilot's jobs work in this role, and it starts them in it.
    training, validation
        S3 URIs of folders, each with a slash at its end. Without validation rows Autopilot splits those for training.
    target
        The column to predict.
    objective
        The metric that candidates are ranked by, as AUC, F1, Accuracy, MSE, RMSE or R2.
    candidates, max_runtime_seconds
        How many models are tried at most, and for how long in all.
    """

    type = "AutoML"
    name: str
    role_arn: str
    training: Value
    validation: Value | None = None
    target: str
    problem: ProblemType
    objective: str
    output_path: Value
    candidates: int = 10
    max_runtime_seconds: int = 3600
    kms_key_arn: str | None = None
    network: JobNetwork | None = None
    retries: Sequence[RetryPolicy] = JOB_RETRIES
    depends_on: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse what SageMaker would refuse."""
        if not 1 <= self.candidates <= MOST_CANDIDATES:
            raise InvalidPipelineError(
                f"step {self.name!r}: candidates must be 1 to {MOST_CANDIDATES}, got {self.candidates}"
            )
        if self.max_runtime_seconds < 1:
            raise InvalidPipelineError(f"step {self.name!r}: max_runtime_seconds must be at least 1")

    @property
    def image(self) -> Get:
        """The image of the best candidate's container, one of AWS's own."""
        return self._container("Image")

    @property
    def model_artifact(self) -> Get:
        """The S3 URI of the best candidate's model.tar.gz."""
        return self._container("ModelDataUrl")

    def environment(self, answers: Sequence[str] = ()) -> Mapping[str, Value]:
        """The variables of the best candidate's container.

        `answers` are what it answers for a row of a classification: some of predicted_label, probability (that of the
        predicted label), probabilities and labels, in that order. A regression always answers the number.
        """
        found: dict[str, Value] = {name: self._container(f"Environment['{name}']") for name in _ENVIRONMENT}
        if self.problem != "Regression":
            found["SAGEMAKER_INFERENCE_SUPPORTED"] = self._container("Environment['SAGEMAKER_INFERENCE_SUPPORTED']")
            found["SAGEMAKER_INFERENCE_OUTPUT"] = ",".join(answers or ["predicted_label"])
        return found

    def job(self) -> dict[str, Any]:
        """The input of CreateAutoMLJob, less the job's name."""
        output: dict[str, Any] = {"S3OutputPath": self.output_path}
        security: dict[str, Any] = {"EnableInterContainerTrafficEncryption": True}
        if self.kms_key_arn:
            output["KmsKeyId"] = security["VolumeKmsKeyId"] = self.kms_key_arn
        if self.network:
            security["VpcConfig"] = self.network.to_json()
        limits = {
            "MaxCandidates": self.candidates,
            "MaxAutoMLJobRuntimeInSeconds": self.max_runtime_seconds,
        }
        channels = {"training": self.training, "validation": self.validation}
        return {
            "InputDataConfig": [self._channel(name, uri) for name, uri in channels.items() if uri is not None],
            "OutputDataConfig": output,
            "ProblemType": self.problem,
            "AutoMLJobObjective": {"MetricName": self.objective},
            "AutoMLJobConfig": {
                "Mode": "ENSEMBLING",
                "CompletionCriteria": limits,
                "SecurityConfig": security,
            },
            "RoleArn": self.role_arn,
        }

    def extras(self) -> dict[str, Any]:
        """When it is tried again."""
        return policies_json(None, self.retries)

    def _channel(self, name: str, uri: Value) -> dict[str, Any]:
        return {
            "ChannelType": name,
            "ContentType": PARQUET,
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}},
            "TargetAttributeName": self.target,
        }

    def _container(self, member: str) -> Get:
        return Get(f"Steps.{self.name}.BestCandidate.InferenceContainers[0].{member}")
