"""AWS::SageMaker: package groups, pipelines, models, endpoints with what they are made of, and MLflow apps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Scope, Setting, Tagging
from local_aws.cloudformation.providers.provider import ProviderFailure, Provisioned, Request, is_gone

POLL_SECONDS = 0.2


def _tagging(arn: str) -> Tagging:
    return Tagging(
        Operation("AddTags", {"ResourceArn": arn, "Tags": "value"}),
        Operation("DeleteTags", {"ResourceArn": arn, "TagKeys": "value"}),
    )


@dataclass(frozen=True, kw_only=True)
class Endpoint(ApiResource):
    """An endpoint; it is there when it is in service, and gone when it is deleted, as CloudFormation waits for it.

    An update waits until its release is over, however long it bakes. One that was rolled back fails the resource; what
    then goes back to the configuration that serves, as the rollback of the stack does, changes nothing.
    """

    def update(self, request: Request) -> Provisioned:
        """Update in place, after whatever changes the endpoint now, such as its scaling."""
        client = request.client("sagemaker")
        name = request.physical_id.rpartition("/")[2]
        while client.describe_endpoint(EndpointName=name)["EndpointStatus"] in ("Creating", "Updating"):
            request.pause(POLL_SECONDS)
        return super().update(request)

    def _update_body(self, client: Any, scope: Scope, properties: Mapping[str, Any], changed: set[str]) -> None:
        found = client.describe_endpoint(EndpointName=properties["EndpointName"])
        serves = (
            found["EndpointStatus"] == "InService" and found["EndpointConfigName"] == properties["EndpointConfigName"]
        )
        if not serves:
            super()._update_body(client, scope, properties, changed)

    def settle(self, request: Request, scope: Scope) -> None:
        """Wait until the wanted configuration is in service; ProviderFailure with SageMaker's reason when it isn't."""
        name, wanted = scope["properties"]["EndpointName"], scope["properties"]["EndpointConfigName"]
        client = request.client("sagemaker")
        while True:
            found: dict[str, Any] = client.describe_endpoint(EndpointName=name)
            if found["EndpointStatus"] in ("Failed", "InService"):
                break
            request.pause(POLL_SECONDS)
        if found["EndpointStatus"] == "Failed" or found["EndpointConfigName"] != wanted:
            raise ProviderFailure(found.get("FailureReason", f"Endpoint {name} is {found['EndpointStatus']}"))

    def delete(self, request: Request) -> None:
        """Delete the endpoint and wait until it is gone; one that is being changed is waited for first."""
        client = request.client("sagemaker")
        name = request.physical_id.rpartition("/")[2]
        while True:
            try:
                status = client.describe_endpoint(EndpointName=name)["EndpointStatus"]
                if status in ("InService", "Failed"):
                    client.delete_endpoint(EndpointName=name)
            except ClientError as error:
                if is_gone(error):
                    return
                raise
            request.pause(POLL_SECONDS)


# its policy's operations take no ARN
_GROUP_NAME = {"ModelPackageGroupName": "properties.ModelPackageGroupName"}

MODEL_PACKAGE_GROUP = ApiResource(
    type="AWS::SageMaker::ModelPackageGroup",
    service="sagemaker",
    name_property="ModelPackageGroupName",
    create_operation=Operation("CreateModelPackageGroup", body=""),
    delete_operation=Operation("DeleteModelPackageGroup", {"ModelPackageGroupName": "id"}),
    physical_id="created.ModelPackageGroupArn",
    attributes={"ModelPackageGroupArn": "id", "ModelPackageGroupStatus": "'Completed'"},
    settings=(
        Setting(
            "ModelPackageGroupPolicy",
            Operation("PutModelPackageGroupPolicy", {**_GROUP_NAME, "ResourcePolicy": "value"}),
            remove=Operation("DeleteModelPackageGroupPolicy", _GROUP_NAME),
        ),
    ),
    tagging=_tagging("id"),
)

_DEFINITION = {
    "PipelineDefinition": "properties.PipelineDefinition.PipelineDefinitionBody",
    "PipelineDefinitionS3Location": "properties.PipelineDefinition.PipelineDefinitionS3Location && {"
    "Bucket: properties.PipelineDefinition.PipelineDefinitionS3Location.Bucket, "
    "ObjectKey: properties.PipelineDefinition.PipelineDefinitionS3Location.Key, "
    "VersionId: properties.PipelineDefinition.PipelineDefinitionS3Location.Version}",
}

PIPELINE = ApiResource(
    type="AWS::SageMaker::Pipeline",
    service="sagemaker",
    name_property="PipelineName",
    create_operation=Operation("CreatePipeline", _DEFINITION, body="", without=frozenset({"PipelineDefinition"})),
    update_operation=Operation("UpdatePipeline", _DEFINITION, body="", without=frozenset({"PipelineDefinition"})),
    delete_operation=Operation("DeletePipeline", {"PipelineName": "id"}),
    physical_id="properties.PipelineName",
    tagging=_tagging("join('', ['arn:aws:sagemaker:', region, ':', account, ':pipeline/', id])"),
)

MODEL = ApiResource(
    type="AWS::SageMaker::Model",
    service="sagemaker",
    name_property="ModelName",
    name_length=63,
    create_operation=Operation("CreateModel", body=""),
    delete_operation=Operation("DeleteModel", {"ModelName": "attributes.ModelName"}),
    physical_id="created.ModelArn",
    attributes={"ModelName": "properties.ModelName", "ModelArn": "id"},
    tagging=_tagging("id"),
)

ENDPOINT_CONFIG = ApiResource(
    type="AWS::SageMaker::EndpointConfig",
    service="sagemaker",
    name_property="EndpointConfigName",
    name_length=63,
    create_operation=Operation("CreateEndpointConfig", body=""),
    delete_operation=Operation("DeleteEndpointConfig", {"EndpointConfigName": "attributes.EndpointConfigName"}),
    physical_id="created.EndpointConfigArn",
    attributes={"EndpointConfigName": "properties.EndpointConfigName", "EndpointConfigArn": "id"},
    tagging=_tagging("id"),
)

ENDPOINT = Endpoint(
    type="AWS::SageMaker::Endpoint",
    service="sagemaker",
    name_property="EndpointName",
    name_length=63,
    # of what an update keeps there is nothing at first
    create_operation=Operation(
        "CreateEndpoint",
        body="",
        without=frozenset({"RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig"}),
    ),
    update_operation=Operation("UpdateEndpoint", body=""),
    delete_operation=Operation("DeleteEndpoint", {"EndpointName": "properties.EndpointName"}),
    physical_id="created.EndpointArn",
    attributes={"EndpointName": "properties.EndpointName", "EndpointArn": "id"},
    tagging=_tagging("id"),
)

MLFLOW_APP = ApiResource(
    type="AWS::SageMaker::MlflowApp",
    service="sagemaker",
    create_operation=Operation("CreateMlflowApp", body=""),
    read_operation=Operation("DescribeMlflowApp", {"Arn": "id"}),
    update_operation=Operation("UpdateMlflowApp", {"Arn": "id"}, body="", without=frozenset({"RoleArn"})),
    delete_operation=Operation("DeleteMlflowApp", {"Arn": "id"}),
    physical_id="created.Arn",
    attributes={
        "Arn": "id",
        "MlflowVersion": "read.MlflowVersion",
        "Status": "read.Status",
    },
    tagging=_tagging("id"),
)


@dataclass(frozen=True, kw_only=True)
class InferenceComponent(ApiResource):
    """An inference component; it is there when it is in service, and gone when it is deleted."""

    def settle(self, request: Request, scope: Scope) -> None:
        """Wait until it is in service; ProviderFailure with SageMaker's reason when it isn't."""
        name, client = scope["properties"]["InferenceComponentName"], request.client("sagemaker")
        while True:
            found: dict[str, Any] = client.describe_inference_component(InferenceComponentName=name)
            if found["InferenceComponentStatus"] in ("Failed", "InService"):
                break
            request.pause(POLL_SECONDS)
        if "FailureReason" in found:
            raise ProviderFailure(found["FailureReason"])

    def delete(self, request: Request) -> None:
        """Delete it and wait until it is gone; one that is being changed is waited for first."""
        client, name = request.client("sagemaker"), request.physical_id.rpartition("/")[2]
        while True:
            try:
                found = client.describe_inference_component(InferenceComponentName=name)
                if found["InferenceComponentStatus"] in ("InService", "Failed"):
                    client.delete_inference_component(InferenceComponentName=name)
            except ClientError as error:
                if is_gone(error):
                    return
                raise
            request.pause(POLL_SECONDS)


INFERENCE_COMPONENT = InferenceComponent(
    type="AWS::SageMaker::InferenceComponent",
    service="sagemaker",
    name_property="InferenceComponentName",
    name_length=63,
    # how updates are done, a creation doesn't take
    create_operation=Operation(
        "CreateInferenceComponent", body="", without=frozenset({"EndpointArn", "DeploymentConfig"})
    ),
    update_operation=Operation(
        "UpdateInferenceComponent", body="", without=frozenset({"EndpointArn", "EndpointName", "VariantName"})
    ),
    delete_operation=Operation("DeleteInferenceComponent", {"InferenceComponentName": "id"}),
    physical_id="created.InferenceComponentArn",
    attributes={"InferenceComponentArn": "id", "InferenceComponentName": "properties.InferenceComponentName"},
    tagging=_tagging("id"),
)


def job_definition(kind: str) -> ApiResource:
    """Return the resource of job definitions of a kind: DataQuality, ModelQuality, ModelBias or ModelExplainability.

    Nothing of a definition changes in place, its tags included.
    """
    return ApiResource(
        type=f"AWS::SageMaker::{kind}JobDefinition",
        service="sagemaker",
        name_property="JobDefinitionName",
        name_length=63,
        create_operation=Operation(f"Create{kind}JobDefinition", body="", without=frozenset({"EndpointName"})),
        read_operation=Operation(f"Describe{kind}JobDefinition", {"JobDefinitionName": "properties.JobDefinitionName"}),
        delete_operation=Operation(f"Delete{kind}JobDefinition", {"JobDefinitionName": "attributes.JobDefinitionName"}),
        physical_id="created.JobDefinitionArn",
        attributes={
            "JobDefinitionArn": "id",
            "JobDefinitionName": "properties.JobDefinitionName",
            "CreationTime": "read.CreationTime",
        },
        tagging=_tagging("id"),
    )


@dataclass(frozen=True, kw_only=True)
class MonitoringSchedule(ApiResource):
    """A monitoring schedule. It is deleted when none of its executions is in progress, which is waited for."""

    def delete(self, request: Request) -> None:
        """Stop the schedule, and delete it once nothing of it runs."""
        client, name = request.client("sagemaker"), request.physical_id.rpartition("/")[2]
        try:
            client.stop_monitoring_schedule(MonitoringScheduleName=name)
        except ClientError as error:
            if is_gone(error):
                return
            raise
        while True:
            try:
                super().delete(request)
                return
            except ClientError as error:
                if "in progress" not in error.response["Error"]["Message"]:
                    raise
            request.pause(POLL_SECONDS)


# what the registry takes and CreateMonitoringSchedule doesn't
_TOLD_OF_SCHEDULES = frozenset(
    {"EndpointName", "FailureReason", "LastMonitoringExecutionSummary", "MonitoringScheduleStatus"}
)
_SCHEDULE_NAME = {"MonitoringScheduleName": "properties.MonitoringScheduleName"}

MONITORING_SCHEDULE = MonitoringSchedule(
    type="AWS::SageMaker::MonitoringSchedule",
    service="sagemaker",
    name_property="MonitoringScheduleName",
    name_length=63,
    create_operation=Operation("CreateMonitoringSchedule", body="", without=_TOLD_OF_SCHEDULES),
    read_operation=Operation("DescribeMonitoringSchedule", _SCHEDULE_NAME),
    update_operation=Operation("UpdateMonitoringSchedule", body="", without=_TOLD_OF_SCHEDULES | {"Tags"}),
    delete_operation=Operation("DeleteMonitoringSchedule", _SCHEDULE_NAME),
    physical_id="created.MonitoringScheduleArn",
    attributes={
        "MonitoringScheduleArn": "id",
        "CreationTime": "read.CreationTime",
        "LastModifiedTime": "read.LastModifiedTime",
    },
    tagging=_tagging("id"),
)
