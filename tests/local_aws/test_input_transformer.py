"""What a rule makes of an event, as EventBridge documents it."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.input_transformer import transformed

EVENT = {
    "detail": {"status": "Approved", "count": 3, "said": 'a "word"\n', "tags": ["x", "y"], "inner": {"deep": True}},
    "resources": ["arn:1", "arn:2"],
    "ingestion-time": "now",
}
PATHS = {
    "status": "$.detail.status",
    "count": "$.detail.count",
    "said": "$.detail.said",
    "tags": "$.detail.tags",
    "deep": "$.detail.inner.deep",
    "second": "$.resources[1]",
    "none": "$.detail.missing.more",
}


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ('{"a":<status>}', {"a": "Approved"}),
        ('{"a":"<status>"}', {"a": "Approved"}),
        ('{"a":"it is <status>, <count> times"}', {"a": "it is Approved, 3 times"}),
        ('{"a":<count>,"b":<tags>,"c":<deep>}', {"a": 3, "b": ["x", "y"], "c": True}),
        ('{"a":<said>,"b":"<said>"}', {"a": 'a "word"\n', "b": 'a "word"\n'}),
        ('{"a":<none>,"b":"<none>!"}', {"a": None, "b": "!"}),
        ('{"a":"\\"<status>\\" <second>"}', {"a": '"Approved" arn:2'}),
        ('"<status> of <second>"', "Approved of arn:2"),
        ('{"a":<unknown>}', '{"a":<unknown>}'),
        ('{"e":<aws.events.event.json>}', {"e": {name: EVENT[name] for name in ("detail", "resources")}}),
    ],
)
def test_template_is_filled_from_the_event(template: str, made: Any) -> None:
    assert transformed({"InputTemplate": template, "InputPathsMap": PATHS}, EVENT) == made
