"""The step that registers a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .pipeline_expressions import Value
from .pipeline_step import as_text
from .step_policies import REQUEST_RETRIES, RetryPolicy, policies_json


@dataclass(frozen=True, kw_only=True)
class RegisterModelStep:
    """A new version in a model package group, with what it needs to be served and the report it was judged by."""

    type = "RegisterModel"
    name: str
    group_name: str
    image_uri: str
    model_artifact: Value
    content_types: Sequence[str]
    response_types: Sequence[str]
    instance_types: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    quality_report: Value | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)
    approval: Literal["PendingManualApproval", "Approved", "Rejected"] = "PendingManualApproval"
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
        if self.quality_report is not None:
            report = {"ContentType": "application/json", "S3Uri": self.quality_report}
            body["ModelMetrics"] = {"ModelQuality": {"Statistics": report}}
        if self.metadata:
            body["CustomerMetadataProperties"] = {name: as_text(value) for name, value in self.metadata.items()}
        return body

    def extras(self) -> dict[str, Any]:
        """When it is tried again."""
        return policies_json(None, self.retries)
