"""AWS::Logs::LogGroup."""

from __future__ import annotations

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Setting, Tagging

_ARN = "join('', ['arn:aws:logs:', region, ':', account, ':log-group:', properties.LogGroupName || id])"

LOG_GROUP = ApiResource(
    type="AWS::Logs::LogGroup",
    service="logs",
    name_property="LogGroupName",
    name_length=512,
    create_operation=Operation(
        "CreateLogGroup",
        {
            "logGroupName": "properties.LogGroupName",
            "logGroupClass": "properties.LogGroupClass",
            "kmsKeyId": "properties.KmsKeyId",
        },
    ),
    delete_operation=Operation("DeleteLogGroup", {"logGroupName": "id"}),
    physical_id="properties.LogGroupName",
    attributes={"Arn": f"join('', [{_ARN}, ':*'])"},
    settings=(
        Setting(
            "RetentionInDays",
            Operation("PutRetentionPolicy", {"logGroupName": "id", "retentionInDays": "value"}),
            remove=Operation("DeleteRetentionPolicy", {"logGroupName": "id"}),
        ),
    ),
    tagging=Tagging(
        Operation("TagResource", {"resourceArn": _ARN, "tags": "value"}),
        Operation("UntagResource", {"resourceArn": _ARN, "tagKeys": "value"}),
        on_create=None,
    ),
)
