"""What the demo's monitor has found of July, and what came of it: the alarm, the training, the gate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_cli.scoring import auc
from tests.end_to_end.conftest import GROUP, Platform

MODEL = "flight_delay"


def status(platform: Platform) -> Any:
    return json.loads(platform.run(["mlops", "monitor", "status", MODEL, "--json"]).stdout)


def test_features_that_summer_moves_are_named_and_others_are_not(platform: Platform) -> None:
    report = status(platform)["report"]
    assert report["status"] == "drifted"
    assert set(report["moved"]) == {"dew_point", "temperature"}
    # all that the demo asked for: July in batches, and the single flights
    assert report["rows"] > 28_000


def lines_below(platform: Platform, prefix: str) -> Iterator[Any]:
    """The lines of all objects of the capture bucket below a prefix."""
    s3, bucket = platform.client("s3"), platform.output("data", "CaptureBucketName")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for each in page.get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            yield from (json.loads(line) for line in body.splitlines())


def test_single_flights_are_judged_by_what_became_of_them(platform: Platform) -> None:
    history = json.loads(platform.run(["mlops", "monitor", "history", MODEL, "--json"]).stdout)
    bucket, _, folder = history[-1]["folder"].removeprefix("s3://").partition("/")
    body = platform.client("s3").get_object(Bucket=bucket, Key=f"{folder}/report.json")["Body"].read()
    quality = json.loads(body)["quality"]
    assert (quality["labelled"], quality["twice"]) == (800, 0)
    told = lines_below(platform, f"ground-truth/{MODEL}/")
    labels = {each["eventMetadata"]["eventId"]: int(each["groundTruthData"]["data"]) for each in told}
    captured = [each for each in lines_below(platform, f"{GROUP}/") if "inferenceId" in each["eventMetadata"]]
    answers = {
        each["eventMetadata"]["inferenceId"]: float(each["captureData"]["endpointOutput"]["data"]) for each in captured
    }
    asked = sorted(answers)
    expected = auc(np.array([labels[each] for each in asked]), np.array([answers[each] for each in asked]))
    assert (len(asked), quality["value"]) == (800, pytest.approx(expected, abs=1e-6))
    assert quality["low"] < quality["value"] < quality["high"]


def test_alarm_has_the_model_trained_and_the_gate_says_what_it_is_worth(platform: Platform) -> None:
    found = status(platform)
    alarms = {each["cause"]: each["state"] for each in found["alarms"]}
    assert (alarms["drift"], alarms["quality"]) == ("ALARM", "OK")
    assert found["retraining"]["status"] == "RUNNING"  # it looks at the alarms again after the cool-down
    sagemaker = platform.client("sagemaker")
    second, _ = sagemaker.list_pipeline_executions(PipelineName=GROUP)["PipelineExecutionSummaries"]
    assert second["PipelineExecutionDescription"] == "Started by its triggers"
    versions = sagemaker.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"]
    waiting = [each for each in versions if each["ModelApprovalStatus"] == "PendingManualApproval"]
    assert len(waiting) == (second["PipelineExecutionStatus"] == "Succeeded")
    assert re.search(r"retraining\s+started by the alarm on drift; (version 2 is better|rejected: )", platform.told)


def test_page_tells_what_moved(platform: Platform, tmp_path: Path) -> None:
    page = tmp_path / "monitoring.html"
    platform.run(["mlops", "monitor", "report", MODEL, "--page", str(page)])
    assert "dew_point has moved" in page.read_text()


def test_window_in_which_nobody_asked_is_no_failure(platform: Platform) -> None:
    words = ["mlops", "monitor", "run", MODEL, "--start", "2013-01-01", "--end", "2013-01-08"]
    told = platform.run(words).stdout
    assert "no traffic" in told
    assert {each["cause"] for each in status(platform)["alarms"] if each["state"] == "ALARM"} == {"drift"}
