"""The training pipeline that every model goes through: prepare, train, evaluate, and register what passes the gate."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_constructs.pipeline_definition import Parameter, PipelineDefinition
from mlops_constructs.pipeline_expressions import EXECUTION_ID, Join, Value
from mlops_constructs.pipeline_steps import (
    ConditionStep,
    JobNetwork,
    JobResources,
    Manifest,
    ProcessingStep,
    PropertyFile,
    TrainingStep,
)

from .candidate_steps import Candidate, candidate_of
from .gate_steps import Registration, bound_parameter, evaluate_arguments, gate_step, report_file
from .model_settings import Model

FIRST_DAY = Parameter(name="FirstDay", type="String", default="earliest")
LAST_DAY = Parameter(name="LastDay", type="String", default="latest")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where a pipeline runs and what it reads and writes.

    `code` and `manifest` are the S3 URIs of files; `artifacts` is continued and has no slash at its end.
    """

    image_uri: str
    role_arn: str
    kms_key_arn: str
    group_name: str
    code: str
    manifest: str
    artifacts: str
    network: JobNetwork | None = None


def training_definition(model: Model, surroundings: Surroundings) -> PipelineDefinition:
    """The pipeline of one model. Everything that an execution writes lies under its own id."""
    test_days = Parameter(name="TestDays", type="Integer", default=model.training.test_days)
    validation_days = Parameter(name="ValidationDays", type="Integer", default=model.training.validation_days)
    bound = bound_parameter(model)
    data = Parameter(name="Data", type="String", default=surroundings.manifest)
    build = _Steps(model, surroundings)
    prepare = build.prepare(data, test_days, validation_days)
    train = candidate_of(model, build.train(prepare))
    evaluate = build.evaluate(prepare, train, bound)
    return PipelineDefinition(
        parameters=[data, FIRST_DAY, LAST_DAY, test_days, validation_days, bound],
        steps=[prepare, train, evaluate, build.gate(data, train, evaluate)],
    )


class _Steps:
    def __init__(self, model: Model, surroundings: Surroundings) -> None:
        self._model = model
        self._at = surroundings
        self._environment = {"MODEL_NAME": model.name, "PROBLEM": model.problem}
        self._resources = JobResources(
            instance_type=model.training.instance_type,
            volume_gb=model.training.volume_gb,
            max_runtime_seconds=model.training.max_runtime_minutes * 60,
        )

    def prepare(self, data: Parameter, test_days: Parameter, validation_days: Parameter) -> ProcessingStep:
        return self._processing(
            "Prepare",
            arguments=[
                "--first-day",
                FIRST_DAY.value,
                "--last-day",
                LAST_DAY.value,
                "--test-days",
                Join("", [test_days.value]),
                "--validation-days",
                Join("", [validation_days.value]),
            ],
            inputs={"code": self._at.code, "features": Manifest(data.value)},
            outputs=["train", "validation", "test"],
        )

    def train(self, prepare: ProcessingStep) -> TrainingStep:
        training = self._model.training
        return TrainingStep(
            name="Train",
            image_uri=self._at.image_uri,
            role_arn=self._at.role_arn,
            resources=self._resources,
            channels={
                "train": prepare.folder("train"),
                "validation": prepare.folder("validation"),
                "code": self._at.code,
            },
            output_path=self._artifact("model"),
            hyperparameters=training.hyperparameters,
            environment=self._environment,
            kms_key_arn=self._at.kms_key_arn,
            network=self._at.network,
        )

    def evaluate(self, prepare: ProcessingStep, train: Candidate, bound: Parameter) -> ProcessingStep:
        return self._processing(
            "Evaluate",
            arguments=evaluate_arguments(self._model, bound, self._at.group_name),
            inputs={"model": train.model_artifact, "test": prepare.folder("test"), "code": self._at.code},
            outputs=["evaluation"],
            property_files=[report_file()],
        )

    def gate(self, data: Parameter, train: Candidate, evaluate: ProcessingStep) -> ConditionStep:
        registration = Registration(
            group_name=self._at.group_name,
            image_uri=self._at.image_uri,
            model_artifact=train.model_artifact,
            environment=self._environment,
            metadata={"Data": data.value, "FirstDay": FIRST_DAY.value, "LastDay": LAST_DAY.value},
        )
        return gate_step(self._model, evaluate, registration)

    def _processing(
        self,
        name: str,
        *,
        inputs: dict[str, Value | Manifest],
        outputs: list[str],
        arguments: list[Value] | None = None,
        property_files: list[PropertyFile] | None = None,
    ) -> ProcessingStep:
        return ProcessingStep(
            name=name,
            image_uri=self._at.image_uri,
            role_arn=self._at.role_arn,
            command=["python3", "-m", "model_runtime", name.lower()],
            resources=self._resources,
            arguments=arguments or [],
            inputs=inputs,
            outputs={output: self._artifact(output) for output in outputs},
            environment=self._environment,
            property_files=property_files or [],
            kms_key_arn=self._at.kms_key_arn,
            network=self._at.network,
        )

    def _artifact(self, name: str) -> Join:
        return Join("/", [self._at.artifacts, EXECUTION_ID, name])
