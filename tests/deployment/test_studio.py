"""The studio: who may track experiments, and what is refused."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from stacks.configuration import load
from stacks.settings import Repository
from tests.deployment.assemblies import Templates
from tests.deployment.declarations import Change, problems


def statements(template: dict[str, Any], start: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::IAM::Policy" and name.startswith(start):
            found += resource["Properties"]["PolicyDocument"]["Statement"]
    return found


@pytest.mark.parametrize("model", ["flight-delay", "block-time"])
def test_jobs_may_call_the_one_app_and_the_pipeline_may_not(model: str, templates: Templates) -> None:
    template = templates[f"dev/{model}-training"]
    calling = [each for each in statements(template, "TrainingJobRole") if "Mlflow" in json.dumps(each["Action"])]
    (statement,) = calling
    assert statement["Action"] == "sagemaker:CallMlflowAppApi"
    assert "dev-studio:Exports" in json.dumps(statement["Resource"])
    assert "Mlflow" not in json.dumps(statements(template, "TrainingPipelineRole"))


def test_app_keeps_its_files_in_a_folder_that_no_model_has(templates: Templates) -> None:
    (app,) = [each for each in templates["dev/studio"]["Resources"].values() if each["Type"].endswith("MlflowApp")]
    assert json.dumps(app["Properties"]["ArtifactStoreUri"]).endswith('"/mlflow"]]}')
    assert app["Properties"]["ModelRegistrationMode"] == "AutoModelRegistrationDisabled"


def test_training_without_a_network_is_refused_where_trainings_are_tracked(
    repository: Repository, change_first: Change
) -> None:
    change_first("ml_code/models/block_time/model.yaml", "training:\n", "training:\n  network_isolation: true\n")
    found = [each for each in problems(repository) if "network_isolation" in each]
    assert len(found) == 3
    assert found[0].startswith("ml_code/models/block_time/model.yaml:")
    assert "can't be true where trainings are tracked, as config/dev.yaml says with studio.mlflow" in found[0]
    for name in ("dev", "staging", "prod"):
        file = repository.config / f"{name}.yaml"
        file.write_text(file.read_text().replace("mlflow: true", "mlflow: false"))
    assert load(repository).environments[0].environment.studio is not None


def test_model_named_like_the_folder_of_experiments_is_refused(repository: Repository, change: Change) -> None:
    shutil.copytree(repository.models / "block_time", repository.models / "mlflow")
    change("config/platform.yaml", r"models: \[", "models: [mlflow, ")
    assert any("'mlflow' is the folder of experiments; choose another name" in each for each in problems(repository))
