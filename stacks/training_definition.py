"""The training pipeline that every model goes through: prepare, train, evaluate, and register what passes the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mlops_constructs.pipeline_definition import Parameter, PipelineDefinition
from mlops_constructs.pipeline_expressions import EXECUTION_ID, Join, Value
from mlops_constructs.pipeline_steps import (
    Caching,
    CheckJob,
    ConditionStep,
    JobNetwork,
    JobResources,
    Manifest,
    ModelStep,
    ProcessingStep,
    PropertyFile,
    Step,
    TrainingStep,
)

from .automl_steps import automl_steps
from .candidate_steps import Candidate, candidate_of
from .diagnostic_settings import METRICS
from .engine_settings import ROUNDS_VARIABLE, caching_of, training_engine_of
from .gate_steps import (
    BASELINE,
    Registration,
    bound_parameter,
    card_file,
    evaluate_arguments,
    gate_step,
    report_file,
)
from .lineage import COMMIT_VARIABLE, DATA_VARIABLE, UNKNOWN_COMMIT, metadata_of
from .model_settings import Model
from .native_steps import CHECKS, NativeServices, check_steps, debugger_of

FIRST_DAY = Parameter(name="FirstDay", type="String", default="earliest")
LAST_DAY = Parameter(name="LastDay", type="String", default="latest")
CHECKPOINTS = "checkpoints"
DEBUGGER = "debugger"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where a pipeline runs and what it reads and writes.

    `code` and `manifest` are the S3 URIs of files; `artifacts` is continued and has no slash at its end. `metrics` are
    the variables by which trainings know where their metrics lie, `native` what SageMaker's own services need.
    """

    image_uri: str
    role_arn: str
    kms_key_arn: str
    group_name: str
    code: str
    manifest: str
    artifacts: str
    network: JobNetwork | None = None
    tracking_uri: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    native: NativeServices = field(default_factory=NativeServices)
    commit: str = UNKNOWN_COMMIT


def training_definition(model: Model, surroundings: Surroundings) -> PipelineDefinition:
    """The pipeline of one model. Everything that an execution writes lies under its own id.

    Prepare and Train are cached: their inputs say all that they depend on. Of the manifest that is its version, which
    never changes; the commit isn't among them. Evaluate asks the registry, which changes without its inputs, and always
    runs.
    """
    test_days = Parameter(name="TestDays", type="Integer", default=model.training.test_days)
    validation_days = Parameter(name="ValidationDays", type="Integer", default=model.training.validation_days)
    bound = bound_parameter(model)
    data = Parameter(name="Data", type="String", default=surroundings.manifest)
    build = _Steps(model, surroundings)
    prepare = build.prepare(data, test_days, validation_days)
    if model.training.algorithm == "automl":
        steps = build.searched(prepare, bound)
    else:
        train = candidate_of(model, build.train(prepare))
        checks = build.checks(prepare, train)
        evaluate = build.evaluate(prepare, train, bound)
        gate = replace(build.gate(prepare, train, evaluate), depends_on=[step.name for step in checks])
        steps = [train, *checks, evaluate, gate]
    return PipelineDefinition(
        parameters=[data, FIRST_DAY, LAST_DAY, test_days, validation_days, bound], steps=[prepare, *steps]
    )


