"""Asks a model that this runtime can't load: a batch transform job with the model's own container.

The job that asks is a processing job. It hands on what it has: role, kind of machine, keys and network, and the folder
of its output `evaluation`, beside which rows and answers lie. The model that SageMaker needs for it is deleted again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths

SECONDS_TO_ANSWER = 1800
POLL_SECONDS = 10.0
PAYLOAD_MB = 6
LONGEST_NAME = 63
OUTPUT = "evaluation"


FIRST_POLL_SECONDS = 0.2
POLL_GROWTH = 1.25
CONTAINERS_FAULT = re.compile(r"AlgorithmError|ClientError:.*\blogs?\b", re.DOTALL)
"""How SageMaker begins the reason of a job whose container failed or refused the rows, and tells so in the job's log.
All else, as CapacityError and InternalServerError, says nothing about the model."""


class NoAnswer(Exception):
    """The container failed, or refused the rows; the text is the reason."""


def transform(container: Mapping[str, Any], rows: Path, name: str, paths: ContainerPaths, target: Path) -> None:
    """Ask a container about a CSV file of rows without a header, and write its answers to `target`.

    `container` is one of a model package's, `name` what the job and its files are called. Raises NoAnswer when its
    container fails, and JobError when the job fails for another reason, takes longer than 30 minutes, or SageMaker
    can't be asked for it.
    """
    try:
        asking = _Asking(paths, name)
        asking.run(container, rows, target)
    except (ClientError, BotoCoreError, Boto3Error) as error:
        raise JobError(f"SageMaker can't be asked for a transform job of {name}: {error}") from error


class _Asking:
    def __init__(self, paths: ContainerPaths, name: str) -> None:
        file = paths.processing_configuration
        if not file.is_file():
            raise JobError(f"{name} can only be asked from a processing job, and {file} isn't there")
        job = json.loads(file.read_text(encoding="utf-8"))["ProcessingJobName"]
        self._s3, self._sagemaker = boto3.client("s3"), boto3.client("sagemaker")
        # the file has no network
        self._job = self._sagemaker.describe_processing_job(ProcessingJobName=job)
        self._name = f"{name}-{job}"[-LONGEST_NAME:].lstrip("-")
        outputs = {each["OutputName"]: each["S3Output"]["S3Uri"] for each in self._output["Outputs"]}
        self._folder = f"{outputs[OUTPUT].rpartition('/')[0]}/{name}"

    @property
    def _output(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._job["ProcessingOutputConfig"]
        return found

    def run(self, container: Mapping[str, Any], rows: Path, target: Path) -> None:
        self._upload(rows, f"{self._folder}/rows/{rows.name}")
        members = {key: container[key] for key in ("Image", "ModelDataUrl", "Environment") if key in container}
        network = self._job.get("NetworkConfig", {}).get("VpcConfig")
        self._sagemaker.create_model(
            ModelName=self._name,
            ExecutionRoleArn=self._job["RoleArn"],
            PrimaryContainer=members,
            **({"VpcConfig": network} if network else {}),
        )
        try:
            self._transform(rows.name, target)
        finally:
            self._sagemaker.delete_model(ModelName=self._name)

    def _transform(self, file: str, target: Path) -> None:
        cluster = self._job["ProcessingResources"]["ClusterConfig"]
        disk, key = cluster.get("VolumeKmsKeyId"), self._output.get("KmsKeyId")
        machines = {"InstanceType": cluster["InstanceType"], "InstanceCount": 1}
        source = {"S3DataType": "S3Prefix", "S3Uri": f"{self._folder}/rows/"}
        output = {"S3OutputPath": f"{self._folder}/answers", "Accept": "text/csv", "AssembleWith": "Line"}
        self._sagemaker.create_transform_job(
            TransformJobName=self._name,
            ModelName=self._name,
            TransformInput={"DataSource": {"S3DataSource": source}, "ContentType": "text/csv", "SplitType": "Line"},
            TransformOutput={**output, **({"KmsKeyId": key} if key else {})},
            TransformResources={**machines, **({"VolumeKmsKeyId": disk} if disk else {})},
            BatchStrategy="MultiRecord",
            MaxPayloadInMB=PAYLOAD_MB,
        )
        ended = False
        try:
            self._wait()
            ended = True
        finally:
            if not ended:
                self._stop()
        place = urlsplit(f"{self._folder}/answers/{file}.out")
        self._s3.download_file(place.netloc, place.path.lstrip("/"), str(target))

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_ANSWER
        pause = FIRST_POLL_SECONDS
        while time.monotonic() < deadline:
            found = self._sagemaker.describe_transform_job(TransformJobName=self._name)
            if found["TransformJobStatus"] == "Completed":
                return
            if found["TransformJobStatus"] in ("Failed", "Stopped"):
                reason = found.get("FailureReason") or f"it is {found['TransformJobStatus']}"
                told = f"the transform job {self._name} gave no answers: {reason}"
                raise NoAnswer(told) if CONTAINERS_FAULT.match(reason) else JobError(told)
            time.sleep(min(pause, POLL_SECONDS))
            pause *= POLL_GROWTH
        raise JobError(f"the transform job {self._name} gave no answers within {SECONDS_TO_ANSWER} s")

    def _stop(self) -> None:
        """Stop the job; one that has ended by itself can't be stopped, which SageMaker says with an error."""
        try:
            self._sagemaker.stop_transform_job(TransformJobName=self._name)
        except ClientError:
            return

    def _upload(self, file: Path, uri: str) -> None:
        place = urlsplit(uri)
        self._s3.upload_file(str(file), place.netloc, place.path.lstrip("/"))
