"""Templates as people can read and compare them."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from tests.deployment.assemblies import Template

_ASSET = re.compile(r"\b[0-9a-f]{64}\b")
_IMAGE_TAG = re.compile(r":[0-9a-f]{16}\b")


def readable(template: Template) -> Template:
    """A template with its pipeline definition spelled out, and without the traces of hashes of code."""
    result = copy.deepcopy(template)
    for resource in result["Resources"].values():
        definition = resource.get("Properties", {}).get("PipelineDefinition", {})
        if "PipelineDefinitionBody" in definition:
            definition["PipelineDefinitionBody"] = _definition(definition["PipelineDefinitionBody"])
        arguments = resource.get("Properties", {}).get("DefaultArguments", {})
        if "--version" in arguments:
            arguments["--version"] = "<hash of code and rules>"
    text = _IMAGE_TAG.sub(":<hash of the image's source>", _ASSET.sub("<hash of the asset>", json.dumps(result)))
    masked: Template = json.loads(text)
    for resource in masked["Resources"].values():
        for statement in resource.get("Properties", {}).get("PolicyDocument", {}).get("Statement", []):
            if isinstance(statement.get("Resource"), list):
                # The CDK sorts them by their text, hashes of assets included.
                statement["Resource"].sort(key=json.dumps)
    return masked


def text_of(template: Any) -> str:
    """A snapshot as it is stored."""
    return json.dumps(template, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def differences(ours: Any, theirs: Any, path: str = "") -> dict[str, Any]:
    """Where two templates differ: the path of each value with what stands in the second, None where nothing does."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted({*ours, *theirs})
        inner = [differences(ours.get(key), theirs.get(key), f"{path}/{key}") for key in keys]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        inner = [differences(a, b, f"{path}/{index}") for index, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    else:
        return {} if ours == theirs else {path: theirs}
    return {key: value for each in inner for key, value in each.items()}


def without_name(template: Template, environment: str) -> Template:
    """A template with the environment's name masked, so that environments can be compared."""
    text = re.sub(rf"(?<![A-Za-z]){environment}(?=data-|[^A-Za-z]|$)", "<environment>", json.dumps(template))
    # The name of Glue's security configuration ends with a hash of its path and one of its key's.
    masked: Template = json.loads(re.sub(r"-[0-9A-F]{8}-[0-9a-f]{8}\b", "-<hash>", text))
    return masked


def _definition(body: Any) -> Any:
    """A pipeline's definition; of one that depends on a condition both, with and without it."""
    if isinstance(body, dict) and "Fn::If" in body:
        condition, holds, otherwise = body["Fn::If"]
        return {f"if {condition}": _definition(holds), "otherwise": _definition(otherwise)}
    return json.loads(_flat(body))


def _flat(value: Any) -> str:
    """A value as CloudFormation puts it into a text, with what only deployment knows named in angle brackets."""
    if isinstance(value, dict):
        ((function, argument),) = value.items()
        if function == "Fn::Join":
            return str(argument[0].join(_flat(part) for part in argument[1]))
        return f"<{_flat(argument)}>"
    if isinstance(value, list):
        return " ".join(_flat(part) for part in value)
    return str(value)
