"""Resource types declared as tables: which API operations create, read, update and delete them.

Arguments of operations are JMESPath expressions over what is known of the resource:
`properties` (its name filled in), `id` (physical id), `created` and `read` (answers of the API), `attributes`
(`Fn::GetAtt`), `value` (of a setting or of tags), `account`, `region` and `partition`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jmespath
from botocore import xform_name
from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.api_shape import fit_input
from local_aws.cloudformation.providers.provider import (
    ProviderFailure,
    Provisioned,
    ReplacementRequired,
    Request,
    is_gone,
    tag_map,
)
from local_aws.cloudformation.schemas import resource_schema

Scope = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One API call.

    `body` names the member that takes the properties: "" is the input itself, None leaves them out.
    """

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    without: frozenset[str] = frozenset()

    def call(self, client: Any, service: str, scope: Scope, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Call the API; raise what boto3 raises."""
        arguments: dict[str, Any] = {}
        if self.body is not None:
            given = {key: value for key, value in properties.items() if key not in self.without}
            arguments |= given if self.body == "" else {self.body: given}
        for member, expression in self.arguments.items():
            value = jmespath.search(expression, scope)
            if value is not None:
                arguments[member] = value
        response: dict[str, Any] = getattr(client, xform_name(self.name))(**fit_input(service, self.name, arguments))
        return response


@dataclass(frozen=True)
class Setting:
    """A property that has operations of its own. Without `remove`, leaving the property out puts `default`."""

    property: str
    put: Operation
    remove: Operation | None = None
    default: Any = None
    convert: Callable[[Any], Any] = lambda value: value

    def apply(self, client: Any, service: str, scope: Scope, value: Any) -> None:
        """Bring the resource to a value; None means that the template leaves the property out."""
        if value is None and self.remove is not None:
            self.remove.call(client, service, scope, {})
            return
        wanted = self.default if value is None else value
        if wanted is not None:
            self.put.call(client, service, {**scope, "value": self.convert(wanted)}, {})


@dataclass(frozen=True)
class Toggle(Setting):
    """A boolean property: `put` when it is true, `remove` when it is false or left out."""

    def apply(self, client: Any, service: str, scope: Scope, value: Any) -> None:
        """Switch on or off."""
        operation = self.put if str(value).lower() == "true" else self.remove
        assert operation is not None
        operation.call(client, service, scope, {})


@dataclass(frozen=True)
class Tagging:
    """How the tags of a resource that exists are changed; `on_create` is the create operation's member."""

    add: Operation
    remove: Operation
    on_create: str | None = "Tags"


@dataclass(frozen=True, kw_only=True)
class ApiResource:
    """A resource type that mirrors an API.

    `rename` maps property names to the API's; `attributes` and `physical_id` are JMESPath expressions. A change of a
    property that neither `update`, a setting nor tagging covers replaces the resource where the registry says so, and
    fails otherwise.
    """

    type: str
    service: str
    create_operation: Operation
    delete_operation: Operation
    physical_id: str
    name_property: str | None = None
    name_length: int = 64
    name_lower: bool = False
    name_stack: bool = True
    read_operation: Operation | None = None
    update_operation: Operation | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    convert: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    settings: tuple[Setting, ...] = ()
    tagging: Tagging | None = None
    ignored: frozenset[str] = frozenset()
    """Properties without a meaning on one machine."""

    def create(self, request: Request) -> Provisioned:
        """Create, report the physical id, then apply the settings."""
        properties = self._named(request)
        client = request.client(self.service)
        scope = self._scope(request, properties)
        scope["created"] = self.create_operation.call(client, self.service, scope, self._body(properties, create=True))
        scope["id"] = self._physical_id(scope)
        request.identified(scope["id"])
        for setting in self.settings:
            if setting.property in properties:
                setting.apply(client, self.service, scope, properties[setting.property])
        if self.tagging and not self.tagging.on_create:
            self._retag(client, scope, {}, tag_map(properties.get("Tags")))
        self.settle(request, scope)
        return self._provisioned(client, scope)

    def update(self, request: Request) -> Provisioned:
        """Update in place what changed: the body, each setting, the tags."""
        properties = dict(request.properties)
        if self.name_property:
            properties.setdefault(self.name_property, request.attributes.get(f"@{self.name_property}"))
        client = request.client(self.service)
        scope = self._scope(request, properties)
        apart = {setting.property for setting in self.settings} | ({"Tags"} if self.tagging else set()) | self.ignored
        names = set(request.properties) | set(request.previous)
        changed = {name for name in names - apart if request.changed(name)}
        if changed:
            self._update_body(client, scope, properties, changed)
        for setting in self.settings:
            if request.changed(setting.property):
                setting.apply(client, self.service, scope, properties.get(setting.property))
        if self.tagging and request.changed("Tags"):
            self._retag(client, scope, tag_map(request.previous.get("Tags")), tag_map(properties.get("Tags")))
        self.settle(request, scope)
        return self._provisioned(client, scope)

    def delete(self, request: Request) -> None:
        """Delete the resource, if it is still there."""
        properties = dict(request.properties)
        scope = self._scope(request, properties)
        try:
            self.delete_operation.call(request.client(self.service), self.service, scope, {})
        except ClientError as error:
            if not is_gone(error):
                raise

    def settle(self, request: Request, scope: Scope) -> None:
        """Wait until the resource is ready; for types that take their time."""

    def _update_body(self, client: Any, scope: Scope, properties: Mapping[str, Any], changed: set[str]) -> None:
        if self.update_operation is None:
            schema = resource_schema(self.type)
            if schema and changed & schema.conditional_create_only:
                raise ReplacementRequired
            raise ProviderFailure(
                f"the local AWS can't update {', '.join(sorted(changed))} of {self.type} in place", "NotUpdatable"
            )
        self.update_operation.call(client, self.service, scope, self._body(properties, create=False))

    def _retag(self, client: Any, scope: Scope, before: dict[str, str], after: dict[str, str]) -> None:
        assert self.tagging is not None
        removed = [key for key in before if key not in after]
        if removed:
            self.tagging.remove.call(client, self.service, {**scope, "value": removed}, {})
        added = [{"Key": key, "Value": value} for key, value in after.items() if before.get(key) != value]
        if added:
            self.tagging.add.call(client, self.service, {**scope, "value": added}, {})

    def _named(self, request: Request) -> dict[str, Any]:
        if self.name_property is None:
            return dict(request.properties)
        name = request.name(self.name_property, length=self.name_length, lower=self.name_lower, stack=self.name_stack)
        return dict(request.properties) | {self.name_property: name}

    def _body(self, properties: Mapping[str, Any], *, create: bool) -> dict[str, Any]:
        apart = {setting.property for setting in self.settings} | self.ignored
        if self.tagging and not (create and self.tagging.on_create):
            apart.add("Tags")
        body = {}
        for key, value in properties.items():
            if key in apart or value is None:
                continue
            name = self.rename.get(key, key)
            if key == "Tags" and self.tagging and self.tagging.on_create:
                name = self.tagging.on_create
            body[name] = self.convert[key](value) if key in self.convert else value
        return body

    def _scope(self, request: Request, properties: Mapping[str, Any]) -> Scope:
        return {
            "properties": properties,
            "id": request.physical_id,
            "attributes": request.attributes,
            "account": request.account,
            "region": request.region,
            "created": {},
            "read": {},
        }

    def _physical_id(self, scope: Scope) -> str:
        identifier = jmespath.search(self.physical_id, scope)
        if not identifier:
            raise ProviderFailure(f"{self.create_operation.name} returned no {self.physical_id}", "InternalFailure")
        return str(identifier)

    def _provisioned(self, client: Any, scope: Scope) -> Provisioned:
        if self.read_operation is not None:
            scope["read"] = self.read_operation.call(client, self.service, scope, {})
        attributes = dict(scope["attributes"])
        for name, expression in self.attributes.items():
            value = jmespath.search(expression, scope)
            if value is not None:
                attributes[name] = value
        if self.name_property:
            attributes[f"@{self.name_property}"] = scope["properties"].get(self.name_property)
        return Provisioned(scope["id"], attributes)
