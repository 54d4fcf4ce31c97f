"""What `make demo` tells, and what plain tools find while it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mlops_cli import flights
from tests.end_to_end.conftest import Platform

ENDPOINT = "dev-flight-delay"


def aws(platform: Platform, *words: str) -> Any:
    done = platform.run(["aws", *words, "--output", "json"])
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_demo_tells_every_chapter_and_its_figures(platform: Platform) -> None:
    done = re.findall(r"^done  (.+?)  \d", platform.told, re.MULTILINE)
    assert [chapter.partition(" ")[0].rstrip(",") for chapter in done] == [
        "start", "cdk", "cdk", "land", "the", "one", "train", "approve", "score", "ask", "monitor", "the",
    ]  # fmt: skip
    assert "10 stacks" in platform.told
    july = sum(len(flights.daily_table("flights").csv(day).splitlines()) - 1 for day in july_days())
    held_out = re.search(r"([\d,]+) of July 2013, predicted by the endpoint", platform.told)
    assert held_out is not None
    # the flights that never arrived have no label to be judged by
    assert 0.9 * july < int(held_out[1].replace(",", "")) <= july


def test_endpoint_ranks_held_out_flights(platform: Platform) -> None:
    found = re.search(r"AUC\s+(\d\.\d+)", platform.told)
    assert found is not None
    assert float(found[1]) >= 0.72


def test_training_never_saw_the_held_out_days(platform: Platform) -> None:
    sagemaker = platform.client("sagemaker")
    job = sagemaker.list_training_jobs(SortOrder="Ascending")["TrainingJobSummaries"][0]  # before the monitor's
    described = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    days = set()
    s3 = platform.client("s3")
    for channel in described["InputDataConfig"]:
        if channel["ChannelName"] in ("train", "validation"):
            import polars as pl

            from mlops_cli.scoring import read_parquet

            rows = read_parquet(s3, channel["DataSource"]["S3DataSource"]["S3Uri"])
            days |= set(rows.select(pl.col("day").cast(pl.String)).to_series())
    assert min(days) == "2013-01-01"
    assert max(days) == "2013-06-30"


def test_plain_tools_see_what_happened(platform: Platform) -> None:
    executions = aws(platform, "sagemaker", "list-pipeline-executions", "--pipeline-name", ENDPOINT)
    assert [item["PipelineExecutionStatus"] for item in executions["PipelineExecutionSummaries"]][-1:] == ["Succeeded"]
    jobs = aws(platform, "sagemaker", "list-training-jobs", "--sort-order", "Ascending")["TrainingJobSummaries"]
    job = aws(platform, "sagemaker", "describe-training-job", "--training-job-name", jobs[0]["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed"
    packages = aws(platform, "sagemaker", "list-model-packages", "--model-package-group-name", ENDPOINT)
    first = min(packages["ModelPackageSummaryList"], key=lambda each: each["ModelPackageVersion"])
    assert first["ModelApprovalStatus"] == "Approved"
    endpoint = aws(platform, "sagemaker", "describe-endpoint", "--endpoint-name", ENDPOINT)
    assert endpoint["EndpointStatus"] == "InService"
    assert "dev-data" in platform.run(["aws", "s3", "ls"]).stdout


def test_log_of_the_training_job_can_be_tailed(platform: Platform) -> None:
    # the calls that `aws logs tail` of AWS CLI 2 makes
    pages = platform.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName="/aws/sagemaker/TrainingJobs", startTime=0, interleaved=True)
    messages = [event["message"] for page in found for event in page["events"]]
    assert any("trees in" in message for message in messages)


def test_endpoint_answers_the_aws_cli(platform: Platform, tmp_path: Any) -> None:
    row = tmp_path / "row.csv"
    row.write_text("UA,EWR,IAH,1,315,510,195,20,1400,29.9,-95.3,14,149,39,28,64,260,12,,0,1012,10")
    answer = tmp_path / "answer.txt"
    words = ["sagemaker-runtime", "invoke-endpoint", "--endpoint-name", ENDPOINT, "--content-type", "text/csv"]
    invoked = aws(platform, *words, "--body", f"file://{row}", str(answer))
    assert invoked["InvokedProductionVariant"] == "live"
    assert 0 < float(answer.read_text()) < 1


def test_predict_shows_predictions_beside_the_flights(platform: Platform) -> None:
    told = platform.run(["mlops", "predict", "flight_delay", "--sample", "3"]).stdout.splitlines()
    assert told[0].split(",")[-1] == "prediction"
    assert len(told) == 4


def test_what_the_demo_prints_to_try_next_works(platform: Platform, tmp_path: Path) -> None:
    printed = [line.partition("#")[0].split() for line in platform.told.splitlines() if line.startswith("  .venv/bin/")]
    tried = [words for words in printed if words[1:3] != ["local", "stop"]]
    assert len(tried) == 9
    for program, *words in tried:
        assert platform.run([Path(program).name, *words], tmp_path).stdout.strip()
    assert (tmp_path / "data.html").stat().st_size > 0


def test_approval_of_what_serves_already_changes_nothing(platform: Platform) -> None:
    before = platform.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
    assert "version 1 serves, after 0 s" in platform.run(["mlops", "model", "approve", "flight_delay", "1"]).stdout
    after = platform.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
    assert after["EndpointConfigName"] == before["EndpointConfigName"]


def test_predict_names_columns_that_a_file_misses(platform: Platform, tmp_path: Any) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("carrier,origin\nUA,EWR\n")
    refused = platform.run(["mlops", "predict", "flight_delay", str(file)], check=False)
    assert refused.returncode == 1
    assert "misses the features destination" in refused.stderr


def test_status_lists_the_endpoint_and_what_is_inert(platform: Platform) -> None:
    told = json.loads(platform.run(["mlops", "local", "status", "--port", str(platform.port), "--json"]).stdout)
    assert told["endpoints"][ENDPOINT].startswith("http://127.0.0.1:")
    studio = {f"AWS::SageMaker::{kind}" for kind in ("Domain", "Space", "UserProfile")}
    guards = {f"AWS::EC2::SecurityGroup{kind}" for kind in ("", "Egress", "Ingress")}
    assert set(told["inert_resource_types"]) == {"AWS::CDK::Metadata"} | studio | guards


def july_days() -> list[Any]:
    from datetime import date

    return list(flights.days_between(date(2013, 7, 1), date(2013, 7, 31)))
