"""model.yaml repeats what the code says, for people and tools: synth tells where the two differ."""

from __future__ import annotations

import re
import shutil

import pytest

from stacks.configuration import load, unlisted_models
from stacks.settings import Repository
from tests.deployment.declarations import Change, problems

DECLARED = "ml_code/models/flight_delay/model.yaml"


def test_the_sample_model_declares_what_its_code_says(repository: Repository) -> None:
    assert load(repository)


@pytest.mark.parametrize(
    ("pattern", "new", "finding"),
    [
        (
            r"- carrier$",
            "- carier",
            r"data\.features\[0\]: 'carier' is no column of the dataset flights; did you mean 'carrier'",
        ),
        (
            r"- carrier$",
            "- block_minutes",
            r"data\.features\[0\]: 'block_minutes' is no feature of features\.py",
        ),
        (
            r"dataset: flights$",
            "dataset: flight",
            r"data\.dataset: 'flight' is no dataset of .*; did you mean 'flights'",
        ),
        (r"^    - carrier\n", "", r"data\.features: features\.py has 'carrier' too; add it"),
        (r"- carrier\n    - origin$", "- origin\n    - carrier", r"data\.features must be in the order of FEATURES"),
        (
            r"label: late$",
            "label: later",
            r"data\.label: 'later' is no column of the dataset flights; did you mean 'late'",
        ),
        (r"label: late$", "label: block_minutes", r"data\.label must be LABEL of features\.py, 'late', got"),
        (
            r"max_depth: \d+",
            "max_dept: 6",
            r"hyperparameters\.max_dept is no hyperparameter of train\.py; did you mean",
        ),
        (r"max_depth: \d+", "max_depth: six", r"hyperparameters\.max_depth must be int, as in train\.py, got 'six'"),
        (r"max_depth: \d+", "max_depth: yes", r"hyperparameters\.max_depth must be int, as in train\.py, got True"),
    ],
)
def test_difference_is_named_with_its_line(
    repository: Repository, change: Change, pattern: str, new: str, finding: str
) -> None:
    change(DECLARED, pattern, new)
    (first, *_) = problems(repository)
    assert re.match(rf"{re.escape(DECLARED)}:\d+: .*{finding}", first), first


def test_whole_number_is_a_float_too(repository: Repository, change: Change) -> None:
    change(DECLARED, r"min_child_weight: \S+", "min_child_weight: 50")
    assert load(repository)


def test_code_that_imports_another_model_is_named(repository: Repository, change: Change) -> None:
    models = repository.root / "ml_code/models"
    shutil.copytree(models / "flight_delay", models / "delay_two")
    change("config/platform.yaml", r"models: \[flight_delay,", "models: [delay_two, flight_delay,")
    change("ml_code/models/delay_two/model.yaml", r"^name: flight_delay", "name: delay_two")
    (found,) = problems(repository)
    assert re.fullmatch(
        r"ml_code/models/delay_two/\w+\.py: imports 'flight_delay', another model, whose code isn't there .*", found
    )


def test_model_that_is_not_listed_is_not_deployed_and_told(repository: Repository) -> None:
    models = repository.root / "ml_code/models"
    shutil.copytree(models / "flight_delay", models / "delay_two")
    assert unlisted_models(repository, load(repository)) == ["delay_two"]


def test_broken_yaml_of_a_model_is_the_only_finding(repository: Repository, change: Change) -> None:
    change(DECLARED, r"^gate:$", "gate: [")
    (only,) = problems(repository)
    assert "not valid YAML" in only
