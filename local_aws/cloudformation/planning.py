"""What a new revision would change, worked out without touching anything: the content of a change set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.errors import ValidationError
from local_aws.cloudformation.intrinsics import UNKNOWN, Evaluator, References, contains_unknown
from local_aws.cloudformation.schemas import resource_schema
from local_aws.cloudformation.stacks import Revision, Stack, StackResource
from local_aws.cloudformation.template import ResourceDeclaration, creation_order, referenced_names


@dataclass(frozen=True)
class PlannedChange:
    """One resource that a revision adds, modifies or removes; `change` is in the shape of the API."""

    action: str
    logical_id: str
    change: dict[str, Any]


class _PlanningReferences:
    """References as they will be: what is created or replaced has no physical id yet."""

    def __init__(self, references: References) -> None:
        self._references = references
        self.undecided: set[str] = set()

    def reference(self, logical_id: str) -> Any:
        return UNKNOWN if logical_id in self.undecided else self._references.reference(logical_id)

    def attribute(self, logical_id: str, name: str) -> Any:
        return UNKNOWN if logical_id in self.undecided else self._references.attribute(logical_id, name)

    def imported(self, name: str) -> str:
        return self._references.imported(name)

    def dynamic(self, service: str, key: str) -> str:
        return self._references.dynamic(service, key)

    def availability_zones(self, region: str) -> list[str]:
        return self._references.availability_zones(region)


def with_stack_tags(resource_type: str, properties: dict[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """Return properties with the stack's tags added, where the type has tags; the resource's own win."""
    schema = resource_schema(resource_type)
    if not tags or schema is None or schema.tags is None or contains_unknown(properties.get("Tags")):
        return properties
    own = properties.get("Tags")
    if schema.tags == "object":
        return properties | {"Tags": dict(tags) | (own or {})}
    keys = {tag["Key"] for tag in own or []}
    return properties | {
        "Tags": [*(own or []), *({"Key": key, "Value": value} for key, value in tags.items() if key not in keys)]
    }


def plan(
    stack: Stack, revision: Revision, parameters: Mapping[str, Any], references: References
) -> list[PlannedChange]:
    """Return the changes in the order in which they would be made."""
    planning = _PlanningReferences(references)
    evaluator = Evaluator(revision.template, parameters, planning)
    changes: list[PlannedChange] = []
    kept: set[str] = set()
    for declaration in creation_order(revision.template.resources):
        if not evaluator.enabled(declaration.condition):
            continue
        kept.add(declaration.logical_id)
        current = stack.resources.get(declaration.logical_id)
        if current is None:
            planning.undecided.add(declaration.logical_id)
        properties = with_stack_tags(declaration.type, evaluator.evaluate(dict(declaration.properties)), revision.tags)
        change = _added(declaration) if current is None else _modified(declaration, current, properties, planning)
        if change is not None:
            changes.append(change)
    removed = [resource for key, resource in stack.resources.items() if key not in kept]
    changes.extend(_removed(resource) for resource in reversed(removed))
    return changes


def outputs_differ(stack: Stack, revision: Revision) -> bool:
    """Say whether the declared outputs differ from the deployed ones."""
    if stack.revision is None:
        return True
    before, after = stack.revision.template.section("Outputs"), revision.template.section("Outputs")
    if before != after:
        return True
    # the same outputs may depend on parameters whose values changed
    names = set(referenced_names(dict(after)))
    old, new = stack.revision.parameters, revision.parameters
    return any(name in new and old.get(name) != new[name] for name in names)


def _added(declaration: ResourceDeclaration) -> PlannedChange:
    change: dict[str, Any] = {
        "Action": "Add",
        "LogicalResourceId": declaration.logical_id,
        "ResourceType": declaration.type,
        "Scope": [],
        "Details": [],
        "AfterContext": json.dumps({"Properties": declaration.properties}),
    }
    return PlannedChange("Add", declaration.logical_id, change)


def _removed(resource: StackResource) -> PlannedChange:
    change: dict[str, Any] = {
        "Action": "Remove",
        "PolicyAction": "Retain" if resource.deletion_policy == "Retain" else "Delete",
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.type,
        "Scope": [],
        "Details": [],
        "BeforeContext": json.dumps({"Properties": resource.properties}),
    }
    return PlannedChange("Remove", resource.logical_id, change)


def _modified(
    declaration: ResourceDeclaration, current: StackResource, properties: dict[str, Any], planning: _PlanningReferences
) -> PlannedChange | None:
    if current.type != declaration.type:
        raise ValidationError(
            f"Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{declaration.logical_id}]"
        )
    details = [
        _property_detail(declaration, name, current.properties.get(name), properties.get(name))
        for name in sorted(set(properties) | set(current.properties))
        if properties.get(name) != current.properties.get(name)
    ]
    scope = ["Properties"] if details else []
    for attribute, before, after in (
        ("Metadata", current.metadata, declaration.metadata),
        ("DeletionPolicy", current.deletion_policy, declaration.deletion_policy),
        ("UpdateReplacePolicy", current.update_replace_policy, declaration.update_replace_policy),
    ):
        if before != after:
            scope.append(attribute)
            details.append({"Target": {"Attribute": attribute, "RequiresRecreation": "Never"}, **_STATIC})
    if not scope:
        return None
    recreations = {detail["Target"]["RequiresRecreation"] for detail in details}
    replacement = "True" if "Always" in recreations else "Conditional" if "Conditionally" in recreations else "False"
    if replacement == "True":
        planning.undecided.add(declaration.logical_id)
    change: dict[str, Any] = {
        "Action": "Modify",
        "LogicalResourceId": declaration.logical_id,
        "PhysicalResourceId": current.physical_id,
        "ResourceType": declaration.type,
        "Replacement": replacement,
        "Scope": scope,
        "Details": details,
        "BeforeContext": json.dumps({"Properties": current.properties}),
        "AfterContext": json.dumps({"Properties": properties}, default=repr),
    }
    if replacement == "True":
        retained = declaration.update_replace_policy == "Retain"
        change["PolicyAction"] = "ReplaceAndRetain" if retained else "ReplaceAndDelete"
    return PlannedChange("Modify", declaration.logical_id, change)


_STATIC = {"Evaluation": "Static", "ChangeSource": "DirectModification"}


def _property_detail(declaration: ResourceDeclaration, name: str, before: Any, after: Any) -> dict[str, Any]:
    dynamic = contains_unknown(after)
    target: dict[str, Any] = {
        "Attribute": "Properties",
        "Name": name,
        "Path": f"/Properties/{name}",
        "RequiresRecreation": _recreation(declaration.type, name, before, after, dynamic=dynamic),
        "AttributeChangeType": "Add" if before is None else "Remove" if after is None else "Modify",
    }
    if before is not None:
        target["BeforeValue"] = _shown(before)
    if after is not None:
        target["AfterValue"] = _shown(after)
    if dynamic:
        cause = next(iter(sorted(set(referenced_names(declaration.properties.get(name))))), None)
        return {
            "Target": target,
            "Evaluation": "Dynamic",
            "ChangeSource": "ResourceReference",
            **({"CausingEntity": cause} if cause else {}),
        }
    return {"Target": target, **_STATIC}


def _recreation(resource_type: str, name: str, before: Any, after: Any, *, dynamic: bool) -> str:
    schema = resource_schema(resource_type)
    if schema is None or name not in schema.top_level_create_only():
        return "Conditionally" if schema is not None and name in schema.conditional_create_only else "Never"
    if name in schema.create_only:
        return "Conditionally" if dynamic else "Always"
    return "Always" if schema.replacing_changes({name: before}, {name: after}) else "Never"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "{{changeSet:KNOWN_AFTER_APPLY}}" if value is UNKNOWN else json.dumps(value, default=repr)
