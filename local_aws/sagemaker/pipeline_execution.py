"""One execution of a pipeline: runs its steps as soon as what they wait for is there."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.jobs.s3_files import S3Uri
from local_aws.sagemaker.pipeline_cache import StepCache
from local_aws.sagemaker.pipeline_definition import PipelineDefinition, Step
from local_aws.sagemaker.pipeline_expressions import ExpressionError, Scope, as_text
from local_aws.sagemaker.pipeline_steps import RunningStep, StepFailure, StepResult, StepRunners, StepStopped
from local_aws.sagemaker.workspace import Record, Workspace, now

ENDED = frozenset({"Succeeded", "Failed", "Stopped"})
MAX_PARALLEL_STEPS = 50
EXECUTION_EVENT = "SageMaker Model Building Pipeline Execution Status Change"
STEP_EVENT = "SageMaker Model Building Pipeline Execution Step Status Change"


class PipelineExecution(threading.Thread):
    """Runs one execution in a thread, and each step in one of its own.

    `record` is what DescribePipelineExecution returns, `step_records` what ListPipelineExecutionSteps lists: steps that
    a condition left out never get a record. A failed step lets running ones finish and starts no others.
    """

    def __init__(
        self,
        workspace: Workspace,
        record: Record,
        definition: PipelineDefinition,
        parameters: Mapping[str, Any],
        runners: StepRunners,
        cache: StepCache,
        *,
        earlier: PipelineExecution | None = None,
    ) -> None:
        self.record = record
        self.definition = definition
        self.parameters = parameters
        self.step_records: dict[str, Record] = {}
        self.finished = threading.Event()
        self._id = str(record["PipelineExecutionArn"]).rpartition("/")[2]
        super().__init__(name=f"pipeline-{self._id}", daemon=True)
        self._workspace = workspace
        self._runners = runners
        self._cache = cache
        self._results: dict[str, StepResult] = {}
        self._skipped: set[str] = set()
        self._running: dict[str, RunningStep] = {}
        self._done: queue.Queue[tuple[Step, StepResult | Exception]] = queue.Queue()
        self._stop_requested = threading.Event()
        if earlier is not None:
            # a retry keeps what succeeded
            self._results = dict(earlier._results)
            self.step_records = {name: earlier.step_records[name] for name in self._results}

    @property
    def status(self) -> str:
        return str(self.record["PipelineExecutionStatus"])

    def stop(self) -> None:
        """Stop running jobs and start no more steps."""
        if self.finished.is_set():
            return
        self._stop_requested.set()
        self._set_status("Stopping")
        for running in list(self._running.values()):
            self._update(running.step.name, StepStatus="Stopping")
            threading.Thread(target=running.stop, daemon=True).start()

    def run(self) -> None:
        """Run every step that the conditions let through."""
        self._set_status("Executing")
        limit = self.record.get("ParallelismConfiguration", {}).get("MaxParallelExecutionSteps", MAX_PARALLEL_STEPS)
        failures: dict[str, str] = {}
        while True:
            if not failures and not self._stop_requested.is_set():
                self._skip_untaken()
                for step in self._ready()[: max(limit - len(self._running), 0)]:
                    self._start(step)
            if not self._running:
                break
            step, outcome = self._done.get()
            running = self._running.pop(step.name)
            if isinstance(outcome, StepResult):
                self._results[step.name] = outcome
                self._end_step(step.name, "Succeeded", outcome.metadata)
            elif isinstance(outcome, StepStopped):
                self._end_step(step.name, "Stopped", running.metadata)
            else:
                failures[step.name] = str(outcome)
                metadata = outcome.metadata if isinstance(outcome, StepFailure) else None
                self._end_step(step.name, "Failed", metadata or running.metadata, str(outcome))
        if failures:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
            self.record["FailureReason"] = f"Step failure: One or multiple steps failed: {reasons}"[:1300]
            self._set_status("Failed")
        else:
            self._set_status("Stopped" if self._stop_requested.is_set() else "Succeeded")
        self.finished.set()

    def _skip_untaken(self) -> None:
        """Skip the branches that conditions didn't take, and all that waits for their steps."""
        changed = True
        while changed:
            changed = False
            for name, step in self.definition.steps.items():
                if name in self._skipped or name in self._results:
                    continue
                untaken = step.branch is not None and self._outcome(step.branch[0]) not in (None, step.branch[1])
                if untaken or step.requires & self._skipped:
                    self._skipped.add(name)
                    changed = True

    def _outcome(self, condition: str) -> bool | None:
        result = self._results.get(condition)
        return None if result is None else bool(result.properties["Outcome"])

    def _ready(self) -> list[Step]:
        waiting = self.definition.steps.keys() - self._results.keys() - self._skipped - self._running.keys()
        done = self._results.keys()
        return [s for name, s in self.definition.steps.items() if name in waiting and s.requires <= done]

    def _start(self, step: Step) -> None:
        record: Record = {
            "StepName": step.name,
            "StepDisplayName": step.raw.get("DisplayName"),
            "StepDescription": step.raw.get("Description"),
            "StepStatus": "Executing",
            "StartTime": now(),
            "AttemptCount": 0,
            "StepType": step.type,
        }
        self.step_records[step.name] = record
        self._announce_step(record)
        running = RunningStep(step, self._id, str(self.record["RoleArn"]), self._scope())
        self._running[step.name] = running
        threading.Thread(target=self._run_step, args=(running,), name=f"step-{step.name}", daemon=True).start()

    def _run_step(self, running: RunningStep) -> None:
        outcome: StepResult | Exception
        try:
            arn = str(self.record["PipelineExecutionArn"])
            hit = self._cache.find(str(self.record["PipelineArn"]), running.step, running.scope)
            if hit is not None:
                self._update(running.step.name, CacheHitResult={"SourcePipelineExecutionArn": hit.source})
                outcome = hit.result
            else:
                outcome = self._runners.run(running)
                self._cache.keep(str(self.record["PipelineArn"]), running.step, running.scope, outcome, arn)
        except (StepFailure, StepStopped) as error:
            outcome = error
        except (ExpressionError, KeyError, ValueError) as error:
            outcome = StepFailure(f"ClientError: {error}")
        except Exception as error:
            outcome = StepFailure(f"InternalServerError: {type(error).__name__}: {error}")
        self._done.put((running.step, outcome))

    def _scope(self) -> Scope:
        record = self.record
        execution = {
            "StartDateTime": as_text(record["CreationTime"]),
            "CurrentDateTime": as_text(now()),
            "PipelineName": record["PipelineName"],
            "PipelineArn": record["PipelineArn"],
            "PipelineExecutionId": self._id,
            "PipelineExecutionArn": record["PipelineExecutionArn"],
        }
        properties = {name: result.properties for name, result in self._results.items()}
        return Scope(self.parameters, execution, properties, self._property_file, self._read_json)

    def _property_file(self, reference: str) -> str:
        """Return the S3 URI of `Steps.<step>.PropertyFiles.<name>`."""
        _, step_name, _, name = reference.split(".", 3)
        file = self.definition.steps[step_name].property_files[name]
        outputs = self._results[step_name].properties.get("ProcessingOutputConfig", {}).get("Outputs", [])
        for output in outputs:
            if output["OutputName"] == file.output:
                return str(S3Uri.parse(output["S3Output"]["S3Uri"]).child(file.path))
        raise ExpressionError(f"the property file {name!r} is in the output {file.output!r}, which isn't declared")

    def _read_json(self, uri: str) -> Any:
        location = S3Uri.parse(uri)
        client = self._workspace.client("s3", str(self.record["RoleArn"]))
        try:
            return json.loads(client.get_object(Bucket=location.bucket, Key=location.key)["Body"].read())
        except (ClientError, BotoCoreError) as error:
            raise ExpressionError(f"the file {uri} can't be read: {error}") from error
        except ValueError as error:
            raise ExpressionError(f"the file {uri} is not JSON: {error}") from error

    def _end_step(self, name: str, status: str, metadata: Mapping[str, Any] | None, reason: str | None = None) -> None:
        self._update(name, StepStatus=status, EndTime=now(), Metadata=metadata or None, FailureReason=reason)
        self._announce_step(self.step_records[name])

    def _update(self, name: str, **members: Any) -> None:
        self.step_records[name] = {**self.step_records[name], **members}

    def _set_status(self, status: str) -> None:
        self.record["PipelineExecutionStatus"] = status
        self.record["LastModifiedTime"] = now()
        detail = {
            "pipelineArn": self.record["PipelineArn"],
            "pipelineExecutionArn": self.record["PipelineExecutionArn"],
            "currentPipelineExecutionStatus": status,
            "executionStartTime": as_text(self.record["CreationTime"]),
            "executionEndTime": as_text(now()) if status in ENDED else None,
        }
        self._workspace.emit(EXECUTION_EVENT, detail, str(self.record["PipelineExecutionArn"]))

    def _announce_step(self, record: Record) -> None:
        detail = {
            "pipelineArn": self.record["PipelineArn"],
            "pipelineExecutionArn": self.record["PipelineExecutionArn"],
            "stepName": record["StepName"],
            "stepType": record["StepType"],
            "currentStepStatus": record["StepStatus"],
            "failureReason": record.get("FailureReason"),
            "metadata": record.get("Metadata"),
        }
        self._workspace.emit(STEP_EVENT, detail, str(self.record["PipelineExecutionArn"]))
