"""Training jobs under SageMaker's container contract."""

from __future__ import annotations

import math
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from local_aws.jobs.log_stream import LogStream
from local_aws.jobs.process import JobProcess, Outcome
from local_aws.jobs.s3_files import S3_ERRORS, S3Uri, upload_file, write_archive
from local_aws.json_api import ApiError
from local_aws.sagemaker.checkpoint_folder import CheckpointFolder
from local_aws.sagemaker.checks.steps import DEBUGGER_REFUSED, asks_debugger
from local_aws.sagemaker.container_job import (
    LOG_TAIL_LENGTH,
    OPT_ML,
    Container,
    ContainerJob,
    JobFailure,
    algorithm_error,
    container_words,
)
from local_aws.sagemaker.hosts import Host, HostProcesses, make_hosts
from local_aws.sagemaker.isolation import network_can_be_taken
from local_aws.sagemaker.workspace import Record, Workspace
from local_aws.service import Image

INPUT = PurePosixPath("/opt/ml/input")
MODEL = PurePosixPath("/opt/ml/model")
OUTPUT = PurePosixPath("/opt/ml/output")

_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds provided",
    "Interrupted": "The machines of the managed spot training job were taken away",
}


class TrainingJob(ContainerJob):
    """One training job; its model is `<S3OutputPath>/<name>/output/model.tar.gz`.

    Several instances are several processes. The machines of a spot job are taken away with `interrupt`, and the job
    goes on with new ones, which hold nothing but its checkpoints. Times leave out what it waits for machines; nothing
    knows the price of spot capacity here, so what is billed is the time that the job had machines.

    `metric_values` are all values that its log has of its metrics, in order.
    """

    kind = "training"
    log_group = "/aws/sagemaker/TrainingJobs"
    name_member = "TrainingJobName"
    arn_member = "TrainingJobArn"
    status_member = "TrainingJobStatus"
    event = "SageMaker Training Job State Change"

    def __init__(self, workspace: Workspace, record: Record) -> None:
        super().__init__(workspace, record)
        self._metrics: list[tuple[str, re.Pattern[str]]] = []
        self.metric_values: list[tuple[str, float]] = []
        self._hosts = make_hosts(self._instance_count(), self._directory)
        self._host_logs: dict[str, LogStream] = {}
        self._group: HostProcesses | None = None
        self._checkpoints: list[CheckpointFolder] = []
        self._taken = threading.Event()
        self._created = time.monotonic()
        self._ran_seconds = 0.0
        self._waited_too_long = False

    @classmethod
    def check(cls, request: Record) -> None:
        """Refuse Debugger's rules, and spot jobs without the time that they may wait or with machines that are kept."""
        if asks_debugger(request):
            raise ApiError("ValidationException", DEBUGGER_REFUSED)
        if not request.get("EnableManagedSpotTraining"):
            return
        condition = request.get("StoppingCondition", {})
        wait = condition.get("MaxWaitTimeInSeconds")
        if wait is None or wait < condition.get("MaxRuntimeInSeconds", 0):
            raise ApiError(
                "ValidationException",
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds",
            )
        if request["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
            raise ApiError("ValidationException", "KeepAlivePeriodInSeconds can't be set for managed spot training")

    def _image_uri(self) -> str:
        return str(self.record["AlgorithmSpecification"].get("TrainingImage", ""))

    def _command(self, image: Image) -> list[str]:
        algorithm = self.record["AlgorithmSpecification"]
        entrypoint = algorithm.get("ContainerEntrypoint") or [*image.entrypoint, "train"]
        return container_words([*entrypoint, *algorithm.get("ContainerArguments", [])], image)

    def _instance_count(self) -> int:
        return int(self.record["ResourceConfig"].get("InstanceCount", 1))

    def _environment(self) -> Mapping[str, str]:
        return {
            **self.record.get("Environment", {}),
            "TRAINING_JOB_NAME": self.record["TrainingJobName"],
            "TRAINING_JOB_ARN": self.record["TrainingJobArn"],
        }

    def _prepare(self) -> None:
        self._hosts = make_hosts(self._instance_count(), self._directory)
        self._checkpoints.clear()
        self._metrics.clear()
        for definition in self.record["AlgorithmSpecification"].get("MetricDefinitions", []):
            try:
                self._metrics.append((definition["Name"], re.compile(definition["Regex"])))
            except re.error as error:
                raise JobFailure(f"ClientError: the Regex of metric {definition['Name']!r}: {error}") from error
        for host in self._hosts:
            self._prepare_host(host)

    def _prepare_host(self, host: Host) -> None:
        channels, root = self.record.get("InputDataConfig", []), host.root
        self._write_json(INPUT / "config/hyperparameters.json", self.record.get("HyperParameters", {}), root)
        self._write_json(INPUT / "config/resourceconfig.json", self._resources(host), root)
        self._write_json(
            INPUT / "config/inputdataconfig.json",
            {channel["ChannelName"]: _described(channel) for channel in channels},
            root,
        )
        for path in (MODEL, OUTPUT / "data", PurePosixPath("/opt/ml/checkpoints")):
            self._made(path, root)
        for channel in channels:
            source = channel["DataSource"].get("S3DataSource")
            if source is None:
                raise JobFailure(
                    f"ClientError: channel {channel['ChannelName']!r}: only an S3DataSource can be read locally"
                )
            if channel.get("InputMode", self.record["AlgorithmSpecification"]["TrainingInputMode"]) == "Pipe":
                raise JobFailure(
                    f"ClientError: channel {channel['ChannelName']!r}: the input mode Pipe isn't run locally"
                )
            directory = self._path(INPUT / "data" / channel["ChannelName"], root)
            sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
            part = slice(host.number - 1, None, len(self._hosts)) if sharded else slice(None)
            self._download_input(source["S3Uri"], source["S3DataType"], directory, part)
        self._restore_checkpoints(host)

    def _resources(self, host: Host) -> dict[str, Any]:
        instance, names = self.record["ResourceConfig"].get("InstanceType", "ml.m5.large"), self._host_names()
        group = {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": names}
        resources = {
            "current_host": host.name,
            "current_instance_type": instance,
            "current_group_name": "homogeneousCluster",
            "hosts": names,
            "instance_groups": [group],
            "network_interface_name": "lo",
        }
        # names of hosts resolve in containers of SageMaker, and here there are no containers
        addresses = {each.name: each.address for each in self._hosts}
        return {**resources, "host_addresses": addresses} if len(names) > 1 else resources

    def _host_names(self) -> list[str]:
        return [host.name for host in self._hosts]

    def _restore_checkpoints(self, host: Host) -> None:
        """Bring back what an earlier job left in the folder that checkpoints are kept in, which may be empty."""
        checkpoints = self.record.get("CheckpointConfig")
        if not checkpoints:
            return
        directory = self._made(checkpoints.get("LocalPath", "/opt/ml/checkpoints"), host.root)
        try:
            folder = CheckpointFolder(self._client("s3"), S3Uri.parse(checkpoints["S3Uri"]), directory)
            self._checkpoints.append(folder)
            if folder.restore():
                self._scratch.append(directory)
        except (*S3_ERRORS, ValueError) as error:
            raise JobFailure(f"ClientError: Data download failed: {checkpoints['S3Uri']}: {error}") from error

    def _run_to_end(self, command: list[str]) -> Outcome:
        while True:
            for folder in self._checkpoints:
                folder.start()
            started = time.monotonic()
            outcome = self._run_container(command)
            self._ran_seconds += time.monotonic() - started
            try:
                for folder in self._checkpoints:
                    folder.finish()
            except S3_ERRORS as error:
                raise JobFailure(f"ClientError: Artifact upload failed: checkpoints: {error}") from error
            if outcome.ended_by != "stop" or self._stop_requested.is_set() or not self._taken.is_set():
                return outcome
            self._move()

    def _move(self) -> None:
        """Go on with other machines than those that were taken away: nothing is left but checkpoints."""
        for phase in ("Interrupted", "Starting", "Downloading"):
            self._enter(phase)
        self._taken.clear()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._path(OPT_ML).mkdir(parents=True)
        self._prepare()
        self._enter("Training")

    def interrupt(self) -> None:
        """Take the machines of a spot job away, with the notice that there is: SIGTERM, later SIGKILL.

        ApiError(ValidationException) for a job on demand, or one that isn't running.
        """
        if not self.record.get("EnableManagedSpotTraining"):
            raise ApiError("ValidationException", f"{self.name_} is no managed spot job: its machines are its own")
        with self._lock:
            process = self._process
            if process is None or self.record["SecondaryStatus"] != "Training":
                raise ApiError("ValidationException", f"{self.name_} has no machines now that could be taken away")
            self._taken.set()
        threading.Thread(target=process.stop, daemon=True, name=f"interruption-of-{self.name_}").start()

    def _time_limit(self) -> float:
        condition = self.record["StoppingCondition"]
        left = condition["MaxRuntimeInSeconds"] - self._ran_seconds
        wait = condition.get("MaxWaitTimeInSeconds")
        waited = time.monotonic() - self._created
        self._waited_too_long = wait is not None and wait - waited < left
        return float(max(min(left, left if wait is None else wait - waited), 0))

    def _isolated(self) -> bool:
        return bool(self.record.get("EnableNetworkIsolation"))

    def _differences(self) -> Iterator[str]:
        if self._isolated() and (len(self._hosts) > 1 or not network_can_be_taken()):
            yield "the container keeps this machine's network: isolation means no credentials and no address of AWS"
        modes = {channel.get("InputMode") for channel in self.record.get("InputDataConfig", [])}
        if "FastFile" in {*modes, self.record["AlgorithmSpecification"]["TrainingInputMode"]}:
            yield "FastFile copies objects before the start, as File does"
        if self.record.get("DebugHookConfig"):
            yield "nothing collects tensors: DebugHookConfig has no effect"
        if self.record["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
            yield "there are no machines to keep warm"

    def _start(self, command: list[str], environment: Mapping[str, str]) -> Container:
        if len(self._hosts) == 1:
            return super()._start(command, environment)
        threads = {"OMP_NUM_THREADS": str(max((os.cpu_count() or 1) // len(self._hosts), 1))}

        def start(host: Host) -> JobProcess:
            place = {"SAGEMAKER_BASE_DIR": str(self._path(OPT_ML, host.root))}
            return JobProcess(
                command,
                directory=self._path(OPT_ML, host.root),
                environment={**threads, **environment, **place},
                stdout=self._take_line if host.number == 1 else self._log_of(host).write,
            )

        self._group = HostProcesses(self._hosts, start)
        return self._group

    def _log_of(self, host: Host) -> LogStream:
        if host.name not in self._host_logs:
            stream = f"{self.name_}/{host.name}-{int(time.time())}"
            self._host_logs[host.name] = LogStream(self._client("logs"), self.log_group, stream)
        return self._host_logs[host.name]

    def _container_failure(self, outcome: Outcome) -> str:
        failed = self._group.failed if self._group else None
        if failed is None or failed.number == 1:
            return super()._container_failure(outcome)
        message = self._first_text("output/failure", failed.root) or self._log_of(failed).tail(5)[-LOG_TAIL_LENGTH:]
        return algorithm_error(f"{failed.name}: {message or 'it ended without a message'}", outcome)

    def _gather(self, container_path: PurePosixPath) -> Path:
        """Return a folder of the first host with what the others have beside it."""
        target = self._path(container_path)
        for host in self._hosts[1:]:
            source = self._path(container_path, host.root)
            for path in sorted(source.rglob("*")):
                place = target / path.relative_to(source)
                if path.is_file() and not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(path, place)
        return target

    def _upload(self, outcome: Outcome) -> None:
        config = self.record["OutputDataConfig"]
        destination = S3Uri.parse(config["S3OutputPath"]).child(f"{self.record['TrainingJobName']}/output")
        client, key = self._client("s3"), config.get("KmsKeyId")
        try:
            for directory, archive in ((MODEL, "model.tar.gz"), (OUTPUT / "data", "output.tar.gz")):
                path = self._gather(directory)
                if not any(path.iterdir()) and (archive != "model.tar.gz" or outcome.ended_by != "exit"):
                    continue
                packed = self._directory / archive
                write_archive(path, packed)
                upload_file(client, packed, destination.child(archive), key)
                packed.unlink()
                if archive == "model.tar.gz":
                    self._note(ModelArtifacts={"S3ModelArtifacts": str(destination.child(archive))})
        except (*S3_ERRORS, ValueError) as error:
            raise JobFailure(f"ClientError: Artifact upload failed: {destination}: {error}") from error

    def _transition(self, phase: str) -> None:
        moment = self._workspace.now()
        transitions = self.record.setdefault("SecondaryStatusTransitions", [])
        if transitions:
            transitions[-1]["EndTime"] = moment
        transitions.append({"Status": phase, "StartTime": moment, "StatusMessage": _MESSAGES[phase]})
        self.record["SecondaryStatus"] = phase
        super()._transition(phase)
        if phase != "Stopping":
            self._announce()

    def _interrupted(self, outcome: Outcome) -> str:
        if outcome.ended_by != "time limit":
            return "Stopped"
        return "MaxWaitTimeExceeded" if self._waited_too_long else "MaxRuntimeExceeded"

    def _finish(self, status: str) -> None:
        self._transition(status)
        self.record["SecondaryStatusTransitions"][-1]["EndTime"] = self.record["LastModifiedTime"]
        if status == "Failed":
            self.record["SecondaryStatusTransitions"][-1]["StatusMessage"] = self.record["FailureReason"]
        started = self.record.get("TrainingStartTime")
        self.record["TrainingEndTime"] = self._workspace.now()
        if started is not None:
            seconds = max(math.ceil(self._ran_seconds), 1)
            self.record["TrainingTimeInSeconds"] = self.record["BillableTimeInSeconds"] = seconds
        for log in self._host_logs.values():
            log.close()
        super()._finish("Stopped" if status.startswith("Max") else status)

    def _take_line(self, line: str) -> None:
        super()._take_line(line)
        for name, pattern in self._metrics:
            found = pattern.search(line)
            if found and found.groups():
                self._note_metric(name, found.group(1))

    def _note_metric(self, name: str, text: str) -> None:
        try:
            metric = {"MetricName": name, "Value": float(text), "Timestamp": self._workspace.now()}
        except ValueError:
            return
        self.metric_values.append((name, float(text)))
        metrics = self.record.get("FinalMetricDataList", [])
        self._note(FinalMetricDataList=[*(m for m in metrics if m["MetricName"] != name), metric])


def _described(channel: Mapping[str, Any]) -> dict[str, Any]:
    source = channel["DataSource"].get("S3DataSource", {})
    mode = channel.get("InputMode", "File")
    described = {
        "ContentType": channel.get("ContentType"),
        "TrainingInputMode": "File" if mode == "FastFile" else mode,
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return {name: value for name, value in described.items() if value is not None}
