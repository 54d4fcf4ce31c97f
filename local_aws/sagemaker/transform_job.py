"""Batch transform jobs: a model's container answers the records of files, and the answers become files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from local_aws.jobs.process import Outcome
from local_aws.jobs.s3_files import S3_ERRORS, S3Uri, upload_directory
from local_aws.json_api import ApiError
from local_aws.sagemaker.container_job import CLOSE_GRACE_SECONDS, ContainerJob, JobFailure, container_words
from local_aws.sagemaker.job_operations import JobOperations
from local_aws.sagemaker.model_server import ContainerUnavailable, ModelServer, ServerFailure
from local_aws.sagemaker.models import Models
from local_aws.sagemaker.transform_records import FilterError, RecordProcessing
from local_aws.sagemaker.workspace import Record, Workspace
from local_aws.service import Image

INPUT = PurePosixPath("/opt/ml/transform/input")
OUTPUT = PurePosixPath("/opt/ml/transform/output")
MEBIBYTE = 1024 * 1024
MAX_PAYLOAD_MB = 6
SHOWN_ANSWER = 200
_OWN_MEMBERS = frozenset({"Container", "RoleArn", "StoppingCondition"})
_UNUSED = ("DataCaptureConfig", "ModelClientConfig", "ExperimentConfig")


@dataclass(frozen=True)
class _Request:
    """A body, and the records of the input that it was made from."""

    records: list[bytes]
    body: bytes


class TransformJob(ContainerJob):
    """One transform job; the answers for the file `x` are `<S3OutputPath>/x.out`.

    A file with a record that the model refuses has none; the other files go on, and the job fails at the end.
    """

    kind: ClassVar[str] = "transform"
    log_group = "/aws/sagemaker/TransformJobs"
    name_member: ClassVar[str] = "TransformJobName"
    arn_member: ClassVar[str] = "TransformJobArn"
    status_member: ClassVar[str] = "TransformJobStatus"
    event = "SageMaker Transform Job State Change"

    def _image_uri(self) -> str:
        return str(self.record["Container"]["Image"])

    def _command(self, image: Image) -> list[str]:
        return container_words([*image.entrypoint, "serve"], image)

    def _instance_count(self) -> int:
        return int(self.record["TransformResources"]["InstanceCount"])

    def _environment(self) -> Mapping[str, str]:
        strategy = "MULTI_RECORD" if self.record.get("BatchStrategy") == "MultiRecord" else "SINGLE_RECORD"
        return {
            **self.record["Container"].get("Environment", {}),
            **self.record.get("Environment", {}),
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_BATCH_STRATEGY": strategy,
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(self.record.get("MaxConcurrentTransforms", 1)),
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(self._payload_mb()),
        }

    def _payload_mb(self) -> int:
        return int(self.record.get("MaxPayloadInMB", MAX_PAYLOAD_MB))

    def _prepare(self) -> None:
        source = self.record["TransformInput"]["DataSource"]["S3DataSource"]
        self._download_input(source["S3Uri"], source["S3DataType"], self._path(INPUT))
        self._made(OUTPUT)

    def _run_container(self, command: list[str]) -> Outcome:  # noqa: ARG002  # the server starts the container
        container = {**self.record["Container"], "Environment": dict(self._environment())}
        server = ModelServer(
            self._workspace,
            endpoint=self.name_,
            variant={"VariantName": self.name_},
            container=container,
            directory=self._directory / "server",
            log_group=self.log_group,
        )
        self._note(TransformStartTime=self._workspace.now())
        try:
            server.start()
        except ServerFailure as error:
            raise JobFailure(f"ClientError: {error}") from error
        try:
            self._answer_files(server)
        finally:
            server.stop(CLOSE_GRACE_SECONDS)
            self._note(TransformEndTime=self._workspace.now())
        return Outcome(0, "stop" if self._stop_requested.is_set() else "exit")

    def _answer_files(self, server: ModelServer) -> None:
        source, failures = self._path(INPUT), []
        with ThreadPoolExecutor(int(self.record.get("MaxConcurrentTransforms") or 1)) as senders:
            for file in sorted(path for path in source.rglob("*") if path.is_file()):
                target = self._path(OUTPUT) / f"{file.relative_to(source)}.out"
                try:
                    answers = list(senders.map(lambda request: self._answer(server, request), self._requests(file)))
                except (JobFailure, FilterError) as error:
                    failures.append(f"{file.relative_to(source)}: {error}")
                    self._take_line(failures[-1])
                    continue
                if self._stop_requested.is_set():
                    return
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._assembled(answers))
        if failures:
            self._send()
            raise JobFailure(f"ClientError: {failures[0]}; see the job's log for more information")

    def _answer(self, server: ModelServer, request: _Request) -> bytes:
        if self._stop_requested.is_set():
            return b""
        headers = {"Content-Type": self.record["TransformInput"].get("ContentType", "application/octet-stream")}
        accept = self.record["TransformOutput"].get("Accept")
        try:
            answer = server.invoke(request.body, headers | ({"Accept": accept} if accept else {}))
        except ContainerUnavailable as error:
            raise JobFailure(str(error)) from error
        if answer.status != 200:
            said = answer.body.decode(errors="replace")[:SHOWN_ANSWER]
            raise JobFailure(f"Bad HTTP status received from algorithm: {answer.status}: {said}")
        return answer.body if self._processing is None else self._kept(self._processing, request.records, answer.body)

    def _kept(self, processing: RecordProcessing, records: list[bytes], answer: bytes) -> bytes:
        if not self._splits:
            return processing.kept(records[0], answer)
        answers = [line for line in answer.splitlines() if line.strip()]
        if len(answers) != len(records):
            raise JobFailure(f"the container gave {len(answers)} answers for {len(records)} records")
        return b"".join(processing.kept(*each) + b"\n" for each in zip(records, answers, strict=True))

    @property
    def _splits(self) -> bool:
        return bool(self.record["TransformInput"].get("SplitType", "None") != "None")

    @cached_property
    def _processing(self) -> RecordProcessing | None:
        return RecordProcessing.of(self.record)

    def _requests(self, file: Path) -> Iterator[_Request]:
        """The bodies that a file is sent in: itself, its lines, or as many lines as the payload may have."""
        content, sent = file.read_bytes(), self._processing.sent if self._processing else bytes
        if not self._splits:
            yield _Request([content], sent(content))
            return
        records = [line for line in content.splitlines() if line.strip()]
        if self.record.get("BatchStrategy") != "MultiRecord":
            for record in records:
                yield _Request([record], sent(record))
            return
        limit, size = self._payload_mb() * MEBIBYTE, 0
        together: list[bytes] = []
        bodies: list[bytes] = []
        for record in records:
            body = sent(record) + b"\n"
            if together and size + len(body) > limit:
                yield _Request(together, b"".join(bodies))
                together, bodies, size = [], [], 0
            together.append(record)
            bodies.append(body)
            size += len(body)
        if together:
            yield _Request(together, b"".join(bodies))

    def _assembled(self, answers: list[bytes]) -> bytes:
        if self.record["TransformOutput"].get("AssembleWith") != "Line":
            return b"".join(answers)
        return b"".join(answer if answer.endswith(b"\n") else answer + b"\n" for answer in answers)

    def _upload(self, outcome: Outcome) -> None:
        if outcome.ended_by == "exit":
            self._send()

    def _send(self) -> None:
        target = self.record["TransformOutput"]
        try:
            uri = S3Uri.parse(target["S3OutputPath"])
            upload_directory(self._client("s3"), self._path(OUTPUT), uri, kms_key=target.get("KmsKeyId"))
        except (*S3_ERRORS, ValueError) as error:
            raise JobFailure(f"ClientError: Upload failed: {target['S3OutputPath']}: {error}") from error

    def _announce(self) -> None:
        detail = {name: value for name, value in self.record.items() if name not in _OWN_MEMBERS}
        self._workspace.emit(self.event, detail, self.record[self.arn_member])

    def _interrupted(self, outcome: Outcome) -> str:  # noqa: ARG002
        return "Stopped"


class TransformOperations(JobOperations[TransformJob]):
    """The transform jobs by name."""

    def __init__(self, workspace: Workspace, models: Models) -> None:
        super().__init__(workspace, TransformJob, "TransformJob")
        self._models = models

    def create(self, request: Record) -> TransformJob:
        """Start a job; ApiError says what is wrong with it, or what the local AWS doesn't do."""
        for member in _UNUSED:
            if request.get(member):
                raise _refused(f"the local AWS doesn't act on {member}: leave it out")
        source = request["TransformInput"]
        if source.get("CompressionType", "None") != "None":
            raise _refused("the local AWS transforms files that aren't compressed: leave CompressionType out")
        if source.get("SplitType", "None") not in ("None", "Line"):
            raise _refused(f"the local AWS splits by Line, not by {source['SplitType']}")
        try:
            RecordProcessing.of(request)
        except FilterError as error:
            raise _refused(str(error)) from error
        container = self._models.serving_container(request["ModelName"])
        own: dict[str, Any] = {"Container": container, "RoleArn": container.get("ExecutionRoleArn")}
        return super().create({**request, **own})


def _refused(problem: str) -> ApiError:
    return ApiError("ValidationException", problem)
