"""What the CloudFormation registry says about resource types, read from the schemas that cfn-lint ships.

The files are read directly: importing cfn-lint costs seconds, and one file of it is all that is needed.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ResourceSchema:
    """The parts of a provider schema that decide how a resource is deployed; paths are `Outer/Inner`."""

    type: str
    properties: frozenset[str]
    required: frozenset[str]
    create_only: frozenset[str]
    conditional_create_only: frozenset[str]
    read_only: frozenset[str]
    identifier: tuple[str, ...]
    tags: str | None
    """How `Tags` is written: "array" of Key and Value, "object", or None if the type has no tags."""

    def replacing_changes(self, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        """Return the create-only properties whose values differ."""
        return sorted(path for path in self.create_only if _value(before, path) != _value(after, path))

    def top_level_create_only(self) -> frozenset[str]:
        """Return the names of properties that hold something whose change means a replacement."""
        return frozenset(path.split("/", 1)[0] for path in self.create_only)

    def violations(self, properties: dict[str, Any]) -> list[str]:
        """Return what is wrong with the names of the properties, in CloudFormation's words."""
        extraneous = sorted(set(properties) - self.properties)
        missing = sorted(self.required - set(properties))
        return [f"#: extraneous key [{name}] is not permitted" for name in extraneous] + [
            f"#: required key [{name}] not found" for name in missing
        ]


def _value(properties: dict[str, Any], path: str) -> Any:
    value: Any = properties
    for part in path.split("/"):
        value = value.get(part) if isinstance(value, dict) else None
    return value


@cache
def resource_schema(resource_type: str) -> ResourceSchema | None:
    """Return the schema of a type, or None for a type that the registry doesn't hold."""
    digest = _index().get(resource_type)
    if digest is None:
        return None
    schema = json.loads((_directory() / "resources" / f"{digest}.json").read_text())

    def paths(key: str) -> frozenset[str]:
        return frozenset(path.removeprefix("/properties/") for path in schema.get(key, []))

    return ResourceSchema(
        type=resource_type,
        properties=frozenset(schema["properties"]) - {path for path in paths("readOnlyProperties") if "/" not in path}
        | paths("createOnlyProperties"),
        required=frozenset(schema.get("required", [])),
        create_only=paths("createOnlyProperties"),
        conditional_create_only=paths("conditionalCreateOnlyProperties"),
        read_only=paths("readOnlyProperties"),
        identifier=tuple(path.removeprefix("/properties/") for path in schema.get("primaryIdentifier", [])),
        tags=_tags_form(schema),
    )


def _tags_form(schema: dict[str, Any]) -> str | None:
    tags = schema["properties"].get("Tags")
    if tags is None:
        return None
    while "$ref" in tags:
        tags = schema["definitions"][tags["$ref"].rsplit("/", 1)[1]]
    kind = tags.get("type", "array")
    return "object" if "object" in (kind if isinstance(kind, list) else [kind]) else "array"


@cache
def _index() -> dict[str, str]:
    index: dict[str, str] = json.loads((_directory() / "providers" / "us-east-1.json").read_text())
    return index


@cache
def _directory() -> Path:
    spec = importlib.util.find_spec("cfnlint")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("cfn-lint isn't installed: the local AWS reads its resource schemas")
    return Path(spec.submodule_search_locations[0]) / "data" / "schemas"
