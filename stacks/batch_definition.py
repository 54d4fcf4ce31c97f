"""The pipeline of batch inference: the rows of days, a transform job with the released version, their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_constructs.pipeline_definition import Parameter, PipelineDefinition
from mlops_constructs.pipeline_expressions import EXECUTION_ID, Join, Value
from mlops_constructs.pipeline_steps import (
    Comparison,
    ConditionStep,
    JobNetwork,
    JobResources,
    ProcessingStep,
    PropertyFile,
    RecordFilters,
    TransformStep,
)

from .batch_settings import Batch
from .model_settings import Model

FIRST_DAY = Parameter(name="FirstDay", type="String", default="due")
LAST_DAY = Parameter(name="LastDay", type="String", default="latest")
PLAN = "Plan"
# The first column is the row's number, which comes back with its answer; what the model sees begins behind it.
NUMBERED = RecordFilters(sent="$[1:]", joined=True)


@dataclass(frozen=True, kw_only=True)
class BatchSurroundings:
    """Where the pipeline runs, and what it reads and writes.

    `manifest` is the S3 URI of the published days, `predictions` that of the table, `artifacts` is continued; neither
    of the two has a slash at its end. `key` are the columns that tell the rows of a day apart.
    """

    image_uri: str
    selection_role_arn: str
    publication_role_arn: str
    kms_key_arn: str
    model_name: str
    model_package_arn: str
    manifest: str
    predictions: str
    artifacts: str
    key: Sequence[str]
    network: JobNetwork | None = None


def batch_definition(model: Model, batch: Batch, at: BatchSurroundings) -> PipelineDefinition:
    """Select, Transform and Publish; without rows to predict the execution ends well after the first.

    Nothing is cached: what is due changes without the pipeline's inputs. Everything that an execution writes lies under
    its own id, until Publish replaces the days of the table.
    """

    def processing(
        name: str,
        role_arn: str,
        arguments: Sequence[Value],
        *,
        inputs: Mapping[str, Value] | None = None,
        outputs: Sequence[str] = (),
        files: Sequence[PropertyFile] = (),
    ) -> ProcessingStep:
        return ProcessingStep(
            name=name,
            image_uri=at.image_uri,
            role_arn=role_arn,
            command=["python3", "-m", "model_runtime", name.lower()],
            resources=JobResources(
                instance_type=batch.instance_type, max_runtime_seconds=batch.max_runtime_minutes * 60
            ),
            arguments=arguments,
            inputs=inputs or {},
            outputs={each: _artifact(at, each) for each in outputs},
            environment={"MODEL_NAME": model.name, "PROBLEM": model.problem},
            property_files=files,
            kms_key_arn=at.kms_key_arn,
            network=at.network,
        )

    select = processing(
        "Select",
        at.selection_role_arn,
        [
            *("--manifest", at.manifest),
            *("--predictions", at.predictions),
            *("--package", at.model_package_arn),
            *("--key", ",".join(at.key)),
            *("--first-day", FIRST_DAY.value),
            *("--last-day", LAST_DAY.value),
            *("--catch-up-days", str(batch.catch_up_days)),
            *("--files", str(batch.instance_count)),
        ],
        outputs=("rows", "keys", "plan"),
        files=[PropertyFile(name=PLAN, output="plan", path="plan.json")],
    )
    transform = TransformStep(
        name="Transform",
        model_name=at.model_name,
        data=select.folder("rows"),
        output_path=_artifact(at, "scores"),
        resources=JobResources(instance_type=batch.instance_type, instance_count=batch.instance_count),
        payload_mb=batch.max_payload_mb,
        concurrent=batch.max_concurrent_transforms,
        filters=NUMBERED,
        kms_key_arn=at.kms_key_arn,
    )
    publish = processing(
        "Publish",
        at.publication_role_arn,
        ["--predictions", at.predictions],
        inputs={
            "plan": select.folder("plan"),
            "keys": select.folder("keys"),
            "scores": Join("", [transform.answers, "/"]),
        },
    )
    some = Comparison(operator="GreaterThan", left=select.read(PLAN, "rows"), right=0)
    return PipelineDefinition(
        parameters=[FIRST_DAY, LAST_DAY],
        steps=[select, ConditionStep(name="AnyRows", conditions=[some], then=[transform, publish])],
    )


def _artifact(at: BatchSurroundings, name: str) -> Join:
    return Join("/", [at.artifacts, EXECUTION_ID, name])
