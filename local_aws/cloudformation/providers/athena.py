"""AWS::Athena::WorkGroup and AWS::Athena::NamedQuery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Scope, Setting, Tagging
from local_aws.cloudformation.providers.api_shape import fit_input
from local_aws.cloudformation.providers.provider import ProviderFailure, Provisioned, Request

NAME_LENGTH = 128
_ARN = "join('', ['arn:aws:athena:', region, ':', account, ':workgroup/', id])"
# what Athena falls back to when a configuration leaves a member out
_DEFAULTS = {
    "EnforceWorkGroupConfiguration": True,
    "PublishCloudWatchMetricsEnabled": False,
    "RequesterPaysEnabled": False,
    "EnableMinimumEncryptionConfiguration": False,
    "EngineVersion": {"SelectedEngineVersion": "AUTO"},
}
_REMOVABLE = ("BytesScannedCutoffPerQuery", "CustomerContentEncryptionConfiguration")
_REMOVABLE_OF_RESULTS = ("OutputLocation", "EncryptionConfiguration", "ExpectedBucketOwner", "AclConfiguration")


@dataclass(frozen=True, kw_only=True)
class WorkGroup(ApiResource):
    """A workgroup; an update takes away what the template no longer says."""

    def create(self, request: Request) -> Provisioned:
        """Create the workgroup; ProviderFailure for the property that only an update of old templates has."""
        _refuse_updates(request)
        return super().create(request)

    def update(self, request: Request) -> Provisioned:
        """Bring the workgroup to the template's configuration."""
        _refuse_updates(request)
        return super().update(request)

    def _update_body(self, client: Any, scope: Scope, properties: Mapping[str, Any], changed: set[str]) -> None:
        del changed
        wanted = {
            "WorkGroup": scope["id"],
            "Description": properties.get("Description", ""),
            "ConfigurationUpdates": _updates(properties.get("WorkGroupConfiguration", {})),
        }
        client.update_work_group(**fit_input("athena", "UpdateWorkGroup", wanted))

    def _provisioned(self, client: Any, scope: Scope) -> Provisioned:
        done = super()._provisioned(client, scope)
        created = scope["read"]["WorkGroup"]["CreationTime"]
        done.attributes.setdefault("CreationTime", str(round(created.timestamp())))
        return done


def _refuse_updates(request: Request) -> None:
    if "WorkGroupConfigurationUpdates" in request.properties:
        raise ProviderFailure(
            "WorkGroupConfigurationUpdates is not supported by the local AWS: write WorkGroupConfiguration, "
            "which updates as well",
            "InvalidRequest",
        )


def _updates(configuration: Mapping[str, Any]) -> dict[str, Any]:
    given = dict(configuration)
    results = given.pop("ResultConfiguration", {})
    updates = {
        **_DEFAULTS,
        **given,
        "ResultConfigurationUpdates": {**results, **_removals(results, _REMOVABLE_OF_RESULTS)},
        **_removals(given, _REMOVABLE),
    }
    if "ManagedQueryResultsConfiguration" in updates:
        managed = updates.pop("ManagedQueryResultsConfiguration")
        updates["ManagedQueryResultsConfigurationUpdates"] = {
            **managed,
            **_removals(managed, ("EncryptionConfiguration",)),
        }
    return updates


def _removals(given: Mapping[str, Any], removable: tuple[str, ...]) -> dict[str, bool]:
    return {f"Remove{member}": True for member in removable if member not in given}


WORK_GROUP = WorkGroup(
    type="AWS::Athena::WorkGroup",
    service="athena",
    name_property="Name",
    name_length=NAME_LENGTH,
    create_operation=Operation(
        "CreateWorkGroup",
        {"Configuration": "properties.WorkGroupConfiguration"},
        body="",
        without=frozenset({"WorkGroupConfiguration"}),
    ),
    delete_operation=Operation(
        "DeleteWorkGroup", {"WorkGroup": "id", "RecursiveDeleteOption": "properties.RecursiveDeleteOption"}
    ),
    read_operation=Operation("GetWorkGroup", {"WorkGroup": "id"}),
    physical_id="properties.Name",
    attributes={
        "WorkGroupConfiguration.EngineVersion.EffectiveEngineVersion": (
            "read.WorkGroup.Configuration.EngineVersion.EffectiveEngineVersion"
        ),
    },
    settings=(
        Setting("State", Operation("UpdateWorkGroup", {"WorkGroup": "id", "State": "value"}), default="ENABLED"),
    ),
    tagging=Tagging(
        Operation("TagResource", {"ResourceARN": _ARN, "Tags": "value"}),
        Operation("UntagResource", {"ResourceARN": _ARN, "TagKeys": "value"}),
    ),
    ignored=frozenset({"RecursiveDeleteOption"}),
)


@dataclass(frozen=True, kw_only=True)
class NamedQuery(ApiResource):
    """A saved query. Athena knows it by its id: queries may share a name, so that any change replaces it."""

    def _named(self, request: Request) -> dict[str, Any]:
        return {**request.properties, "Name": request.name("Name", length=NAME_LENGTH)}


NAMED_QUERY = NamedQuery(
    type="AWS::Athena::NamedQuery",
    service="athena",
    create_operation=Operation("CreateNamedQuery", body=""),
    delete_operation=Operation("DeleteNamedQuery", {"NamedQueryId": "id"}),
    physical_id="created.NamedQueryId",
    attributes={"NamedQueryId": "id"},
)
