"""The training pipeline that every model goes through: prepare, train, evaluate, and register what passes the gate."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_constructs.pipeline_definition import Parameter, PipelineDefinition
from mlops_constructs.pipeline_expressions import EXECUTION_ID, Join, Value
from mlops_constructs.pipeline_steps import (
    Comparison,
    ConditionStep,
    FailStep,
    JobNetwork,
    JobResources,
    ProcessingStep,
    PropertyFile,
    RegisterModelStep,
    TrainingStep,
)

from .settings import Model

FIRST_DAY = Parameter(name="FirstDay", type="String", default="earliest")
LAST_DAY = Parameter(name="LastDay", type="String", default="latest")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where a pipeline runs and what it reads and writes.

    `code` is the S3 URI of a file, `features` that of a folder and ends with a slash, since SageMaker takes it for the
    beginning of keys; `artifacts` is continued and has none.
    """

    image_uri: str
    role_arn: str
    kms_key_arn: str
    group_name: str
    code: str
    features: str
    artifacts: str
    network: JobNetwork | None = None


def training_definition(model: Model, surroundings: Surroundings) -> PipelineDefinition:
    """The pipeline of one model. Everything that an execution writes lies under its own id."""
    test_days = Parameter(name="TestDays", type="Integer", default=model.training.test_days)
    validation_days = Parameter(name="ValidationDays", type="Integer", default=model.training.validation_days)
    minimum = Parameter(name="MinimumQuality", type="Float", default=model.gate.minimum)
    build = _Steps(model, surroundings)
    prepare = build.prepare(test_days, validation_days)
    train = build.train(prepare)
    evaluate = build.evaluate(prepare, train)
    return PipelineDefinition(
        parameters=[FIRST_DAY, LAST_DAY, test_days, validation_days, minimum],
        steps=[prepare, train, evaluate, build.gate(train, evaluate, minimum)],
    )


class _Steps:
    def __init__(self, model: Model, surroundings: Surroundings) -> None:
        self._model = model
        self._at = surroundings
        self._environment = {"MODEL_NAME": model.name}
        self._resources = JobResources(
            instance_type=model.training.instance_type,
            volume_gb=model.training.volume_gb,
            max_runtime_seconds=model.training.max_runtime_minutes * 60,
        )

    def prepare(self, test_days: Parameter, validation_days: Parameter) -> ProcessingStep:
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
            inputs={"code": self._at.code, "features": self._at.features},
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

    def evaluate(self, prepare: ProcessingStep, train: TrainingStep) -> ProcessingStep:
        return self._processing(
            "Evaluate",
            inputs={"model": train.model_artifact, "test": prepare.folder("test"), "code": self._at.code},
            outputs=["evaluation"],
            property_files=[PropertyFile(name="EvaluationReport", output="evaluation", path="evaluation.json")],
        )

    def gate(self, train: TrainingStep, evaluate: ProcessingStep, minimum: Parameter) -> ConditionStep:
        metric = self._model.gate.metric
        reached = evaluate.read("EvaluationReport", f"{self._model.problem}_metrics.{metric}.value")
        register = RegisterModelStep(
            name="Register",
            group_name=self._at.group_name,
            image_uri=self._at.image_uri,
            model_artifact=train.model_artifact,
            environment=self._environment,
            content_types=["text/csv", "application/json"],
            response_types=["text/csv", "application/json"],
            instance_types=[self._model.serving.instance_type],
            quality_report=Join("/", [evaluate.output("evaluation"), "evaluation.json"]),
            metadata={"FirstDay": FIRST_DAY.value, "LastDay": LAST_DAY.value},
        )
        rejected = FailStep(
            name="Rejected",
            message=Join("", [f"The model's {metric} of ", reached, " is below the minimum of ", minimum.value]),
        )
        good = Comparison(operator="GreaterThanOrEqualTo", left=reached, right=minimum.value)
        return ConditionStep(name="Gate", conditions=[good], then=[register], otherwise=[rejected])

    def _processing(
        self,
        name: str,
        *,
        inputs: dict[str, Value],
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
