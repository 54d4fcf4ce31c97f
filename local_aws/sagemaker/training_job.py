"""Training jobs under SageMaker's container contract."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from local_aws.jobs.process import Outcome
from local_aws.jobs.s3_files import (
    S3_ERRORS,
    S3Uri,
    download,
    list_folder,
    upload_directory,
    upload_file,
    write_archive,
)
from local_aws.sagemaker.container_job import ContainerJob, JobFailure, container_words
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
}


class TrainingJob(ContainerJob):
    """One training job; its model is `<S3OutputPath>/<name>/output/model.tar.gz`.

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
        for definition in self.record["AlgorithmSpecification"].get("MetricDefinitions", []):
            try:
                self._metrics.append((definition["Name"], re.compile(definition["Regex"])))
            except re.error as error:
                raise JobFailure(f"ClientError: the Regex of metric {definition['Name']!r}: {error}") from error
        channels = self.record.get("InputDataConfig", [])
        instance = self.record["ResourceConfig"].get("InstanceType", "ml.m5.large")
        group = {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": ["algo-1"]}
        self._write_json(INPUT / "config/hyperparameters.json", self.record.get("HyperParameters", {}))
        self._write_json(
            INPUT / "config/resourceconfig.json",
            {
                "current_host": "algo-1",
                "current_instance_type": instance,
                "current_group_name": "homogeneousCluster",
                "hosts": ["algo-1"],
                "instance_groups": [group],
                "network_interface_name": "lo",
            },
        )
        self._write_json(
            INPUT / "config/inputdataconfig.json", {channel["ChannelName"]: _described(channel) for channel in channels}
        )
        for path in (MODEL, OUTPUT / "data", PurePosixPath("/opt/ml/checkpoints")):
            self._made(path)
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
            directory = self._path(INPUT / "data" / channel["ChannelName"])
            self._download_input(source["S3Uri"], source["S3DataType"], directory)
        self._restore_checkpoints()

    def _restore_checkpoints(self) -> None:
        """Bring back what an earlier job left in the folder that checkpoints are kept in, which may be empty."""
        checkpoints = self.record.get("CheckpointConfig")
        if not checkpoints:
            return
        client, source = self._client("s3"), checkpoints["S3Uri"]
        directory = self._made(checkpoints.get("LocalPath", "/opt/ml/checkpoints"))
        try:
            uri = S3Uri.parse(source)
            if download(client, uri.bucket, list_folder(client, uri), directory):
                self._scratch.append(directory)
        except (*S3_ERRORS, ValueError) as error:
            raise JobFailure(f"ClientError: Data download failed: {source}: {error}") from error

    def _upload(self, outcome: Outcome) -> None:
        config = self.record["OutputDataConfig"]
        destination = S3Uri.parse(config["S3OutputPath"]).child(f"{self.record['TrainingJobName']}/output")
        client, key = self._client("s3"), config.get("KmsKeyId")
        try:
            for directory, archive in ((MODEL, "model.tar.gz"), (OUTPUT / "data", "output.tar.gz")):
                path = self._path(directory)
                if not any(path.iterdir()) and (archive != "model.tar.gz" or outcome.ended_by != "exit"):
                    continue
                packed = self._directory / archive
                write_archive(path, packed)
                upload_file(client, packed, destination.child(archive), key)
                packed.unlink()
                if archive == "model.tar.gz":
                    self._note(ModelArtifacts={"S3ModelArtifacts": str(destination.child(archive))})
            checkpoints = self.record.get("CheckpointConfig")
            if checkpoints:
                local = self._made(checkpoints.get("LocalPath", "/opt/ml/checkpoints"))
                upload_directory(client, local, S3Uri.parse(checkpoints["S3Uri"]))
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
        return "MaxRuntimeExceeded" if outcome.ended_by == "time limit" else "Stopped"

    def _finish(self, status: str) -> None:
        self._transition(status)
        self.record["SecondaryStatusTransitions"][-1]["EndTime"] = self.record["LastModifiedTime"]
        if status == "Failed":
            self.record["SecondaryStatusTransitions"][-1]["StatusMessage"] = self.record["FailureReason"]
        started = self.record.get("TrainingStartTime")
        self.record["TrainingEndTime"] = self._workspace.now()
        if started is not None:
            seconds = round((self.record["TrainingEndTime"] - started).total_seconds())
            self.record["TrainingTimeInSeconds"] = self.record["BillableTimeInSeconds"] = max(seconds, 1)
        super()._finish("Stopped" if status == "MaxRuntimeExceeded" else status)

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
