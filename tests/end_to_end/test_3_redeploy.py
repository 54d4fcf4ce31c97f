"""Deploying again: nothing to do, a change while the endpoint serves, and taking everything away."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from mlops_cli.repository import ROOT, commit
from tests.end_to_end.conftest import ENDPOINT, Platform, register_like_the_first, steady_client

ROW = b"UA,EWR,IAH,1,315,510,195,20,1400,29.9,-95.3,14,149,39,28,64,260,12,,0,1012,10"
# the demo tells the commit, which is a part of what it deploys
CONTEXT = ["--context", f"commit={commit()}"] if commit() else []
DEPLOY = ["cdk", "deploy", "dev/*", "--require-approval", "never", "--no-color", *CONTEXT]
DIFF = ["cdk", "diff", "--no-color", *CONTEXT]


@pytest.fixture(scope="session")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the app that a test may change."""
    copy = tmp_path_factory.mktemp("fork")
    for name in ("app.py", "cdk.json", "config", "stacks", "constructs", "ml_code"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


def test_deploying_the_same_again_changes_nothing(platform: Platform, fork: Path) -> None:
    told = platform.run(DEPLOY, fork)
    assert (told.stdout + told.stderr).count("(no changes)") == 10
    # by a change set, the CDK compares what is released with the parameters' defaults: with no version
    assert platform.run([*DIFF, "dev/*", "--fail", "--method=template"], fork).returncode == 0


def test_change_of_the_configuration_reaches_the_endpoint_without_a_lost_request(
    platform: Platform, fork: Path
) -> None:
    sagemaker = platform.client("sagemaker")
    before = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    assert before["DataCaptureConfig"]["CurrentSamplingPercentage"] == 100
    declared = fork / "ml_code" / "models" / "flight_delay" / "model.yaml"
    settings = "capture_percent: 7\n  scaling: {minimum: 1, maximum: 2}\n  challenger: {mode: shadow, percent: 100}"
    text, count = re.subn(r"capture_percent: \d+", settings, declared.read_text())
    assert count == 1
    declared.write_text(text)
    with steady_client(platform):
        difference = platform.run([*DIFF, "dev/flight-delay-serving", "--method=template"], fork)
        platform.run(DEPLOY, fork)
    assert "InitialSamplingPercentage" in difference.stdout + difference.stderr
    after = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    assert after["DataCaptureConfig"]["CurrentSamplingPercentage"] == 7
    assert after["EndpointConfigName"] != before["EndpointConfigName"]
    configs = [item["EndpointConfigName"] for item in sagemaker.list_endpoint_configs()["EndpointConfigs"]]
    assert configs == [after["EndpointConfigName"]], "the replaced configuration is gone"


def test_version_is_tried_in_the_shadow_of_the_one_that_serves_on_a_scaled_endpoint(platform: Platform) -> None:
    sagemaker, scaling = platform.client("sagemaker"), platform.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["ResourceId"], target["MaxCapacity"]) == (f"endpoint/{ENDPOINT}/variant/live", 2)
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT, DesiredWeightsAndCapacities=[{"VariantName": "live", "DesiredInstanceCount": 2}]
    )
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT, WaiterConfig={"Delay": 1})
    package = register_like_the_first(platform)
    number = package.rpartition("/")[2]
    platform.run(["mlops", "model", "pin", "flight_delay", "1"])
    sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    told = platform.run(["mlops", "model", "challenge", "flight_delay", number]).stdout
    assert f"version {number} is tried" in told
    found = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    assert [each["VariantName"] for each in found["ShadowProductionVariants"]] == ["challenger"]
    counts = {each["VariantName"]: each["DesiredInstanceCount"] for each in found["ProductionVariants"]}
    assert counts == {"live": 2}, "an update keeps what scaling has set"
    runtime = platform.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType="text/csv", Body=ROW)
    assert answer["InvokedProductionVariant"] == "live"


def test_emptied_environment_is_destroyed_with_its_processes(platform: Platform, fork: Path) -> None:
    serving = processes("model_runtime serve", platform.port)
    assert serving
    platform.run(["mlops", "empty", "dev", "--yes"])
    platform.run(["cdk", "destroy", "dev/*", "--force", "--no-color"], fork)
    assert platform.deployment.stacks() == []
    buckets = [bucket["Name"] for bucket in platform.client("s3").list_buckets()["Buckets"]]
    assert not [name for name in buckets if name.startswith("dev-")]
    assert not platform.client("sagemaker").list_endpoints()["Endpoints"]
    assert not processes("model_runtime serve", platform.port)


def processes(words: str, port: int) -> list[int]:
    """Return the ids of the processes with these words in their command that belong to the local AWS of this port."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if words in command and f"AWS_ENDPOINT_URL=http://127.0.0.1:{port}".encode() in environment:
            found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]
