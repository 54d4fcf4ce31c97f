"""AWS::KMS::Key and AWS::KMS::Alias."""

from __future__ import annotations

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Setting, Tagging, Toggle

KEY = ApiResource(
    type="AWS::KMS::Key",
    service="kms",
    create_operation=Operation("CreateKey", {"Policy": "properties.KeyPolicy"}, body=""),
    delete_operation=Operation(
        "ScheduleKeyDeletion", {"KeyId": "id", "PendingWindowInDays": "properties.PendingWindowInDays"}
    ),
    physical_id="created.KeyMetadata.KeyId",
    read_operation=Operation("DescribeKey", {"KeyId": "id"}),
    attributes={"Arn": "read.KeyMetadata.Arn", "KeyId": "id"},
    settings=(
        Setting("KeyPolicy", Operation("PutKeyPolicy", {"KeyId": "id", "PolicyName": "'default'", "Policy": "value"})),
        Setting("Description", Operation("UpdateKeyDescription", {"KeyId": "id", "Description": "value"}), default=""),
        Toggle(
            "EnableKeyRotation",
            Operation("EnableKeyRotation", {"KeyId": "id", "RotationPeriodInDays": "properties.RotationPeriodInDays"}),
            Operation("DisableKeyRotation", {"KeyId": "id"}),
        ),
        Toggle("Enabled", Operation("EnableKey", {"KeyId": "id"}), Operation("DisableKey", {"KeyId": "id"})),
        Setting(
            "RotationPeriodInDays",
            Operation("EnableKeyRotation", {"KeyId": "id", "RotationPeriodInDays": "value"}),
        ),
    ),
    tagging=Tagging(
        Operation("TagResource", {"KeyId": "id", "Tags": "value"}),
        Operation("UntagResource", {"KeyId": "id", "TagKeys": "value"}),
    ),
    ignored=frozenset({"PendingWindowInDays"}),
)

ALIAS = ApiResource(
    type="AWS::KMS::Alias",
    service="kms",
    name_property="AliasName",
    create_operation=Operation("CreateAlias", body=""),
    update_operation=Operation("UpdateAlias", body=""),
    delete_operation=Operation("DeleteAlias", {"AliasName": "id"}),
    physical_id="properties.AliasName",
)
