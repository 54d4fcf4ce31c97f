"""MLflow apps: a real server, which a job's client reaches by the app's ARN as it does on AWS."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.sagemaker.mlflow.tracking_server import ServerFailure, TrackingServer
from local_aws.server import LocalAwsServer, running
from local_aws.service import Image
from tests.local_aws.cloudformation.deployer import Deployer, resource

CLIENT = """
import mlflow, os
client = mlflow.MlflowClient()
assert os.environ["MLFLOW_TRACKING_URI"].startswith("arn:aws:sagemaker:")
run = client.create_run(client.create_experiment(os.environ["EXPERIMENT"]), run_name="first").info.run_id
client.log_param(run, "depth", 6)
client.log_metric(run, "auc", 0.75, step=3)
client.log_text(run, "how it was made", "notes/read.me")
client.set_terminated(run)
"""
ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]
ROLE = {
    "AssumeRolePolicyDocument": {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    },
    "Policies": [
        {
            "PolicyName": "artifacts",
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ACTIONS, "Resource": "*"}],
            },
        }
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsServer]:
    folder = tmp_path_factory.mktemp("mlflow")
    script = folder / "client.py"
    script.write_text(CLIENT)
    images = {"client": Image(sys.executable, (sys.executable, str(script)))}
    with running(folder / "state", images) as local_aws:
        yield local_aws


@pytest.fixture(scope="module")
def stack(server: LocalAwsServer) -> Deployer:
    stack = Deployer(server.context, "studio")
    stack.deploy(resources("Mon:03:30"), template={"Outputs": {"Arn": {"Value": {"Ref": "App"}}}})
    return stack


def resources(window: str) -> dict[str, Any]:
    return {
        "Artifacts": resource("S3::Bucket", {"BucketName": "artifacts"}),
        "Role": resource("IAM::Role", ROLE),
        "App": resource(
            "SageMaker::MlflowApp",
            {
                "Name": "dev",
                "ArtifactStoreUri": "s3://artifacts/mlflow",
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "ModelRegistrationMode": "AutoModelRegistrationDisabled",
                "WeeklyMaintenanceWindowStart": window,
                "Tags": [{"Key": "team", "Value": "ml"}],
            },
        ),
    }


@pytest.fixture(scope="module")
def arn(stack: Deployer) -> str:
    return str(stack.outputs()["Arn"])


def experiment(server: LocalAwsServer, name: str) -> dict[str, Any]:
    url = server.status()["mlflow_apps"]["dev"]["url"]
    with urllib.request.urlopen(f"{url}/api/2.0/mlflow/experiments/get-by-name?experiment_name={name}") as answer:
        return dict(json.load(answer)["experiment"])


def runs(server: LocalAwsServer, name: str) -> list[dict[str, Any]]:
    url = server.status()["mlflow_apps"]["dev"]["url"]
    body = json.dumps({"experiment_ids": [experiment(server, name)["experiment_id"]]}).encode()
    request = urllib.request.Request(f"{url}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return list(json.load(answer).get("runs", []))


def test_job_logs_to_the_app_by_its_arn_and_puts_files_into_the_bucket(server: LocalAwsServer, arn: str) -> None:
    sagemaker = server.context.client("sagemaker")
    sagemaker.create_training_job(
        TrainingJobName="job",
        RoleArn=server.context.client("iam").list_roles()["Roles"][0]["Arn"],
        AlgorithmSpecification={
            "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/client:1",
            "TrainingInputMode": "File",
        },
        OutputDataConfig={"S3OutputPath": "s3://artifacts/models"},
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 240},
        Environment={"MLFLOW_TRACKING_URI": arn, "EXPERIMENT": "from-a-job"},
    )
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="job", WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    job = sagemaker.describe_training_job(TrainingJobName="job")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    (run,) = runs(server, "from-a-job")
    assert run["info"]["status"] == "FINISHED"
    assert run["data"]["params"] == [{"key": "depth", "value": "6"}]
    (metric,) = run["data"]["metrics"]
    assert (metric["key"], metric["value"], metric["step"]) == ("auc", 0.75, 3)
    key = run["info"]["artifact_uri"].removeprefix("s3://artifacts/") + "/notes/read.me"
    assert key.startswith("mlflow/")
    stored = server.context.client("s3").get_object(Bucket="artifacts", Key=key)
    assert stored["Body"].read() == b"how it was made"
    url = server.status()["mlflow_apps"]["dev"]["url"]
    shown = f"{url}/get-artifact?path=notes/read.me&run_uuid={run['info']['run_id']}"
    with urllib.request.urlopen(shown) as answer:
        assert answer.read() == b"how it was made", "the server reads the bucket as well"


def test_presigned_url_opens_the_page(server: LocalAwsServer, arn: str) -> None:
    url = server.context.client("sagemaker").create_presigned_mlflow_app_url(Arn=arn)["AuthorizedUrl"]
    with urllib.request.urlopen(url) as page:
        assert b"<title>MLflow</title>" in page.read()
    assert server.status()["mlflow_apps"]["dev"] == {"arn": arn, "url": url, "state": "ready"}


def test_app_is_described_listed_and_updated_in_place(server: LocalAwsServer, stack: Deployer, arn: str) -> None:
    sagemaker = server.context.client("sagemaker")
    stack.deploy(resources("Tue:04:00"), template={"Outputs": {"Arn": {"Value": {"Ref": "App"}}}})
    assert stack.outputs()["Arn"] == arn
    found = sagemaker.describe_mlflow_app(Arn=arn)
    assert (found["Name"], found["WeeklyMaintenanceWindowStart"]) == ("dev", "Tue:04:00")
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "ml"}]
    assert [each["Arn"] for each in sagemaker.list_mlflow_apps()["Summaries"]] == [arn]
    assert sagemaker.list_mlflow_apps(Status="Deleted")["Summaries"] == []


@pytest.mark.parametrize(
    ("operation", "change", "message"),
    [
        ("create_mlflow_app", {"Name": "dev"}, "already exists"),
        ("create_mlflow_app", {"ModelRegistrationMode": "AutoModelRegistrationEnabled"}, "AutoModelRegistrationDisab"),
        ("update_mlflow_app", {"ArtifactStoreUri": "s3://artifacts/other"}, "can't move the artifacts"),
        ("describe_mlflow_app", {"Arn": "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/app-X"}, "does not exist"),
    ],
)
def test_what_the_app_cant_do_is_refused(
    server: LocalAwsServer, arn: str, operation: str, change: dict[str, str], message: str
) -> None:
    new = {"Name": "other", "ArtifactStoreUri": "s3://artifacts/x", "RoleArn": "arn:aws:iam::123456789012:role/some"}
    request = new if operation.startswith("create") else {"Arn": arn}
    with pytest.raises(ClientError, match=message):
        getattr(server.context.client("sagemaker"), operation)(**{**request, **change})


def test_container_is_told_nothing_about_other_servers(server: LocalAwsServer, arn: str) -> None:
    apps = server._sagemaker._region(server.context.account, server.context.region).mlflow
    assert apps.container_variables({}) == {}
    assert apps.container_variables({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9/"}) == {}
    assert apps.container_variables({"MLFLOW_TRACKING_URI": arn + "X"}) == {}


def test_server_that_cant_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where its folder should be")
    server = TrackingServer(tmp_path / "taken", "s3://artifacts/mlflow", {})
    try:
        with pytest.raises(ServerFailure, match=r"the MLflow server can't be started: .*taken"):
            server.url()
        assert "can't be started" in server.state
    finally:
        server.close()


def test_deleted_app_takes_its_server_along(server: LocalAwsServer, stack: Deployer, arn: str) -> None:
    url = server.status()["mlflow_apps"]["dev"]["url"]
    for item in server.context.client("s3").list_objects_v2(Bucket="artifacts").get("Contents", []):
        server.context.client("s3").delete_object(Bucket="artifacts", Key=item["Key"])
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    assert server.status()["mlflow_apps"] == {}
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_settings_are_told_as_mlflow_itself_tells_them() -> None:
    from mlflow.server import constants

    from local_aws.sagemaker.mlflow import serve

    assert constants.BACKEND_STORE_URI_ENV_VAR == serve.DATABASE_VARIABLE
    assert constants.ARTIFACT_ROOT_ENV_VAR == serve.ARTIFACTS_VARIABLE
