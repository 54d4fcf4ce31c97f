"""Fleets of an environment: what may be on which, and the endpoint that they are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlops_constructs.inference_component import ComponentOptions, ComponentSizing
from mlops_constructs.inference_fleet import FleetSizing
from stacks.configuration import load
from stacks.settings import Repository
from tests.deployment.assemblies import Template, Templates
from tests.deployment.declarations import Change, problems

DEV, MODEL = "config/dev.yaml", "ml_code/models/flight_delay/model.yaml"
ON_FLEET = "  capture_percent: 0\n  component: {fleet: small, copies: 2}"


@pytest.fixture
def fleet(full: Templates) -> Template:
    return full["full/fleet-small"]


def only(template: Template, kind: str) -> dict[str, Any]:
    (found,) = [each["Properties"] for each in template["Resources"].values() if each["Type"] == kind]
    return found


def test_fleet_is_an_endpoint_without_a_model_whose_machines_come_and_go(fleet: Template) -> None:
    configuration = only(fleet, "AWS::SageMaker::EndpointConfig")
    (variant,) = configuration["ProductionVariants"]
    assert "ModelName" not in variant
    assert variant["ManagedInstanceScaling"] == {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 3}
    assert variant["RoutingConfig"] == {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    assert "ExecutionRoleArn" in configuration
    assert "DataCaptureConfig" not in configuration
    assert configuration["VpcConfig"]["Subnets"] == ["subnet-0000000a", "subnet-0000000b"]
    assert only(fleet, "AWS::SageMaker::Endpoint")["EndpointName"] == "full-fleet-small"


def test_model_is_put_on_a_fleet_of_its_environment(change: Change, repository: Repository) -> None:
    change(MODEL, r"^  capture_percent: 100$", ON_FLEET)
    change(MODEL, r"^monitoring:(\n  .*)*", "")
    change(DEV, r"^removal: destroy$", "removal: destroy\nfleets: {small: {}}")
    found = problems(repository)
    assert all(re.search(r"model\.yaml:\d+: serving\.component\.fleet: 'small' is no fleet", each) for each in found)
    # of the others: dev has one
    assert {re.search(r"config/(\w+)\.yaml", each).group(1) for each in found} == {"staging", "prod"}  # type: ignore[union-attr]


def test_models_know_who_shares_their_machines(change: Change, repository: Repository) -> None:
    change(MODEL, r"^  capture_percent: 100$", ON_FLEET)
    change(MODEL, r"^monitoring:(\n  .*)*", "")
    for name in ("dev", "staging", "prod"):
        file = repository.root / f"config/{name}.yaml"
        file.write_text(file.read_text() + "\nfleets: {small: {}, idle: {}}\n")
    dev = load(repository).environments[0]
    assert [model.name for model in dev.on_fleet("small")] == ["flight_delay"]
    assert dev.on_fleet("idle") == []


def test_fleet_that_is_unknown_is_told_with_the_nearest(change: Change, repository: Repository) -> None:
    change(MODEL, r"^  capture_percent: 100$", ON_FLEET.replace("small", "smal"))
    change(MODEL, r"^monitoring:(\n  .*)*", "")
    change(DEV, r"^removal: destroy$", "removal: destroy\nfleets: {small: {}}")
    assert any("'smal' is no fleet of config/dev.yaml" in each and "small" in each for each in problems(repository))


def test_fleet_with_the_endpoint_s_name_of_a_model_is_refused(repository: Repository, change: Change) -> None:
    folder = repository.models / "flight_delay"
    folder.rename(repository.models / "fleet_small")
    for name in ("platform", "dev"):
        file = repository.config / f"{name}.yaml"
        file.write_text(file.read_text().replace("flight_delay", "fleet_small"))
    change("ml_code/models/fleet_small/model.yaml", r"^name: flight_delay$", "name: fleet_small")
    change(DEV, r"^removal: destroy$", "removal: destroy\nfleets: {small: {}}")
    assert any("would have the name of that of the model fleet_small" in each for each in problems(repository))


def test_bounds_that_leave_nothing_are_refused_with_their_place(change: Change, repository: Repository) -> None:
    change(DEV, r"^removal: destroy$", "removal: destroy\nfleets: {small: {minimum: 3, maximum: 2}}")
    (found,) = problems(repository)
    assert re.search(r"dev\.yaml:\d+: fleets\.small\.minimum: must be at most the maximum, 2, got 3", found)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: FleetSizing(instance_type="m5.large"), "must start with ml"),
        (lambda: FleetSizing(minimum=2), "minimum must lie between 1 and the maximum, 1, got 2"),
        (lambda: ComponentSizing(copies=0), "copies must be at least 1, got 0"),
        (lambda: ComponentSizing(memory_mb=64), "memory_mb must be at least 128, got 64"),
        (lambda: ComponentSizing(cpus=0.1), "cpus must be at least 0.25, got 0.1"),
    ],
)
def test_what_sagemaker_refuses_is_refused(make: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


def test_component_without_options_is_one_copy_at_once() -> None:
    options = ComponentOptions()
    assert (options.sizing.copies, options.release.strategy) == (1, "all_at_once")
