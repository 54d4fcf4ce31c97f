"""Templates: JSON or YAML with CloudFormation's short tags, read into a checked structure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from local_aws.cloudformation.errors import ValidationError
from local_aws.cloudformation.function_arguments import argument_problems

PSEUDO_PARAMETERS = frozenset(
    f"AWS::{name}"
    for name in ("AccountId", "NotificationARNs", "NoValue", "Partition", "Region", "StackId", "StackName", "URLSuffix")
)
_SECTIONS = frozenset(
    (
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
        "Rules",
        "Transform",
        "Hooks",
    )
)
_RESOURCE_KEYS = frozenset(
    ("Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy", "Metadata")
)
_SUB_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


class _TemplateLoader(yaml.SafeLoader):
    """Reads YAML as CloudFormation does: dates stay text, `!Ref x` becomes `{"Ref": "x"}`."""


_TemplateLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _construct_short_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_TemplateLoader.add_multi_constructor("!", _construct_short_tag)


@dataclass(frozen=True)
class ResourceDeclaration:
    """One entry of `Resources`."""

    logical_id: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    condition: str | None = None
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def references(self) -> frozenset[str]:
        """Logical ids (of resources or parameters) that have to exist before this resource."""
        return frozenset(self.depends_on) | frozenset(referenced_names(dict(self.properties)))


@dataclass(frozen=True)
class Template:
    """A parsed template: `body` is the text as it was given, for GetTemplate."""

    body: str
    document: Mapping[str, Any]
    resources: Mapping[str, ResourceDeclaration]

    def section(self, name: str) -> Mapping[str, Any]:
        """Return one of the optional top-level sections."""
        return self.document.get(name) or {}

    @property
    def description(self) -> str | None:
        """The template's description, if it has one."""
        return self.document.get("Description")


def parse_template(body: str) -> Template:
    """Read and check a template; raise ValidationError in CloudFormation's words."""
    document = _load(body)
    unknown = sorted(set(document) - _SECTIONS)
    if unknown:
        raise ValidationError(f"Invalid template property or properties [{', '.join(unknown)}]")
    if document.get("Transform"):
        raise ValidationError(f"Transforms aren't supported by the local AWS: {document['Transform']}")
    declared = document.get("Resources")
    if not isinstance(declared, dict) or not declared:
        raise ValidationError("Template format error: At least one Resources member must be defined.")
    for name in ("Parameters", "Mappings", "Conditions", "Outputs", "Rules"):
        if not isinstance(document.get(name) or {}, dict):
            raise ValidationError(f"Template format error: the section {name} must be an object")
    for section in (declared, document.get("Conditions"), document.get("Outputs"), document.get("Rules")):
        for problem in argument_problems(section):
            raise ValidationError(problem)
    template = Template(body, document, {key: _declaration(key, entry) for key, entry in declared.items()})
    _check_references(template)
    return template


def _load(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body) if body.lstrip().startswith("{") else yaml.load(body, _TemplateLoader)  # noqa: S506
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ValidationError(f"Template format error: {error}") from error
    if not isinstance(document, dict):
        raise ValidationError("Template format error: unsupported structure.")
    return document


def _declaration(logical_id: str, entry: Any) -> ResourceDeclaration:
    where = f"[/Resources/{logical_id}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("Type"), str):
        raise ValidationError(f"Template format error: {where} Every Resources object must contain a Type member.")
    if not logical_id.isalnum():
        raise ValidationError(f"Template format error: Resource name {logical_id} is non alphanumeric.")
    for key in sorted(set(entry) - _RESOURCE_KEYS):
        if key in ("CreationPolicy", "UpdatePolicy"):
            raise ValidationError(f"Template format error: {where} {key} isn't supported by the local AWS")
        raise ValidationError(f"Invalid template resource property '{key}'")
    if not isinstance(entry.get("Properties", {}) or {}, dict):
        raise ValidationError(f"Template format error: {where} Properties must be an object.")
    depends_on = entry.get("DependsOn") or []
    if not isinstance(depends_on, str | list) or not all(isinstance(item, str) for item in depends_on):
        raise ValidationError(f"Template format error: {where} DependsOn must be a resource's name or a list of them.")
    if not isinstance(entry.get("Condition", ""), str):
        raise ValidationError(f"Template format error: {where} Condition must be a condition's name.")
    policies = {key: entry.get(key, "Delete") for key in ("DeletionPolicy", "UpdateReplacePolicy")}
    for key, policy in policies.items():
        if policy not in ("Delete", "Retain", "RetainExceptOnCreate"):
            raise ValidationError(f"Template format error: {where} {key} {policy} isn't supported by the local AWS")
    return ResourceDeclaration(
        logical_id=logical_id,
        type=entry["Type"],
        properties=entry.get("Properties") or {},
        depends_on=(depends_on,) if isinstance(depends_on, str) else tuple(depends_on),
        condition=entry.get("Condition"),
        deletion_policy=policies["DeletionPolicy"],
        update_replace_policy=policies["UpdateReplacePolicy"],
        metadata=entry.get("Metadata") or {},
    )


