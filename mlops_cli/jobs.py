"""Pipeline executions: waiting for them with their progress as it happens, and what they leave."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mlops_cli.deployment import DeploymentError

Report = Callable[[str], None]


def run_pipeline(sagemaker: Any, name: str, parameters: dict[str, str], report: Report, poll: float) -> str:
    """Start an execution and return its ARN when it has succeeded. Raises DeploymentError with the step's reason."""
    execution: str = sagemaker.start_pipeline_execution(
        PipelineName=name, PipelineParameters=[{"Name": key, "Value": value} for key, value in parameters.items()]
    )["PipelineExecutionArn"]
    finished: set[str] = set()
    while True:
        status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution, SortOrder="Ascending")[
            "PipelineExecutionSteps"
        ]
        running = [step["StepName"] for step in steps if step["StepStatus"] in ("Starting", "Executing")]
        finished |= {step["StepName"] for step in steps if step["StepStatus"] == "Succeeded"}
        done = [f"{name} done" for name in sorted(finished)]
        report(", ".join([*done, *(f"{name} runs" for name in running)]) or "starting")
        state = status["PipelineExecutionStatus"]
        if state == "Succeeded":
            return execution
        if state in ("Failed", "Stopped"):
            reasons = [f"{step['StepName']}: {step['FailureReason']}" for step in steps if step.get("FailureReason")]
            reason = "; ".join(reasons) or status.get("FailureReason", "no reason given")
            raise DeploymentError(f"the pipeline execution {execution} ended {state}: {reason}")
        time.sleep(poll)


def registered_package(sagemaker: Any, execution: str) -> str:
    """Return the ARN of the model package that an execution registered. Raises DeploymentError when it did none."""
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    for step in steps:
        if "RegisterModel" in step.get("Metadata", {}):
            return str(step["Metadata"]["RegisterModel"]["Arn"])
    raise DeploymentError(f"the execution {execution} registered no model package")


def step_output(sagemaker: Any, execution: str, step: str, output: str) -> str:
    """Return the S3 URI of an output of a Processing step."""
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    arn = next(each["Metadata"]["ProcessingJob"]["Arn"] for each in steps if each["StepName"] == step)
    job = sagemaker.describe_processing_job(ProcessingJobName=arn.rsplit("/", 1)[1])
    return next(
        str(each["S3Output"]["S3Uri"])
        for each in job["ProcessingOutputConfig"]["Outputs"]
        if each["OutputName"] == output
    )
