"""What a model's `training.tuning` may say: each mistake is told at synth, with its place and the fix."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stacks.configuration import load
from stacks.settings import Repository
from stacks.training_definition import Surroundings, training_definition
from tests.deployment.declarations import Change, problems

DECLARED = "ml_code/models/flight_delay/model.yaml"
PLACE = r"^  hyperparameters:\n"
GOOD = """  tuning:
    ranges:
      max_depth: {integer: [3, 10]}
      learning_rate: {continuous: [0.01, 0.3], scale: log}
    trials: 8
    parallel: 2
"""


def tuned(changes: dict[str, str]) -> str:
    text = GOOD
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("max_depth", "max_dept", r"ranges\.max_dept is no hyperparameter of train\.py; did you mean 'max_depth'"),
        ("[3, 10]", "[10, 3]", r"ranges\.max_depth\.integer: must go up, got 10 to 3"),
        ("[3, 10]", "[3]", r"ranges\.max_depth\.integer must have at least 2 entries"),
        ("[3, 10]", "[3.5, 10]", r"ranges\.max_depth\.integer\[0\] must be a whole number, got 3\.5"),
        ("{integer: [3, 10]}", "{continuous: [3, 10]}", r"max_depth must be integer: train\.py declares it as int"),
        ("{integer: [3, 10]}", "{}", r"ranges\.max_depth: must have one of integer, .*, got none of them"),
        (
            "{integer: [3, 10]}",
            "{integer: [3, 10], categorical: [3, 4]}",
            r"ranges\.max_depth: must have one of integer, .*, got integer and categorical",
        ),
        (
            "{integer: [3, 10]}",
            "{categorical: [3, six]}",
            r"max_depth must hold values of int, as in train\.py, got '",
        ),
        ("{integer: [3, 10]}", "{categorical: [3, 3]}", r"max_depth\.categorical\[1\]: 3 is listed twice"),
        (
            "{integer: [3, 10]}",
            "{categorical: [3, 4], scale: log}",
            r"ranges\.max_depth\.scale: can't be log: values to choose from have no scale",
        ),
        ("[0.01, 0.3]", "[0, 0.3]", r"learning_rate\.continuous\[0\]: must start above 0 on a log scale, got 0"),
        ("scale: log", "scale: reverse_lo", r"learning_rate\.scale must be one of .*did you mean 'reverse_log'"),
        (
            "[0.01, 0.3], scale: log",
            "[0.01, 1], scale: reverse_log",
            r"learning_rate\.scale: can't be reverse_log: that is for continuous ranges from 0 to below 1",
        ),
        ("parallel: 2", "parallel: 9", r"tuning\.parallel: must be at most trials \(8\), got 9"),
        ("    trials: 8\n", "", r"tuning\.trials: is missing; add the number of training jobs"),
        ("trials: 8", "trials: 0", r"tuning\.trials must be at least 1, got 0"),
        ("parallel: 2", "objective: accurracy", r"tuning\.objective: must be one of .*did you mean 'accuracy'"),
        ("parallel: 2", "strategy: hyperband", r"tuning\.strategy must be one of 'bayesian', 'random' or 'grid'"),
        ("trials: 8", "strategy: grid", r"ranges\.max_depth: must be categorical for the strategy grid"),
        (
            "parallel: 2\n",
            "parallel: 2\n  instance_count: 2\n",
            r"training\.instance_count: must be 1 with tuning, got 2",
        ),
        ("parallel: 2", "paralel: 2", r"tuning\.paralel is not a known key; did you mean 'parallel'"),
    ],
)
def test_mistake_is_named_with_its_line(
    repository: Repository, change: Change, old: str, new: str, finding: str
) -> None:
    change(DECLARED, PLACE, tuned({old: new}).replace("\\", r"\\") + "  hyperparameters:\n")
    (first, *_) = problems(repository)
    assert re.match(rf"{re.escape(DECLARED)}:\d+: .*{finding}", first), first


def steps_of(repository: Repository) -> dict[str, dict[str, Any]]:
    """The steps of the model's pipeline in the first environment, by name."""
    environment = load(repository).environments[0]
    model = next(each for each in environment.models if each.name == "flight_delay")
    surroundings = Surroundings(
        image_uri="image", role_arn="role", kms_key_arn="key", group_name="group", code="s3://b/code",
        manifest="s3://b/manifest", artifacts="s3://b/artifacts",
    )  # fmt: skip
    return {step["Name"]: step for step in training_definition(model, surroundings).to_json()["Steps"]}


def test_without_ranges_one_training_job_makes_the_model(repository: Repository) -> None:
    steps = steps_of(repository)
    assert steps["Train"]["Type"] == "Training"
    assert "Tune" not in steps


def test_ranges_make_a_tuning_step_whose_best_model_is_evaluated_and_registered(
    repository: Repository, change: Change
) -> None:
    change(DECLARED, PLACE, GOOD + "  hyperparameters:\n")
    steps = steps_of(repository)
    assert "Train" not in steps
    config = steps["Tune"]["Arguments"]["HyperParameterTuningJobConfig"]
    assert config["HyperParameterTuningJobObjective"] == {"Type": "Maximize", "MetricName": "validation:auc"}
    jobs = steps["Tune"]["Arguments"]["TrainingJobDefinition"]
    assert jobs["Environment"]["TUNING_OBJECTIVE"] == "auc"
    (metric,) = (each for each in jobs["AlgorithmSpecification"]["MetricDefinitions"] if "auc" in each["Name"])
    found = re.search(metric["Regex"], "validation:auc=0.712345")
    assert found is not None
    assert found[1] == "0.712345"
    assert not {"max_depth", "learning_rate"} & set(jobs["StaticHyperParameters"])
    best = "Steps.Tune.BestTrainingJob.TrainingJobName"
    (model,) = (each for each in steps["Evaluate"]["Arguments"]["ProcessingInputs"] if each["InputName"] == "model")
    assert best in json.dumps(model)
    (register,) = (each for each in steps["Gate"]["Arguments"]["IfSteps"] if each["Type"] == "RegisterModel")
    assert best in json.dumps(register["Arguments"]["InferenceSpecification"])


def test_errors_are_tuned_down(repository: Repository, change: Change) -> None:
    change(DECLARED, PLACE, GOOD + "    objective: recall\n  hyperparameters:\n")
    change("ml_code/models/block_time/model.yaml", PLACE, GOOD + "  hyperparameters:\n")
    environment = load(repository).environments[0]
    surroundings = Surroundings(
        image_uri="image", role_arn="role", kms_key_arn="key", group_name="group", code="s3://b/code",
        manifest="s3://b/manifest", artifacts="s3://b/artifacts",
    )  # fmt: skip
    goals = {}
    for model in environment.models:
        steps = {step["Name"]: step for step in training_definition(model, surroundings).to_json()["Steps"]}
        goals[model.name] = steps["Tune"]["Arguments"]["HyperParameterTuningJobConfig"][
            "HyperParameterTuningJobObjective"
        ]
    assert goals == {
        "flight_delay": {"Type": "Maximize", "MetricName": "validation:recall"},
        "block_time": {"Type": "Minimize", "MetricName": "validation:mae"},
    }
