"""What can be scaled: the instances of an endpoint's variant and the copies of an inference component."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

from local_aws.autoscaling.metrics import Metric
from local_aws.json_api import ApiError

NAMESPACE = "sagemaker"
INSTANCES = "sagemaker:variant:DesiredInstanceCount"
COPIES = "sagemaker:inference-component:DesiredCopyCount"


@dataclass(frozen=True)
class Capacity:
    """How much there is and is to be; `settled` says that it isn't changing and may be changed."""

    current: int
    desired: int
    settled: bool


class Resource(Protocol):
    """Something with a capacity. `noun` is what activities call it."""

    noun: str

    def capacity(self, sagemaker: Any) -> Capacity | None:
        """Return the capacity; None where there is no such resource."""

    def change(self, sagemaker: Any, capacity: int) -> None:
        """Ask for another capacity; raises what boto3 raises."""

    def metric(self, predefined: str) -> Metric | None:
        """Return a predefined metric of this kind of resource; None for one that it doesn't have."""


@dataclass(frozen=True)
class Variant:
    """A variant of an endpoint, by its instances."""

    endpoint: str
    variant: str
    noun = "instance count"

    def capacity(self, sagemaker: Any) -> Capacity | None:
        found = _described(sagemaker.describe_endpoint, EndpointName=self.endpoint)
        for each in (found or {}).get("ProductionVariants", []):
            if found and each["VariantName"] == self.variant and "DesiredInstanceCount" in each:
                settled = found["EndpointStatus"] == "InService"
                return Capacity(each["CurrentInstanceCount"], each["DesiredInstanceCount"], settled)
        return None

    def change(self, sagemaker: Any, capacity: int) -> None:
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=self.endpoint,
            DesiredWeightsAndCapacities=[{"VariantName": self.variant, "DesiredInstanceCount": capacity}],
        )

    def metric(self, predefined: str) -> Metric | None:
        if predefined != "SageMakerVariantInvocationsPerInstance":
            return None
        dimensions = {"EndpointName": self.endpoint, "VariantName": self.variant}
        return Metric("AWS/SageMaker", "InvocationsPerInstance", "Sum", dimensions, rests_at_zero=True)


@dataclass(frozen=True)
class InferenceComponent:
    """An inference component, by its copies."""

    name: str
    noun = "copy count"

    def capacity(self, sagemaker: Any) -> Capacity | None:
        found = _described(sagemaker.describe_inference_component, InferenceComponentName=self.name)
        if found is None:
            return None
        config = found["RuntimeConfig"]
        settled = found["InferenceComponentStatus"] == "InService"
        return Capacity(config["CurrentCopyCount"], config["DesiredCopyCount"], settled)

    def change(self, sagemaker: Any, capacity: int) -> None:
        sagemaker.update_inference_component_runtime_config(
            InferenceComponentName=self.name, DesiredRuntimeConfig={"CopyCount": capacity}
        )

    def metric(self, predefined: str) -> Metric | None:
        if predefined != "SageMakerInferenceComponentInvocationsPerCopy":
            return None
        dimensions = {"InferenceComponentName": self.name}
        return Metric("AWS/SageMaker", "InvocationsPerCopy", "Sum", dimensions, rests_at_zero=True)


_VARIANT = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")
_COMPONENT = re.compile(r"inference-component/([^/]+)")


def resource_of(namespace: str, resource_id: str, dimension: str) -> Resource:
    """Return what an id and a dimension name; ApiError for those of other services, which nothing here scales."""
    if namespace == NAMESPACE and dimension == INSTANCES and (found := _VARIANT.fullmatch(resource_id)):
        return Variant(found[1], found[2])
    if namespace == NAMESPACE and dimension == COPIES and (found := _COMPONENT.fullmatch(resource_id)):
        return InferenceComponent(found[1])
    raise ApiError(
        "ValidationException",
        f"Unsupported service namespace, resource type or scalable dimension: {namespace}, {resource_id}, {dimension}. "
        f"The local AWS scales endpoint/<name>/variant/<name> by {INSTANCES} "
        f"and inference-component/<name> by {COPIES}, both of the namespace {NAMESPACE}",
    )


def _described(describe: Any, **name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = describe(**name)
    except ClientError as error:
        if "Could not find" in error.response["Error"]["Message"]:
            return None
        raise
    return found
