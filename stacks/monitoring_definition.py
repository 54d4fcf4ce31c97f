"""The pipeline of a model's monitor: one job, which is told where everything lies and what counts as different."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_constructs.pipeline_definition import Parameter, PipelineDefinition
from mlops_constructs.pipeline_expressions import EXECUTION_ID, Get, Join, Value
from mlops_constructs.pipeline_steps import JobNetwork, JobResources, ProcessingStep

from .model_settings import Model
from .monitoring_settings import Monitoring, retraining_causes

START = Parameter(name="Start", type="String", default="auto")
END = Parameter(name="End", type="String", default="auto")
PACKAGE = Parameter(name="Package", type="String", default="live")
SETTINGS = "settings"
"""The input with what counts as different: SageMaker takes 256 characters as one argument, and that is longer."""


@dataclass(frozen=True, kw_only=True)
class CapturedRequests:
    """What an endpoint was asked: it lies at `captures`, the S3 URI of a bucket, below the endpoint's name."""

    endpoint_name: str
    captures: str

    def arguments(self) -> list[Value]:
        """As the job takes it."""
        return ["--endpoint", self.endpoint_name, "--captures", self.captures]


@dataclass(frozen=True, kw_only=True)
class PredictedDays:
    """What batch inference has predicted: the S3 URIs of the table and of the published days, and the rows' key."""

    predictions: str
    manifest: str
    key: Sequence[str]

    def arguments(self) -> list[Value]:
        """As the job takes it."""
        return ["--predictions", self.predictions, "--manifest", self.manifest, "--key", ",".join(self.key)]


@dataclass(frozen=True, kw_only=True)
class MonitorSurroundings:
    """Where the pipeline runs, what it looks at, and where it writes.

    `settings` is the S3 URI of the file with `limits_of`, `reports` and `artifacts` are continued, `ground_truth` is
    where labels lie; no URI has a slash at its end. `topic_arn` is told when the status turns.
    """

    image_uri: str
    role_arn: str
    kms_key_arn: str
    group_name: str
    source: CapturedRequests | PredictedDays
    settings: str
    reports: str
    artifacts: str
    topic_arn: str
    ground_truth: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    network: JobNetwork | None = None


def limits_of(model: Model, monitoring: Monitoring) -> dict[str, Any]:
    """What counts as different, as the job reads it; what isn't checked isn't there."""
    drift, quality, attributions = monitoring.drift, monitoring.quality, monitoring.attributions
    found: dict[str, Any] = {
        "window_days": monitoring.window_days,
        "least_rows": monitoring.least_rows,
        "alpha": drift.alpha,
        "drift": {
            "psi": drift.psi,
            "features": {name: {"psi": each.psi} for name, each in drift.features.items()},
            "ignore": list(drift.ignore),
        },
        "moved_features": drift.moved_features,
    }
    if quality:
        found["quality"] = {
            "metric": model.gate.metric,
            "maximum_loss": quality.maximum_loss,
            "least_labels": quality.least_labels,
        }
    if monitoring.fairness and model.fairness.facets:
        found["facets"] = [each.model_dump(mode="json", exclude_none=True) for each in model.fairness.facets]
    if attributions:
        found["attributions"] = {"minimum_ndcg": attributions.minimum_ndcg}
    retrain = monitoring.retrain
    # for the sentence that says what happens next
    found["retrain"] = retrain and {
        "on": retraining_causes(model), "datapoints": retrain.datapoints, "of": retrain.of,
    }  # fmt: skip
    return found


def monitoring_definition(model: Model, monitoring: Monitoring, at: MonitorSurroundings) -> PipelineDefinition:
    """The step Monitor. A run looks at the days before it began, or from `Start` to `End`, and at the live version."""
    labels: list[Value] = []
    if at.ground_truth:
        labels = ["--ground-truth", at.ground_truth]
    if monitoring.quality:
        labels += ["--labels-within-hours", str(monitoring.quality.labels_within_hours)]
    monitor = ProcessingStep(
        name="Monitor",
        image_uri=at.image_uri,
        role_arn=at.role_arn,
        command=["python3", "-m", "model_runtime", "monitor"],
        resources=JobResources(
            instance_type=monitoring.instance_type, max_runtime_seconds=monitoring.max_runtime_minutes * 60
        ),
        arguments=[
            *at.source.arguments(),
            *("--package", PACKAGE.value),
            *("--group", at.group_name),
            *labels,
            *("--settings", f"/opt/ml/processing/input/{SETTINGS}"),
            *("--now", Get("Execution.StartDateTime")),
            *("--start", START.value),
            *("--end", END.value),
            *("--reports", at.reports),
            *("--execution", EXECUTION_ID),
            *("--topic", at.topic_arn),
        ],
        inputs={SETTINGS: at.settings},
        outputs={"report": Join("/", [at.artifacts, EXECUTION_ID, "report"])},
        environment={"MODEL_NAME": model.name, "PROBLEM": model.problem, **at.metrics},
        kms_key_arn=at.kms_key_arn,
        network=at.network,
    )
    return PipelineDefinition(parameters=[START, END, PACKAGE], steps=[monitor])
