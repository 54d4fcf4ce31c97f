"""The API of pipelines and their executions."""

from __future__ import annotations

import secrets
import string
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.json_api import ApiError
from local_aws.sagemaker.container_job import CLOSE_GRACE_SECONDS
from local_aws.sagemaker.listing import listed, page
from local_aws.sagemaker.pipeline_cache import StepCache
from local_aws.sagemaker.pipeline_definition import PipelineDefinition
from local_aws.sagemaker.pipeline_execution import ENDED, PipelineExecution
from local_aws.sagemaker.pipeline_expressions import as_text
from local_aws.sagemaker.pipeline_steps import StepRunners
from local_aws.sagemaker.workspace import Operation, Record, Workspace

CLOSE_SECONDS = 15.0


class Pipelines:
    """Pipelines by name, their executions by ARN."""

    def __init__(self, workspace: Workspace, runners: StepRunners) -> None:
        self._workspace = workspace
        self._runners = runners
        self._cache = StepCache(workspace.context.clock)
        self._pipelines: dict[str, Record] = {}
        self._executions: dict[str, PipelineExecution] = {}
        # by pipeline and client token
        self._tokens: dict[str, dict[str, str]] = {}
        self._closed = False

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreatePipeline": self._create,
            "UpdatePipeline": self._update,
            "DescribePipeline": self._describe,
            "ListPipelines": self._list,
            "DeletePipeline": self._delete,
            "StartPipelineExecution": self._start,
            "StopPipelineExecution": self._stop,
            "RetryPipelineExecution": self._retry,
            "UpdatePipelineExecution": self._update_execution,
            "DescribePipelineExecution": lambda request: self._execution(request).record,
            "DescribePipelineDefinitionForExecution": lambda request: self._execution(request).record,
            "ListPipelineExecutions": self._list_executions,
            "ListPipelineExecutionSteps": self._list_steps,
            "ListPipelineParametersForExecution": self._list_parameters,
        }

    def close(self) -> None:
        """Stop every execution, and wait until none runs."""
        with self._workspace.lock:
            self._closed = True
            running = [execution for execution in self._executions.values() if not execution.finished.is_set()]
        for execution in running:
            execution.stop(CLOSE_GRACE_SECONDS)
        for execution in running:
            execution.finished.wait(CLOSE_SECONDS)

    def _create(self, request: Record) -> Record:
        name = request["PipelineName"]
        body = self._body(request)
        PipelineDefinition.parse(body)
        moment = self._workspace.now()
        with self._workspace.lock:
            existing = self._pipelines.get(name)
            if existing is not None and existing["ClientRequestToken"] == request["ClientRequestToken"]:
                return {"PipelineArn": existing["PipelineArn"]}
            if existing is not None:
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
                "ClientRequestToken": request["ClientRequestToken"],
                "CreationTime": moment,
                "LastModifiedTime": moment,
            }
        self._workspace.tag(arn, request.get("Tags", []))
        return {"PipelineArn": arn}

    def _describe(self, request: Record) -> Record:
        _refuse(request, "PipelineVersionId", "PipelineVersionAlias")
        return self._pipeline(request["PipelineName"])

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
            pipeline.update(changes, LastModifiedTime=self._workspace.now())
        return {"PipelineArn": pipeline["PipelineArn"]}

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            records = list(self._pipelines.values())
        prefix = request.get("PipelineNamePrefix", "")
        records = [record for record in records if record["PipelineName"].startswith(prefix)]
        found, token = listed(records, request, name="PipelineName")
        return {"PipelineSummaries": found, "NextToken": token}

    def _delete(self, request: Record) -> Record:
        with self._workspace.lock:
            pipeline = self._pipeline(request["PipelineName"])
            arn = pipeline["PipelineArn"]
            executions = {key: each for key, each in self._executions.items() if each.record["PipelineArn"] == arn}
            if not all(execution.status in ENDED for execution in executions.values()):
                raise ApiError("ConflictException", f"Pipeline {arn} has running executions and can't be deleted.")
            del self._pipelines[pipeline["PipelineName"]]
            for key in executions:
                del self._executions[key]
            self._tokens.pop(arn, None)
        self._cache.forget(arn)
        self._workspace.forget(arn)
        return {"PipelineArn": arn}

    def _start(self, request: Record) -> Record:
        _refuse(
            request, "SelectiveExecutionConfig", "PipelineVersionId", "PipelineVersionAlias", "MlflowExperimentName"
        )
        with self._workspace.lock:
            pipeline = self._pipeline(request["PipelineName"])
            tokens = self._tokens.setdefault(pipeline["PipelineArn"], {})
            token = request["ClientRequestToken"]
            if token in tokens:
                return {"PipelineExecutionArn": tokens[token]}
            definition = PipelineDefinition.parse(pipeline["PipelineDefinition"])
            parameters = definition.values(
                {item["Name"]: item["Value"] for item in request.get("PipelineParameters", [])}
            )
            record = self._new_execution(pipeline, request)
            arn = tokens[token] = record["PipelineExecutionArn"]
            execution = PipelineExecution(self._workspace, record, definition, parameters, self._runners, self._cache)
            self._launch(execution)
            pipeline["LastRunTime"] = pipeline["LastExecutionTime"] = record["CreationTime"]
        return {"PipelineExecutionArn": arn}

    def _new_execution(self, pipeline: Record, request: Record) -> Record:
        moment = self._workspace.now()
        identity = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
        return {
            "PipelineArn": pipeline["PipelineArn"],
            "PipelineName": pipeline["PipelineName"],
            "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{identity}",
            "PipelineExecutionDisplayName": request.get(
                "PipelineExecutionDisplayName", f"execution-{int(moment.timestamp() * 1000)}"
            ),
            "PipelineExecutionDescription": request.get("PipelineExecutionDescription"),
            "PipelineExecutionStatus": "Executing",
            "ParallelismConfiguration": request.get("ParallelismConfiguration")
            or pipeline.get("ParallelismConfiguration")
            or {},
            "RoleArn": request.get("RoleArn", pipeline["RoleArn"]),
            "CreationTime": moment,
            "LastModifiedTime": moment,
            "PipelineDefinition": pipeline["PipelineDefinition"],
        }

    def _launch(self, execution: PipelineExecution) -> None:
        if self._closed:
            raise ApiError("ServiceUnavailable", "the local AWS is stopping", 503)
        self._executions[execution.record["PipelineExecutionArn"]] = execution
        execution.start()

    def _stop(self, request: Record) -> Record:
        execution = self._execution(request)
        if execution.status not in ("Executing", "Stopping"):
            raise ApiError(
                "ValidationException",
                f"Only pipelines with 'Executing' status can be stopped, this one is {execution.status!r}.",
            )
        execution.stop()
        return {"PipelineExecutionArn": execution.record["PipelineExecutionArn"]}

    def _retry(self, request: Record) -> Record:
        with self._workspace.lock:
            earlier = self._execution(request)
            if earlier.status not in ("Failed", "Stopped"):
                raise ApiError(
                    "ValidationException", f"Only failed or stopped executions can be retried, not {earlier.status!r}."
                )
            record = {name: value for name, value in earlier.record.items() if name != "FailureReason"}
            record |= {"PipelineExecutionStatus": "Executing", "LastModifiedTime": self._workspace.now()}
            record["ParallelismConfiguration"] = (
                request.get("ParallelismConfiguration") or record["ParallelismConfiguration"]
            )
            again = PipelineExecution(
                self._workspace,
                record,
                earlier.definition,
                earlier.parameters,
                self._runners,
                self._cache,
                earlier=earlier,
            )
            self._launch(again)
        return {"PipelineExecutionArn": record["PipelineExecutionArn"]}

    def _update_execution(self, request: Record) -> Record:
        record = self._execution(request).record
        for name in ("PipelineExecutionDescription", "PipelineExecutionDisplayName"):
            if name in request:
                record[name] = request[name]
        return record

    def _list_executions(self, request: Record) -> Record:
        arn = self._pipeline(request["PipelineName"])["PipelineArn"]
        with self._workspace.lock:
            records = [
                {
                    **record,
                    "StartTime": record["CreationTime"],
                    "PipelineExecutionFailureReason": record.get("FailureReason"),
                }
                for record in (execution.record for execution in self._executions.values())
                if record["PipelineArn"] == arn
            ]
        sort_fields = {"PipelineExecutionArn": "PipelineExecutionArn"}
        found, token = listed(records, request, name="PipelineExecutionArn", sort_fields=sort_fields)
        return {"PipelineExecutionSummaries": found, "NextToken": token}

    def _list_steps(self, request: Record) -> Record:
        records = self._execution(request).steps()
        if request.get("SortOrder", "Descending") == "Descending":
            records.reverse()
        found, token = page(records, request)
        return {"PipelineExecutionSteps": found, "NextToken": token}

    def _list_parameters(self, request: Record) -> Record:
        parameters = self._execution(request).parameters
        found, token = page([{"Name": name, "Value": as_text(value)} for name, value in parameters.items()], request)
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


def _refuse(request: Record, *members: str) -> None:
    for name in members:
        if name in request:
            raise ApiError("ValidationException", f"the local AWS doesn't act on {name}")
