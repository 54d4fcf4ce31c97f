"""What each type of step does when a pipeline execution reaches it."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from local_aws.json_api import ApiError, service_model, validate
from local_aws.sagemaker.automl.operations import AutoMLOperations
from local_aws.sagemaker.checks.steps import CHECK_MEMBERS, check_metadata, check_results, flag_problem
from local_aws.sagemaker.container_job import ContainerJob
from local_aws.sagemaker.job_operations import JobOperations
from local_aws.sagemaker.model_registry import ModelRegistry
from local_aws.sagemaker.models import Models
from local_aws.sagemaker.pipeline_definition import Step
from local_aws.sagemaker.pipeline_expressions import Scope, fitted
from local_aws.sagemaker.transform_job import TransformOperations
from local_aws.sagemaker.tuning.operations import TuningOperations
from local_aws.sagemaker.tuning.tuning_job import TuningJob
from local_aws.sagemaker.workspace import Record

# tuning and AutoML jobs have names of 32 characters at most
_SHORT_NAME = "{execution:.12}-{step:.8}-{suffix}"


class StepFailure(Exception):
    """The step failed; the message is its FailureReason."""


class StepStopped(Exception):
    """The step's job was stopped on request."""


@dataclass(frozen=True)
class StepResult:
    """What a step leaves: properties that later steps refer to, and its entry in the list of steps."""

    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass
class RunningStep:
    """A step on its way. `job` is there while one runs, so that the step can be stopped.

    `metadata` is what the step leaves in the list of steps, whatever becomes of it.
    """

    step: Step
    execution_id: str
    role_arn: str
    scope: Scope
    job: ContainerJob | TuningJob | None = None
    metadata: Record = field(default_factory=dict)
    stopping: bool = False
    grace_seconds: float | None = None

    @cached_property
    def arguments(self) -> Any:
        """The step's arguments with every expression in them replaced: once, since files that they read may change."""
        return self.scope.resolve(self.step.arguments)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Stop the step's job."""
        # in this order: a job that is being made looks at them in the opposite one
        self.grace_seconds = grace_seconds
        self.stopping = True
        if self.job is not None:
            self.job.stop(grace_seconds)


class StepRunners:
    """Runs steps with the parts of SageMaker that they use, by the same way in as API calls."""

    def __init__(
        self,
        training: JobOperations[Any],
        processing: JobOperations[Any],
        tuning: TuningOperations,
        automl: AutoMLOperations,
        transform: TransformOperations,
        registry: ModelRegistry,
        models: Models,
    ) -> None:
        self._training = training
        self._processing = processing
        self._tuning = tuning
        self._automl = automl
        self._transform = transform
        self._registry = registry
        self._models = models
        self._runners: dict[str, Callable[[RunningStep], StepResult]] = {
            "Training": self._train,
            "Processing": self._process,
            "Tuning": self._tune,
            "AutoML": self._search,
            "Transform": self._score,
            "RegisterModel": self._register,
            "Model": self._create_model,
            "QualityCheck": self._check,
            "ClarifyCheck": self._check,
            "Condition": _decide,
            "Fail": _fail,
        }

    def run(self, running: RunningStep) -> StepResult:
        """Run a step to its end: StepFailure or StepStopped when it doesn't succeed."""
        if running.stopping:
            raise StepStopped
        try:
            return self._runners[running.step.type](running)
        except ApiError as error:
            raise StepFailure(f"ClientError: {error.code}: {error.message}") from error

    def _train(self, running: RunningStep) -> StepResult:
        request = _request(running, "CreateTrainingJob", {"TrainingJobName": _job_name(running)})
        return _finished(running, self._training.create(request), "TrainingJob")

    def _process(self, running: RunningStep) -> StepResult:
        request = _request(running, "CreateProcessingJob", {"ProcessingJobName": _job_name(running)})
        return _finished(running, self._processing.create(request), "ProcessingJob")

    def _check(self, running: RunningStep) -> StepResult:
        declared = running.scope.resolve(
            {key: running.step.raw[key] for key in CHECK_MEMBERS & running.step.raw.keys()}
        )
        problem = flag_problem(declared)
        if problem:
            raise StepFailure(f"ClientError: {problem}")
        request = _request(running, "CreateProcessingJob", {"ProcessingJobName": _job_name(running)})
        result = _finished(running, self._processing.create(request), "ProcessingJob")
        arn = result.metadata["ProcessingJob"]["Arn"]
        properties = check_results(running.step.type, declared, request)
        running.metadata = {running.step.type: check_metadata(declared, properties, arn)}
        return StepResult(properties, running.metadata)

    def _tune(self, running: RunningStep) -> StepResult:
        name = _job_name(running, _SHORT_NAME)
        request = _request(running, "CreateHyperParameterTuningJob", {"HyperParameterTuningJobName": name})
        job = self._tuning.create(request)
        result = _finished(running, job, "TuningJob")
        return StepResult({**result.properties, "TrainingJobSummaries": job.ranked()}, result.metadata)

    def _search(self, running: RunningStep) -> StepResult:
        request = _request(running, "CreateAutoMLJob", {"AutoMLJobName": _job_name(running, _SHORT_NAME)})
        if request.get("AutoMLJobConfig", {}).get("Mode") != "ENSEMBLING":
            raise StepFailure("ClientError: an AutoML step needs the Mode ENSEMBLING in its AutoMLJobConfig")
        return _finished(running, self._automl.create(request), "AutoMLJob")

    def _score(self, running: RunningStep) -> StepResult:
        request = _request(running, "CreateTransformJob", {"TransformJobName": _job_name(running)})
        return _finished(running, self._transform.create(request), "TransformJob")

    def _register(self, running: RunningStep) -> StepResult:
        package = self._registry.create(_request(running, "CreateModelPackage", {}))
        return StepResult(package, {"RegisterModel": {"Arn": package["ModelPackageArn"]}})

    def _create_model(self, running: RunningStep) -> StepResult:
        model = self._models.create(_request(running, "CreateModel", {"ModelName": _job_name(running)}))
        return StepResult(model, {"Model": {"Arn": model["ModelArn"]}})


