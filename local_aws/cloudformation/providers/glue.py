"""AWS::Glue: databases and tables, jobs, workflows and their triggers, rulesets and security configurations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Scope, Tagging

NAME_LENGTH = 255


def _tagging(kind: str) -> Tagging:
    arn = f"join('', ['arn:aws:glue:', region, ':', account, ':{kind}/', id])"
    return Tagging(
        Operation("TagResource", {"ResourceArn": arn, "TagsToAdd": "value"}),
        Operation("UntagResource", {"ResourceArn": arn, "TagsToRemove": "value"}),
    )


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
    name_length=NAME_LENGTH,
    create_operation=Operation("CreateJob", body=""),
    update_operation=Operation("UpdateJob", {"JobName": "id"}, body="JobUpdate", without=frozenset({"Name"})),
    delete_operation=Operation("DeleteJob", {"JobName": "id"}),
    physical_id="created.Name",
    tagging=_tagging("job"),
)

_TABLE_INPUT = "merge({Name: properties.Name}, properties.TableInput)"

TABLE = ApiResource(
    type="AWS::Glue::Table",
    service="glue",
    create_operation=Operation(
        "CreateTable", {"TableInput": _TABLE_INPUT}, body="", without=frozenset({"Name", "TableInput"})
    ),
    update_operation=Operation(
        "UpdateTable", {"TableInput": _TABLE_INPUT}, body="", without=frozenset({"Name", "TableInput"})
    ),
    delete_operation=Operation(
        "DeleteTable",
        {"CatalogId": "properties.CatalogId", "DatabaseName": "properties.DatabaseName", "Name": "id"},
    ),
    physical_id="properties.TableInput.Name || properties.Name",
)

WORKFLOW = ApiResource(
    type="AWS::Glue::Workflow",
    service="glue",
    name_property="Name",
    name_length=NAME_LENGTH,
    create_operation=Operation("CreateWorkflow", body=""),
    update_operation=Operation("UpdateWorkflow", body=""),
    delete_operation=Operation("DeleteWorkflow", {"Name": "id"}),
    physical_id="created.Name",
    tagging=_tagging("workflow"),
)


@dataclass(frozen=True, kw_only=True)
class Trigger(ApiResource):
    """A trigger. StartOnCreation counts when it is made and never later, as with CloudFormation."""

    def _update_body(self, client: Any, scope: Scope, properties: Mapping[str, Any], changed: set[str]) -> None:
        if changed != {"StartOnCreation"}:
            super()._update_body(client, scope, properties, changed)


TRIGGER = Trigger(
    type="AWS::Glue::Trigger",
    service="glue",
    name_property="Name",
    name_length=NAME_LENGTH,
    create_operation=Operation("CreateTrigger", body=""),
    update_operation=Operation(
        "UpdateTrigger",
        {"Name": "id"},
        body="TriggerUpdate",
        without=frozenset({"Name", "Type", "WorkflowName", "StartOnCreation"}),
    ),
    delete_operation=Operation("DeleteTrigger", {"Name": "id"}),
    physical_id="created.Name",
    tagging=_tagging("trigger"),
)


def _encryption(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"S3Encryption" if key == "S3Encryptions" else key: item for key, item in value.items()}


@dataclass(frozen=True, kw_only=True)
class SecurityConfiguration(ApiResource):
    """Glue has no operation that changes a security configuration: it is made anew under its name."""

    def _update_body(self, client: Any, scope: Scope, properties: Mapping[str, Any], changed: set[str]) -> None:
        del changed
        _make_anew(self, client, scope, self._body(properties, create=True))


@dataclass(frozen=True, kw_only=True)
class DataQualityRuleset(ApiResource):
    """A ruleset. UpdateDataQualityRuleset has no table: a ruleset of another table is made anew under its name."""

    def _update_body(self, client: Any, scope: Scope, properties: Mapping[str, Any], changed: set[str]) -> None:
        if "TargetTable" in changed:
            _make_anew(self, client, scope, self._body(properties, create=True))
        else:
            super()._update_body(client, scope, properties, changed)


def _make_anew(resource: ApiResource, client: Any, scope: Scope, body: Mapping[str, Any]) -> None:
    resource.delete_operation.call(client, resource.service, scope, {})
    resource.create_operation.call(client, resource.service, scope, body)


SECURITY_CONFIGURATION = SecurityConfiguration(
    type="AWS::Glue::SecurityConfiguration",
    service="glue",
    name_property="Name",
    name_length=NAME_LENGTH,
    create_operation=Operation("CreateSecurityConfiguration", body=""),
    delete_operation=Operation("DeleteSecurityConfiguration", {"Name": "id"}),
    physical_id="properties.Name",
    convert={"EncryptionConfiguration": _encryption},
)

DATA_QUALITY_RULESET = DataQualityRuleset(
    type="AWS::Glue::DataQualityRuleset",
    service="glue",
    name_property="Name",
    name_length=NAME_LENGTH,
    create_operation=Operation("CreateDataQualityRuleset", body=""),
    update_operation=Operation(
        "UpdateDataQualityRuleset",
        {"Description": "properties.Description || ''"},
        body="",
        without=frozenset({"TargetTable", "ClientToken"}),
    ),
    delete_operation=Operation("DeleteDataQualityRuleset", {"Name": "id"}),
    physical_id="properties.Name",
    tagging=_tagging("dataQualityRuleset"),
)
