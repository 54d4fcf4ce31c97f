"""The gate: a candidate meets its bound and stands against the champion, or is rejected with the reason."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from boto3.exceptions import RetriesExceededError
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from model_runtime import champion as champions
from model_runtime.errors import JobError
from model_runtime.evaluate import main
from model_runtime.paths import ContainerPaths
from tests.runtime.container import Container, json_file
from tests.runtime.test_evaluate import TEST, archive

GROUP = "dev-toy"
BUCKET = "artifacts"
METADATA = re.compile(r"[\w\s.:/=+\-@]{1,256}")
WORSE = "def predict_fn(data, model):\n    return 0.5 * model.inplace_predict(data) + 0.5 * (data[:, 1] / 2000)\n"


class Registry:
    """A model registry, and versions of the trained model in it."""

    def __init__(self, trained: Path, directory: Path) -> None:
        self._trained, self._directory = trained, directory
        self.s3, self.sagemaker = boto3.client("s3"), boto3.client("sagemaker")
        self.s3.create_bucket(Bucket=BUCKET)
        self.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        self._versions = 0

    def register(self, change: Callable[[Path], None] = lambda _: None, status: str = "Approved") -> str:
        """Register the trained model after a change to its directory; returns the version's ARN."""
        self._versions += 1
        model = self._directory / f"version-{self._versions}"
        shutil.copytree(self._trained, model)
        described(days={})(model)  # the toy's test days are among those that it has learned from
        change(model)
        packed = self._directory / f"{self._versions}.tar.gz"
        archive(model, packed)
        self.s3.upload_file(str(packed), BUCKET, f"{self._versions}/model.tar.gz")
        container = {"Image": "mlops-runtime", "ModelDataUrl": f"s3://{BUCKET}/{self._versions}/model.tar.gz"}
        inference = {"Containers": [container], "SupportedContentTypes": ["text/csv"]}
        inference["SupportedResponseMIMETypes"] = ["text/csv"]
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP, InferenceSpecification=inference, ModelApprovalStatus=status
        )
        return str(made["ModelPackageArn"])


