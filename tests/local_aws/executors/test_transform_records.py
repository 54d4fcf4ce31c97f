"""The filters of transform jobs, and what they leave of records and answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_aws.sagemaker.transform_records import FilterError, RecordProcessing, parse_filter


def request(content_type: str = "text/csv", accept: str = "text/csv", lines: str = "Line", **asked: str) -> Any:
    return {
        "TransformInput": {"ContentType": content_type, "SplitType": lines},
        "TransformOutput": {"Accept": accept, "AssembleWith": lines},
        "DataProcessing": asked,
    }


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [1, 2, 3]),
        ("$[0]", 1),
        ("$[0,-1]", [1, 3]),
        ("$[1:]", [2, 3]),
        ("$[-2:]", [2, 3]),
        ("$[*]", [1, 2, 3]),
    ],
)
def test_filter_selects_of_a_row(path: str, found: Any) -> None:
    assert parse_filter(path)([1, 2, 3]) == found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.features", [1]),
        ("$['id','SageMakerOutput']", {"id": 7, "SageMakerOutput": {"prediction": 2}}),
        ("$.SageMakerOutput.prediction", 2),
        ("$.SageMakerOutput.*", [2]),
    ],
)
def test_filter_selects_of_an_object(path: str, found: Any) -> None:
    assert parse_filter(path)({"id": 7, "features": [1], "SageMakerOutput": {"prediction": 2}}) == found


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("features", "must begin with"),
        ("$[1:4]", "list the indexes instead"),
        ("$[?(@.a)]", "takes indexes"),
        ("$features", "can't be read from 'features' on"),
    ],
)
def test_filter_that_is_not_understood_is_refused(path: str, reason: str) -> None:
    with pytest.raises(FilterError, match=reason):
        parse_filter(path)


def test_filter_that_does_not_fit_names_the_record() -> None:
    with pytest.raises(FilterError, match=r"\$\[5\].*finds nothing in \[1, 2\]"):
        parse_filter("$[5]")([1, 2])


def test_csv_record_keeps_its_id_from_the_container_and_gets_its_answer() -> None:
    found = RecordProcessing.of(request(InputFilter="$[1:]", JoinSource="Input"))
    assert found is not None
    assert found.sent(b'7,"a,b",3') == b'"a,b",3'
    assert found.kept(b'7,"a,b",3', b'0.5,"[1, 0]"') == b'7,"a,b",3,0.5,"[1, 0]"'


def test_json_lines_are_joined_as_the_guide_shows_it() -> None:
    types = {"content_type": "application/jsonlines", "accept": "application/jsonlines"}
    asked = {"InputFilter": "$.features", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}
    found = RecordProcessing.of(request(**types, **asked))
    assert found is not None
    record = b'{"id": 7, "features": [1, 2]}'
    assert json.loads(found.sent(record)) == [1, 2]
    assert json.loads(found.kept(record, b'{"p": 1}')) == {"id": 7, "SageMakerOutput": {"p": 1}}


def test_json_that_is_no_object_lies_beside_its_answer() -> None:
    found = RecordProcessing.of(request("application/json", "application/json", "None", JoinSource="Input"))
    assert found is not None
    assert json.loads(found.kept(b"[1]", b"2")) == {"SageMakerInput": [1], "SageMakerOutput": 2}


def test_defaults_ask_for_nothing() -> None:
    assert RecordProcessing.of(request(InputFilter="$", JoinSource="None", OutputFilter="$")) is None


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"accept": "application/json", "JoinSource": "Input"}, "same ContentType and Accept"),
        ({"content_type": "image/png", "accept": "image/png", "JoinSource": "Input"}, "one of text/csv"),
        ({"lines": "None", "JoinSource": "Input"}, "SplitType and AssembleWith Line"),
        ({"InputFilter": "$.id"}, "indexes alone"),
    ],
)
def test_what_sagemaker_refuses_is_refused(asked: dict[str, str], reason: str) -> None:
    with pytest.raises(FilterError, match=reason):
        RecordProcessing.of(request(**asked))
