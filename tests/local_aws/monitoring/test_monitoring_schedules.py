"""Monitoring schedules run by the clock: hours of captured requests in, reports and metrics out."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.executors.serving import ROLE
from tests.local_aws.monitoring.conftest import Monitoring

# says what it was given, and what of it is there
LOOK = """
source = place(os.environ["dataset_source"])
files = sorted(path for path in source.rglob("*") if path.is_file())
told = {name: value for name, value in os.environ.items() if name.islower()}
report = {
    "files": [str(path.parent.relative_to(source)) for path in files],
    "lines": [json.loads(line) for path in files for line in path.read_text().splitlines()],
    "told": told,
    "there": {name: place(path).read_text() for name, path in told.items() if name.startswith(("baseline", "record"))},
}
(place(os.environ["output_path"]) / "statistics.json").write_text(json.dumps(report))
say("Completed: looked")
"""


def test_hour_of_captured_requests_is_looked_at_when_it_is_over(monitoring: Monitoring) -> None:
    monitoring.monitor(LOOK)
    for name in ("statistics", "constraints"):
        monitoring.put(f"baseline/{name}.json", {"version": 0.0, "of": name})
    monitoring.put("code/prepare.py", "def preprocess_handler(record): ...\n")
    baseline = {f"{name.capitalize()}Resource": {"S3Uri": f"s3://lake/baseline/{name}.json"} for name in
                ("statistics", "constraints")}  # fmt: skip
    app = {"Environment": {"FLAVOUR": "tea"}, "RecordPreprocessorSourceUri": "s3://lake/code/prepare.py"}
    monitoring.sagemaker.create_data_quality_job_definition(**monitoring.define(baseline=baseline, app=app))
    monitoring.schedule()
    monitoring.next_hour(minutes=5)
    before = monitoring.clock.now()
    monitoring.invoke("10,20", "one")
    monitoring.invoke("11,21", "two")
    monitoring.next_hour()

    (execution, *_) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "Completed", execution
    hour = before.replace(minute=0, second=0, microsecond=0)
    assert execution["ScheduledTime"] == hour + timedelta(hours=1)
    report = monitoring.get(f"reports/live/{monitoring.name}/{hour + timedelta(hours=1):%Y/%m/%d/%H}/statistics.json")
    assert set(report["files"]) == {f"live/all/{hour:%Y/%m/%d/%H}"}
    assert [line["eventMetadata"]["inferenceId"] for line in report["lines"]] == ["one", "two"]
    assert {line["eventMetadata"]["inferenceTime"] for line in report["lines"]} == {f"{before:%Y-%m-%dT%H:%M:%SZ}"}
    told = report["told"]
    assert json.loads(told["dataset_format"]) == {
        "sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}
    }
    assert (told["start_time"], told["end_time"]) == (
        f"{hour:%Y-%m-%dT%H:%M:%SZ}",
        f"{hour + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
    )
    assert (told["sagemaker_endpoint_name"], told["sagemaker_monitoring_schedule_name"]) == ("live", monitoring.name)
    assert told["publish_cloudwatch_metrics"] == "Enabled"
    assert "analysis_type" not in told
    assert [json.loads(report["there"][f"baseline_{name}"])["of"] for name in ("statistics", "constraints")] == [
        "statistics", "constraints",
    ]  # fmt: skip
    assert "preprocess_handler" in report["there"]["record_preprocessor_script"]
    job = monitoring.job(execution)
    assert job["Environment"]["FLAVOUR"] == "tea"
    assert job["RoleArn"] == ROLE
    assert job["MonitoringScheduleArn"].endswith(f":monitoring-schedule/{monitoring.name}")
    assert monitoring.sagemaker.describe_monitoring_schedule(MonitoringScheduleName=monitoring.name)[
        "LastMonitoringExecutionSummary"
    ]["ProcessingJobArn"] == job["ProcessingJobArn"]  # fmt: skip


def test_hour_without_requests_fails_as_on_aws(monitoring: Monitoring) -> None:
    monitoring.sagemaker.create_data_quality_job_definition(**monitoring.define())
    monitoring.schedule()
    monitoring.next_hour()
    monitoring.next_hour()
    (execution, *_) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "Failed"
    assert execution["FailureReason"].startswith("Job inputs had no data: endpoint live captured nothing")
    assert "ProcessingJobArn" not in execution


def test_violations_are_a_status_and_metrics_of_files_are_cloudwatchs(monitoring: Monitoring) -> None:
    monitoring.monitor(
        "dimensions = [{'Name': 'Endpoint', 'Value': 'live'}]\n"
        "metric(MetricName='feature_baseline_drift_x', Dimensions=dimensions, Value=0.4,"
        " Timestamp=time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()))\n"
        "metric(MetricName='feature_data_x', Dimensions=dimensions, Timestamp=os.environ['end_time'],"
        " StatisticValues=dict(SampleCount=2, Sum=3, Minimum=1, Maximum=2))\n"
        "metric(MetricName='nothing')\n"
        "say('CompletedWithViolations: x has moved')"
    )
    monitoring.sagemaker.create_data_quality_job_definition(**monitoring.define())
    monitoring.schedule()
    monitoring.next_hour()
    monitoring.invoke()
    monitoring.next_hour()
    (execution, *_) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "CompletedWithViolations"
    assert monitoring.executions(StatusEquals="Completed") == []
    cloudwatch, now = monitoring.context.client("cloudwatch"), monitoring.clock.now()
    for name, statistic, value in (("baseline_drift", "Maximum", 0.4), ("data", "Sum", 3)):
        (found,) = cloudwatch.get_metric_statistics(
            Namespace="aws/sagemaker/Endpoints/data-metrics", MetricName=f"feature_{name}_x", Period=3600,
            Dimensions=[{"Name": "Endpoint", "Value": "live"}], Statistics=[statistic],
            StartTime=now - timedelta(minutes=30), EndTime=now + timedelta(minutes=30),
        )["Datapoints"]  # fmt: skip
        assert found[statistic] == value
    stream = monitoring.job(execution)["ProcessingJobName"]
    logs = monitoring.context.client("logs")
    group = "/aws/sagemaker/ProcessingJobs"
    (one,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=one["logStreamName"])["events"]
    assert "metrics.jsonl, line 3 is no metric" in "".join(event["message"] for event in events)


def test_failure_of_the_container_is_the_executions(monitoring: Monitoring) -> None:
    monitoring.monitor("say('no column is numeric')\nsys.exit(1)")
    monitoring.sagemaker.create_data_quality_job_definition(**monitoring.define())
    monitoring.invoke()
    monitoring.settle()  # what was captured is in S3
    monitoring.schedule("NOW", times={"DataAnalysisStartTime": "-PT1H", "DataAnalysisEndTime": "PT1H"})
    monitoring.settle()
    (execution,) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "AlgorithmError: no column is numeric, exit code: 1"


def test_labels_are_joined_before_quality_is_judged(monitoring: Monitoring) -> None:
    monitoring.monitor(LOOK)
    monitoring.next_hour()
    began = monitoring.clock.now()
    for name in ("early", "late", "never"):
        monitoring.invoke(f"{name},1", f"{monitoring.name}/{name}")

    def label(name: str, value: str) -> dict[str, Any]:
        return {
            "groundTruthData": {"data": value, "encoding": "CSV"},
            "eventMetadata": {"eventId": f"{monitoring.name}/{name}"},
            "eventVersion": "0",
        }

    truths = f"truth/{monitoring.name}"
    monitoring.put(f"{truths}/{began:%Y/%m/%d/%H}/a.jsonl", label("early", "1"), label("late", "0"), "{cut")
    later = began + timedelta(hours=1)
    monitoring.put(f"{truths}/{later:%Y/%m/%d/%H}/b.jsonl", label("late", "1"), label("unknown", "0"))
    request = monitoring.define(
        "ModelQuality",
        app={"ProblemType": "BinaryClassification"},
        endpoint_input={"ProbabilityAttribute": "0", "StartTimeOffset": "-PT2H", "EndTimeOffset": "-PT1H"},
        job_input={"GroundTruthS3Input": {"S3Uri": f"s3://lake/{truths}"}},
    )
    monitoring.sagemaker.create_model_quality_job_definition(**request)
    monitoring.reach(later)
    monitoring.schedule(kind="ModelQuality")
    monitoring.next_hour()
    (execution, *_) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "Completed", execution
    at = execution["ScheduledTime"]
    report = monitoring.get(f"reports/live/{monitoring.name}/{at:%Y/%m/%d/%H}/statistics.json")
    labels = {
        line["eventMetadata"]["inferenceId"].rpartition("/")[2]: line["groundTruthData"]["data"]
        for line in report["lines"]
        if line["eventMetadata"]["inferenceId"].startswith(monitoring.name)
    }
    assert labels == {"early": "1", "late": "1"}
    assert all("endpointOutput" in line["captureData"] for line in report["lines"])
    told = report["told"]
    assert json.loads(told["dataset_format"]) == {"sagemakerMergeJson": {"captureIndexNames": ["endpointOutput"]}}
    assert (told["analysis_type"], told["problem_type"]) == ("MODEL_QUALITY", "BinaryClassification")
    assert told["probability_attribute"] == "0"
    jobs = monitoring.sagemaker.list_processing_jobs(NameContains="groundtruth-merge")["ProcessingJobSummaries"]
    merge = monitoring.sagemaker.describe_processing_job(ProcessingJobName=jobs[0]["ProcessingJobName"])
    assert merge["ExitMessage"] == "Completed: 2 captured lines have a label, 1 labels have no line"


def test_stopped_schedule_waits_and_makes_up_for_nothing(monitoring: Monitoring) -> None:
    sagemaker, name = monitoring.sagemaker, monitoring.name
    sagemaker.create_data_quality_job_definition(**monitoring.define())
    monitoring.schedule("cron(0 6 ? * * *)", Tags=[{"Key": "team", "Value": "a"}])
    sagemaker.stop_monitoring_schedule(MonitoringScheduleName=name)
    monitoring.pass_time(days=2)
    assert monitoring.executions() == []
    (listed,) = sagemaker.list_monitoring_schedules(StatusEquals="Stopped", NameContains=name)[
        "MonitoringScheduleSummaries"
    ]
    assert (listed["MonitoringJobDefinitionName"], listed["EndpointName"]) == (name, "live")
    sagemaker.start_monitoring_schedule(MonitoringScheduleName=name)
    monitoring.pass_time(days=1)
    assert len(monitoring.executions()) == 1
    sagemaker.delete_monitoring_schedule(MonitoringScheduleName=name)
    monitoring.pass_time(days=1)
    # what came of a schedule outlives it
    assert len(monitoring.executions()) == 1
    with pytest.raises(ClientError, match="Could not find the monitoring schedule"):
        sagemaker.describe_monitoring_schedule(MonitoringScheduleName=name)


def test_definition_within_a_schedule_runs_and_a_schedule_takes_another_definition(monitoring: Monitoring) -> None:
    sagemaker, name = monitoring.sagemaker, monitoring.name
    target = {"S3Uri": "s3://lake/reports", "LocalPath": "/opt/ml/processing/output"}
    within = {
        "MonitoringInputs": [{"EndpointInput": {"EndpointName": "live", "LocalPath": "/opt/ml/processing/input/x"}}],
        "MonitoringOutputConfig": {"MonitoringOutputs": [{"S3Output": target}]},
        "MonitoringResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 20}
        },
        "MonitoringAppSpecification": {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/monitor:1"},
        "RoleArn": ROLE,
    }
    now = {
        "ScheduleExpression": "NOW", "DataAnalysisStartTime": "-PT1H", "DataAnalysisEndTime": "PT1H",
    }  # fmt: skip
    monitoring.invoke()
    monitoring.settle()
    sagemaker.create_monitoring_schedule(
        MonitoringScheduleName=name, MonitoringScheduleConfig={"ScheduleConfig": now, "MonitoringJobDefinition": within}
    )
    monitoring.settle()
    (execution,) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "Completed"
    sagemaker.create_data_quality_job_definition(**monitoring.define(name=f"{name}-b"))
    sagemaker.update_monitoring_schedule(
        MonitoringScheduleName=name,
        MonitoringScheduleConfig={
            "ScheduleConfig": now, "MonitoringJobDefinitionName": f"{name}-b", "MonitoringType": "DataQuality",
        },
    )  # fmt: skip
    monitoring.settle()
    assert monitoring.executions()[0]["MonitoringJobDefinitionName"] == f"{name}-b"


def test_what_can_not_be_run_is_refused_with_its_reason(monitoring: Monitoring) -> None:
    sagemaker, name = monitoring.sagemaker, monitoring.name
    with pytest.raises(ClientError, match="Could not find the job definition"):
        monitoring.schedule()
    with pytest.raises(ClientError, match="'-P1W' is not an offset such as -PT1H"):
        sagemaker.create_data_quality_job_definition(**monitoring.define(endpoint_input={"StartTimeOffset": "-P1W"}))
    sagemaker.create_data_quality_job_definition(**monitoring.define())
    with pytest.raises(ClientError, match="exists already"):
        sagemaker.create_data_quality_job_definition(**monitoring.define())
    with pytest.raises(ClientError, match=r"must be NOW, cron\(0 \* "):
        monitoring.schedule("cron(5 * ? * * *)")
    with pytest.raises(ClientError, match="NOW needs a DataAnalysisStartTime"):
        monitoring.schedule("NOW")
    sagemaker.delete_data_quality_job_definition(JobDefinitionName=name)
    with pytest.raises(ClientError, match="Could not find the job definition"):
        sagemaker.describe_data_quality_job_definition(JobDefinitionName=name)