@pytest.fixture
def registry(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Registry(trained, tmp_path / "versions")


@pytest.fixture
def job(container: Container, trained: Path) -> Container:
    archive(trained, container.base / "processing/input/model/model.tar.gz")
    container.parquet("processing/input/test/part.parquet", TEST)
    return container


def judged(job: Container, *arguments: str) -> Any:
    main(ContainerPaths(job.base), ["--metric", "auc", "--minimum", "0.5", *arguments])
    return json_file(job.base / "processing/output/evaluation/evaluation.json")


def against(job: Container, *arguments: str) -> Any:
    return judged(job, "--champions", GROUP, *arguments)


def inference(text: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        (model / "code" / "toy" / "inference.py").write_text(text)

    return change


def described(**values: Any) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        found = json.loads((model / "model.json").read_text())
        (model / "model.json").write_text(json.dumps(found | values))

    return change


def test_the_bound_alone_decides_when_no_comparison_is_asked_for(job: Container) -> None:
    passed = judged(job)
    auc = passed["binary_classification_metrics"]["auc"]["value"]
    assert passed["gate"] == {
        "passed": True,
        "reason": f"auc {auc:.4f} meets the minimum of 0.5",
        "summary": f"passed - auc {auc:.4f}",
        "metric": "auc",
        "minimum": 0.5,
        "margin": None,
    }
    assert "champion" not in passed
    rejected = judged(job, "--minimum", "0.99")["gate"]
    assert (rejected["passed"], rejected["reason"]) == (False, f"auc {auc:.4f} is below the minimum of 0.99")


def test_the_first_version_has_no_champion(job: Container, registry: Registry) -> None:
    registry.register(status="PendingManualApproval")
    registry.register(status="Rejected")
    found = against(job)
    assert found["gate"]["passed"]
    assert found["champion"] == {"compared": False, "reason": "no version of dev-toy is approved yet"}
    assert found["gate"]["reason"].endswith("not compared with a champion: no version of dev-toy is approved yet")


def test_a_candidate_that_equals_the_champion_passes(job: Container, registry: Registry) -> None:
    registry.register(inference(WORSE))
    arn = registry.register()
    report = against(job)
    found = report["champion"]
    assert report["gate"]["passed"]
    assert report["gate"]["reason"].endswith("as good as the champion, version 2, on the same 320 rows")
    assert (found["version"], found["arn"], found["rows"]) == (2, arn, TEST.height)
    difference = found["difference"]
    assert difference["better_by"] == difference["low"] == difference["high"] == 0
    assert difference["champion"] == pytest.approx(difference["candidate"], abs=1e-12)


def test_a_better_candidate_passes_and_a_worse_one_fails_with_both_figures(
    job: Container, registry: Registry, trained: Path
) -> None:
    registry.register(inference(WORSE))
    better = against(job)
    assert better["gate"]["passed"]
    difference = better["champion"]["difference"]
    assert 0 < difference["low"] < difference["better_by"] < difference["high"]
    assert f"better than the champion, version 1 with {difference['champion']:.4f}" in better["gate"]["reason"]
    shutil.copytree(trained, job.base / "worse")
    inference("def predict_fn(data, model):\n    return 1 - model.inplace_predict(data)\n")(job.base / "worse")
    archive(job.base / "worse", job.base / "processing/input/model/model.tar.gz")
    registry.register()
    worse = against(job, "--minimum", "0")
    assert not worse["gate"]["passed"]
    assert "worse than the champion, version 2 with" in worse["gate"]["reason"]
    assert "more than the margin of 0" in worse["gate"]["reason"]
    assert against(job, "--minimum", "0", "--margin", "0.9")["gate"]["passed"]
    for each in (better, worse):
        assert METADATA.fullmatch(each["gate"]["summary"])


def test_the_newest_approved_version_is_the_champion_whatever_came_after_it(job: Container, registry: Registry) -> None:
    registry.register()
    registry.register()
    registry.register(inference(WORSE), status="Rejected")
    assert against(job)["champion"]["version"] == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: (model / "model.ubj").write_bytes(b"of another age"), r"version 1 can't be loaded: .*model.ubj"),
        (lambda model: (model / "model.json").unlink(), r"version 1 can't be loaded: .*model.json is missing"),
        (inference("import no_such_library\n"), "version 1 can't be loaded: .*no_such_library"),
        (inference("import os\nos._exit(7)\n"), "version 1 can't be loaded: its process ended with 7"),
        (inference("def predict_fn(data, model):\n    return [9] * len(data)\n"), "must give a probability"),
        (described(made_by="a later runtime"), "version 1 can't be loaded: .*made_by"),
        (described(problem="regression"), "version 1 has another problem: regression instead of binary"),
        (described(features=["hour", "distance", "gate"]), "without gate and with carrier"),
    ],
)
def test_a_champion_that_can_not_be_compared_leaves_the_bound_to_decide(
    job: Container, registry: Registry, change: Callable[[Path], None], reason: str
) -> None:
    registry.register(change)
    found = against(job)
    assert found["gate"]["passed"]
    assert re.search(reason, found["champion"]["reason"])
    assert found["champion"]["compared"] is False
    assert not against(job, "--minimum", "0.999")["gate"]["passed"]


@pytest.mark.parametrize(("last", "new"), [("2013-01-08", 0), ("2014-06-01", 0), ("2013-01-04", 160)])
def test_a_candidate_can_not_go_round_a_champion_by_days_that_it_has_learned_from(
    job: Container, registry: Registry, last: str, new: int
) -> None:
    registry.register(described(days={"train": {"first": "2012-01-01", "last": last}}))
    found = against(job)
    gate = found["gate"]
    assert not gate["passed"]
    assert (
        f"not compared with the champion: champion version 1 has learned from days up to {last}, and {new} of 320 test "
        "rows are new to it, and 200 are needed to compare: train with a later LastDay"
    ) in gate["reason"]
    assert gate["summary"].endswith("too few rows that champion version 1 does not know")
    assert METADATA.fullmatch(gate["summary"])
    assert (found["champion"]["compared"], found["champion"]["version"]) == (False, 1)


def test_a_small_test_part_is_enough_when_the_champion_knows_none_of_it(job: Container, registry: Registry) -> None:
    registry.register(described(days={"train": {"first": "2012-12-01", "last": "2012-12-31"}}))
    job.parquet("processing/input/test/part.parquet", TEST.head(120))
    found = against(job)
    assert (found["gate"]["passed"], found["champion"]["rows"]) == (True, 120)


