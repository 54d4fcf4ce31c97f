"""Pipeline executions: what runs, in which order, with which values, and how it ends."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.local_aws.executors.pipeline_builder import PipelineBuilder

AUC = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "metrics.auc.value"}}


def gate(pipeline: PipelineBuilder, **branches: Any) -> dict[str, Any]:
    condition = {"Type": "GreaterThanOrEqualTo", "LeftValue": AUC, "RightValue": {"Get": "Parameters.MinimumAuc"}}
    return {"Name": "Gate", "Type": "Condition", "Arguments": {"Conditions": [condition], **branches}}


def model_pipeline(pipeline: PipelineBuilder, auc: float) -> None:
    """Prepare, train, evaluate, and register if the gate lets the model through."""
    prepare = pipeline.processing(
        "Prepare", "write=processing/train/rows.csv:1,2", outputs={"train": "s3://lake/train"}
    )
    data = {"Get": "Steps.Prepare.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"}
    train = pipeline.training("Train", "write=model/model.txt:trees", data=data)
    evaluate = pipeline.processing(
        "Evaluate",
        f"write=processing/report/out/report.json:{json.dumps({'metrics': {'auc': {'value': auc}}})}",
        outputs={"report": "s3://lake/report"},
        DependsOn=["Train"],
        PropertyFiles=[{"PropertyFileName": "Report", "OutputName": "report", "FilePath": "out/report.json"}],
    )
    artifacts = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    register = pipeline.register("Register", artifacts, ModelApprovalStatus="PendingManualApproval")
    model = {
        "Name": "Model",
        "Type": "Model",
        "Arguments": {"PrimaryContainer": {"Image": pipeline.image, "ModelDataUrl": artifacts}},
    }
    message = {"Std:Join": {"On": " ", "Values": ["AUC", AUC, "is below", {"Get": "Parameters.MinimumAuc"}]}}
    reject = {"Name": "Reject", "Type": "Fail", "Arguments": {"ErrorMessage": message}}
    pipeline.sagemaker.create_model_package_group(ModelPackageGroupName="group")
    pipeline.create(
        gate(pipeline, IfSteps=[register, model], ElseSteps=[reject]),
        evaluate,
        train,
        prepare,
        parameters=[{"Name": "MinimumAuc", "Type": "Float", "DefaultValue": 0.72}],
    )


def packages(pipeline: PipelineBuilder) -> list[dict[str, Any]]:
    found = pipeline.sagemaker.list_model_packages(ModelPackageGroupName="group")["ModelPackageSummaryList"]
    return list(found)


def output_of(server: Any, key: str) -> str:
    return str(server.client("s3").get_object(Bucket="lake", Key=key)["Body"].read().decode())


def test_model_that_passes_the_gate_is_registered(server: Any, pipeline: PipelineBuilder) -> None:
    model_pipeline(pipeline, auc=0.75)
    execution = pipeline.run()
    assert pipeline.statuses(execution) == dict.fromkeys(
        ("Prepare", "Train", "Evaluate", "Gate", "Register", "Model"), "Succeeded"
    ), pipeline.describe(execution)
    steps = pipeline.steps(execution)
    assert steps["Gate"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    (package,) = packages(pipeline)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert steps["Register"]["Metadata"]["RegisterModel"]["Arn"] == package["ModelPackageArn"]
    described = pipeline.sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])
    model_data = described["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    archive = server.client("s3").get_object(Bucket="lake", Key=model_data.removeprefix("s3://lake/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames() == ["model.txt"]
    name = steps["Model"]["Metadata"]["Model"]["Arn"].rpartition("/")[2]
    model = pipeline.sagemaker.describe_model(ModelName=name)
    assert model["PrimaryContainer"]["ModelDataUrl"] == model_data
    job = steps["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    assert pipeline.sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobStatus"] == "Completed"


def test_model_that_fails_the_gate_is_not_registered_and_the_execution_says_why(pipeline: PipelineBuilder) -> None:
    model_pipeline(pipeline, auc=0.6)
    execution = pipeline.run()
    described = pipeline.describe(execution)
    assert described["PipelineExecutionStatus"] == "Failed"
    assert described["FailureReason"].endswith("Reject: AUC 0.6 is below 0.72")
    assert packages(pipeline) == []
    steps = pipeline.steps(execution)
    assert list(steps) == ["Prepare", "Train", "Evaluate", "Gate", "Reject"], "the branch not taken isn't listed"
    assert steps["Reject"]["FailureReason"] == "AUC 0.6 is below 0.72"
    assert steps["Reject"]["Metadata"] == {"Fail": {"ErrorMessage": "AUC 0.6 is below 0.72"}}
    # and the limit is a parameter of the execution
    assert pipeline.ended(pipeline.start({"MinimumAuc": "0.5"}))["PipelineExecutionStatus"] == "Succeeded"
    assert len(packages(pipeline)) == 1


def test_expressions_become_values_of_their_type(server: Any, pipeline: PipelineBuilder) -> None:
    execution_values = [{"Get": f"Execution.{name}"} for name in ("PipelineName", "PipelineExecutionId", "PipelineArn")]
    values = [{"Get": f"Parameters.{name}"} for name in ("Text", "Count", "Share", "Flag")]
    joined = {"Std:Join": {"On": "|", "Values": [*values, *execution_values]}}
    uri = {"Std:Join": {"On": "/", "Values": ["s3://lake", {"Get": "Parameters.Text"}]}}
    first = pipeline.processing(
        "First",
        {"Std:Join": {"On": "", "Values": ["write=processing/x/a.txt:", joined]}},
        outputs={"x": uri},  # type: ignore[dict-item]
        arguments={"StoppingCondition": {"MaxRuntimeInSeconds": {"Get": "Parameters.Count"}}},
    )
    of_first = [
        {"Get": f"Steps.First.{path}"}
        for path in (
            "ProcessingJobStatus",
            "ProcessingResources.ClusterConfig.InstanceCount",
            "AppSpecification.ImageUri",
            "Environment.COLOUR",
            "Environment['COLOUR']",
            "ProcessingOutputConfig.Outputs[0].OutputName",
            "StoppingCondition.MaxRuntimeInSeconds",
        )
    ]
    first["Arguments"]["Environment"]["COLOUR"] = {"Get": "Parameters.Share"}
    second = pipeline.processing(
        "Second",
        {
            "Std:Join": {
                "On": "",
                "Values": ["write=processing/y/b.txt:", {"Std:Join": {"On": "|", "Values": of_first}}],
            }
        },
        outputs={"y": "s3://lake/second"},
    )
    kinds = {"Text": ("String", "a/b"), "Count": ("Integer", 30), "Share": ("Float", 0.5), "Flag": ("Boolean", False)}
    arn = pipeline.create(
        second,
        first,
        parameters=[{"Name": name, "Type": kind, "DefaultValue": value} for name, (kind, value) in kinds.items()],
    )
    execution = pipeline.run({"Count": "45", "Flag": "true"})
    assert pipeline.describe(execution)["PipelineExecutionStatus"] == "Succeeded", pipeline.steps(execution)
    identity = execution.rpartition("/")[2]
    assert output_of(server, "a/b/a.txt") == f"a/b|45|0.5|true|model|{identity}|{arn}"
    assert output_of(server, "second/b.txt") == f"Completed|1|{pipeline.image}|0.5|0.5|x|45"


def test_json_can_be_read_from_any_uri_of_s3(server: Any, pipeline: PipelineBuilder) -> None:
    server.client("s3").put_object(Bucket="lake", Key="champion.json", Body=b'{"runs": [{"auc": 0.7}]}')
    read = {"Std:JsonGet": {"S3Uri": {"Get": "Parameters.Champion"}, "Path": "runs[0].auc"}}
    reject = {"Name": "Reject", "Type": "Fail", "Arguments": {"ErrorMessage": read}}
    pipeline.create(
        reject, parameters=[{"Name": "Champion", "Type": "String", "DefaultValue": "s3://lake/champion.json"}]
    )
    assert pipeline.steps(pipeline.run())["Reject"]["FailureReason"] == "0.7"
    missing = pipeline.steps(pipeline.run({"Champion": "s3://lake/none.json"}))["Reject"]["FailureReason"]
    assert "s3://lake/none.json can't be read" in missing


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ({"Type": "Equals", "LeftValue": {"Get": "Parameters.N"}, "RightValue": "3"}, "True"),
        ({"Type": "Equals", "LeftValue": "a", "RightValue": "A"}, "False"),
        ({"Type": "GreaterThan", "LeftValue": {"Get": "Parameters.N"}, "RightValue": 3}, "False"),
        ({"Type": "LessThan", "LeftValue": 2.5, "RightValue": {"Get": "Parameters.N"}}, "True"),
        ({"Type": "In", "QueryValue": {"Get": "Parameters.N"}, "Values": ["1", "3"]}, "True"),
        ({"Type": "Not", "Condition": {"Type": "Equals", "LeftValue": 1, "RightValue": 1}}, "False"),
        (
            {
                "Type": "Or",
                "Conditions": [
                    {"Type": "Equals", "LeftValue": 1, "RightValue": 2},
                    {"Type": "LessThanOrEqualTo", "LeftValue": 2, "RightValue": 2},
                ],
            },
            "True",
        ),
    ],
    ids=lambda value: value["Type"] if isinstance(value, dict) else value,
)
def test_conditions(pipeline: PipelineBuilder, condition: dict[str, Any], outcome: str) -> None:
    step = {"Name": "Check", "Type": "Condition", "Arguments": {"Conditions": [condition]}}
    pipeline.create(step, parameters=[{"Name": "N", "Type": "Integer", "DefaultValue": 3}])
    assert pipeline.steps(pipeline.run())["Check"]["Metadata"] == {"Condition": {"Outcome": outcome}}


def test_condition_on_what_is_no_number_fails_its_step(pipeline: PipelineBuilder) -> None:
    condition = {"Type": "LessThan", "LeftValue": "high", "RightValue": 1}
    pipeline.create({"Name": "Check", "Type": "Condition", "Arguments": {"Conditions": [condition]}})
    assert "LessThan compares numbers, not 'high' and 1" in pipeline.steps(pipeline.run())["Check"]["FailureReason"]


def test_steps_without_dependence_run_at_the_same_time(pipeline: PipelineBuilder) -> None:
    # each waits for the other
    pipeline.create(
        pipeline.processing("A", "mark=a", "wait=b"),
        pipeline.processing("B", "mark=b", "wait=a"),
        pipeline.processing("C", "say=last", DependsOn=["A", "B"]),
    )
    execution = pipeline.run()
    assert pipeline.statuses(execution) == {"A": "Succeeded", "B": "Succeeded", "C": "Succeeded"}
    steps = pipeline.steps(execution)
    assert steps["C"]["StartTime"] >= max(steps["A"]["EndTime"], steps["B"]["EndTime"])


def test_parallelism_is_limited_by_the_pipeline_and_by_the_execution(pipeline: PipelineBuilder) -> None:
    one = {"MaxParallelExecutionSteps": 1}
    steps = [pipeline.processing(name) for name in ("A", "B", "C")]
    pipeline.create(*steps, ParallelismConfiguration={"MaxParallelExecutionSteps": 50})
    found = list(pipeline.steps(pipeline.run(ParallelismConfiguration=one)).values())
    assert all(later["StartTime"] >= earlier["EndTime"] for earlier, later in itertools.pairwise(found))


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


def test_cached_step_is_not_run_again_while_its_inputs_stay(pipeline: PipelineBuilder) -> None:
    cache = {"Enabled": True, "ExpireAfter": "P1D"}

    def define(word: str, **config: Any) -> None:
        train = pipeline.training("Train", f"say={word}", CacheConfig={**cache, **config})
        artifacts = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
        pipeline.create(train, {"Name": "Show", "Type": "Fail", "Arguments": {"ErrorMessage": artifacts}})

    def hit(execution: str) -> str | None:
        found = pipeline.steps(execution)["Train"].get("CacheHitResult", {}).get("SourcePipelineExecutionArn")
        return found if found is None else str(found)

    define("one")
    first, second = pipeline.run(), pipeline.run()
    assert hit(first) is None
    assert hit(second) == first
    # what later steps read of a cached step is what the earlier run left
    assert pipeline.steps(first)["Show"]["FailureReason"] == pipeline.steps(second)["Show"]["FailureReason"]
    assert pipeline.steps(first)["Train"]["Metadata"] == pipeline.steps(second)["Train"]["Metadata"]
    define("two")
    assert hit(pipeline.run()) is None
    define("one", Enabled=False)
    assert hit(third := pipeline.run()) is None
    define("one")
    assert hit(pipeline.run()) == third, "the newest success counts"
    define("one", ExpireAfter="T0S")
    assert hit(pipeline.run()) is None, "expired"


def test_branches_inside_branches_and_what_follows_them(pipeline: PipelineBuilder) -> None:
    def check(name: str, value: int, **branches: Any) -> dict[str, Any]:
        condition = {"Type": "Equals", "LeftValue": value, "RightValue": 1}
        return {"Name": name, "Type": "Condition", "Arguments": {"Conditions": [condition], **branches}}

    never = check("Never", 1, IfSteps=[pipeline.processing("Deep")])
    inner = check("Inner", 2, IfSteps=[never], ElseSteps=[pipeline.processing("Taken")])
    pipeline.create(
        check("Outer", 1, IfSteps=[inner]),
        pipeline.processing("AfterTaken", DependsOn=["Taken"]),
        pipeline.processing("AfterDeep", DependsOn=["Deep"]),
    )
    execution = pipeline.run()
    assert pipeline.describe(execution)["PipelineExecutionStatus"] == "Succeeded"
    assert list(pipeline.steps(execution)) == ["Outer", "Inner", "Taken", "AfterTaken"]


def test_every_change_of_status_is_an_event(server: Any, pipeline: PipelineBuilder) -> None:
    pipeline.create(pipeline.processing("Broken", "fail=no rows"))
    execution = pipeline.run()
    server.event(currentPipelineExecutionStatus="Failed")
    seen = [(kind, detail) for _, kind, detail in server.events if "Model Building Pipeline" in kind]
    executions = [detail for kind, detail in seen if kind.endswith("Pipeline Execution Status Change")]
    steps = [detail for kind, detail in seen if kind.endswith("Execution Step Status Change")]
    assert [detail["currentPipelineExecutionStatus"] for detail in executions] == ["Executing", "Failed"]
    assert [detail["currentStepStatus"] for detail in steps] == ["Executing", "Failed"]
    assert executions[-1]["previousPipelineExecutionStatus"] == "Executing"
    assert steps[-1]["failureReason"] == "AlgorithmError: no rows, exit code: 1"
    assert steps[-1]["metadata"]["processingJob"]["arn"].startswith("arn:aws:sagemaker:")
    assert steps[-1]["stepStartTime"] <= steps[-1]["stepEndTime"]
    assert {detail["pipelineExecutionArn"] for detail in [*executions, *steps]} == {execution}
    assert {source for source, kind, _ in server.events} == {"aws.sagemaker"}


def test_broken_target_of_an_event_stops_nothing(server: Any, pipeline: PipelineBuilder) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the target is gone")

    server.context.emit = broken
    pipeline.create(pipeline.processing("Good"))
    assert pipeline.describe(pipeline.run())["PipelineExecutionStatus"] == "Succeeded"


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


def test_target_of_an_event_can_ask_about_the_execution(server: Any, pipeline: PipelineBuilder) -> None:
    asked: list[str] = []

    def ask(_: str, __: str, detail: dict[str, Any], ___: list[str]) -> None:
        if "stepName" in detail:
            asked.extend(pipeline.statuses(detail["pipelineExecutionArn"]))

    server.context.emit = ask
    pipeline.create(pipeline.processing("Good"))
    assert pipeline.describe(pipeline.run())["PipelineExecutionStatus"] == "Succeeded"
    pipeline.wait(lambda: asked, lambda names: names == ["Good", "Good"])
