"""The step that registers a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .pipeline_expressions import Value
from .pipeline_step import InvalidPipelineError, as_text
from .step_policies import REQUEST_RETRIES, RetryPolicy, policies_json

_STAGE_NAME = re.compile(r"(?=.{1,63}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*")


@dataclass(frozen=True, kw_only=True)
class ModelReports:
    """The S3 URIs of JSON files that a version is judged by; what is left out isn't said.

    `quality` are statistics and `constraints` the bounds that a monitor compares with later, in the shapes of model
    quality monitoring; `data` and `data_constraints` are the same of what the model learnt from, in those of data
    quality monitoring; `bias` and `explainability` are reports as Clarify's. `baselines` says that monitors check for
    drift from them (DriftCheckBaselines).
    """

    quality: Value | None = None
    constraints: Value | None = None
    data: Value | None = None
    data_constraints: Value | None = None
    bias: Value | None = None
    explainability: Value | None = None
    baselines: bool = True

    def metrics(self) -> dict[str, Any]:
        """The member `ModelMetrics` of CreateModelPackage."""
        found = {
            "ModelQuality": _statistics(self.quality, self.constraints),
            "ModelDataQuality": _statistics(self.data, self.data_constraints),
            "Bias": {"Report": _json_file(self.bias)} if self.bias is not None else {},
            "Explainability": {"Report": _json_file(self.explainability)} if self.explainability is not None else {},
        }
        return {name: content for name, content in found.items() if content}

    def drift_baselines(self) -> dict[str, Any]:
        """The member `DriftCheckBaselines` of CreateModelPackage."""
        if not self.baselines:
            return {}
        metrics = self.metrics()
        names = ("ModelQuality", "ModelDataQuality")
        found: dict[str, Any] = {name: metrics[name] for name in names if name in metrics}
        if self.bias is not None:
            found["Bias"] = {"PostTrainingConstraints": _json_file(self.bias)}
        if self.explainability is not None:
            found["Explainability"] = {"Constraints": _json_file(self.explainability)}
        return found


@dataclass(frozen=True, kw_only=True)
class LifeCycle:
    """How far a version has come, beside its approval: a stage, how it stands there, and a remark on it.

    Stages and statuses are a company's own; permissions can be held to them (`sagemaker:ModelLifeCycle:stage`). Source:
    "Staging Construct for your Model Life Cycle", whose templates have Development, QA, PreProduction, Production and
    others, and PendingApproval, InProgress, Approved and others.
    """

    stage: str
    status: str
    description: str | None = None

    def __post_init__(self) -> None:
        """Refuse names that SageMaker would refuse."""
        for what, name in (("stage", self.stage), ("status", self.status)):
            if not _STAGE_NAME.fullmatch(name):
                raise InvalidPipelineError(
                    f"the {what} of a life cycle must be 1 to 63 letters, digits and single dashes, got {name!r}"
                )

    def to_json(self) -> dict[str, Any]:
        """The member `ModelLifeCycle` of CreateModelPackage."""
        found = {"Stage": self.stage, "StageStatus": self.status}
        return found if self.description is None else {**found, "StageDescription": self.description}


@dataclass(frozen=True, kw_only=True)
class RegisterModelStep:
    """A new version in a model package group, with what it needs to be served and the reports that it was judged by.

    `card` is a model card as text, by SageMaker's JSON schema. Without a `life_cycle` a version has no stage.
    """

    type = "RegisterModel"
    name: str
    group_name: str
    image_uri: Value
    model_artifact: Value
    content_types: Sequence[str]
    response_types: Sequence[str]
    instance_types: Sequence[str] = ()
    environment: Mapping[str, Value] = field(default_factory=dict)
    reports: ModelReports = field(default_factory=ModelReports)
    card: Value | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)
    approval: Literal["PendingManualApproval", "Approved", "Rejected"] = "PendingManualApproval"
    life_cycle: LifeCycle | None = None
    retries: Sequence[RetryPolicy] = REQUEST_RETRIES
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
        if metrics := self.reports.metrics():
            body["ModelMetrics"] = metrics
        if baselines := self.reports.drift_baselines():
            body["DriftCheckBaselines"] = baselines
        if self.card is not None:
            body["ModelCard"] = {"ModelCardContent": self.card, "ModelCardStatus": "Draft"}
        if self.life_cycle is not None:
            body["ModelLifeCycle"] = self.life_cycle.to_json()
        if self.metadata:
            body["CustomerMetadataProperties"] = {name: as_text(value) for name, value in self.metadata.items()}
        return body

    def extras(self) -> dict[str, Any]:
        """When it is tried again."""
        return policies_json(None, self.retries)


def _statistics(statistics: Value | None, constraints: Value | None) -> dict[str, Any]:
    files = {"Statistics": statistics, "Constraints": constraints}
    return {name: _json_file(uri) for name, uri in files.items() if uri is not None}


def _json_file(uri: Value) -> dict[str, Any]:
    return {"ContentType": "application/json", "S3Uri": uri}
