"""The model card of a model package: what SageMaker takes for `ModelCardContent`.

It is a simpler kind of card than AWS::SageMaker::ModelCard: nothing of `model_package_details`, and of the overview
only who made the model and where its artifact is. Source: Amazon SageMaker developer guide, "View and update the
details of a model version", section "Model package model card schema". Where the published schema bounds lists by
`maxContains`, names by a pattern without ends, and the value of a simple metric by no regard to its type, none of which
bounds anything, the evident limit holds here.
"""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from local_aws.json_api import ApiError

Schema = dict[str, Any]


def _text(longest: int, shortest: int = 0) -> Schema:
    return {"type": "string", "minLength": shortest, "maxLength": longest}


def _list(items: Schema, most: int | None = None, fewest: int = 0) -> Schema:
    return {"type": "array", "items": items, "minItems": fewest, **({} if most is None else {"maxItems": most})}


def _object(*required: str, **members: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": members}


def _texts_by_name() -> Schema:
    return {"type": "object", "additionalProperties": _text(1024)}


def _metric(value: Schema, x_axis: Schema, y_axis: Schema) -> Schema:
    members = {"name": _text(255, 1), "notes": _text(1024), "type": {"type": "string"}}
    return _object(**members, value=value, x_axis_name=x_axis, y_axis_name=y_axis)


NUMBER: Schema = {"type": "number"}
AXIS = _text(63)
URIS = _list(_text(1024), most=15)
METRICS = {
    "number": _metric(NUMBER, AXIS, AXIS),
    "string": _metric(_text(63), AXIS, AXIS),
    "boolean": _metric({"type": "boolean"}, AXIS, AXIS),
    "linear_graph": _metric(_list(_list(NUMBER, most=2, fewest=2), fewest=1), AXIS, AXIS),
    "bar_chart": _metric(_list(NUMBER, fewest=1), _list(AXIS), AXIS),
    "matrix": _metric(_list(_list(NUMBER, most=20, fewest=1), most=20, fewest=1), _list(AXIS), _list(AXIS)),
}
METRIC = {
    "type": "object",
    "required": ["name", "type", "value"],
    "properties": {"type": {"enum": list(METRICS)}},
    "allOf": [
        {"if": {"required": ["type"], "properties": {"type": {"const": kind}}}, "then": metric}
        for kind, metric in METRICS.items()
    ],
}
TRAINING_METRICS = _list(_object("name", "value", name=_text(255, 1), notes=_text(1024), value=NUMBER), most=50)
HYPERPARAMETERS = _list(_object("name", "value", name=_text(255, 1), value=_text(255, 1)), most=100)

SCHEMA: Schema = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    **_object(
        model_overview=_object(model_creator=_text(1024), model_artifact=URIS),
        intended_uses=_object(
            purpose_of_model=_text(2048),
            intended_uses=_text(2048),
            factors_affecting_model_efficiency=_text(2048),
            risk_rating={"enum": ["High", "Medium", "Low", "Unknown"]},
            explanations_for_risk_rating=_text(2048),
        ),
        business_details=_object(
            business_problem=_text(2048), business_stakeholders=_text(2048), line_of_business=_text(2048)
        ),
        training_details=_object(
            objective_function=_object(
                function=_object(function={"enum": ["Maximize", "Minimize"]}, facet=_text(63), condition=_text(63)),
                notes=_text(1024),
            ),
            training_observations=_text(1024),
            training_job_details=_object(
                training_arn=_text(1024),
                training_datasets=URIS,
                training_environment=_object(container_image=URIS),
                training_metrics=TRAINING_METRICS,
                user_provided_training_metrics=TRAINING_METRICS,
                hyper_parameters=HYPERPARAMETERS,
                user_provided_hyper_parameters=HYPERPARAMETERS,
            ),
        ),
        evaluation_details=_list(
            _object(
                "name",
                name=_text(63, 1),
                evaluation_observation=_text(2096),
                evaluation_job_arn=_text(256),
                datasets=_list(_text(1024), most=10),
                metadata=_texts_by_name(),
                metric_groups=_list(
                    {
                        "type": "object",
                        "required": ["name", "metric_data"],
                        "properties": {"name": _text(63, 1), "metric_data": _list(METRIC)},
                    }
                ),
            )
        ),
        additional_information=_object(
            ethical_considerations=_text(2048),
            caveats_and_recommendations=_text(2048),
            custom_details=_texts_by_name(),
        ),
    ),
}


def faults(card: Any) -> list[str]:
    """What is wrong with a parsed card, each with its path, as `model_overview: ...`; none for a good one."""
    return [_told(error) for error in Draft7Validator(SCHEMA).iter_errors(card)]


def check_model_card(content: str) -> None:
    """Raise ApiError(ValidationException) for a text that is no model card of a package."""
    try:
        card = json.loads(content, parse_constant=_no_constant)
    except ValueError as error:
        raise _refused(f"it is no JSON: {error}") from error
    found = faults(card)
    if found:
        raise _refused("; ".join(found))


def _told(error: ValidationError) -> str:
    return f"{error.json_path.removeprefix('$').removeprefix('.') or 'the card'}: {error.message}"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _refused(reason: str) -> ApiError:
    return ApiError("ValidationException", f"ModelCard.ModelCardContent isn't a model package's model card: {reason}")
