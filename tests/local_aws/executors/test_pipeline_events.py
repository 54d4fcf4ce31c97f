"""Events of pipeline executions, and targets that misbehave."""

from __future__ import annotations

from typing import Any

from tests.local_aws.executors.pipeline_builder import PipelineBuilder


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


def test_target_of_an_event_can_ask_about_the_execution(server: Any, pipeline: PipelineBuilder) -> None:
    asked: list[str] = []

    def ask(_: str, __: str, detail: dict[str, Any], ___: list[str]) -> None:
        if "stepName" in detail:
            asked.extend(pipeline.statuses(detail["pipelineExecutionArn"]))

    server.context.emit = ask
    pipeline.create(pipeline.processing("Good"))
    assert pipeline.describe(pipeline.run())["PipelineExecutionStatus"] == "Succeeded"
    pipeline.wait(lambda: asked, lambda names: names == ["Good", "Good"])
