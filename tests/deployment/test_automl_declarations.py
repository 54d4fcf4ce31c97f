"""What a model may say about a search for its algorithm: each mistake is told at synth, with its place and the fix."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stacks.configuration import load
from stacks.model_settings import Model
from stacks.settings import Repository
from stacks.training_definition import Surroundings, training_definition
from tests.deployment.declarations import Change, problems

DECLARED = "ml_code/models/flight_delay/model.yaml"
HYPERPARAMETERS = r"^  hyperparameters:\n(    .*\n)+"


@pytest.mark.parametrize(
    ("new", "finding"),
    [
        ("  algorithm: automm\n", r"training\.algorithm must be one of 'xgboost' or 'automl'.*did you mean 'automl'"),
        ("  automl: {candidates: 5}\n", r"training\.automl: is for algorithm: automl, this model's is xgboost"),
        ("  algorithm: automl\n  hyperparameters: {seed: 7}\n", r"training\.hyperparameters: has no place with algor"),
        (
            "  algorithm: automl\n  tuning: {ranges: {max_depth: {integer: [3, 9]}}, trials: 4}\n",
            r"training\.tuning: has no place with algorithm: automl",
        ),
        (
            "  algorithm: automl\n  instance_count: 2\n",
            r"training\.instance_count: has no place with algo",
        ),
        (
            "  algorithm: automl\n  automl: {objective: rmse}\n",
            r"training\.automl\.objective: must be one of auc, accuracy, f1 for a binary classification, got 'rmse'",
        ),
        ("  algorithm: automl\n  automl: {candidates: 0}\n", r"training\.automl\.candidates must be at least 1, got 0"),
    ],
)
def test_mistake_is_named_with_its_line(repository: Repository, change: Change, new: str, finding: str) -> None:
    change(DECLARED, HYPERPARAMETERS, new)
    (first, *_) = problems(repository)
    assert re.match(rf"{re.escape(DECLARED)}:\d+: .*{finding}", first), first


def searched(repository: Repository, change: Change) -> tuple[Model, dict[str, Any]]:
    """The sample model searched, and the steps of its pipeline by name."""
    change(DECLARED, HYPERPARAMETERS, "  algorithm: automl\n")
    model = next(each for each in load(repository).environments[0].models if each.name == "flight_delay")
    surroundings = Surroundings(
        image_uri="image", role_arn="role", kms_key_arn="key", group_name="group", code="s3://b/code",
        manifest="s3://b/manifest", artifacts="s3://b/artifacts",
    )  # fmt: skip
    return model, {step["Name"]: step for step in training_definition(model, surroundings).to_json()["Steps"]}


def test_a_searched_model_is_ranked_by_the_metric_of_its_gate(repository: Repository, change: Change) -> None:
    _, steps = searched(repository, change)
    assert list(steps) == ["Prepare", "Tables", "Search", "Candidate", "Score", "Evaluate", "Gate"]
    assert steps["Search"]["Arguments"]["AutoMLJobObjective"] == {"MetricName": "AUC"}
    assert steps["Search"]["Arguments"]["InputDataConfig"][0]["TargetAttributeName"] == "late"


def test_a_searched_model_is_judged_as_a_trained_one(repository: Repository, change: Change) -> None:
    model, found = searched(repository, change)
    steps = {name: step["Arguments"] for name, step in found.items()}
    words = steps["Evaluate"]["AppSpecification"]["ContainerArguments"]
    assert words[words.index("--champions") + 1] == "group"
    assert "--ask-containers" in words
    assert words.count("--facet") == len(model.fairness.facets) > 0
    inputs = {each["InputName"] for each in steps["Evaluate"]["ProcessingInputs"]}
    assert inputs == {"code", "scores", "test", "description", "train"}
    (register,) = steps["Gate"]["IfSteps"]
    metrics = register["Arguments"]["ModelMetrics"]
    assert set(metrics) == {"ModelQuality", "ModelDataQuality", "Bias"}
    assert set(metrics["ModelQuality"]) == {"Statistics", "Constraints"}
    assert register["Arguments"]["ModelCard"]["ModelCardStatus"] == "Draft"
    (rejected,) = steps["Gate"]["ElseSteps"]
    assert rejected["Type"] == "Fail"
