"""AWS::SSM::Parameter."""

from __future__ import annotations

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Tagging

PARAMETER = ApiResource(
    type="AWS::SSM::Parameter",
    service="ssm",
    name_property="Name",
    name_length=128,
    create_operation=Operation("PutParameter", body=""),
    update_operation=Operation("PutParameter", {"Overwrite": "`true`"}, body=""),
    delete_operation=Operation("DeleteParameter", {"Name": "id"}),
    physical_id="properties.Name",
    attributes={"Type": "properties.Type", "Value": "properties.Value"},
    tagging=Tagging(
        Operation("AddTagsToResource", {"ResourceType": "'Parameter'", "ResourceId": "id", "Tags": "value"}),
        Operation("RemoveTagsFromResource", {"ResourceType": "'Parameter'", "ResourceId": "id", "TagKeys": "value"}),
    ),
)
