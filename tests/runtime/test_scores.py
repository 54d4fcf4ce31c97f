"""Models of other containers: the tables that a search learns from, and the judgement of the scores that come back."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from moto import mock_aws

from model_runtime import champion as champions
from model_runtime import transform as asking
from model_runtime.errors import JobError
from model_runtime.metrics import area_under_curve
from model_runtime.paths import ContainerPaths
from model_runtime.scores import main
from tests.runtime.container import FIRST_DAY, TOY, Container, json_file, rows
from tests.runtime.test_champion import GROUP, Registry

FACET = {"feature": "carrier", "above": 800, "limits": {"DI": {"minimum": 0.99, "maximum": 1.01}}}
JOB = "pipelines-abc123def456-Evaluate-x"


def split(container: Container, test_from: int = 25) -> pl.DataFrame:
    """Lay out what Prepare leaves, and return the test rows."""
    container.code("processing/input/code", TOY)
    data = rows(days=30)
    for name, (first, last) in {
        "train": (0, test_from - 5),
        "validation": (test_from - 5, test_from),
        "test": (test_from, 30),
    }.items():
        part = data.filter((pl.col("day") - FIRST_DAY).dt.total_days().is_between(first, last - 1))
        container.parquet(f"processing/input/{name}/part.parquet", part)
    return part


def test_a_search_is_given_features_and_label_and_nothing_else(container: Container) -> None:
    test = split(container)
    run = container.run("tables")
    assert run.returncode == 0, run.stderr
    output = container.base / "processing/output"
    training = pl.read_parquet(output / "training/part.parquet")
    assert training.columns == ["hour", "distance", "carrier", "late"]
    assert training["late"].dtype == pl.Int32
    assert pl.read_parquet(output / "validation/part.parquet").height == 200
    described = json_file(output / "description/model.json")
    assert described["features"] == ["hour", "distance", "carrier"]
    assert described["rows"] == {"train": 800, "validation": 200}
    assert described["days"]["validation"] == {"first": "2013-01-21", "last": "2013-01-25"}
    scored = pl.read_csv(output / "rows/rows.csv", has_header=False)
    assert scored.shape == (test.height, 3)
    assert scored.to_series(0).to_list() == test["hour"].to_list()


def judged(container: Container, lines: list[str], *arguments: str) -> str:
    target = container.base / "processing/input/scores/rows.csv.out"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(f"{line}\n" for line in lines))
    assert container.run("tables").returncode == 0
    described = container.base / "processing/input/description"
    shutil.copytree(container.base / "processing/output/description", described, dirs_exist_ok=True)
    run = container.run("evaluate", *arguments)
    return "" if run.returncode == 0 else container.failure()


def test_the_score_is_the_probability_of_the_label_1(container: Container) -> None:
    test = split(container)
    # Autopilot names the labels in the order of the probabilities, as numbers or as texts
    lines = [f'"[{1 - hour / 30}, {hour / 30}]","[0, 1]"' for hour in test["hour"][:100]]
    lines += [f"\"[{hour / 30}, {1 - hour / 30}]\",\"['1', '0']\"" for hour in test["hour"][100:]]
    assert judged(container, lines, "--metric", "auc", "--minimum", "0.5") == ""
    report = json_file(container.base / "processing/output/evaluation/evaluation.json")
    truth = area_under_curve(test["late"].cast(pl.Boolean).to_numpy(), test["hour"].cast(pl.Float64).to_numpy())
    assert report["binary_classification_metrics"]["auc"]["value"] == pytest.approx(truth)
    assert report["gate"]["passed"] is True
    assert report["dataset"]["item_count"] == test.height


def test_a_bad_candidate_does_not_pass_the_gate(container: Container) -> None:
    test = split(container)
    lines = ['"[0.5, 0.5]","[0, 1]"'] * test.height
    assert judged(container, lines, "--metric", "auc", "--minimum", "0.6") == ""
    gate = json_file(container.base / "processing/output/evaluation/evaluation.json")["gate"]
    assert gate["passed"] is False
    assert "below the minimum of 0.6" in gate["reason"]


def test_answers_that_are_no_probabilities_fail_with_their_line(container: Container) -> None:
    test = split(container)
    lines = ['"[0.5, 0.5]","[0, 1]"'] * (test.height - 1) + ["1"]
    message = judged(container, lines, "--metric", "auc", "--minimum", "0.6")
    assert f"line {test.height} of the scores must hold the probabilities and their labels, got '1'" in message


def test_a_missing_answer_fails_the_job(container: Container) -> None:
    test = split(container)
    message = judged(container, ['"[0.5, 0.5]","[0, 1]"'] * (test.height - 1), "--metric", "auc", "--minimum", "0.6")
    assert f"for each of the {test.height} test rows, it gave {test.height - 1} numbers" in message


def probabilities(test: pl.DataFrame) -> list[str]:
    return [f'"[{1 - hour / 30}, {hour / 30}]","[0, 1]"' for hour in test["hour"]]


def reports(container: Container) -> Path:
    return container.base / "processing/output/evaluation"


def test_a_searched_model_has_the_reports_of_a_trained_one_less_what_only_a_booster_has(container: Container) -> None:
    test = split(container)
    lines = probabilities(test)
    asked = ["--metric", "auc", "--minimum", "0.5", "--facet", json.dumps(FACET)]
    assert judged(container, lines, *asked) == ""
    written = {file.name for file in reports(container).iterdir()}
    assert written == {
        "evaluation.json", "constraints.json", "bias.json", "model_card.json", "model_card.html", "model.json",
    }  # fmt: skip
    gate = json_file(reports(container) / "evaluation.json")["gate"]
    assert not gate["passed"]
    assert re.search(r"disparate impact \(DI\) of carrier \(800, inf\) is \S+, it must be", gate["reason"])
    (before,) = json_file(reports(container) / "bias.json")["pre_training_bias_metrics"]["facets"]["carrier"]
    train = rows(days=30).filter(pl.col("day") < pl.date(2013, 1, 21))
    assert before["metrics"][0]["value"] == pytest.approx(1 - 2 * float((train["carrier"] > 800).mean()))
    card = json.loads(json_file(reports(container) / "model_card.json")["content"])
    assert card["additional_information"]["custom_details"]["algorithm_type"].startswith("SageMaker Autopilot")
    assert card["additional_information"]["custom_details"]["train_days"] == "2013-01-01 to 2013-01-20, 800 rows"
    assert "hyperparameters" not in card["additional_information"]["custom_details"]
    page = (reports(container) / "model_card.html").read_text()
    for title in ("Gate", "ROC", "Calibration", "Fairness", "Segments", "Lineage"):
        assert f"<h2>{title}</h2>" in page
    assert "What predictions rest on" not in page
    assert "<dt>Trees</dt>" not in page


def test_the_columns_that_a_search_was_given_are_those_of_the_code(container: Container) -> None:
    test = split(container)
    lines = probabilities(test)
    assert judged(container, lines) == ""
    described = container.base / "processing/input/description/model.json"
    described.write_text(json.dumps(json_file(described) | {"features": ["hour", "distance"]}))
    assert container.run("evaluate").returncode == 1
    assert "the search was given other columns than the code of toy has" in container.failure()


class Asked:
    """SageMaker, as far as a transform job needs it: moto has none. A job answers what `answers` says."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers = ""
        self.ends = {"TransformJobStatus": "Completed"}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_processing_job(self, *, ProcessingJobName: str) -> dict[str, Any]:
        assert ProcessingJobName == JOB
        output = {"OutputName": "evaluation", "S3Output": {"S3Uri": "s3://artifacts/toy/abc/evaluation"}}
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeKmsKeyId": "disk"}
        return {
            "ProcessingOutputConfig": {"Outputs": [output], "KmsKeyId": "key"},
            "ProcessingResources": {"ClusterConfig": cluster},
            "NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-0000000a"], "SecurityGroupIds": ["sg-0000000a"]}},
            "RoleArn": "arn:aws:iam::123456789012:role/jobs",
        }

    def create_model(self, **request: Any) -> None:
        self.calls.append(("create_model", request))

    def create_transform_job(self, **request: Any) -> None:
        self.calls.append(("create_transform_job", request))
        boto3.client("s3").put_object(
            Bucket="artifacts", Key="toy/abc/champion-1/answers/rows.csv.out", Body=self.answers.encode()
        )

    def describe_transform_job(self, **_: Any) -> dict[str, str]:
        return self.ends

    def stop_transform_job(self, **request: Any) -> None:
        self.calls.append(("stop_transform_job", request))

    def delete_model(self, **request: Any) -> None:
        self.calls.append(("delete_model", request))


