"""How pipeline executions end: failures, stops, retries, and what may not stay behind."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.local_aws.executors.pipeline_builder import PipelineBuilder


def test_failed_step_lets_running_ones_finish_and_starts_no_others(pipeline: PipelineBuilder, tmp_path: Path) -> None:
    pipeline.create(
        pipeline.processing("Broken", "wait=running", "fail=flights.csv is corrupt"),
        pipeline.processing("Running", "mark=running", "wait=failed"),
        pipeline.processing("AfterRunning", DependsOn=["Running"]),
        pipeline.processing("AfterBroken", DependsOn=["Broken"]),
    )
    execution = pipeline.start()
    pipeline.until(execution, "Broken", "Failed")
    assert pipeline.describe(execution)["PipelineExecutionStatus"] == "Executing"
    (tmp_path / "marks" / "failed").touch()
    described = pipeline.ended(execution)
    assert pipeline.statuses(execution) == {"Broken": "Failed", "Running": "Succeeded"}
    assert described["PipelineExecutionStatus"] == "Failed"
    reason = "AlgorithmError: flights.csv is corrupt, exit code: 1"
    assert pipeline.steps(execution)["Broken"]["FailureReason"] == reason
    assert described["FailureReason"] == f"Step failure: One or multiple steps failed: Broken: {reason}"


def test_stop_ends_the_running_job_and_starts_nothing_more(pipeline: PipelineBuilder) -> None:
    pipeline.create(pipeline.training("Slow", "wait=never"), pipeline.processing("Next", DependsOn=["Slow"]))
    execution = pipeline.start()
    pipeline.until(execution, "Slow")
    pipeline.sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    assert pipeline.describe(execution)["PipelineExecutionStatus"] in ("Stopping", "Stopped")
    assert pipeline.ended(execution)["PipelineExecutionStatus"] == "Stopped"
    steps = pipeline.steps(execution)
    assert pipeline.statuses(execution) == {"Slow": "Stopped"}
    job = steps["Slow"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    assert pipeline.sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobStatus"] == "Stopped"


def test_stop_right_after_the_start_ends_stopped(pipeline: PipelineBuilder) -> None:
    pipeline.create(pipeline.training("Slow", "wait=never"))
    for _ in range(5):
        execution = pipeline.start()
        pipeline.sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
        assert pipeline.ended(execution)["PipelineExecutionStatus"] == "Stopped"
        assert set(pipeline.statuses(execution).values()) <= {"Stopped"}


def test_retry_runs_only_what_did_not_succeed(pipeline: PipelineBuilder, tmp_path: Path) -> None:
    pipeline.create(
        pipeline.processing("Good"),
        pipeline.processing(
            "Flaky", "wait=now", DependsOn=["Good"], arguments={"StoppingCondition": {"MaxRuntimeInSeconds": 1}}
        ),
    )
    execution = pipeline.run()
    first = pipeline.steps(execution)
    assert pipeline.statuses(execution) == {"Good": "Succeeded", "Flaky": "Failed"}
    assert "longer than its limit of 1 seconds" in first["Flaky"]["FailureReason"]
    (tmp_path / "marks" / "now").touch()
    pipeline.sagemaker.retry_pipeline_execution(PipelineExecutionArn=execution)
    assert pipeline.describe(execution)["PipelineExecutionStatus"] == "Executing"
    described = pipeline.ended(execution)
    assert described["PipelineExecutionStatus"] == "Succeeded"
    assert "FailureReason" not in described
    again = pipeline.steps(execution)
    assert again["Good"] == first["Good"]
    assert again["Flaky"]["StartTime"] > first["Flaky"]["StartTime"]
    with pytest.raises(pipeline.sagemaker.exceptions.ClientError, match="Only failed or stopped"):
        pipeline.sagemaker.retry_pipeline_execution(PipelineExecutionArn=execution)


def test_step_that_failed_by_no_fault_of_its_own_is_tried_again_if_it_asks_for_it(
    pipeline: PipelineBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local_aws.sagemaker.processing_job import ProcessingJob

    attempts: list[str] = []
    prepare = ProcessingJob._prepare

    def break_once(job: ProcessingJob) -> None:
        attempts.append(job.name_)
        if len(attempts) == 1:
            raise OSError(5, "input/output error")
        prepare(job)

    monkeypatch.setattr(ProcessingJob, "_prepare", break_once)
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 0, "MaxAttempts": 3}
    pipeline.create(pipeline.processing("Once", RetryPolicies=[policy]))
    execution = pipeline.run()
    assert pipeline.statuses(execution) == {"Once": "Succeeded"}
    assert pipeline.steps(execution)["Once"]["AttemptCount"] == 2
    attempts.clear()
    pipeline.create(pipeline.processing("Once"))
    assert "InternalServerError: [Errno 5]" in pipeline.describe(pipeline.run())["FailureReason"]


def test_closing_the_service_ends_executions_and_their_jobs(server: Any, pipeline: PipelineBuilder) -> None:
    pipeline.create(pipeline.training("Slow", "wait=never"), pipeline.processing("Next", DependsOn=["Slow"]))
    execution = pipeline.start()
    pipeline.until(execution, "Slow")
    server.services[0].close()
    assert pipeline.describe(execution)["PipelineExecutionStatus"] == "Stopped"
    assert pipeline.statuses(execution) == {"Slow": "Stopped"}
    with pytest.raises(pipeline.sagemaker.exceptions.ClientError, match="is stopping"):
        pipeline.start()


def test_no_thread_outlives_its_execution(pipeline: PipelineBuilder) -> None:
    pipeline.create(
        pipeline.processing("A"), pipeline.training("B", "fail=no"), pipeline.processing("C", DependsOn=["A"])
    )
    before = set(threading.enumerate())
    for _ in range(2):
        pipeline.run()

    def added() -> list[str]:
        # requests are answered in threads of the server
        return [
            thread.name
            for thread in set(threading.enumerate()) - before
            if thread.name.startswith(("pipeline-", "step-", "processing-", "training-", "logs-of-", "output-of-"))
        ]

    pipeline.wait(added, lambda names: not names, 10)
