"""Processing jobs under SageMaker's container contract."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from local_aws.jobs.process import Outcome
from local_aws.jobs.s3_files import S3_ERRORS, S3Uri, upload_directory
from local_aws.sagemaker.container_job import ContainerJob, JobFailure, algorithm_error, container_words
from local_aws.sagemaker.workspace import plain
from local_aws.service import Image

CONFIG = PurePosixPath("/opt/ml/config")


class ProcessingJob(ContainerJob):
    """One processing job; `<LocalPath>` of each output goes to its S3Uri, also when the job is stopped."""

    kind = "processing"
    log_group = "/aws/sagemaker/ProcessingJobs"
    name_member = "ProcessingJobName"
    arn_member = "ProcessingJobArn"
    status_member = "ProcessingJobStatus"
    event = "SageMaker Processing Job State Change"

    def _image_uri(self) -> str:
        return str(self.record["AppSpecification"]["ImageUri"])

    def _command(self, image: Image) -> list[str]:
        app = self.record["AppSpecification"]
        entrypoint = app.get("ContainerEntrypoint") or list(image.entrypoint)
        return container_words([*entrypoint, *app.get("ContainerArguments", [])], image)

    def _instance_count(self) -> int:
        return int(self.record["ProcessingResources"]["ClusterConfig"].get("InstanceCount", 1))

    def _environment(self) -> Mapping[str, str]:
        return {
            **self.record.get("Environment", {}),
            "PROCESSING_JOB_NAME": self.record["ProcessingJobName"],
            "PROCESSING_JOB_ARN": self.record["ProcessingJobArn"],
        }

    def _prepare(self) -> None:
        app = self.record["AppSpecification"]
        described = {
            "ProcessingJobArn": self.record["ProcessingJobArn"],
            "ProcessingJobName": self.record["ProcessingJobName"],
            "AppSpecification": {
                "ImageUri": app["ImageUri"],
                "ContainerEntrypoint": app.get("ContainerEntrypoint"),
                "ContainerArguments": app.get("ContainerArguments"),
            },
            "Environment": self.record.get("Environment", {}),
            "ProcessingInputs": self.record.get("ProcessingInputs", []),
            "ProcessingOutputConfig": self.record.get("ProcessingOutputConfig", {"Outputs": []}),
            "ProcessingResources": self.record["ProcessingResources"],
            "RoleArn": self.record["RoleArn"],
            "StoppingCondition": self.record["StoppingCondition"],
        }
        self._write_json(CONFIG / "processingjobconfig.json", plain(described))
        self._write_json(CONFIG / "resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
        self._made("/opt/ml/output")
        for processing_input in self.record.get("ProcessingInputs", []):
            source = processing_input.get("S3Input")
            if source is None:
                raise JobFailure(
                    f"ClientError: input {processing_input['InputName']!r}: only an S3Input can be read locally"
                )
            if source.get("S3InputMode") == "Pipe":
                raise JobFailure(
                    f"ClientError: input {processing_input['InputName']!r}: the input mode Pipe isn't run locally"
                )
            directory = self._made(source.get("LocalPath", "/opt/ml/processing/input"))
            self._download_input(source["S3Uri"], source.get("S3DataType", "S3Prefix"), directory)
        for output in self._outputs():
            self._made(output["S3Output"]["LocalPath"])

    def _upload(self, outcome: Outcome) -> None:  # noqa: ARG002
        key = self.record.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        for output in self._outputs():
            target = output["S3Output"]
            try:
                uri = S3Uri.parse(target["S3Uri"])
                upload_directory(self._client("s3"), self._path(target["LocalPath"]), uri, kms_key=key)
            except (*S3_ERRORS, ValueError) as error:
                raise JobFailure(
                    f"ClientError: Upload failed: output {output['OutputName']!r} to {target['S3Uri']}: {error}"
                ) from error

    def _interrupted(self, outcome: Outcome) -> str:
        if outcome.ended_by == "time limit":
            limit = self.record["StoppingCondition"]["MaxRuntimeInSeconds"]
            self._note(FailureReason=f"ClientError: the job ran longer than its limit of {limit} seconds")
        return "Stopped"

    def _finish(self, status: str) -> None:
        message = self._first_text("output/message")
        if message:
            self.record["ExitMessage"] = message
        super()._finish(status)

    def _container_failure(self, outcome: Outcome) -> str:
        message = self._first_text("output/message")
        if message and not self._first_text("output/failure"):
            return algorithm_error(message, outcome)
        return super()._container_failure(outcome)

    def _outputs(self) -> list[dict[str, dict[str, str]]]:
        outputs = self.record.get("ProcessingOutputConfig", {}).get("Outputs", [])
        for output in outputs:
            if "S3Output" not in output:
                raise JobFailure(
                    f"ClientError: output {output['OutputName']!r}: only an S3Output can be written locally"
                )
        return list(outputs)
