"""The JSON Schemas for editors: they say what the configuration takes, and every setting is described."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from stacks import schemas

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(schemas.schemas()))
def test_the_schemas_for_editors_are_up_to_date(name: str) -> None:
    stored = (ROOT / "config" / name).read_text(encoding="utf-8")
    assert stored == schemas.schemas()[name], "run `python -m stacks.schemas`"


def test_every_setting_has_a_description() -> None:
    def undescribed(schema: Any, path: str) -> list[str]:
        if not isinstance(schema, dict):
            return []
        properties = schema.get("properties", {}).items()
        # One that refers to a section alone shows that section's description.
        missing = [f"{path}.{key}" for key, value in properties if not {"description", "$ref"} & set(value)]
        sections = [f"{path}.{key}" for key, value in schema.get("$defs", {}).items() if "description" not in value]
        inner = [each for key, value in schema.items() for each in undescribed(value, f"{path}.{key}")]
        return missing + sections + inner

    assert not [each for name, text in schemas.schemas().items() for each in undescribed(json.loads(text), name)]


SCHEMAS = {
    **{f"config/{name}.yaml": "environment.schema.json" for name in ("dev", "staging", "prod")},
    "config/platform.yaml": "platform.schema.json",
    "ml_code/datasets/flights/dataset.yaml": "../../../config/dataset.schema.json",
    **{
        f"ml_code/models/{name}/model.yaml": "../../../config/model.schema.json"
        for name in ("flight_delay", "block_time")
    },
}


@pytest.mark.parametrize(("file", "schema"), SCHEMAS.items())
def test_a_file_names_its_schema_which_takes_it_and_refuses_an_unknown_key(file: str, schema: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={schema}"
    check = jsonschema.Draft202012Validator(json.loads(((ROOT / file).parent / schema).read_text(encoding="utf-8")))
    content = yaml.safe_load(text)
    assert list(check.iter_errors(content)) == []
    assert list(check.iter_errors(content | {"removel": 1})) != []


def test_the_schema_checks_what_an_environment_overrides() -> None:
    check = jsonschema.Draft202012Validator(json.loads(schemas.schemas()["environment.schema.json"]))
    assert check.is_valid({"models": {"late": {"serving": {"instance_count": 2}}}})
    assert not check.is_valid({"models": {"late": {"serving": {"instances": 2}}}})
    assert not check.is_valid({"models": {"late": {"training": {"test_days": 0}}}})
    assert check.is_valid({"datasets": {"flights": {"trigger": {"window_seconds": 5}}}})
    assert not check.is_valid({"datasets": {"flights": {"trigger": {"window_seconds": 901}}}})
    assert not check.is_valid(
        {"datasets": {"flights": {"tables": {"flights": {"columns": {"day": {"type": "text"}}}}}}}
    )