@pytest.fixture
def asked(container: Container, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """A registry whose champion, version 1, was searched: by rows of the days until the 23rd of January."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MODEL_NAME", "toy")
    with mock_aws():
        s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
        s3.create_bucket(Bucket="artifacts")
        sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        described = {
            "model": "toy", "features": ["distance", "hour", "carrier"], "label": "late", "trees": 0, "rows": {},
            "days": {"validation": {"first": "2013-01-20", "last": "2013-01-23"}}, "hyperparameters": {},
            "versions": {}, "problem": "binary_classification",
        }  # fmt: skip
        s3.put_object(Bucket="artifacts", Key="toy/old/evaluation/model.json", Body=json.dumps(described).encode())
        report = {"ContentType": "application/json", "S3Uri": "s3://artifacts/toy/old/evaluation/evaluation.json"}
        searched = {"Image": "autopilot", "ModelDataUrl": "s3://artifacts/toy/old/model.tar.gz"}
        sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            InferenceSpecification={
                "Containers": [{**searched, "Environment": {"SAGEMAKER_INFERENCE_OUTPUT": "probabilities,labels"}}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            ModelMetrics={"ModelQuality": {"Statistics": report}},
            CustomerMetadataProperties={"Algorithm": "automl"},
            ModelApprovalStatus="Approved",
        )
        found = Asked(sagemaker)
        whole = boto3.client
        for module in (champions, asking):
            monkeypatch.setattr(
                module.boto3, "client", lambda name, **more: found if name == "sagemaker" else whole(name, **more)
            )
        config = container.base / "config/processingjobconfig.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"ProcessingJobName": JOB}))
        yield found


def contend(container: Container, *more: str) -> Any:
    """Judge the candidate that answers by the hour; its container has answered already."""
    main(ContainerPaths(container.base), ["--metric", "auc", "--minimum", "0.5", "--champions", GROUP, *more])
    return json_file(reports(container) / "evaluation.json")


@pytest.fixture
def candidate(container: Container) -> pl.DataFrame:
    """The test rows of a candidate that answers by the hour, which tells how late flights are."""
    test = split(container, test_from=20)
    judged(container, probabilities(test))
    return test


def test_a_searched_champion_answers_the_same_rows_from_its_own_container(
    container: Container, candidate: pl.DataFrame, asked: Asked
) -> None:
    new = candidate.filter(pl.col("day") > pl.date(2013, 1, 23))
    asked.answers = "".join(f'"[{1 - x / 2000}, {x / 2000}]","[0, 1]"\n' for x in new["distance"])
    report = contend(container, "--ask-containers")
    champion = report["champion"]
    assert (champion["compared"], champion["version"], champion["rows"]) == (True, 1, new.height)
    labels = new["late"].cast(pl.Boolean).to_numpy()
    for who, column in (("candidate", "hour"), ("champion", "distance")):
        truth = area_under_curve(labels, new[column].cast(pl.Float64).to_numpy())
        assert champion["difference"][who] == pytest.approx(truth)
    (made, model), (job, request), (gone, deleted) = asked.calls
    assert (made, job, gone) == ("create_model", "create_transform_job", "delete_model")
    assert model["PrimaryContainer"]["Image"] == "autopilot"
    assert model["VpcConfig"]["Subnets"] == ["subnet-0000000a"]
    assert request["TransformOutput"]["KmsKeyId"] == "key"
    assert request["TransformResources"]["VolumeKmsKeyId"] == "disk"
    assert deleted["ModelName"] == model["ModelName"] == request["ModelName"]
    sent = boto3.client("s3").get_object(Bucket="artifacts", Key="toy/abc/champion-1/rows/rows.csv")["Body"].read()
    first = [float(each) for each in sent.decode().splitlines()[0].split(",")]
    assert first == pytest.approx(new.select("distance", "hour", "carrier").row(0))


@pytest.mark.parametrize(
    "reason",
    ["AlgorithmError: See job logs for more information", "ClientError: 400; see the job's log for more information"],
)
def test_a_champion_whose_container_fails_leaves_the_bound_to_decide_and_its_model_is_deleted(
    container: Container, candidate: pl.DataFrame, asked: Asked, reason: str
) -> None:
    asked.ends = {"TransformJobStatus": "Failed", "FailureReason": reason}
    report = contend(container, "--ask-containers")
    assert report["gate"]["passed"]
    assert re.search(
        rf"version 1 can't be asked: the transform job \S+ gave no answers: {reason}", report["champion"]["reason"]
    )
    assert [name for name, _ in asked.calls][-1] == "delete_model"
    asked.ends = {"TransformJobStatus": "Completed"}
    asked.answers = "nothing\n"
    assert "version 1 gave no scores: line 1" in contend(container, "--ask-containers")["champion"]["reason"]


@pytest.mark.parametrize(
    "ends",
    [
        {"TransformJobStatus": "Failed", "FailureReason": "CapacityError: Unable to provision requested ML capacity."},
        {"TransformJobStatus": "Failed", "FailureReason": "InternalServerError: We encountered an internal error."},
        {"TransformJobStatus": "Failed", "FailureReason": "ClientError: Access denied to s3://artifacts/toy"},
        {"TransformJobStatus": "Failed"},
        {"TransformJobStatus": "Stopped"},
    ],
    ids=lambda ends: str(ends.get("FailureReason", ends["TransformJobStatus"])).partition(":")[0],
)
def test_a_transform_job_that_fails_for_no_fault_of_the_champion_ends_the_job(
    container: Container, candidate: pl.DataFrame, asked: Asked, ends: dict[str, str]
) -> None:
    asked.ends = ends
    with pytest.raises(
        JobError, match=r"gave no answers: .*nothing is decided about the candidate: start the training"
    ):
        contend(container, "--ask-containers")
    assert [name for name, _ in asked.calls][-1] == "delete_model"


def test_a_job_whose_role_may_not_ask_containers_does_not_try(
    container: Container, candidate: pl.DataFrame, asked: Asked
) -> None:
    reason = contend(container)["champion"]["reason"]
    assert reason == "version 1 answers from Autopilot's container, which only a search's Evaluate asks"
    assert asked.calls == []


def test_a_champion_that_takes_too_long_is_stopped(
    container: Container, candidate: pl.DataFrame, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.ends = {"TransformJobStatus": "InProgress"}
    monkeypatch.setattr(asking, "SECONDS_TO_ANSWER", 0.05)
    monkeypatch.setattr(asking, "POLL_SECONDS", 0.01)
    with pytest.raises(JobError, match=r"gave no answers within 0.05 s; nothing is decided.*version 1 to Rejected"):
        contend(container, "--ask-containers")
    assert [name for name, _ in asked.calls][-2:] == ["stop_transform_job", "delete_model"]


def test_a_trained_champion_stands_against_a_searched_candidate(
    container: Container, trained: Path, tmp_path: Path, candidate: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("MODEL_NAME", "toy")
    with mock_aws():
        Registry(trained, tmp_path / "versions").register()
        champion = contend(container, "--ask-containers")["champion"]
    assert (champion["compared"], champion["version"], champion["rows"]) == (True, 1, candidate.height)


def test_outside_of_a_job_no_container_can_be_asked(
    container: Container, candidate: pl.DataFrame, asked: Asked
) -> None:
    (container.base / "config/processingjobconfig.json").unlink()
    with pytest.raises(JobError, match=r"champion-1 can only be asked from a processing job, and .* isn't there"):
        contend(container, "--ask-containers")
