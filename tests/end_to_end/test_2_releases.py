"""Releases: an approval alone changes the endpoint, a rejection alone changes it back, and no request is lost."""

from __future__ import annotations

import json
import re
import time

from tests.end_to_end.conftest import ENDPOINT, Platform, register_like_the_first, steady_client

APPROVAL_SECONDS = 60


def served(platform: Platform) -> str:
    """The version that the endpoint's containers are made from."""
    sagemaker = platform.client("sagemaker")
    config = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"]
    variant = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"][0]
    container = sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
    return str(container["ModelPackageName"])


def released_to(platform: Platform, part: str) -> str:
    """The version that a stack of the model is told."""
    found = platform.client("cloudformation").describe_stacks(StackName=f"dev-flight-delay-{part}")["Stacks"][0]
    return {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}["ModelPackageArn"]


def test_approval_alone_releases_and_a_rollback_is_one_command(platform: Platform) -> None:
    first, second = served(platform), register_like_the_first(platform)
    number = second.rpartition("/")[2]
    with steady_client(platform):
        told = platform.run(["mlops", "model", "approve", "flight_delay", "--reason", "better in autumn"]).stdout
        assert served(platform) == second
        (seconds,) = re.findall(rf"version {number} serves, after (\d+) s", told)
        assert int(seconds) < APPROVAL_SECONDS
        told = platform.run(["mlops", "model", "rollback", "flight_delay", "--reason", "complaints"]).stdout
        assert served(platform) == first
    package = platform.client("sagemaker").describe_model_package(ModelPackageName=second)
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Rejected", "complaints")
    history = json.loads(platform.run(["mlops", "model", "history", "flight_delay", "--json"]).stdout)
    told = [each["asked"] for each in history if each["stack"] == "dev-flight-delay-serving"]
    assert told[:2] == ["complaints", "better in autumn"]
    assert "rolled back" not in platform.run(["mlops", "model", "history", "flight_delay"]).stdout
    again = platform.run(["mlops", "model", "rollback", "flight_delay"], check=False)
    assert again.returncode == 1
    assert "is the only approved one: there is none to go back to" in again.stderr


def test_pinned_version_stays_whatever_is_approved(platform: Platform) -> None:
    first = served(platform)
    platform.run(["mlops", "model", "pin", "flight_delay", first.rpartition("/")[2], "--reason", "audit"])
    second = register_like_the_first(platform)
    try:
        told = platform.run(["mlops", "model", "approve", "flight_delay"], check=False)
        assert told.returncode == 1
        assert "is pinned, `mlops model unpin flight_delay` ends that" in told.stderr
        assert served(platform) == first
    finally:
        platform.client("sagemaker").update_model_package(ModelPackageArn=second, ModelApprovalStatus="Rejected")
        platform.run(["mlops", "model", "unpin", "flight_delay"])
    assert served(platform) == first


def test_version_that_can_not_serve_is_rolled_back_while_the_old_one_answers(platform: Platform) -> None:
    first = served(platform)
    bad = register_like_the_first(platform, ModelDataUrl="s3://dev-nowhere/model.tar.gz")
    with steady_client(platform):
        told = platform.run(["mlops", "model", "approve", "flight_delay"], check=False)
        assert told.returncode == 1
        assert "Its release failed, approve it to try again" in told.stderr
    package = platform.client("sagemaker").describe_model_package(ModelPackageName=bad)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert "dev-nowhere" in package["ApprovalDescription"]
    assert served(platform) == first
    # the stack that predicts days has nothing against the version, and goes back all the same
    deadline = time.monotonic() + 60
    while released_to(platform, "batch") != first:
        assert time.monotonic() < deadline, released_to(platform, "batch")
        time.sleep(0.5)
    stack = platform.client("cloudformation").describe_stacks(StackName="dev-flight-delay-serving")["Stacks"][0]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
