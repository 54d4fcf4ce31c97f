"""What SageMaker's own checks in pipelines have in common: with what they compare, and where their results lie.

For accounts that still have Model Monitor and Clarify, which are closed to new customers since 2026-07-30. Source:
https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-quality-clarify-baseline-lifecycle.html; names and their place
in the definition are those that the classes QualityCheckStep and ClarifyCheckStep of the SageMaker SDK render.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .job_resources import JobNetwork, JobResources
from .pipeline_expressions import Value
from .pipeline_step import InvalidPipelineError


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """With what a check compares. Left out, it calculates a baseline and compares nothing, as the first one has to.

    Parameters
    ----------
    skip
        Whether the comparison is left out; a parameter of the pipeline can say so. A check that compares fails where
        there is nothing to compare with.
    group_name
        The model package group whose newest approved version has the baseline, among its DriftCheckBaselines.
    constraints, statistics
        S3 URIs of a baseline that comes before that of the group.
    fail_on_violation
        Whether the step fails when a constraint is violated; otherwise it reports.
    register_new
        Whether the properties BaselineUsedForDriftCheck name the new baseline, for the version that is registered.
    """

    skip: Value = True
    group_name: Value | None = None
    constraints: Value | None = None
    statistics: Value | None = None
    fail_on_violation: Value = False
    register_new: Value = True

    def __post_init__(self) -> None:
        """Refuse a check that has nothing to compare with."""
        if self.skip is False and self.group_name is None and self.constraints is None:
            raise InvalidPipelineError("a check that isn't skipped needs a group_name, or constraints to compare with")

    def members(self) -> dict[str, Any]:
        """What the step says of it beside its arguments."""
        given = {
            "ModelPackageGroupName": self.group_name,
            "SuppliedBaselineConstraints": self.constraints,
            "SuppliedBaselineStatistics": self.statistics,
        }
        return {
            "SkipCheck": self.skip,
            "FailOnViolation": self.fail_on_violation,
            "RegisterNewBaseline": self.register_new,
            **{name: value for name, value in given.items() if value is not None},
        }


@dataclass(frozen=True, kw_only=True)
class CheckJob:
    """The processing job of a check.

    Parameters
    ----------
    image_uri
        AWS's image for it, which lies in another account in each region.
    role_arn
        What the job may do; it reads its inputs, writes its output and pulls the image.
    resources
        The machines; one of them.
    kms_key_arn
        Encrypts the output and the disks; keys of AWS's when left out.
    network
        The VPC that it runs in; none when left out.
    """

    image_uri: str
    role_arn: str
    resources: JobResources
    kms_key_arn: str | None = None
    network: JobNetwork | None = None

    def arguments(
        self,
        inputs: Mapping[str, tuple[Value, str]],
        output: tuple[str, Value],
        environment: Mapping[str, Value] | None = None,
    ) -> dict[str, Any]:
        """The input of CreateProcessingJob, less its name: inputs by name, each with its S3 URI and its path."""
        name, uri = output
        results: dict[str, Any] = {
            "Outputs": [
                {
                    "OutputName": name,
                    "S3Output": {"S3Uri": uri, "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"},
                }
            ]
        }
        if self.kms_key_arn:
            results["KmsKeyId"] = self.kms_key_arn
        body: dict[str, Any] = {
            "AppSpecification": {"ImageUri": self.image_uri},
            "ProcessingInputs": [_input(name, uri, path) for name, (uri, path) in inputs.items()],
            "ProcessingOutputConfig": results,
            "ProcessingResources": {"ClusterConfig": self.resources.cluster(self.kms_key_arn)},
            "StoppingCondition": {"MaxRuntimeInSeconds": self.resources.max_runtime_seconds},
            "RoleArn": self.role_arn,
        }
        if environment:
            body["Environment"] = dict(environment)
        if self.network:
            body["NetworkConfig"] = {
                "EnableInterContainerTrafficEncryption": True,
                "EnableNetworkIsolation": False,
                "VpcConfig": self.network.to_json(),
            }
        return body


def _input(name: str, uri: Value, path: str) -> dict[str, Any]:
    place = {
        "S3Uri": uri,
        "LocalPath": f"/opt/ml/processing/input/{path}",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
        "S3CompressionType": "None",
    }
    return {"InputName": name, "S3Input": place}
