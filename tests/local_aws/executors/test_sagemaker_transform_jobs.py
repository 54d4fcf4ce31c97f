"""Transform jobs: what reaches the container, what becomes of its answers, how a job fails and stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/transform"
ENDED = ("Completed", "Failed", "Stopped")
# answers each line with its length, and tells how many lines it was sent
CONTAINER = """
import http.server, os, time

busy = most = 0

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, "")

    def do_POST(self):
        global busy, most
        busy += 1
        if busy > most:
            most = busy
            print("at most", most, "requests at a time", flush=True)
        try:
            self.transform()
        finally:
            busy -= 1

    def transform(self):
        lines = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
        if "few" in lines:
            lines = lines[1:]
        if "wait" in lines:
            time.sleep(0.3)
        if "slow" in lines:
            time.sleep(30)
        if "bad" in lines:
            self.answer(400, "no number")
        else:
            self.answer(200, "\\n".join(f"{len(line)} of {len(lines)}" for line in lines))

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass

print("strategy", os.environ["SAGEMAKER_BATCH_STRATEGY"], os.environ["COLOUR"], flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def transform(server: Any, sagemaker: Any, wait: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Transforms files and returns the job's description; `wait_for` is asked before its end."""
    sagemaker.create_model(
        ModelName="model",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": server.image(CONTAINER), "Environment": {"COLOUR": "blue"}},
    )

    def run(
        files: dict[str, str],
        split: str = "None",
        assemble: str = "None",
        stop: bool = False,
        **changes: Any,
    ) -> dict[str, Any]:
        for name, text in files.items():
            server.client("s3").put_object(Bucket="lake", Key=f"in/{name}", Body=text.encode())
        source = {"S3DataType": "S3Prefix", "S3Uri": "s3://lake/in/"}
        sagemaker.create_transform_job(
            **{
                "TransformJobName": "job",
                "ModelName": "model",
                "TransformInput": {
                    "DataSource": {"S3DataSource": source}, "ContentType": "text/csv", "SplitType": split,
                },
                "TransformOutput": {"S3OutputPath": "s3://lake/out", "AssembleWith": assemble, "Accept": "text/csv"},
                "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
                **changes,
            }
        )  # fmt: skip

        def describe() -> dict[str, Any]:
            return dict(sagemaker.describe_transform_job(TransformJobName="job"))

        if stop:
            wait(describe, lambda found: "TransformStartTime" in found)
            assert "transform job job" in server.context.clock.busy()  # time waits for it
            sagemaker.stop_transform_job(TransformJobName="job")
        ended = dict(wait(describe, lambda found: found["TransformJobStatus"] in ENDED, 60))
        wait(server.context.clock.busy, lambda busy: busy == [])
        return ended

    return run


def outputs(server: Any) -> dict[str, str]:
    s3 = server.client("s3")
    found = s3.list_objects_v2(Bucket="lake", Prefix="out/").get("Contents", [])
    return {
        each["Key"].removeprefix("out/"): s3.get_object(Bucket="lake", Key=each["Key"])["Body"].read().decode()
        for each in found
    }


def test_each_file_has_its_answers_beside_it(transform: Callable[..., Any], server: Any) -> None:
    found = transform({"a.csv": "1\n22\n", "day=1/b.csv": "333\n"})
    assert found["TransformJobStatus"] == "Completed", found.get("FailureReason")
    assert outputs(server) == {"a.csv.out": "1 of 2\n2 of 2", "day=1/b.csv.out": "3 of 1"}
    assert "strategy SINGLE_RECORD blue" in server.log("/aws/sagemaker/TransformJobs", "job/")


def test_lines_are_sent_one_by_one_and_put_together_again(transform: Callable[..., Any], server: Any) -> None:
    transform({"a.csv": "1\n22\n"}, split="Line", assemble="Line", BatchStrategy="SingleRecord")
    assert outputs(server) == {"a.csv.out": "1 of 1\n2 of 1\n"}


def test_as_many_lines_as_the_payload_may_have_are_sent_together(transform: Callable[..., Any], server: Any) -> None:
    line = "x" * 299_999
    transform({"a.csv": f"{line}\n" * 7}, split="Line", assemble="Line", BatchStrategy="MultiRecord", MaxPayloadInMB=1)
    sizes = [line.rpartition(" ")[2] for line in outputs(server)["a.csv.out"].splitlines()]
    assert sizes == ["3", "3", "3", "3", "3", "3", "1"]


def test_records_are_filtered_joined_with_their_answers_and_filtered_again(
    transform: Callable[..., Any], server: Any
) -> None:
    found = transform(
        {"a.csv": "7,1,22\n8,333,\n"},
        split="Line",
        assemble="Line",
        BatchStrategy="MultiRecord",
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )
    assert found["TransformJobStatus"] == "Completed", found.get("FailureReason")
    assert outputs(server) == {"a.csv.out": "7,4 of 2\n8,4 of 2\n"}


def test_fewer_answers_than_records_fail_the_job(transform: Callable[..., Any], server: Any) -> None:
    found = transform(
        {"a.csv": "7,few\n8,few\n"},
        split="Line",
        assemble="Line",
        BatchStrategy="MultiRecord",
        DataProcessing={"InputFilter": "$[1]", "JoinSource": "Input"},
    )
    assert "a.csv: the container gave 1 answers for 2 records" in found["FailureReason"]
    assert outputs(server) == {}


def test_requests_are_sent_at_the_same_time_and_answered_in_order(transform: Callable[..., Any], server: Any) -> None:
    found = transform(
        {"a.csv": "wait\n" + "1\n22\n" * 3},
        split="Line",
        assemble="Line",
        BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=4,
    )
    assert found["TransformJobStatus"] == "Completed", found.get("FailureReason")
    assert outputs(server)["a.csv.out"] == "4 of 1\n" + "1 of 1\n2 of 1\n" * 3
    assert int(server.log("/aws/sagemaker/TransformJobs", "job/").rpartition("at most ")[2][0]) > 1


def test_a_refused_record_costs_its_file_and_fails_the_job(transform: Callable[..., Any], server: Any) -> None:
    found = transform({"a.csv": "1\nbad\n", "b.csv": "1\n"}, split="Line")
    assert found["TransformJobStatus"] == "Failed"
    assert "a.csv: Bad HTTP status received from algorithm: 400: no number" in found["FailureReason"]
    assert list(outputs(server)) == ["b.csv.out"]


def test_a_stopped_job_leaves_nothing(transform: Callable[..., Any], server: Any) -> None:
    found = transform({f"{number}.csv": "1\n" * 3000 for number in range(9)}, split="Line", stop=True)
    assert found["TransformJobStatus"] == "Stopped"
    assert outputs(server) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://lake/capture"}}, "doesn't act on DataCaptureConfig"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "SplitType and AssembleWith Line, got None and None"),
        ({"split": "RecordIO"}, "not by RecordIO"),
        ({"ModelName": "other"}, "Could not find model"),
    ],
)
def test_what_is_not_transformed_is_refused(
    transform: Callable[..., Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        transform({"a.csv": "1\n"}, **changes)
