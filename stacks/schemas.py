"""JSON Schemas of the configuration files, for editors: `python -m stacks.schemas` writes them into config/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .settings import Environment, Model, Platform, Repository


def schemas() -> Mapping[str, str]:
    """The text of each schema by its file name."""
    overrides = _optional(Model.model_json_schema())
    environment = Environment.model_json_schema()
    environment["$defs"] |= overrides.pop("$defs") | {"ModelOverrides": overrides}
    models = environment["properties"]["models"]
    models["patternProperties"] = {
        pattern: {"$ref": "#/$defs/ModelOverrides"} for pattern in models["patternProperties"]
    }
    models["additionalProperties"] = False
    found = {
        "platform.schema.json": Platform.model_json_schema(),
        "environment.schema.json": environment,
        "model.schema.json": Model.model_json_schema(),
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {name: json.dumps(head | schema, indent=2, ensure_ascii=False) + "\n" for name, schema in found.items()}


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