def _request(running: RunningStep, operation: str, defaults: Record) -> Record:
    shape = service_model("sagemaker").operation_model(operation).input_shape
    assert shape is not None
    resolved = fitted(shape, running.arguments)
    if "RoleArn" in shape.members:
        defaults = {"RoleArn": running.role_arn, **defaults}
    elif "ExecutionRoleArn" in shape.members:
        defaults = {"ExecutionRoleArn": running.role_arn, **defaults}
    request: Record = {**defaults, **resolved}
    request.pop("ExperimentConfig", None)
    validate(shape, request)
    return request


def _finished(running: RunningStep, job: ContainerJob | TuningJob, kind: str) -> StepResult:
    running.job = job
    running.metadata = {kind: {"Arn": job.record[job.arn_member]}}
    if running.stopping:
        job.stop(running.grace_seconds)
    job.finished.wait()
    if job.status == "Completed":
        return StepResult(job.record, running.metadata)
    if running.stopping:
        raise StepStopped
    reason = job.record.get("FailureReason")
    if reason is None and job.record.get("SecondaryStatus") == "MaxRuntimeExceeded":
        limit = job.record["StoppingCondition"]["MaxRuntimeInSeconds"]
        reason = f"ClientError: the job ran longer than its limit of {limit} seconds"
    raise StepFailure(reason or f"ClientError: the job was stopped: {job.record[job.arn_member]}")


def _decide(running: RunningStep) -> StepResult:
    holds = all(running.scope.holds(condition) for condition in running.step.arguments["Conditions"])
    return StepResult({"Outcome": holds}, {"Condition": {"Outcome": "True" if holds else "False"}})


def _fail(running: RunningStep) -> StepResult:
    message = str(running.scope.resolve(running.step.arguments.get("ErrorMessage", "")))
    running.metadata = {"Fail": {"ErrorMessage": message}}
    raise StepFailure(message)


def _job_name(running: RunningStep, form: str = "pipelines-{execution}-{step:.29}-{suffix}") -> str:
    alphabet = string.ascii_letters + string.digits
    suffix = "".join(secrets.choice(alphabet) for _ in range(10))
    step = running.step.name.replace("_", "-")
    return form.format(execution=running.execution_id, step=step.strip("-"), suffix=suffix)
