"""One execution of a pipeline: runs its steps as soon as what they wait for is there."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.jobs.s3_files import S3Uri
from local_aws.sagemaker.pipeline_cache import StepCache
from local_aws.sagemaker.pipeline_definition import PipelineDefinition, Step
from local_aws.sagemaker.pipeline_expressions import ExpressionError, Scope, as_text
from local_aws.sagemaker.pipeline_policies import INTERNAL_ERROR
from local_aws.sagemaker.pipeline_steps import RunningStep, StepFailure, StepResult, StepRunners, StepStopped
from local_aws.sagemaker.workspace import Record, Workspace

_log = logging.getLogger(__name__)
ENDED = frozenset({"Succeeded", "Failed", "Stopped"})
MAX_PARALLEL_STEPS = 50
FAILURE_LENGTH = 1300
STEP_FAILURE_LENGTH = 1024
EXECUTION_EVENT = "SageMaker Model Building Pipeline Execution Status Change"
STEP_EVENT = "SageMaker Model Building Pipeline Execution Step Status Change"


class PipelineExecution(threading.Thread):
    """Runs one execution in a thread, and each step in one of its own.

    `record` is what DescribePipelineExecution returns. Steps that a condition left out never get a record. A failed
    step lets running ones finish and starts no others. A lock guards all records: they change in several threads.
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
        self._step_records: dict[str, Record] = {}
        self.finished = threading.Event()
        self._id = str(record["PipelineExecutionArn"]).rpartition("/")[2]
        super().__init__(name=f"pipeline-{self._id}", daemon=True)
        self._workspace = workspace
        self._runners = runners
        self._cache = cache
        self._lock = threading.RLock()
        self._results: dict[str, StepResult] = {}
        self._skipped: set[str] = set()
        self._failures: dict[str, str] = {}
        self._running: dict[str, RunningStep] = {}
        self._done: queue.Queue[tuple[Step, StepResult | Exception]] = queue.Queue()
        self._stop_requested = threading.Event()
        if earlier is not None:
            # a retry keeps what succeeded
            self._results = dict(earlier._results)
            self._step_records = {name: earlier._step_records[name] for name in self._results}
        experiment = self._scope().resolve(definition.experiment)
        if experiment:
            record["PipelineExperimentConfig"] = experiment

    @property
    def status(self) -> str:
        return str(self.record["PipelineExecutionStatus"])

    def start(self) -> None:
        """Start the thread; the clock knows of it from now on."""
        self._worker = self._workspace.context.clock.worker(f"pipeline {self.record['PipelineName']}/{self._id}")
        super().start()

    def stop(self, grace_seconds: float | None = None) -> None:
        """Stop running jobs and start no more steps."""
        with self._lock:
            if self.status != "Executing":
                return
            self._stop_requested.set()
            self._set_status("Stopping", self.status)
            running = list(self._running.values())
            for each in running:
                self._update(each.step.name, StepStatus="Stopping")
        for each in running:
            threading.Thread(target=each.stop, args=(grace_seconds,), daemon=True).start()

    def steps(self) -> list[Record]:
        """Return the steps that were started, oldest first, as ListPipelineExecutionSteps shows them."""
        with self._lock:
            running = {name: {"Metadata": each.metadata or None} for name, each in self._running.items()}
            return [{**record, **running.get(name, {})} for name, record in self._step_records.items()]

    def run(self) -> None:
        """Run every step that the conditions let through."""
        try:
            with self._lock:
                if not self._stop_requested.is_set():
                    self._set_status("Executing")
            self._run_steps()
            status, reason = self._outcome_of_steps()
        except Exception as error:
            _log.exception("the pipeline execution %s broke", self._id)
            for running in list(self._running.values()):
                running.stop()
            status, reason = "Failed", f"InternalServerError: {type(error).__name__}: {error}"
        with self._lock:
            if reason:
                self.record["FailureReason"] = reason[:FAILURE_LENGTH]
            self._set_status(status, self.status)
        self.finished.set()
        self._worker.end()

    def _run_steps(self) -> None:
        limit = self.record.get("ParallelismConfiguration", {}).get("MaxParallelExecutionSteps", MAX_PARALLEL_STEPS)
        while True:
            with self._lock:
                if not self._failures and not self._stop_requested.is_set():
                    self._skip_untaken()
                    for step in self._ready()[: max(limit - len(self._running), 0)]:
                        self._start(step)
                if not self._running:
                    return
            step, outcome = self._done.get()
            with self._lock:
                self._note_outcome(self._running.pop(step.name), outcome)

    def _note_outcome(self, running: RunningStep, outcome: StepResult | Exception) -> None:
        name = running.step.name
        if isinstance(outcome, StepResult):
            self._results[name] = outcome
            self._end_step(name, "Succeeded", outcome.metadata)
        elif isinstance(outcome, StepStopped):
            self._end_step(name, "Stopped", running.metadata)
        else:
            self._failures[name] = str(outcome)
            self._end_step(name, "Failed", running.metadata, str(outcome))

    def _outcome_of_steps(self) -> tuple[str, str | None]:
        if self._failures:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self._failures.items())
            return "Failed", f"Step failure: One or multiple steps failed: {reasons}"
        return ("Stopped" if self._stop_requested.is_set() else "Succeeded"), None

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
            "StartTime": self._workspace.now(),
            "AttemptCount": 1,
            "StepType": step.type,
        }
        self._step_records[step.name] = record
        self._announce_step(record)
        running = RunningStep(step, self._id, str(self.record["RoleArn"]), self._scope())
        self._running[step.name] = running
        threading.Thread(target=self._run_step, args=(running,), name=f"step-{step.name}", daemon=True).start()

    def _run_step(self, running: RunningStep) -> None:
        outcome: StepResult | Exception
        try:
            outcome = self._result(running)
        except (StepFailure, StepStopped) as error:
            outcome = error
        except (ExpressionError, KeyError, ValueError) as error:
            outcome = StepFailure(f"ClientError: {error}")
        except Exception as error:
            _log.exception("the step %s broke", running.step.name)
            outcome = StepFailure(f"InternalServerError: {type(error).__name__}: {error}")
        self._done.put((running.step, outcome))

    def _result(self, running: RunningStep) -> StepResult:
        step, pipeline = running.step, str(self.record["PipelineArn"])
        hit = self._cache.find(pipeline, running)
        if hit is not None:
            self._update(step.name, CacheHitResult={"SourcePipelineExecutionArn": hit.source})
            return hit.result
        result = self._tried(running)
        self._cache.keep(pipeline, running, result, str(self.record["PipelineExecutionArn"]))
        return result

    def _tried(self, running: RunningStep) -> StepResult:
        """Run a step; again if its job failed by no fault of its own and it has a retry policy for that."""
        pauses = next((p.pauses() for p in running.step.retries if INTERNAL_ERROR in p.exceptions), iter(()))
        attempts = 1
        while True:
            try:
                return self._runners.run(running)
            except StepFailure as failure:
                pause = next(pauses, None) if str(failure).startswith("InternalServerError") else None
                if pause is None or self._stop_requested.wait(pause):
                    raise
            attempts += 1
            self._update(running.step.name, AttemptCount=attempts)

    def _scope(self) -> Scope:
        record = self.record
        execution = {
            "StartDateTime": as_text(record["CreationTime"]),
            "CurrentDateTime": as_text(self._workspace.now()),
            "PipelineName": record["PipelineName"],
            "PipelineArn": record["PipelineArn"],
            "PipelineExecutionId": self._id,
            "PipelineExecutionArn": record["PipelineExecutionArn"],
        }
        properties = {name: result.properties for name, result in self._results.items()}
        return Scope(
            self.parameters, execution, self.definition.experiment, properties, self._property_file, self._read_json
        )

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
        previous = self._step_records[name]["StepStatus"]
        reason = reason[:STEP_FAILURE_LENGTH] if reason else None
        moment = self._workspace.now()
        self._update(name, StepStatus=status, EndTime=moment, Metadata=metadata or None, FailureReason=reason)
        self._announce_step(self._step_records[name], previous)

    def _update(self, name: str, **members: Any) -> None:
        with self._lock:
            self._step_records[name] = {**self._step_records[name], **members}

    def _set_status(self, status: str, previous: str | None = None) -> None:
        moment = self._workspace.now()
        self.record.update(PipelineExecutionStatus=status, LastModifiedTime=moment)
        detail = {
            "pipelineArn": self.record["PipelineArn"],
            "pipelineExecutionArn": self.record["PipelineExecutionArn"],
            "pipelineExecutionDisplayName": self.record["PipelineExecutionDisplayName"],
            "pipelineExecutionDescription": self.record.get("PipelineExecutionDescription"),
            "previousPipelineExecutionStatus": previous,
            "currentPipelineExecutionStatus": status,
            "executionStartTime": as_text(self.record["CreationTime"]),
            "executionEndTime": as_text(moment) if status in ENDED else None,
        }
        self._workspace.emit(EXECUTION_EVENT, detail, str(self.record["PipelineExecutionArn"]))

    def _announce_step(self, record: Record, previous: str | None = None) -> None:
        metadata = record.get("Metadata") or {}
        detail = {
            "pipelineArn": self.record["PipelineArn"],
            "pipelineExecutionArn": self.record["PipelineExecutionArn"],
            "stepName": record["StepName"],
            "stepType": record["StepType"],
            "previousStepStatus": previous,
            "currentStepStatus": record["StepStatus"],
            "stepStartTime": as_text(record["StartTime"]),
            "stepEndTime": as_text(record["EndTime"]) if "EndTime" in record else None,
            "failureReason": record.get("FailureReason"),
            "metadata": _in_camel_case(metadata),
        }
        self._workspace.emit(STEP_EVENT, detail, str(self.record["PipelineExecutionArn"]))


def _in_camel_case(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {f"{name[0].lower()}{name[1:]}": _in_camel_case(item) for name, item in value.items()}
    return value
