"""One execution of a monitoring schedule: captured hours in, processing jobs, an outcome.

What the jobs get is what AWS gives its own: see
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-contract-inputs.html.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local_aws.jobs.s3_files import S3_ERRORS, S3Uri
from local_aws.json_api import ApiError
from local_aws.sagemaker.endpoints import Endpoints
from local_aws.sagemaker.job_operations import JobOperations
from local_aws.sagemaker.models import EndpointConfigs
from local_aws.sagemaker.monitoring.definitions import DATA_QUALITY, KINDS, MODEL_QUALITY, Definition
from local_aws.sagemaker.monitoring.monitoring_job import MonitoringJob, monitoring_job
from local_aws.sagemaker.monitoring.timing import HOUR, Window
from local_aws.sagemaker.processing_job import ProcessingJob
from local_aws.sagemaker.workspace import Record, Workspace

_log = logging.getLogger(__name__)

BASELINE = "/opt/ml/processing/baseline"
CODE = "/opt/ml/processing/code"
CONFIG = "/opt/ml/processing/input/config"
MERGER = "sagemaker-model-monitor-groundtruth-merger"
CAPTURED = {"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}}
MERGED = {"sagemakerMergeJson": {"captureIndexNames": ["endpointOutput"]}}
CODES = {"RecordPreprocessorSourceUri": "record_preprocessor_script",
         "PostAnalyticsProcessorSourceUri": "post_analytics_processor_script"}  # fmt: skip


class ExecutionFailure(Exception):
    """An execution can't go on; the message is its FailureReason."""


@dataclass(frozen=True)
class Surroundings:
    """What executions are made with."""

    workspace: Workspace
    processing: JobOperations[ProcessingJob]
    endpoints: Endpoints
    configs: EndpointConfigs


