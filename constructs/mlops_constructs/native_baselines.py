"""The state machine that hands Model Monitor the baselines of the version that serves: plain data, States Language.

Model Monitor's definitions name the S3 URIs of their baselines, and can't be changed: with another URI for each version
each release would make all of them anew. So the URIs stay, and what lies there is copied from the version's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .native_switch import SWITCH_VARIABLES, switching_on
from .release_definition import LONGEST_SECONDS
from .states_language import State, catching, choice, task

SWITCH = "NativeSchedules"
"""The stack's parameter that says whether there are schedules; on once an endpoint and its baselines are there."""
BASELINES: Mapping[str, Sequence[str]] = {
    "data_quality_statistics.json": ("ModelDataQuality", "Statistics"),
    "data_quality_constraints.json": ("ModelDataQuality", "Constraints"),
    "model_quality_constraints.json": ("ModelQuality", "Constraints"),
    "bias_constraints.json": ("Bias", "PostTrainingConstraints"),
    "explainability_constraints.json": ("Explainability", "Constraints"),
}
"""The files with their place among the DriftCheckBaselines of a model package."""
EXPLAINED = "explainability_config.json"
_NOT_FOUND = "Ssm.ParameterNotFoundException"


@dataclass(frozen=True, kw_only=True)
class NativeBaselines:
    """Whose baselines are copied where.

    Parameters
    ----------
    endpoint_name
        The endpoint that serves the version.
    version_name
        The SSM parameter with the ARN of the version that is released.
    bucket_name, prefix
        The files come to ``<prefix><name>``.
    files
        Names of `BASELINES`.
    explanation
        The analysis of explainability, less the model that is asked, which is another one with each release, and with
        each deployment that makes the model anew; None for no such file.
    stack_name
        The stack whose parameter `SWITCH` is switched on.
    """

    endpoint_name: str
    version_name: str
    bucket_name: str
    prefix: str
    files: Sequence[str]
    stack_name: str
    explanation: Mapping[str, Any] | None = None


def native_baselines_definition(given: NativeBaselines) -> dict[str, Any]:
    """The definition for one model.

    It may be started at any time, also while nothing is released yet, which it says in its output. A version that has
    one of the baselines not, as one that was registered before there were any, leaves the one that is there; the output
    names what was copied. Schedules that are off are switched on: see `switching_on`.
    """
    return {
        "Comment": f"Gives Model Monitor the baselines of the version that {given.endpoint_name} serves",
        "QueryLanguage": "JSONata",
        "StartAt": "Begin",
        "TimeoutSeconds": LONGEST_SECONDS,
        "States": {
            "Begin": {"Type": "Pass", "Assign": {**SWITCH_VARIABLES, "copied": []}, "Next": "FindVersion"},
            "FindVersion": task(
                "ssm:getParameter",
                {"Name": given.version_name},
                assign={"version": "{% $states.result.Parameter.Value %}"},
                following="FindBaselines",
                catch=[catching([_NOT_FOUND], "NothingReleased")],
                at_once=[_NOT_FOUND],
            ),
            "NothingReleased": {"Type": "Succeed", "Output": {"version": "none", "copied": []}},
            "FindBaselines": task(
                "sagemaker:describeModelPackage",
                {"ModelPackageName": "{% $version %}"},
                assign={f"from_{index}": _source(file) for index, file in enumerate(given.files)},
                following="Has0",
            ),
            **_copies(given),
            **_explanation(given),
            **switching_on(given.stack_name, SWITCH, "Done"),
            "Done": {"Type": "Succeed", "Output": {"version": "{% $version %}", "copied": "{% $copied %}"}},
        },
    }


def _source(file: str) -> str:
    """Bucket and key, as S3 takes what it copies; an empty text for none."""
    path = "$states.result.DriftCheckBaselines." + ".".join((*BASELINES[file], "S3Uri"))
    return f"{{% $exists({path}) ? $substringAfter({path}, 's3://') : '' %}}"


def _copies(given: NativeBaselines) -> dict[str, State]:
    states: dict[str, State] = {}
    for index, file in enumerate(given.files):
        following = f"Has{index + 1}" if index + 1 < len(given.files) else _after_copies(given)
        states[f"Has{index}"] = choice(f"{{% $from_{index} != '' %}}", f"Copy{index}", otherwise=following)
        states[f"Copy{index}"] = task(
            "s3:copyObject",
            {"Bucket": given.bucket_name, "Key": f"{given.prefix}{file}", "CopySource": f"{{% $from_{index} %}}"},
            assign={"copied": f"{{% $append($copied, ['{file}']) %}}"},
            following=following,
        )
    return states


def _after_copies(given: NativeBaselines) -> str:
    return "FindConfiguration" if given.explanation else "LookAtStack"


def _explanation(given: NativeBaselines) -> dict[str, State]:
    if not given.explanation:
        return {}
    predictor = {**given.explanation["predictor"], "model_name": "{% $model %}"}
    return {
        "FindConfiguration": task(
            "sagemaker:describeEndpoint",
            {"EndpointName": given.endpoint_name},
            assign={"configuration": "{% $states.result.EndpointConfigName %}"},
            following="FindModel",
        ),
        "FindModel": task(
            "sagemaker:describeEndpointConfig",
            {"EndpointConfigName": "{% $configuration %}"},
            assign={"model": "{% $states.result.ProductionVariants[0].ModelName %}"},
            following="WriteAnalysis",
        ),
        "WriteAnalysis": task(
            "s3:putObject",
            {
                "Bucket": given.bucket_name,
                "Key": f"{given.prefix}{EXPLAINED}",
                "Body": {**given.explanation, "predictor": predictor},
                "ContentType": "application/json",
            },
            assign={"copied": f"{{% $append($copied, ['{EXPLAINED}']) %}}"},
            following="LookAtStack",
        ),
    }
