"""The input that a rule makes of an event for a target: an InputTransformer of EventBridge.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"<([\w.-]+)>")
_QUOTE = re.compile(r'(?<!\\)"')
_WHOLE_EVENT = "aws.events.event.json"


def transformed(transformer: Mapping[str, Any], event: Mapping[str, Any]) -> Any:
    """Return what the template becomes, as JSON says it, or as text where it isn't JSON.

    Text that stands for itself in the template gets quotes, text within quotes is taken as it is, and a path that the
    event doesn't have is null, or nothing within quotes.
    """
    template = transformer["InputTemplate"]
    paths = transformer.get("InputPathsMap", {})
    values = {name: _find(event, path) for name, path in paths.items()}
    values[_WHOLE_EVENT] = {name: value for name, value in event.items() if name != "ingestion-time"}

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            return found[0]
        value = values[name]
        if len(_QUOTE.findall(template, 0, found.start())) % 2 == 0:
            return json.dumps(value)
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        return json.dumps(text)[1:-1]

    filled = _PLACEHOLDER.sub(fill, template)
    try:
        return json.loads(filled)
    except ValueError:
        return filled


def _find(event: Mapping[str, Any], path: str) -> Any:
    """The value at a path as `$.detail.name` or `$.resources[0]`; None when there is none."""
    value: Any = event
    for name, index in re.findall(r"\.([\w -]+)|\[(\d+)\]", path.removeprefix("$")):
        if name:
            value = value.get(name) if isinstance(value, Mapping) else None
        else:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
    return value
