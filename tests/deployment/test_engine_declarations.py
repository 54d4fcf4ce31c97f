"""How a model says that its training uses machines: what each setting renders to, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mlops_constructs import pipeline_schema
from stacks.configuration import load
from stacks.model_settings import Model
from stacks.training_definition import training_definition
from tests.deployment.assemblies import REPOSITORY
from tests.deployment.assemblies import SURROUNDINGS as AT

KEPT = {"checkpoints": {"every_rounds": 20}}


def model(**training: Any) -> Model:
    data = load(REPOSITORY).environments[0].models[0].model_dump()
    return Model.model_validate({**data, "training": {**data["training"], **training}})


def steps(**training: Any) -> dict[str, Any]:
    definition = training_definition(model(**training), AT)
    pipeline_schema.check(definition)
    return {step["Name"]: step for step in definition.to_json()["Steps"]}


def test_what_depends_on_its_inputs_alone_is_cached_and_what_asks_the_registry_is_not() -> None:
    cached = {name: step.get("CacheConfig") for name, step in steps().items()}
    always = {"Enabled": True, "ExpireAfter": "P30D"}
    assert cached["Prepare"] == cached["Train"] == always
    assert cached["Evaluate"] is None
    assert {step.get("CacheConfig") for step in steps(cache_days=None).values()} == {None}


def test_faults_of_the_service_are_tried_again_and_those_of_a_job_are_not() -> None:
    for name in ("Prepare", "Train", "Evaluate"):
        policies = steps()[name]["RetryPolicies"]
        faults = [fault for policy in policies for fault in policy["ExceptionType"]]
        assert len(faults) == len(set(faults)) == 5
        assert all(("MaxAttempts" in policy) != ("ExpireAfterMin" in policy) for policy in policies)


def test_machines_that_train_together_get_a_part_of_the_rows_each() -> None:
    found = steps(instance_count=3)
    train = found["Train"]["Arguments"]
    assert train["ResourceConfig"]["InstanceCount"] == 3
    assert train["EnableInterContainerTrafficEncryption"] is True
    shares = {
        each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3DataDistributionType"]
        for each in train["InputDataConfig"]
    }
    assert shares == {"train": "ShardedByS3Key", "validation": "ShardedByS3Key", "code": "FullyReplicated"}
    arguments = found["Prepare"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert arguments[arguments.index("--files") + 1] == "12"
    assert found["Prepare"]["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 1


def test_spare_machines_go_on_from_checkpoints_whose_folder_is_the_same_for_the_same_rows() -> None:
    found = steps(spot={"max_wait_minutes": 90}, **KEPT)
    train = found["Train"]["Arguments"]
    assert train["EnableManagedSpotTraining"] is True
    assert train["StoppingCondition"]["MaxWaitTimeInSeconds"] == 90 * 60
    assert train["Environment"]["CHECKPOINT_ROUNDS"] == "20"
    folder = {"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs['checkpoints'].S3Output.S3Uri"}
    assert train["CheckpointConfig"] == {"S3Uri": folder, "LocalPath": "/opt/ml/checkpoints"}


def test_isolated_jobs_have_no_network_but_the_one_that_asks_the_registry() -> None:
    found = {name: step["Arguments"] for name, step in steps(network_isolation=True).items()}
    assert found["Train"]["EnableNetworkIsolation"] is True
    assert found["Prepare"]["NetworkConfig"]["EnableNetworkIsolation"] is True
    assert "NetworkConfig" not in found["Evaluate"]


def test_machines_stay_warm_and_rows_are_streamed_when_asked() -> None:
    train = steps(warm_pool={"keep_alive_minutes": 10}, input_mode="FastFile")["Train"]["Arguments"]
    assert train["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
    modes = {each["ChannelName"]: each["InputMode"] for each in train["InputDataConfig"]}
    assert modes == {"train": "FastFile", "validation": "FastFile", "code": "File"}


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        ({"spot": {"max_wait_minutes": 90}}, "needs training.checkpoints"),
        ({"spot": {"max_wait_minutes": 59}, **KEPT}, "at least training.max_runtime_minutes, 60, .* got 59"),
        (
            {"spot": {"max_wait_minutes": 90}, "warm_pool": {"keep_alive_minutes": 5}, **KEPT},
            "can't be kept of spot machines",
        ),
        ({"warm_pool": {"keep_alive_minutes": 61}}, "less than or equal to 60"),
        ({"instance_count": 0}, "greater than or equal to 1"),
        ({"cache_days": 0}, "greater than or equal to 1"),
        ({"checkpoints": {"every_rounds": 0}}, "greater than or equal to 1"),
        ({"input_mode": "Pipe"}, "'File' or 'FastFile'"),
    ],
)
def test_what_does_not_go_together_is_refused(training: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        model(**training)