class _Steps:
    def __init__(self, model: Model, surroundings: Surroundings) -> None:
        self._model = model
        self._at = surroundings
        self._environment: dict[str, Value] = {"MODEL_NAME": model.name, "PROBLEM": model.problem}
        self._tracking = {"MLFLOW_TRACKING_URI": surroundings.tracking_uri} if surroundings.tracking_uri else {}
        self._caching = caching_of(model.training)
        self._resources = JobResources(
            instance_type=model.training.instance_type,
            volume_gb=model.training.volume_gb,
            max_runtime_seconds=model.training.max_runtime_minutes * 60,
        )

    def prepare(self, data: Parameter, test_days: Parameter, validation_days: Parameter) -> ProcessingStep:
        files = self._model.training.files
        outputs = {name: self._artifact(name) for name in self._prepared()} | self._checkpoints()
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
                *(["--files", str(files)] if files > 1 else []),
                *(each for name in self._model.data.allow_leakage for each in ("--allow-leakage", name)),
            ],
            inputs={"code": self._at.code, "features": Manifest.newest(data.value), **self._analyses()},
            outputs=outputs,
            # what a step writes is no part of what it is cached by: without this, an execution that wants one output
            # more would take over one that has it not
            environment={"OUTPUTS": ",".join(outputs)},
            isolated=self._model.training.network_isolation,
            caching=self._caching,
        )

    def _analyses(self) -> dict[str, Value]:
        return {CHECKS: self._at.native.analyses_uri} if self._at.native.analyses_uri else {}

    def _prepared(self) -> list[str]:
        return ["train", "validation", "test", BASELINE, *self._analyses()]

    def _checkpoints(self) -> dict[str, Value]:
        """A folder for checkpoints, as an empty output of Prepare.

        An execution that takes over prepared rows finds the checkpoints that were made of them, and its Train has the
        same inputs as the one before. A folder of its own id would be another input in each execution.
        """
        if not self._model.training.checkpoints:
            return {}
        return {CHECKPOINTS: Join("/", [self._at.artifacts, CHECKPOINTS, EXECUTION_ID])}

    def train(self, prepare: ProcessingStep) -> TrainingStep:
        training = self._model.training
        kept = training.checkpoints
        rounds = {ROUNDS_VARIABLE: str(kept.every_rounds)} if kept else {}
        return TrainingStep(
            name="Train",
            image_uri=self._at.image_uri,
            role_arn=self._at.role_arn,
            resources=replace(self._resources, instance_count=training.instance_count),
            channels={
                "train": prepare.folder("train"),
                "validation": prepare.folder("validation"),
                "code": self._at.code,
            },
            output_path=self._artifact("model"),
            hyperparameters={**training.hyperparameters, **training.diagnostics.hyperparameters()},
            metrics=METRICS,
            environment={**self._environment, **self._at.metrics, **rounds, **self._tracked(prepare)},
            kms_key_arn=self._at.kms_key_arn,
            network=self._at.network,
            # in all executions the same, as it is part of the cache's key; jobs have folders of their own in it
            debugger=debugger_of(self._model, self._at.native.images, f"{self._at.artifacts}/{DEBUGGER}"),
            engine=training_engine_of(training, prepare.output(CHECKPOINTS) if kept else None),
            caching=self._caching,
        )

    def _tracked(self, prepare: ProcessingStep) -> dict[str, Value]:
        return {**self._tracking, DATA_VARIABLE: prepare.input("features")} if self._tracking else {}

    def checks(self, prepare: ProcessingStep, train: Candidate) -> list[Step]:
        """SageMaker's own checks, without which the model isn't registered; none for most models."""
        return check_steps(
            self._model,
            self._at.native,
            prepare,
            train.model_artifact,
            work=lambda image: CheckJob(
                image_uri=image,
                role_arn=self._at.role_arn,
                resources=self._resources,
                kms_key_arn=self._at.kms_key_arn,
                network=self._at.network,
            ),
            candidate=lambda name, artifact: ModelStep(
                name=name,
                role_arn=self._at.role_arn,
                image_uri=self._at.image_uri,
                model_artifact=artifact,
                environment=self._environment,
                network=self._at.network,
            ),
            artifact=self._artifact,
        )

    def evaluate(self, prepare: ProcessingStep, train: Candidate, bound: Parameter) -> ProcessingStep:
        return self._processing(
            "Evaluate",
            arguments=evaluate_arguments(self._model, bound, self._at.group_name),
            inputs={
                "model": train.model_artifact,
                "test": prepare.folder("test"),
                "code": self._at.code,
                **({"train": prepare.folder("train")} if self._model.fairness.facets else {}),
            },
            outputs={"evaluation": self._artifact("evaluation")},
            environment=self._judging(prepare) | self._tracking,
            property_files=[report_file(), card_file()],
        )

    def gate(self, prepare: ProcessingStep, train: Candidate, evaluate: ProcessingStep) -> ConditionStep:
        registration = Registration(
            group_name=self._at.group_name,
            image_uri=self._at.image_uri,
            model_artifact=train.model_artifact,
            environment=self._environment,
            metadata=self._metadata(prepare),
            baseline=prepare.output(BASELINE),
        )
        return gate_step(self._model, evaluate, registration)

    def searched(self, prepare: ProcessingStep, bound: Parameter) -> list[Step]:
        return automl_steps(
            self._model,
            prepare,
            self._processing,
            role_arn=self._at.role_arn,
            kms_key_arn=self._at.kms_key_arn,
            group_name=self._at.group_name,
            network=self._at.network,
            resources=self._resources,
            artifact=self._artifact,
            bound=bound,
            code=self._at.code,
            metadata=self._metadata(prepare),
            judging=self._judging(prepare) | self._tracking,
        )

    def _judging(self, prepare: ProcessingStep) -> dict[str, Value]:
        """What only a step that isn't cached may know: it differs between executions that train the same model."""
        return {COMMIT_VARIABLE: self._at.commit, DATA_VARIABLE: prepare.input("features")}

    def _metadata(self, prepare: ProcessingStep) -> dict[str, Value]:
        return metadata_of(
            prepare,
            commit=self._at.commit,
            code=self._at.code,
            runtime=self._at.image_uri,
            days={parameter.name: parameter for parameter in (FIRST_DAY, LAST_DAY)},
            algorithm=self._model.training.algorithm,
        )

    def _processing(
        self,
        name: str,
        *,
        inputs: dict[str, Value | Manifest],
        outputs: dict[str, Value],
        arguments: list[Value] | None = None,
        property_files: list[PropertyFile] | None = None,
        isolated: bool = False,
        caching: Caching | None = None,
        environment: Mapping[str, Value] | None = None,
    ) -> ProcessingStep:
        return ProcessingStep(
            name=name,
            image_uri=self._at.image_uri,
            role_arn=self._at.role_arn,
            command=["python3", "-m", "model_runtime", name.lower()],
            resources=self._resources,
            arguments=arguments or [],
            inputs=inputs,
            outputs=outputs,
            environment={**self._environment, **(environment or {})},
            property_files=property_files or [],
            kms_key_arn=self._at.kms_key_arn,
            network=self._at.network,
            isolated=isolated,
            caching=caching,
        )

    def _artifact(self, name: str) -> Join:
        return Join("/", [self._at.artifacts, EXECUTION_ID, name])