def test_the_same_days_trained_again_stand_against_the_champion(job: Container, registry: Registry) -> None:
    train, validation = ("2012-12-01", "2012-12-30"), ("2012-12-31", "2012-12-31")
    days = {"train": train, "validation": validation}
    registry.register(described(days={name: {"first": of[0], "last": of[1]} for name, of in days.items()}))
    found = against(job)
    assert (found["gate"]["passed"], found["champion"]["rows"]) == (True, TEST.height)


def test_days_that_the_champion_learned_from_are_left_out_for_both(job: Container, registry: Registry) -> None:
    registry.register(described(days={"train": {"first": "2012-12-01", "last": "2013-01-03"}}))
    found = against(job)["champion"]
    assert found["rows"] == TEST.filter(pl.col("day") > pl.date(2013, 1, 3)).height


def test_a_missing_artifact_is_a_finding_and_a_registry_that_can_not_be_asked_an_error(
    job: Container, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register()
    registry.s3.delete_object(Bucket=BUCKET, Key="1/model.tar.gz")
    assert "version 1 can't be loaded: " in against(job)["champion"]["reason"]
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(JobError, match=r"can't be asked for the champion of dev-toy: You must specify a region"):
        against(job)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (inference("import os\nos.kill(os.getpid(), 9)\n"), "the process of version 1 was ended by signal 9"),
        (inference("raise MemoryError('no place')\n"), "version 1 can't be asked: .*MemoryError"),
        (inference("raise OSError(28, 'No space left')\n"), "version 1 can't be asked: .*No space left"),
        (inference("import time\ntime.sleep(60)\n"), "version 1 gave no answer for 320 rows within 3 s"),
    ],
    ids=["killed", "no memory", "no disk", "no end"],
)
def test_a_machine_that_fails_under_the_champion_ends_the_job(
    job: Container, registry: Registry, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], reason: str
) -> None:
    registry.register(change)
    if "within" in reason:
        monkeypatch.setattr(champions, "SECONDS_TO_ANSWER", 3)
    with pytest.raises(JobError, match=rf"{reason}.*; nothing is decided about the candidate.*version 1 to Rejected"):
        against(job)


@pytest.mark.parametrize(
    "fault",
    [
        ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject"),
        ClientError({"Error": {"Code": "SlowDown", "Message": "Please reduce your request rate"}}, "GetObject"),
        EndpointConnectionError(endpoint_url="https://s3"),
        RetriesExceededError(ConnectionError("cut off")),
        OSError(28, "No space left on device"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_store_that_gives_no_artifact_ends_the_job(
    job: Container, registry: Registry, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    registry.register()
    monkeypatch.setattr(champions, "_download", fail)
    with pytest.raises(JobError, match=r"version 1 can't be fetched: .*; nothing is decided about the candidate"):
        against(job)


def test_an_archive_that_is_broken_is_a_finding(job: Container, registry: Registry) -> None:
    registry.register()
    whole = registry.s3.get_object(Bucket=BUCKET, Key="1/model.tar.gz")["Body"].read()
    for broken in (whole[: len(whole) // 2], b"no archive", whole[:200] + bytes(200) + whole[400:]):
        registry.s3.put_object(Bucket=BUCKET, Key="1/model.tar.gz", Body=broken)
        assert "version 1 can't be loaded: " in against(job)["champion"]["reason"]


def test_the_champions_code_does_not_get_into_the_candidates_way(job: Container, registry: Registry) -> None:
    registry.register(inference("def predict_fn(data, model):\n    return data[:, 0] / 30\n"))
    before = judged(job)["binary_classification_metrics"]["auc"]
    assert against(job)["binary_classification_metrics"]["auc"] == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--metric", "mae", "--minimum", "1"], "--metric must be one of auc, .*got 'mae'"),
        (["--metric", "auc"], "give either --minimum or --maximum"),
        (["--metric", "auc", "--minimum", "high"], "--minimum must be a number, got 'high'"),
        (["--metric", "auc", "--minimum", "0.5", "--margin", "-1"], "--margin must be at least 0, got -1"),
        (["--minimum", "0.5"], "need --metric"),
        (["--bound", "1"], "doesn't know the arguments --bound 1"),
    ],
)
def test_arguments_that_make_no_gate_are_refused(job: Container, arguments: list[str], reason: str) -> None:
    with pytest.raises(JobError, match=reason):
        main(ContainerPaths(job.base), arguments)
