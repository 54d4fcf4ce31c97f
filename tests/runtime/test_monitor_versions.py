"""Which version is monitored, and what of it can be told when it isn't one of this runtime's own."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from botocore.exceptions import ClientError

from model_runtime.artifact import Description
from model_runtime.errors import JobError
from model_runtime.monitor import served_version
from model_runtime.monitor.served_version import served_by
from tests.runtime.monitored import (
    ARTIFACTS,
    FEATURES,
    GROUP,
    NOW,
    Monitored,
    answers,
    captures,
    days_before,
    features,
    label,
)

ROLE = "arn:aws:iam::123456789012:role/serving"
SETTINGS = {"window_days": 2, "least_rows": 100, "drift": {"psi": 0.2}}


def searched(monitored: Monitored) -> str:
    """Register a version that a search has found: an image and an archive of Autopilot's, its description beside."""
    description = Description(
        model="toy", features=FEATURES, label="late", trees=0, rows={}, days={}, hyperparameters={}, versions={}
    )
    monitored.put("search/model.json", json.dumps(asdict(description)).encode(), ARTIFACTS)
    monitored.put("search/evaluation.json", b"{}", ARTIFACTS)
    quality = {"Statistics": {"ContentType": "application/json", "S3Uri": f"s3://{ARTIFACTS}/search/evaluation.json"}}
    baseline = {
        name: {"ContentType": "application/json", "S3Uri": f"s3://{ARTIFACTS}/version-0/{name.lower()}.json"}
        for name in ("Statistics", "Constraints")
    }
    container = {"Image": "autopilot", "ModelDataUrl": f"s3://{ARTIFACTS}/search/model.tar.gz"}
    made = monitored.sagemaker.create_model_package(
        ModelPackageGroupName=GROUP,
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
        ModelApprovalStatus="Approved",
        CustomerMetadataProperties={"Algorithm": "automl"},
        ModelMetrics={"ModelQuality": quality},
        DriftCheckBaselines={"ModelDataQuality": baseline},
    )
    return str(made["ModelPackageArn"])


def test_a_version_of_a_search_is_monitored_by_what_its_container_answers(
    monitored: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitored.serve(searched(monitored), days_before(30), monkeypatch)
    rows = features(600, seed=5)
    sent = captures(rows, days_before(2), days_before(0))
    for (_, record), share in zip(sent, answers(rows), strict=True):
        record["captureData"]["endpointOutput"]["data"] = f'"[{1 - share}, {share}]","[0, 1]"\n'
    monitored.send(sent)
    labels = [label(f"row-{number}", int(share > 0.5)) for number, share in enumerate(answers(rows))]
    monitored.tell(labels, NOW)
    checked = {
        **SETTINGS,
        "quality": {"metric": "auc", "maximum_loss": 0.05, "least_labels": 200},
        "attributions": {"minimum_ndcg": 0.9},
        "facets": [{"feature": "carrier", "values": ["AA"], "limits": {"AD": {"maximum": 0.2}}}],
    }
    given = ("--ground-truth", "s3://captured/ground-truth/toy", "--labels-within-hours", "0")
    report = monitored.run(*given, settings=checked)
    assert (report["status"], report["rows"], report["predictions"]) == ("calm", 600, None)
    assert report["quality"]["value"] == 1.0
    assert report["quality_reason"] == "the version was registered without auc: its loss can't be told"
    assert (report["attributions"], report["bias"]) == (None, [])
    assert report["attributions_reason"].startswith("a model of a search is asked through its own container")


def test_an_endpoint_whose_model_names_no_package_says_so(monitored: Monitored) -> None:
    container = {"Image": "mlops-runtime", "ModelDataUrl": f"s3://{ARTIFACTS}/m.tar.gz"}
    monitored.sagemaker.create_model(ModelName="plain", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "live", "ModelName": "plain", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    monitored.sagemaker.create_endpoint_config(EndpointConfigName="plain", ProductionVariants=[variant])
    monitored.sagemaker.create_endpoint(EndpointName="plain", EndpointConfigName="plain")
    with pytest.raises(JobError, match="serves the model plain, which names no model package: name the version with"):
        served_by("plain")


def test_an_endpoint_that_may_not_be_looked_at_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Denied:
        def describe_endpoint(self, **_: Any) -> Any:
            said = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
            raise ClientError(said, "DescribeEndpoint")  # type: ignore[arg-type]

    monkeypatch.setattr(served_version.boto3, "client", lambda _: Denied())
    with pytest.raises(JobError, match=r"the endpoint e can't be looked at: .*not authorized"):
        served_by("e")


def test_a_named_version_is_judged_by_itself(monitored: Monitored) -> None:
    other = monitored.register()
    monitored.send(captures(features(300), days_before(2), days_before(0)))
    report = monitored.run("--package", other)
    assert report["package"]["arn"] == other
    assert report["predictions"]["rows"] == 300


def test_a_version_that_is_gone_fails_with_its_name(monitored: Monitored) -> None:
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{GROUP}/99"
    with pytest.raises(JobError, match=f"the version {arn} can't be fetched"):
        monitored.run("--package", arn)
    assert not (monitored.paths.processing_output("report") / "report.json").exists()
