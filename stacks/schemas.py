"""JSON Schemas of the configuration files, for editors: `python -m stacks.schemas` writes them into config/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .dataset_settings import Dataset
from .model_settings import Model
from .setting_types import Section
from .settings import Environment, Platform, Repository


def schemas() -> Mapping[str, str]:
    """The text of each schema by its file name."""
    environment = Environment.model_json_schema()
    for key, section in (("models", Model), ("datasets", Dataset)):
        _describe_overrides(environment, key, section)
    found = {
        "platform.schema.json": Platform.model_json_schema(),
        "environment.schema.json": environment,
        "model.schema.json": Model.model_json_schema(),
        "dataset.schema.json": Dataset.model_json_schema(),
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {name: json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n" for name, schema in found.items()}


def _describe_overrides(environment: dict[str, Any], key: str, section: type[Section]) -> None:
    """Say what an environment can override in the declarations of a kind."""
    overrides = _optional(section.model_json_schema())
    name = f"{section.__name__}Overrides"
    environment["$defs"] |= overrides.pop("$defs") | {name: overrides}
    declarations = environment["properties"][key]
    declarations["patternProperties"] = {
        pattern: {"$ref": f"#/$defs/{name}"} for pattern in declarations["patternProperties"]
    }
    declarations["additionalProperties"] = False


def _optional(schema: Any) -> Any:
    """A schema in which nothing is required: an environment overrides single values."""
    if isinstance(schema, dict):
        return {key: _optional(value) for key, value in schema.items() if key != "required"}
    return [_optional(item) for item in schema] if isinstance(schema, list) else schema


def main() -> None:
    """Write all schemas."""
    folder = Repository(root=Path(__file__).resolve().parents[1]).config
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder.name}/{name}")


if __name__ == "__main__":
    main()
