"""The API of pipelines: create, update, delete, list, and what each refuses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.executors.pipeline_builder import ROLE, PipelineBuilder


def code_of(raised: Any) -> str:
    return str(raised.value.response["Error"]["Code"])


def test_invalid_definition_changes_nothing(pipeline: PipelineBuilder) -> None:
    broken = pipeline.processing("Step", DependsOn=["Gone"])
    with pytest.raises(ClientError, match=r"step 'Step' refers to the step 'Gone', which doesn't exist\."):
        pipeline.create(broken)
    assert pipeline.sagemaker.list_pipelines()["PipelineSummaries"] == []
    pipeline.created = False
    pipeline.create(pipeline.processing("Step"))
    with pytest.raises(ClientError, match="which doesn't exist"):
        pipeline.create(broken)
    definition = pipeline.sagemaker.describe_pipeline(PipelineName="model")["PipelineDefinition"]
    assert "Gone" not in definition


def test_definition_is_read_from_s3(server: Any, pipeline: PipelineBuilder) -> None:
    text = pipeline.define(pipeline.processing("Step"))
    server.client("s3").put_object(Bucket="lake", Key="pipelines/model.json", Body=text.encode())
    location = {"Bucket": "lake", "ObjectKey": "pipelines/model.json"}
    request = {"PipelineName": "model", "RoleArn": ROLE, "PipelineDefinitionS3Location": location}
    pipeline.sagemaker.create_pipeline(**request)
    assert pipeline.sagemaker.describe_pipeline(PipelineName="model")["PipelineDefinition"] == text
    assert pipeline.statuses(pipeline.run()) == {"Step": "Succeeded"}
    location["ObjectKey"] = "none.json"
    with pytest.raises(ClientError, match="The pipeline definition can't be read"):
        pipeline.sagemaker.update_pipeline(**request)


def test_update_counts_for_executions_that_start_later(pipeline: PipelineBuilder) -> None:
    pipeline.create(pipeline.processing("Old"))
    first = pipeline.run()
    pipeline.create(pipeline.processing("New"), PipelineDescription="second")
    second = pipeline.run()
    assert (list(pipeline.steps(first)), list(pipeline.steps(second))) == (["Old"], ["New"])
    described = pipeline.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=first)
    assert '"Old"' in described["PipelineDefinition"]
    assert pipeline.sagemaker.describe_pipeline(PipelineName="model")["PipelineDescription"] == "second"


def test_names_and_tokens_are_unique(pipeline: PipelineBuilder) -> None:
    arn = pipeline.create(pipeline.processing("Step"), ClientRequestToken="t" * 32)
    request = {
        "PipelineName": "model", "RoleArn": ROLE, "PipelineDefinition": pipeline.define(pipeline.processing("Step")),
    }  # fmt: skip
    assert pipeline.sagemaker.create_pipeline(**request, ClientRequestToken="t" * 32)["PipelineArn"] == arn
    with pytest.raises(ClientError, match="Pipeline names must be unique"):
        pipeline.sagemaker.create_pipeline(**request)
    started = pipeline.start(ClientRequestToken="x" * 32)
    assert pipeline.start(ClientRequestToken="x" * 32) == started
    other = pipeline.start(ClientRequestToken="y" * 32)
    assert other != started
    assert len(pipeline.sagemaker.list_pipeline_executions(PipelineName="model")["PipelineExecutionSummaries"]) == 2


def test_pipeline_with_a_running_execution_is_not_deleted(pipeline: PipelineBuilder) -> None:
    token = "z" * 32
    pipeline.create(pipeline.processing("Slow", "wait=never", CacheConfig={"Enabled": True}))
    execution = pipeline.start(ClientRequestToken=token)
    pipeline.until(execution, "Slow")
    with pytest.raises(ClientError, match="has running executions") as raised:
        pipeline.sagemaker.delete_pipeline(PipelineName="model")
    assert code_of(raised) == "ConflictException"
    pipeline.sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    pipeline.ended(execution)
    pipeline.sagemaker.delete_pipeline(PipelineName="model")
    with pytest.raises(ClientError) as raised:
        pipeline.describe(execution)
    assert code_of(raised) == "ResourceNotFound"
    with pytest.raises(ClientError, match="does not exist"):
        pipeline.start()
    # a pipeline of the same name starts from nothing
    pipeline.created = False
    pipeline.create(pipeline.processing("Fast"))
    assert pipeline.start(ClientRequestToken=token) != execution


def test_executions_are_listed_newest_first_with_their_reason(pipeline: PipelineBuilder) -> None:
    reject = {"Name": "Reject", "Type": "Fail", "Arguments": {"ErrorMessage": "too bad"}}
    pipeline.create(reject)
    arns = [pipeline.run(PipelineExecutionDisplayName=f"run-{number}") for number in range(3)]
    sagemaker = pipeline.sagemaker
    first = sagemaker.list_pipeline_executions(PipelineName="model", MaxResults=2)
    names = [item["PipelineExecutionDisplayName"] for item in first["PipelineExecutionSummaries"]]
    assert names == ["run-2", "run-1"]
    rest = sagemaker.list_pipeline_executions(PipelineName="model", MaxResults=2, NextToken=first["NextToken"])
    (oldest,) = rest["PipelineExecutionSummaries"]
    assert "NextToken" not in rest
    assert oldest["PipelineExecutionArn"] == arns[0]
    assert oldest["PipelineExecutionStatus"] == "Failed"
    assert oldest["PipelineExecutionFailureReason"].endswith("Reject: too bad")
    by_arn = sagemaker.list_pipeline_executions(
        PipelineName="model", SortBy="PipelineExecutionArn", SortOrder="Ascending"
    )
    assert [item["PipelineExecutionArn"] for item in by_arn["PipelineExecutionSummaries"]] == sorted(arns)
    in_an_hour = oldest["StartTime"] + timedelta(hours=1)
    for time_filter, count in (("CreatedAfter", 0), ("CreatedBefore", 3)):
        found = sagemaker.list_pipeline_executions(PipelineName="model", **{time_filter: in_an_hour})
        assert len(found["PipelineExecutionSummaries"]) == count
    with pytest.raises(ClientError, match="is not a token of this operation"):
        sagemaker.list_pipeline_executions(PipelineName="model", NextToken="nonsense")


def test_parameters_of_an_execution_are_listed_as_text(pipeline: PipelineBuilder) -> None:
    parameters = [
        {"Name": "Flag", "Type": "Boolean", "DefaultValue": False},
        {"Name": "Count", "Type": "Integer", "DefaultValue": 3},
    ]
    pipeline.create(pipeline.processing("Step"), parameters=parameters)
    found = pipeline.sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=pipeline.run({"Count": "4"}))
    assert found["PipelineParameters"] == [{"Name": "Flag", "Value": "false"}, {"Name": "Count", "Value": "4"}]


def test_pipelines_are_listed_by_prefix_and_name(pipeline: PipelineBuilder) -> None:
    for name in ("flights", "delay-flights", "fleet"):
        pipeline.name, pipeline.created = name, False
        pipeline.create(pipeline.processing("Step"))
    found = pipeline.sagemaker.list_pipelines(PipelineNamePrefix="fl", SortBy="Name", SortOrder="Ascending")
    assert [item["PipelineName"] for item in found["PipelineSummaries"]] == ["fleet", "flights"]


def test_step_that_runs_shows_its_job(pipeline: PipelineBuilder) -> None:
    pipeline.create(pipeline.processing("Slow", "wait=never"))
    execution = pipeline.start()
    pipeline.until(execution, "Slow")
    job = pipeline.steps(execution)["Slow"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert job.startswith(f"pipelines-{execution.rpartition('/')[2]}-Slow-")
    assert pipeline.sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "InProgress"


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("describe_pipeline", {"PipelineVersionId": 1}),
        ("start_pipeline_execution", {"PipelineVersionId": 1}),
        ("start_pipeline_execution", {"SelectiveExecutionConfig": {"SelectedSteps": [{"StepName": "Step"}]}}),
    ],
)
def test_what_is_not_acted_on_is_refused(pipeline: PipelineBuilder, operation: str, arguments: dict[str, Any]) -> None:
    pipeline.create(pipeline.processing("Step"))
    with pytest.raises(ClientError, match=f"doesn't act on {next(iter(arguments))}"):
        getattr(pipeline.sagemaker, operation)(PipelineName="model", **arguments)


def test_only_running_executions_can_be_stopped(pipeline: PipelineBuilder) -> None:
    pipeline.create(pipeline.processing("Step"))
    execution = pipeline.run()
    with pytest.raises(ClientError, match="Only pipelines with 'Executing' status can be stopped"):
        pipeline.sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution)
    with pytest.raises(ClientError) as raised:
        pipeline.sagemaker.stop_pipeline_execution(PipelineExecutionArn=f"{execution}x")
    assert code_of(raised) == "ResourceNotFound"


def test_execution_can_be_renamed(pipeline: PipelineBuilder) -> None:
    pipeline.create(pipeline.processing("Step"))
    execution = pipeline.run()
    pipeline.sagemaker.update_pipeline_execution(
        PipelineExecutionArn=execution, PipelineExecutionDisplayName="best-so-far"
    )
    assert pipeline.describe(execution)["PipelineExecutionDisplayName"] == "best-so-far"
