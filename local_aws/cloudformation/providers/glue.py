"""AWS::Glue::Database, AWS::Glue::Job and AWS::Glue::SecurityConfiguration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Scope, Tagging

_JOB_ARN = "join('', ['arn:aws:glue:', region, ':', account, ':job/', id])"

DATABASE = ApiResource(
    type="AWS::Glue::Database",
    service="glue",
    create_operation=Operation(
        "CreateDatabase",
        {
            "CatalogId": "properties.CatalogId",
            # DatabaseName names the database when its input doesn't
            "DatabaseInput": "merge({Name: properties.DatabaseName}, properties.DatabaseInput)",
        },
    ),
    update_operation=Operation(
        "UpdateDatabase",
        {
            "CatalogId": "properties.CatalogId",
            "Name": "id",
            "DatabaseInput": "merge({Name: properties.DatabaseName}, properties.DatabaseInput)",
        },
    ),
    delete_operation=Operation("DeleteDatabase", {"CatalogId": "properties.CatalogId", "Name": "id"}),
    physical_id="properties.DatabaseInput.Name || properties.DatabaseName",
)

JOB = ApiResource(
    type="AWS::Glue::Job",
    service="glue",
    name_property="Name",
    name_length=255,
    create_operation=Operation("CreateJob", body=""),
    update_operation=Operation("UpdateJob", {"JobName": "id"}, body="JobUpdate", without=frozenset({"Name"})),
    delete_operation=Operation("DeleteJob", {"JobName": "id"}),
    physical_id="created.Name",
    tagging=Tagging(
        Operation("TagResource", {"ResourceArn": _JOB_ARN, "TagsToAdd": "value"}),
        Operation("UntagResource", {"ResourceArn": _JOB_ARN, "TagsToRemove": "value"}),
    ),
)


def _encryption(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"S3Encryption" if key == "S3Encryptions" else key: item for key, item in value.items()}


@dataclass(frozen=True, kw_only=True)
class SecurityConfiguration(ApiResource):
    """Glue has no operation that changes a security configuration: it is made anew under its name."""

    def _update_body(self, client: Any, scope: Scope, properties: Mapping[str, Any], changed: set[str]) -> None:
        del changed
        self.delete_operation.call(client, self.service, scope, {})
        self.create_operation.call(client, self.service, scope, self._body(properties, create=True))


SECURITY_CONFIGURATION = SecurityConfiguration(
    type="AWS::Glue::SecurityConfiguration",
    service="glue",
    name_property="Name",
    name_length=255,
    create_operation=Operation("CreateSecurityConfiguration", body=""),
    delete_operation=Operation("DeleteSecurityConfiguration", {"Name": "id"}),
    physical_id="properties.Name",
    convert={"EncryptionConfiguration": _encryption},
)
