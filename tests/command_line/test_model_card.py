"""`mlops model card` copies the page of the version that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from mlops_cli.deployment import DeploymentError
from mlops_cli.models import app

GROUP = "dev-flight-delay"


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The training stack of a model, whose registry has two versions with a page and one without reports."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        template = {
            "Resources": {"Alarms": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {"ModelPackageGroupName": {"Value": GROUP}},
        }
        boto3.client("cloudformation").create_stack(
            StackName="dev-flight-delay-training", TemplateBody=json.dumps(template)
        )
        sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
        s3.create_bucket(Bucket="reports")
        sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        for version in (1, 2):
            s3.put_object(Bucket="reports", Key=f"{version}/model_card.html", Body=f"page {version}")
            quality = {"ContentType": "application/json", "S3Uri": f"s3://reports/{version}/evaluation.json"}
            sagemaker.create_model_package(
                ModelPackageGroupName=GROUP,
                ModelApprovalStatus="Approved",
                ModelMetrics={"ModelQuality": {"Statistics": quality}},
                CustomerMetadataProperties={"Gate": f"passed - auc 0.{version}"},
            )
        yield


def test_the_newest_versions_page_is_copied(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["card", "flight_delay", "--page", str(tmp_path / "card.html")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "card.html").read_text() == "page 2"
    assert "version 2 of flight_delay" in done.output
    assert "passed - auc 0.2" in done.output


def test_an_older_version_is_asked_for_by_its_number(tmp_path: Path) -> None:
    asked = ["card", "flight_delay", "--version", "1", "--page", str(tmp_path / "card.html")]
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert (tmp_path / "card.html").read_text() == "page 1"


def test_what_is_not_there_is_named() -> None:
    unknown = CliRunner().invoke(app, ["card", "flight_delay", "--version", "9"])
    assert isinstance(unknown.exception, DeploymentError)
    assert "dev-flight-delay has no version 9; it has " in str(unknown.exception)
    boto3.client("s3").delete_object(Bucket="reports", Key="2/model_card.html")
    gone = CliRunner().invoke(app, ["card", "flight_delay"])
    assert "the page isn't there: s3://reports/2/model_card.html" in str(gone.exception)
    boto3.client("sagemaker").create_model_package(ModelPackageGroupName=GROUP)
    bare = CliRunner().invoke(app, ["card", "flight_delay"])
    assert "was registered without reports" in str(bare.exception)
