"""The API of pipelines and their executions."""

from __future__ import annotations

import secrets
import string
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.json_api import ApiError
from local_aws.sagemaker.listing import listed, page
from local_aws.sagemaker.pipeline_cache import StepCache
from local_aws.sagemaker.pipeline_definition import PipelineDefinition
from local_aws.sagemaker.pipeline_execution import ENDED, PipelineExecution
from local_aws.sagemaker.pipeline_steps import StepRunners
from local_aws.sagemaker.workspace import Operation, Record, Workspace, now


class Pipelines:
    """Pipelines by name, their executions by ARN."""

    def __init__(self, workspace: Workspace, runners: StepRunners) -> None:
        self._workspace = workspace
        self._runners = runners
        self._cache = StepCache()
        self._pipelines: dict[str, Record] = {}
        self._executions: dict[str, PipelineExecution] = {}
        self._tokens: dict[tuple[str, str], str] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreatePipeline": self._create,
            "UpdatePipeline": self._update,
            "DescribePipeline": lambda request: self._pipeline(request["PipelineName"]),
            "ListPipelines": self._list,
            "DeletePipeline": self._delete,
            "StartPipelineExecution": self._start,
            "StopPipelineExecution": self._stop,
            "RetryPipelineExecution": self._retry,
            "UpdatePipelineExecution": self._update_execution,
            "DescribePipelineExecution": lambda request: self._execution(request).record,
            "DescribePipelineDefinitionForExecution": self._definition_for_execution,
            "ListPipelineExecutions": self._list_executions,
            "ListPipelineExecutionSteps": self._list_steps,
            "ListPipelineParametersForExecution": self._list_parameters,
        }

    def close(self) -> None:
        """Stop every execution."""
        with self._workspace.lock:
            executions = list(self._executions.values())
        for execution in executions:
            execution.stop()

    def _create(self, request: Record) -> Record:
        name = request["PipelineName"]
        body = self._body(request)
        PipelineDefinition.parse(body)
        moment = now()
        with self._workspace.lock:
            if name in self._pipelines:
                raise ApiError(
                    "ValidationException", f"Pipeline names must be unique within an AWS account and region: {name}"
                )
            arn = self._workspace.arn("pipeline", name)
            self._pipelines[name] = {
                "PipelineArn": arn,
                "PipelineName": name,
                "PipelineDisplayName": request.get("PipelineDisplayName", name),
                "PipelineDescription": request.get("PipelineDescription"),
                "PipelineDefinition": body,
                "RoleArn": request["RoleArn"],
                "ParallelismConfiguration": request.get("ParallelismConfiguration"),
                "PipelineStatus": "Active",
                "CreationTime": moment,
                "LastModifiedTime": moment,
            }
        self._workspace.tag(arn, request.get("Tags", []))
        return {"PipelineArn": arn}

    def _update(self, request: Record) -> Record:
        pipeline = self._pipeline(request["PipelineName"])
        changes: Record = {
            name: request[name]
            for name in ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")
            if name in request
        }
        if "PipelineDefinition" in request or "PipelineDefinitionS3Location" in request:
            changes["PipelineDefinition"] = self._body(request)
            PipelineDefinition.parse(changes["PipelineDefinition"])
        with self._workspace.lock:
            pipeline.update(changes, LastModifiedTime=now())
        return {"PipelineArn": pipeline["PipelineArn"]}

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            records = list(self._pipelines.values())
        found, token = listed(records, request, name="PipelineName", name_filters=("PipelineNamePrefix",))
        return {"PipelineSummaries": found, "NextToken": token}

    def _delete(self, request: Record) -> Record:
        with self._workspace.lock:
            pipeline = self._pipeline(request["PipelineName"])
            arn = pipeline["PipelineArn"]
            running = [e for e in self._executions.values() if e.record["PipelineArn"] == arn and e.status not in ENDED]
            if running:
                raise ApiError("ConflictException", f"Pipeline {arn} has running executions and can't be deleted.")
            del self._pipelines[pipeline["PipelineName"]]
            for execution_arn in [a for a, e in self._executions.items() if e.record["PipelineArn"] == arn]:
                del self._executions[execution_arn]
        self._workspace.forget(arn)
        return {"PipelineArn": arn}

    def _start(self, request: Record) -> Record:
        pipeline = self._pipeline(request["PipelineName"])
        if "SelectiveExecutionConfig" in request:
            raise ApiError("ValidationException", "the local AWS doesn't have selective execution")
        definition = PipelineDefinition.parse(pipeline["PipelineDefinition"])
        given = {item["Name"]: item["Value"] for item in request.get("PipelineParameters", [])}
        parameters = definition.values(given)
        key = (pipeline["PipelineArn"], request["ClientRequestToken"])
        with self._workspace.lock:
            if key in self._tokens:
                return {"PipelineExecutionArn": self._tokens[key]}
            identity = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
            arn = f"{pipeline['PipelineArn']}/execution/{identity}"
            moment = now()
            record: Record = {
                "PipelineArn": pipeline["PipelineArn"],
                "PipelineName": pipeline["PipelineName"],
                "PipelineExecutionArn": arn,
                "PipelineExecutionDisplayName": request.get(
                    "PipelineExecutionDisplayName", f"execution-{int(moment.timestamp() * 1000)}"
                ),
                "PipelineExecutionDescription": request.get("PipelineExecutionDescription"),
                "PipelineExecutionStatus": "Executing",
                "ParallelismConfiguration": request.get("ParallelismConfiguration")
                or pipeline.get("ParallelismConfiguration")
                or {},
                "RoleArn": pipeline["RoleArn"],
                "CreationTime": moment,
                "LastModifiedTime": moment,
                "PipelineDefinition": pipeline["PipelineDefinition"],
            }
            execution = PipelineExecution(self._workspace, record, definition, parameters, self._runners, self._cache)
            self._executions[arn] = execution
            self._tokens[key] = arn
            pipeline["LastRunTime"] = pipeline["LastExecutionTime"] = moment
        execution.start()
        return {"PipelineExecutionArn": arn}

    def _stop(self, request: Record) -> Record:
        execution = self._execution(request)
        if execution.finished.is_set():
            raise ApiError(
                "ValidationException",
                f"Only pipelines with 'Executing' status can be stopped, this one is {execution.status!r}.",
            )
        execution.stop()
        return {"PipelineExecutionArn": execution.record["PipelineExecutionArn"]}

    def _retry(self, request: Record) -> Record:
        earlier = self._execution(request)
        if earlier.status not in ("Failed", "Stopped"):
            raise ApiError(
                "ValidationException", f"Only failed or stopped executions can be retried, not {earlier.status!r}."
            )
        earlier.record.pop("FailureReason", None)
        again = PipelineExecution(
            self._workspace,
            earlier.record,
            earlier.definition,
            earlier.parameters,
            self._runners,
            self._cache,
            earlier=earlier,
        )
        with self._workspace.lock:
            self._executions[earlier.record["PipelineExecutionArn"]] = again
        again.start()
        return {"PipelineExecutionArn": earlier.record["PipelineExecutionArn"]}

    def _update_execution(self, request: Record) -> Record:
        record = self._execution(request).record
        for name in ("PipelineExecutionDescription", "PipelineExecutionDisplayName"):
            if name in request:
                record[name] = request[name]
        return record

    def _definition_for_execution(self, request: Record) -> Record:
        return self._execution(request).record

    def _list_executions(self, request: Record) -> Record:
        arn = self._pipeline(request["PipelineName"])["PipelineArn"]
        with self._workspace.lock:
            records = [
                {**e.record, "StartTime": e.record["CreationTime"], "PipelineExecutionFailureReason": _reason(e)}
                for e in self._executions.values()
                if e.record["PipelineArn"] == arn
            ]
        found, token = listed(records, request, name="PipelineExecutionArn", status="PipelineExecutionStatus")
        return {"PipelineExecutionSummaries": found, "NextToken": token}

    def _list_steps(self, request: Record) -> Record:
        execution = self._execution(request)
        records = sorted(execution.step_records.values(), key=lambda record: record["StartTime"])
        if request.get("SortOrder", "Descending") == "Descending":
            records.reverse()
        found, token = page(records, request)
        return {"PipelineExecutionSteps": found, "NextToken": token}

    def _list_parameters(self, request: Record) -> Record:
        parameters = self._execution(request).parameters
        found, token = page([{"Name": name, "Value": str(value)} for name, value in parameters.items()], request)
        return {"PipelineParameters": found, "NextToken": token}

    def _pipeline(self, name: str) -> Record:
        with self._workspace.lock:
            found = self._pipelines.get(name.rpartition("/")[2])
        if found is None:
            arn = self._workspace.arn("pipeline", name)
            raise ApiError("ResourceNotFound", f"Pipeline '{arn}' does not exist.")
        return found

    def _execution(self, request: Record) -> PipelineExecution:
        arn = request["PipelineExecutionArn"]
        with self._workspace.lock:
            found = self._executions.get(arn)
        if found is None:
            raise ApiError("ResourceNotFound", f"Pipeline execution '{arn}' does not exist.")
        return found

    def _body(self, request: Record) -> str:
        location: dict[str, Any] | None = request.get("PipelineDefinitionS3Location")
        if location is None:
            if not request.get("PipelineDefinition"):
                raise ApiError("ValidationException", "Either PipelineDefinition or its S3 location has to be given.")
            return str(request["PipelineDefinition"])
        version = {"VersionId": location["VersionId"]} if "VersionId" in location else {}
        try:
            answer = self._workspace.client("s3", request.get("RoleArn")).get_object(
                Bucket=location["Bucket"], Key=location["ObjectKey"], **version
            )
        except (ClientError, BotoCoreError) as error:
            raise ApiError("ValidationException", f"The pipeline definition can't be read: {error}") from error
        return str(answer["Body"].read().decode())


def _reason(execution: PipelineExecution) -> str | None:
    return execution.record.get("FailureReason")