class MonitoringExecution(threading.Thread):
    """Runs the jobs of one execution in a thread; `record` is its summary, and changes until `finished` is set."""

    def __init__(
        self, surroundings: Surroundings, definition: Definition, schedule: str, scheduled: datetime, window: Window
    ) -> None:
        super().__init__(name=f"monitoring-{schedule}", daemon=True)
        self.finished = threading.Event()
        self._surroundings = surroundings
        self._workspace = surroundings.workspace
        self._definition = definition
        self._schedule = schedule
        self._window = window
        self._scheduled = scheduled
        self._suffix = f"{scheduled:%Y%m%d%H%M}-{secrets.token_hex(12)}"
        self._job: ProcessingJob | None = None
        self._stopping = False
        moment = self._workspace.now()
        self.record: Record = {
            "MonitoringScheduleName": schedule,
            "ScheduledTime": scheduled,
            "CreationTime": moment,
            "LastModifiedTime": moment,
            "MonitoringExecutionStatus": "Pending",
            "EndpointName": definition.endpoint,
            "MonitoringType": definition.kind,
            **({"MonitoringJobDefinitionName": definition.name} if definition.name else {}),
        }

    def start(self) -> None:
        """Start the thread; the clock knows of it from now on."""
        self._worker = self._workspace.context.clock.worker(f"monitoring schedule {self._schedule}")
        super().start()

    def stop(self) -> None:
        """Ask for its end."""
        self._stopping = True
        job = self._job
        if job is not None:
            job.stop()

    def run(self) -> None:
        """Run it to its end; whatever happens is in the record."""
        try:
            self._note(MonitoringExecutionStatus="InProgress")
            self._note(**self._outcome(self._execute()))
        except (ExecutionFailure, ApiError) as error:
            self._note(MonitoringExecutionStatus="Failed", FailureReason=str(error))
        except S3_ERRORS as error:
            self._note(MonitoringExecutionStatus="Failed", FailureReason=f"ClientError: {error}")
        except Exception as error:
            _log.exception("an execution of %s broke", self._schedule)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
            self._note(MonitoringExecutionStatus="Failed", FailureReason=reason)
        finally:
            self.finished.set()
            self._worker.end()

    def _execute(self) -> Record:
        """Run the jobs, and return the record of the last one."""
        hours = list(self._captured_hours())
        if not hours:
            raise ExecutionFailure(
                f"Job inputs had no data: endpoint {self._definition.endpoint} captured nothing from "
                f"{_text(self._window.start)} to {_text(self._window.end)}"
            )
        if self._definition.ground_truth is not None:
            hours = self._merged_hours(hours, self._definition.ground_truth)
        prefix = f"{KINDS[self._definition.kind]}-monitoring"
        return self._run_job(self._request(prefix, hours), monitoring_job(self._definition.kind))

    def _captured_hours(self) -> Iterator[tuple[str, S3Uri]]:
        """Yield the hours of the window that have captured requests: `<endpoint>/<variant>/yyyy/mm/dd/hh`, where."""
        endpoint = self._surroundings.endpoints.endpoint(self._definition.endpoint)
        capture = self._surroundings.configs.config(endpoint.record["EndpointConfigName"]).get("DataCaptureConfig")
        if not capture or not capture.get("EnableCapture", True):
            raise ExecutionFailure(f"endpoint {self._definition.endpoint} captures no requests: it has no data capture")
        destination = S3Uri.parse(capture["DestinationS3Uri"])
        for variant in self._folders(destination.child(self._definition.endpoint)):
            name = f"{self._definition.endpoint}/{variant}"
            yield from self._hours(destination.child(name), name, self._window)

    def _hours(self, root: S3Uri, name: str, window: Window) -> Iterator[tuple[str, S3Uri]]:
        """Yield the hours of a window that have a folder below a root."""
        hours = list(window.hours())
        for day in sorted({hour.strftime("%Y/%m/%d") for hour in hours}):
            there = self._folders(root.child(day))
            for hour in hours:
                if hour.strftime("%Y/%m/%d") == day and f"{hour:%H}" in there:
                    yield f"{name}/{day}/{hour:%H}".lstrip("/"), root.child(f"{day}/{hour:%H}")

    def _folders(self, uri: S3Uri) -> list[str]:
        client = self._workspace.client("s3", self._definition.role)
        prefix = f"{uri.key}/" if uri.key else ""
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=uri.bucket, Prefix=prefix, Delimiter="/")
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
        return [each.removeprefix(prefix).rstrip("/") for each in found]

    def _merged_hours(self, hours: Iterable[tuple[str, S3Uri]], ground_truth: str) -> list[tuple[str, S3Uri]]:
        """Have labels joined to what was captured, and return the hours of which some have one.

        Labels count that have come since the window began, until the execution's time.
        """
        came = Window(self._window.start, max(self._window.end, self._scheduled.replace(minute=0) + HOUR))
        labels = list(self._hours(S3Uri.parse(ground_truth), "", came))
        if not labels:
            raise ExecutionFailure(
                f"Job inputs had no data: no ground truth has come to {ground_truth} from {_text(came.start)} to "
                f"{_text(came.end)}"
            )
        output = S3Uri.parse(self._output["S3Uri"]).child("merge")
        inputs = [
            *_inputs("groundtruth_input", "/opt/ml/processing/groundtruth", labels),
            *_inputs("endpoint_input", "/opt/ml/processing/input_data", hours),
        ]
        environment = {
            "dataset_source": "/opt/ml/processing/input_data",
            "ground_truth_source": "/opt/ml/processing/groundtruth",
            "output_path": "/opt/ml/processing/output",
        }
        # AWS has the image in accounts of its own, one for each region
        image = f"{self._workspace.account}.dkr.ecr.{self._workspace.region}.amazonaws.com/{MERGER}"
        job = self._run_job(
            self._job_request(
                "groundtruth-merge", {"ImageUri": image}, environment, inputs, "/opt/ml/processing/output", output
            ),
            MonitoringJob,
        )
        if job["ProcessingJobStatus"] != "Completed":
            raise ExecutionFailure(f"the merge of ground truth failed: {job.get('FailureReason', 'it was stopped')}")
        name = self._definition.endpoint
        merged = [
            found
            for variant in self._folders(output.child(name))
            for found in self._hours(output.child(f"{name}/{variant}"), f"{name}/{variant}", self._window)
        ]
        if not merged:
            raise ExecutionFailure("Job inputs had no data: no captured request has a label")
        return merged

    def _request(self, prefix: str, hours: Iterable[tuple[str, S3Uri]]) -> Record:
        definition = self._definition
        app = {
            name: definition.app[name]
            for name in ("ImageUri", "ContainerEntrypoint", "ContainerArguments")
            if name in definition.app
        }
        environment, files = dict(definition.environment), []
        source = definition.endpoint_input["LocalPath"]
        for name, (place, uri) in self._baseline().items():
            files.append(_file(name, place, uri))
            environment[f"baseline_{name}"] = f"{place}/{S3Uri.parse(uri).key.rpartition('/')[2]}"
        for member, variable in CODES.items():
            if member in definition.app:
                place, uri = f"{CODE}/{variable}", definition.app[member]
                files.append(_file(variable, place, uri))
                environment[variable] = f"{place}/{S3Uri.parse(uri).key.rpartition('/')[2]}"
        if "ConfigUri" in definition.app:
            files.append(_file("analysis_config", CONFIG, definition.app["ConfigUri"]))
        environment |= self._variables(source)
        inputs = [*files, *_inputs("endpoint_input", source, hours)]
        place = f"{definition.endpoint}/{self._schedule}/{self._scheduled:%Y/%m/%d/%H}"
        output = S3Uri.parse(self._output["S3Uri"]).child(place)
        return self._job_request(prefix, app, environment, inputs, self._output["LocalPath"], output)

    def _variables(self, source: str) -> dict[str, str]:
        definition, given = self._definition, self._definition.endpoint_input
        found = {
            "dataset_format": json.dumps(
                CAPTURED if definition.ground_truth is None else MERGED, separators=(",", ":")
            ),
            "dataset_source": source,
            "output_path": self._output["LocalPath"],
            "start_time": _text(self._window.start),
            "end_time": _text(self._window.end),
            "metric_time": _text(self._window.start),
            "publish_cloudwatch_metrics": definition.environment.get("publish_cloudwatch_metrics", "Enabled"),
            "sagemaker_endpoint_name": definition.endpoint,
            "sagemaker_monitoring_schedule_name": self._schedule,
        }
        if definition.kind == MODEL_QUALITY:
            found["analysis_type"] = "MODEL_QUALITY"
            if "ProblemType" in definition.app:
                found["problem_type"] = definition.app["ProblemType"]
        attributes = {
            "inference_attribute": "InferenceAttribute",
            "probability_attribute": "ProbabilityAttribute",
            "probability_threshold_attribute": "ProbabilityThresholdAttribute",
            "features_attribute": "FeaturesAttribute",
        }
        return found | {name: str(given[member]) for name, member in attributes.items() if member in given}

    def _baseline(self) -> dict[str, tuple[str, str]]:
        """Return where statistics and constraints go in the container, and where they lie in S3."""
        given, found = self._definition.baseline, {}
        places = {"constraints": f"{BASELINE}/constraints", "statistics": f"{BASELINE}/stats"}
        if self._definition.kind != DATA_QUALITY:
            places.pop("statistics")
        if "BaseliningJobName" in given:
            job = self._surroundings.processing.job(given["BaseliningJobName"]).record
            output = job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"].rstrip("/")
            found = {name: (place, f"{output}/{name}.json") for name, place in places.items()}
        for name, place in places.items():
            uri = given.get(f"{name.capitalize()}Resource", {}).get("S3Uri")
            if uri:
                found[name] = (place, uri)
        return found

    @property
    def _output(self) -> Mapping[str, Any]:
        output: Mapping[str, Any] = self._definition.output["MonitoringOutputs"][0]["S3Output"]
        return output

    def _job_request(
        self,
        prefix: str,
        app: Mapping[str, Any],
        environment: Mapping[str, str],
        inputs: list[Record],
        place: str,
        output: S3Uri,
    ) -> Record:
        target = {
            "S3Uri": str(output),
            "LocalPath": place,
            "S3UploadMode": self._output.get("S3UploadMode", "EndOfJob"),
        }
        key = self._definition.output.get("KmsKeyId")
        return {
            "ProcessingJobName": f"{prefix}-{self._suffix}",
            "RoleArn": self._definition.role,
            "AppSpecification": dict(app),
            "Environment": dict(environment),
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": {
                "Outputs": [{"OutputName": "result", "S3Output": target}],
                **({"KmsKeyId": key} if key else {}),
            },
            "ProcessingResources": dict(self._definition.resources),
            "StoppingCondition": dict(self._definition.stopping),
            **({"NetworkConfig": dict(self._definition.network)} if self._definition.network else {}),
        }

    def _run_job(self, request: Record, job_type: type[MonitoringJob]) -> Record:
        if self._stopping:
            raise ExecutionFailure("the monitoring schedule was stopped")
        processing = self._surroundings.processing
        self._job = job = processing.begin(
            request, lambda request: job_type(self._workspace, processing.new_record(request))
        )
        schedule = self._workspace.arn("monitoring-schedule", self._schedule)
        job.record["MonitoringScheduleArn"] = schedule
        self._note(ProcessingJobArn=job.record["ProcessingJobArn"])
        job.finished.wait()
        return job.record

    @staticmethod
    def _outcome(job: Mapping[str, Any]) -> Record:
        status = job["ProcessingJobStatus"]
        if status == "Completed" and str(job.get("ExitMessage", "")).startswith("CompletedWithViolations"):
            status = "CompletedWithViolations"
        reason = job.get("FailureReason")
        return {"MonitoringExecutionStatus": status, **({"FailureReason": reason} if reason else {})}

    def _note(self, **members: Any) -> None:
        with self._workspace.lock:
            self.record = {**self.record, **members, "LastModifiedTime": self._workspace.now()}


def _inputs(name: str, place: str, hours: Iterable[tuple[str, S3Uri]]) -> list[Record]:
    return [
        {"InputName": f"{name}_{number}", "S3Input": _source(f"{place}/{hour}", f"{uri}/")}
        for number, (hour, uri) in enumerate(hours, 1)
    ]


def _file(name: str, place: str, uri: str) -> Record:
    return {"InputName": name, "S3Input": _source(place, uri)}


def _source(place: str, uri: str) -> Record:
    return {
        "S3Uri": uri,
        "LocalPath": place,
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
        "S3CompressionType": "None",
    }


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
