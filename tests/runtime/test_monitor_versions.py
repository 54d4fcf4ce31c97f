"""Which version is monitored, and what of it can be told when it isn't one of this runtime's own."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
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
    lines,
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
    served = served_by("plain")
    assert served is not None
    with pytest.raises(JobError, match="serves the model plain, which names no model package: name the version with"):
        served.package()


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


def test_a_named_version_needs_no_package_of_the_endpoints_model(monitored: Monitored) -> None:
    """An endpoint that something else than the platform has made is monitored by naming the version."""
    serve(monitored, "other", {"live": 1.0})
    sent = captures(features(300), days_before(2), days_before(0))
    for moment, record in sent:
        monitored.put(f"other/live/{moment:%Y/%m/%d/%H}/{record['eventMetadata']['eventId']}.jsonl", lines([record]))
    given = ("--endpoint", "other", "--package", monitored.package)
    assert monitored.run(*given, settings=SETTINGS)["rows"] == 300


@pytest.mark.parametrize(
    ("weights", "variant"),
    [
        ({"challenger": 0.6, "live": 0.4}, "live"),
        ({"live": 0.9, "challenger": 0.1}, "live"),
        ({"blue": 0.2, "green": 0.8}, "green"),
    ],
)
def test_a_challenger_beside_the_champion_is_not_what_is_monitored(
    monitored: Monitored, weights: dict[str, float], variant: str
) -> None:
    name = "-".join(weights)
    serve(monitored, name, weights)
    served = served_by(name)
    assert served is not None
    assert (served.variant, served.model) == (variant, f"{name}-{variant}")
    # the times of captures are whole seconds: a request of the very second is one of the version
    assert served.since.microsecond == 0


def test_answers_of_a_challenger_are_left_out(monitored: Monitored) -> None:
    monitored.send(captures(features(300), days_before(2), days_before(0)))
    monitored.send(captures(features(200), days_before(2), days_before(0), "odd"), "challenger")
    assert monitored.run(settings=SETTINGS)["rows"] == 300


@pytest.mark.parametrize("form", ["CSV", "JSON"])
def test_rows_of_before_a_release_are_not_compared_with_the_training_of_the_new_version(
    monitored: Monitored, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """The version of before had other features, in another order."""
    monitored.serve(monitored.register(), days_before(1), monkeypatch)
    before = captures(features(400), days_before(2), days_before(1))
    for _, record in before:
        hour, distance, _ = record["captureData"]["endpointInput"]["data"].split(",")
        body = f"{distance},{hour}" if form == "CSV" else json.dumps({"km": float(distance), "hour": float(hour)})
        record["captureData"]["endpointInput"] |= {"data": body, "encoding": form}
    monitored.send(before)
    monitored.send(captures(features(400, seed=5), days_before(1), days_before(0), "after"))
    report = monitored.run(settings=SETTINGS)
    assert (report["status"], report["rows"], report["violations"]) == ("calm", 400, [])
    assert (report["window"]["start"], len(report["captures"]["hours_without"])) == ("2030-03-09T10:00:00Z", 12)


def test_a_version_that_was_released_just_now_is_not_judged(
    monitored: Monitored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitored.serve(monitored.package, NOW - timedelta(minutes=5), monkeypatch)
    monitored.send(captures(features(400), days_before(2), days_before(0)))
    report = monitored.run(settings=SETTINGS)
    assert (report["status"], report["rows"], report["captures"]["hours_without"]) == ("no_traffic", 0, [])
    assert "what serves was configured 2030-03-10T10:25:00Z: requests from before are left out" in report["next"]


def serve(monitored: Monitored, name: str, weights: dict[str, float]) -> None:
    """Make an endpoint of models that name no package, one for each variant."""
    variants = []
    for variant, weight in weights.items():
        container = {"Image": "mlops-runtime", "ModelDataUrl": f"s3://{ARTIFACTS}/m.tar.gz"}
        model = f"{name}-{variant}"
        monitored.sagemaker.create_model(ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer=container)
        one = {"VariantName": variant, "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        variants.append({**one, "InitialVariantWeight": weight})
    monitored.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    monitored.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def test_a_version_that_is_gone_fails_with_its_name(monitored: Monitored) -> None:
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{GROUP}/99"
    with pytest.raises(JobError, match=f"the version {arn} can't be fetched"):
        monitored.run("--package", arn)
    assert not (monitored.paths.processing_output("report") / "report.json").exists()
