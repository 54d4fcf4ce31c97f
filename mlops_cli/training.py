"""Training by hand, through the state machine that all triggers of a model go through, and following it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from mlops_cli.deployment import Deployment, DeploymentError, dashed

ENDED = frozenset({"Succeeded", "Failed", "Stopped", "CompletedWithFailures"})
_BUSY = frozenset({"Starting", "Executing", "Stopping"})


@dataclass(frozen=True)
class Step:
    """A step of an execution: `seconds` that it took or takes, and what there is to say of it."""

    name: str
    status: str
    seconds: float
    note: str = ""

    @property
    def is_busy(self) -> bool:
        """Whether it is at work."""
        return self.status in _BUSY


@dataclass(frozen=True)
class Progress:
    """How far a training is: what it waits for as long as it has no execution, then the steps, oldest first."""

    status: str
    execution: str = ""
    joined: bool = False
    steps: Sequence[Step] = ()
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether every step that was reached has succeeded."""
        return self.status == "Succeeded"


@dataclass
class Training:
    """One request to train a model, from `start` on; or to run another pipeline of its, of the stack `<model>-<part>`.

    `trigger` is the stack's output with the state machine that the pipeline's triggers go through.
    """

    deployment: Deployment
    model: str
    poll: float
    sleep: Callable[[float], None] = time.sleep
    part: str = "training"
    trigger: str = "TrainingTriggerArn"
    _seen: dict[str, float] = field(default_factory=dict)

    def start(self, parameters: Mapping[str, str]) -> str:
        """Ask for an execution with these parameters, and return the ARN of the request: a state machine's execution.

        Raises DeploymentError when the model isn't deployed, ValueError for a parameter that its pipeline doesn't have.
        """
        outputs = self.deployment.outputs(f"{dashed(self.model)}-{self.part}")
        self._pipeline = outputs["PipelineName"]
        self._check(parameters)
        given = [{"Name": name, "Value": value} for name, value in parameters.items()]
        asked: dict[str, Any] = {"trigger": "by-hand", **({"parameters": given} if given else {})}
        started = self.deployment.client("stepfunctions").start_execution(
            stateMachineArn=outputs[self.trigger], input=json.dumps(asked)
        )
        return str(started["executionArn"])

    def follow(self, request: str) -> Iterator[Progress]:
        """Yield how far it is until it has ended; the last one tells how.

        Raises DeploymentError when the request leads to no execution.
        """
        states = self.deployment.client("stepfunctions")
        while (found := states.describe_execution(executionArn=request))["status"] == "RUNNING":
            yield Progress(self._waits_for())
            self.sleep(self.poll)
        if found["status"] != "SUCCEEDED":
            reason = found.get("cause") or found.get("error") or "no reason given"
            raise DeploymentError(f"{self._pipeline} wasn't started, the request {found['status'].lower()}: {reason}")
        output = json.loads(found["output"])
        if "waits_for" in output:
            raise DeploymentError(
                f"{self._pipeline} has no data yet, {output['waits_for']} isn't there: land days, see "
                "`mlops data status`"
            )
        while True:
            progress = self._progress(output["PipelineExecutionArn"], joined=output["joined"])
            yield progress
            if progress.ended:
                return
            self.sleep(self.poll)

    def _check(self, parameters: Mapping[str, str]) -> None:
        described = self.deployment.client("sagemaker").describe_pipeline(PipelineName=self._pipeline)
        known = [each["Name"] for each in json.loads(described["PipelineDefinition"]).get("Parameters", [])]
        for name in parameters:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{self._pipeline} has no parameter {name!r}, it has {', '.join(known)}{hint}")

    def _waits_for(self) -> str:
        newest = self.deployment.client("sagemaker").list_pipeline_executions(
            PipelineName=self._pipeline, SortBy="CreationTime", SortOrder="Descending", MaxResults=1
        )["PipelineExecutionSummaries"]
        if newest and newest[0]["PipelineExecutionStatus"] not in ENDED:
            return f"waits for the end of {newest[0]['PipelineExecutionArn'].rpartition('/')[2]}"
        return "starting"

    def _progress(self, execution: str, *, joined: bool) -> Progress:
        sagemaker = self.deployment.client("sagemaker")
        # the status first: the steps are at least as new
        described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)
        pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
            PipelineExecutionArn=execution, SortOrder="Ascending"
        )
        found = [step for page in pages for step in page["PipelineExecutionSteps"]]
        status = described["PipelineExecutionStatus"]
        reasons = [f"{step['StepName']}: {step['FailureReason']}" for step in found if step.get("FailureReason")]
        reason = "" if status not in ENDED else "; ".join(reasons) or described.get("FailureReason", "")
        return Progress(status, execution, joined, tuple(self._step(step) for step in found), reason)

    def _step(self, step: Mapping[str, Any]) -> Step:
        name = step["StepName"]
        began = self._seen.setdefault(name, time.monotonic())
        seconds = time.monotonic() - began
        if "EndTime" in step:
            seconds = (step["EndTime"] - step["StartTime"]).total_seconds()
        note = step.get("FailureReason", "")
        if step.get("CacheHitResult"):
            note = f"taken over from {step['CacheHitResult']['SourcePipelineExecutionArn'].rpartition('/')[2]}"
        elif step.get("AttemptCount", 1) > 1:
            note = note or f"attempt {step['AttemptCount']}"
        return Step(name, step["StepStatus"], seconds, note)


def parameters_of(words: Sequence[str]) -> dict[str, str]:
    """Return parameters written as Name=Value; ValueError for what isn't."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValueError(f"a parameter is written Name=Value, as LastDay=2013-06-30, got {word!r}")
        if name in found:
            raise ValueError(f"the parameter {name} is given twice")
        found[name] = value
    return found
