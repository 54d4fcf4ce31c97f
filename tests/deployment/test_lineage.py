"""The commit is told at synth, and reaches the versions that are registered without being an input of any training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_constructs import pipeline_schema
from stacks.configuration import ConfigurationError, load
from stacks.lineage import commit_of
from stacks.model_settings import Model
from stacks.training_definition import Surroundings, training_definition
from tests.deployment.assemblies import CONTEXT, REPOSITORY, settings_of, templates_of
from tests.deployment.test_synth import definition_of

COMMIT = "0123456789abcdef0123456789abcdef01234567-dirty"
TUNING = {"tuning": {"ranges": {"max_depth": {"integer": [3, 9]}}, "trials": 4}}
SEARCH = {"algorithm": "automl", "hyperparameters": {}}


def definition(model: Model, commit: str) -> dict[str, Any]:
    made = training_definition(
        model,
        Surroundings(
            image_uri="image:1",
            role_arn="arn:aws:iam::123456789012:role/jobs",
            kms_key_arn="key",
            group_name="toy",
            code="s3://assets/code.zip",
            manifest="s3://curated/flights/manifest.json",
            artifacts="s3://artifacts/toy",
            tracking_uri="arn:aws:sagemaker:eu-west-1:123456789012:mlflow-app/app-1",
            commit=commit,
        ),
    )
    pipeline_schema.check(made)
    found: dict[str, Any] = json.loads(made.to_body())
    return found


def flight_delay(**training: Any) -> Model:
    declared = load(REPOSITORY).environments[0].models[0].model_dump()
    declared["training"] |= training
    return Model.model_validate(declared)


@pytest.mark.parametrize("training", [{}, TUNING, SEARCH], ids=["trained", "tuned", "searched"])
def test_of_the_commit_only_the_steps_that_judge_and_register_know(training: dict[str, Any]) -> None:
    found = definition(flight_delay(**training), COMMIT)
    other = definition(flight_delay(**training), "another")
    steps = zip(found["Steps"], other["Steps"], strict=True)
    assert [mine["Name"] for mine, its in steps if mine != its] == ["Evaluate", "Gate"]
    assert "Commit" not in {each["Name"] for each in found["Parameters"]}, "whoever starts an execution can't set it"


@pytest.mark.parametrize("training", [{}, TUNING, SEARCH], ids=["trained", "tuned", "searched"])
def test_a_version_notes_its_commit_data_code_runtime_and_stage(training: dict[str, Any]) -> None:
    (gate,) = [step for step in definition(flight_delay(**training), COMMIT)["Steps"] if step["Name"] == "Gate"]
    (register,) = gate["Arguments"]["IfSteps"]
    noted = register["Arguments"]["CustomerMetadataProperties"]
    assert noted["Commit"] == COMMIT
    assert noted["Data"] == {"Get": "Steps.Prepare.ProcessingInputs['features'].S3Input.S3Uri"}
    assert (noted["Code"], noted["Runtime"]) == ("s3://assets/code.zip", "image:1")
    assert noted["Algorithm"] == training.get("algorithm", "xgboost")
    assert register["Arguments"]["ModelLifeCycle"] == {"Stage": "Development", "StageStatus": "PendingApproval"}


def test_the_context_tells_the_commit(tmp_path: Path) -> None:
    from app import build

    dev = load(REPOSITORY).environments[0]
    settings = settings_of(dev.model_copy(update={"models": dev.models[:1]}))
    build(settings, REPOSITORY, context={**CONTEXT, "commit": COMMIT}, outdir=str(tmp_path)).synth()
    found = definition_of(templates_of(tmp_path)["dev/flight-delay-training"])
    (evaluate,) = [step for step in found["Steps"] if step["Name"] == "Evaluate"]
    assert evaluate["Arguments"]["Environment"]["GIT_COMMIT"] == COMMIT


def test_a_commit_that_a_version_can_not_carry_is_refused_and_none_is_unknown() -> None:
    assert commit_of(None) == "unknown"
    assert commit_of(COMMIT) == COMMIT
    for wrong in ("", "main & more", "a" * 257, 7):
        with pytest.raises(ConfigurationError, match=r"--context commit: must be 1 to 256 letters, digits and"):
            commit_of(wrong)
