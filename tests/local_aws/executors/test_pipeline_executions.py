"""Pipeline executions: what runs, in which order and branch, and what is taken from the cache."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from typing import Any

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