def _check_references(template: Template) -> None:
    parameters, conditions = template.section("Parameters"), template.section("Conditions")
    for name, parameter in parameters.items():
        if not isinstance(parameter, dict) or not isinstance(parameter.get("Type"), str):
            raise ValidationError(
                f"Template format error: [/Parameters/{name}] Every Parameters object must contain a Type member."
            )
    known = set(template.resources) | set(parameters) | PSEUDO_PARAMETERS
    for resource in template.resources.values():
        surplus = set(resource.depends_on) - set(template.resources)
        _check_names((resource.references - known) | surplus, "Resources")
        _check_attributes(template, dict(resource.properties), f"resource {resource.logical_id}")
        _check_conditions(template, {resource.condition} - {None}, dict(resource.properties), "Resources")
    for name, output in template.section("Outputs").items():
        if not isinstance(output, dict) or output.get("Value") is None:
            raise ValidationError(
                f"Template format error: [/Outputs/{name}] Every Outputs member must contain a Value object"
            )
        export = output.get("Export", {"Name": ""})
        if not isinstance(output.get("Condition", ""), str) or not isinstance(export, dict) or "Name" not in export:
            raise ValidationError(f"Template format error: [/Outputs/{name}] Condition or Export is malformed")
        _check_names(set(referenced_names(output)) - known, "Outputs")
        _check_attributes(template, output, f"output {name}")
        _check_conditions(template, {output.get("Condition")} - {None}, output, "Outputs")
    surplus = set(referenced_names(dict(conditions))) - set(parameters) - PSEUDO_PARAMETERS
    if surplus:
        raise ValidationError(
            f"Template format error: Unresolved dependencies [{', '.join(sorted(surplus))}]. "
            "Cannot reference resources in the Conditions block of the template"
        )
    creation_order(template.resources)


def _check_names(missing: AbstractSet[str], block: str) -> None:
    if missing:
        raise ValidationError(
            f"Template format error: Unresolved resource dependencies [{', '.join(sorted(missing))}] "
            f"in the {block} block of the template"
        )


def _check_conditions(template: Template, own: set[Any], value: Any, block: str) -> None:
    used = own | {argument[0] for argument in arguments_of(value, "Fn::If") if isinstance(argument, list)}
    missing = sorted(map(str, used - template.section("Conditions").keys()))
    if missing:
        raise ValidationError(
            f"Template format error: Unresolved condition dependency {missing[0]} in the {block} block of the template"
        )


def _check_attributes(template: Template, value: Any, where: str) -> None:
    for argument in arguments_of(value, "Fn::GetAtt"):
        name = argument.partition(".")[0] if isinstance(argument, str) else argument[0]
        if name not in template.resources:
            raise ValidationError(
                f"Template error: instance of Fn::GetAtt references undefined resource {name} in {where}"
            )


def arguments_of(value: Any, function: str) -> Iterator[Any]:
    """Yield the argument of every call of a function in a value."""
    if isinstance(value, list):
        for item in value:
            yield from arguments_of(item, function)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == function:
                yield item
            yield from arguments_of(item, function)


def referenced_names(value: Any) -> Iterator[str]:
    """Yield every name that a value refers to through Ref, Fn::GetAtt or Fn::Sub."""
    if isinstance(value, list):
        for item in value:
            yield from referenced_names(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref" and isinstance(item, str):
                yield item
            elif key == "Fn::GetAtt":
                yield item.split(".", 1)[0] if isinstance(item, str) else item[0]
            elif key == "Fn::Sub":
                yield from _substituted_names(item)
            else:
                yield from referenced_names(item)


def _substituted_names(argument: Any) -> Iterator[str]:
    text, variables = (argument, {}) if isinstance(argument, str) else (argument[0], argument[1])
    yield from referenced_names(variables)
    for name in _SUB_VARIABLE.findall(text):
        if name not in variables:
            yield name.split(".", 1)[0]


def creation_order(resources: Mapping[str, ResourceDeclaration]) -> list[ResourceDeclaration]:
    """Return resources so that each comes after those it refers to; ValidationError for a cycle."""
    waiting = {key: resource.references & resources.keys() for key, resource in resources.items()}
    ordered: list[ResourceDeclaration] = []
    while waiting:
        ready = [key for key, needs in waiting.items() if not needs & waiting.keys()]
        if not ready:
            raise ValidationError(f"Circular dependency between resources: [{', '.join(sorted(waiting))}]")
        for key in ready:
            del waiting[key]
            ordered.append(resources[key])
    return ordered
