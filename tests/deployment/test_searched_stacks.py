"""The stacks of models that are tuned or searched: what their roles may do, and the security pack's findings."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.configuration import load
from stacks.model_settings import Model
from tests.deployment.assemblies import CONTEXT, REPOSITORY, Templates, settings_of, templates_of
from tests.deployment.security_pack import Audit, audit

TUNING = {"ranges": {"max_depth": {"integer": [3, 9]}}, "trials": 4}


def changed(model: Model) -> Model:
    """The first sample model searched, the other one tuned."""
    declared = model.model_dump()
    if model.name == "flight_delay":
        declared["training"] |= {"algorithm": "automl", "hyperparameters": {}}
    else:
        declared["training"] |= {"tuning": TUNING}
    return Model.model_validate(declared)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The findings on an environment in which one model is searched and one is tuned."""
    from app import build

    dev = load(REPOSITORY).environments[0]
    environment = dev.model_copy(update={"models": tuple(changed(model) for model in dev.models)})
    outdir = tmp_path_factory.mktemp("searched") / "cdk.out"
    return audit(lambda: build(settings_of(environment), REPOSITORY, context=CONTEXT, outdir=str(outdir)))


def allowed(templates: Templates, stack: str, role: str) -> list[dict[str, Any]]:
    """What the policies of the roles whose logical id has a text in it allow."""
    policies = [each for each in templates[stack]["Resources"].values() if each["Type"] == "AWS::IAM::Policy"]
    found = [each["Properties"] for each in policies if any(role in ref["Ref"] for ref in each["Properties"]["Roles"])]
    return [statement for properties in found for statement in properties["PolicyDocument"]["Statement"]]


def actions(statements: list[dict[str, Any]]) -> set[str]:
    listed = (each["Action"] for each in statements)
    return {action for each in listed for action in ([each] if isinstance(each, str) else each)}


def test_every_finding_is_answered_and_no_answer_is_stale(searched: Audit) -> None:
    assert searched.unanswered == []
    assert searched.stale == []
    assert searched.others == []


def test_autopilot_may_start_its_jobs_in_the_role_that_it_works_in(searched: Audit) -> None:
    templates = templates_of(searched.assembly)
    jobs = allowed(templates, "dev/flight-delay-training", "JobRole")
    assert {"sagemaker:CreateTrainingJob", "sagemaker:CreateTransformJob", "iam:PassRole"} <= actions(jobs)
    assert "sagemaker:CreateTrainingJob" not in actions(allowed(templates, "dev/block-time-training", "JobRole"))
    pipeline = actions(allowed(templates, "dev/flight-delay-training", "PipelineRole"))
    assert {"sagemaker:CreateAutoMLJob", "sagemaker:CreateModel", "sagemaker:CreateTransformJob"} <= pipeline


def test_an_endpoint_may_pull_the_image_of_a_candidate(searched: Audit) -> None:
    statements = allowed(templates_of(searched.assembly), "dev/flight-delay-serving", "Role")
    pulled = str([each["Resource"] for each in statements if "ecr:BatchGetImage" in each["Action"]])
    assert "repository/autogluon-inference" in pulled


def test_it_still_may_when_the_next_version_is_trained_otherwise(templates: Templates) -> None:
    # the searched version stays live until another is released
    statements = allowed(templates, "dev/flight-delay-serving", "Role")
    pulled = str([each["Resource"] for each in statements if "ecr:BatchGetImage" in each["Action"]])
    assert "repository/autogluon-inference" in pulled


def test_a_tuned_model_s_pipeline_may_tune_and_no_more(searched: Audit) -> None:
    found = actions(allowed(templates_of(searched.assembly), "dev/block-time-training", "PipelineRole"))
    assert "sagemaker:CreateHyperParameterTuningJob" in found
    assert not {"sagemaker:CreateAutoMLJob", "sagemaker:CreateModel"} & found
