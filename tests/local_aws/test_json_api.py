"""The JSON protocol: what is refused before an operation sees it, and how answers are written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local_aws.json_api import ApiError, JsonApi


@pytest.fixture(scope="module")
def api() -> JsonApi:
    return JsonApi("sagemaker")


@pytest.mark.parametrize(
    ("request_body", "problem"),
    [
        ({}, 'Missing required parameter in input: "ModelPackageGroupName"'),
        ({"ModelPackageGroupName": 3}, "Invalid type for parameter ModelPackageGroupName"),
        ({"ModelPackageGroupName": "a", "Name": "b"}, 'Unknown parameter in input: "Name"'),
        ({"ModelPackageGroupName": "a b"}, "Value 'a b' at 'ModelPackageGroupName' failed to satisfy constraint"),
        ({"ModelPackageGroupName": "a" * 200}, "Member must have length less than or equal to 63"),
        (
            {"ModelPackageGroupName": "a", "Tags": [{"Key": "k" * 129, "Value": "v"}]},
            "at 'Tags[0].Key' failed to satisfy constraint: Member must have length less than or equal to 128",
        ),
    ],
)
def test_request_that_breaks_the_model_is_refused_with_the_member(
    api: JsonApi, request_body: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ApiError) as raised:
        api.parse("CreateModelPackageGroup", json.dumps(request_body).encode())
    assert raised.value.code == "ValidationException"
    assert problem in raised.value.message


def test_values_of_an_enumeration_are_named(api: JsonApi) -> None:
    with pytest.raises(ApiError, match=r"satisfy enum value set: \[Ascending, Descending\]"):
        api.parse("ListPipelines", b'{"SortOrder": "Up"}')


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_body_that_is_no_json_object_is_refused(api: JsonApi, body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        api.parse("ListPipelines", body)
    assert raised.value.code == "SerializationException"


def test_unknown_operation_is_refused(api: JsonApi) -> None:
    with pytest.raises(ApiError, match="SageMaker has no operation 'Nothing'"):
        api.parse(api.operation("SageMaker.Nothing"), b"{}")


def test_answers_hold_the_members_of_the_model_with_times_in_seconds(api: JsonApi) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
    record = {"PipelineName": "p", "CreationTime": moment, "PipelineDescription": None, "secret": "kept"}
    answer = json.loads(api.answer("DescribePipeline", record).get_data())
    assert answer == {"PipelineName": "p", "CreationTime": round(moment.timestamp(), 3)}
