"""What can go wrong around a container: no job hangs, none leaves processes or copies behind, and each says why."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local_aws import process
from local_aws.jobs.log_stream import STREAM_LIMIT_BYTES
from local_aws.sagemaker import container_job
from local_aws.service import Image
from tests.local_aws.test_lifecycle import free_port

ROLE = "arn:aws:iam::123456789012:role/training"
GROUP = "/aws/sagemaker/TrainingJobs"
PREAMBLE = (
    "import json, os, pathlib, subprocess, sys, time\nml = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"
    "spawn = lambda **more: subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'], **more).pid\n"
)


def training_request(image: str, name: str = "job", **changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://lake/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }


def channel(uri: str, **members: Any) -> list[dict[str, Any]]:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}
    return [{"ChannelName": "train", "DataSource": source, **members}]


@dataclass
class Training:
    """Training jobs of scripts."""

    server: Any
    client: Any
    wait: Callable[..., Any]

    def start(self, script: str, **changes: Any) -> None:
        self.client.create_training_job(**training_request(self.server.image(PREAMBLE + script), **changes))

    def ended(self) -> dict[str, Any]:
        found = self.wait(
            lambda: self.client.describe_training_job(TrainingJobName="job"),
            lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )
        return dict(found)

    def run(self, script: str, **changes: Any) -> dict[str, Any]:
        self.start(script, **changes)
        return self.ended()

    @property
    def directory(self) -> Path:
        return Path(self.server.context.state_dir) / "jobs" / "training" / "job"


@pytest.fixture
def training(server: Any, sagemaker: Any, wait: Callable[..., Any]) -> Training:
    return Training(server, sagemaker, wait)


def is_running(pid: int) -> bool:
    try:
        # a process that has ended stays a zombie until its parent asks for it
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
def test_killed_job_fails_with_its_exit_code_and_leaves_nothing_running(
    training: Training, tmp_path: Path, wait: Callable[..., Any]
) -> None:
    pids = tmp_path / "pids"
    training.start(
        f"pids = [os.getpid(), spawn(), spawn(start_new_session=True)]\n"
        f"pathlib.Path({str(pids)!r}).write_text(json.dumps(pids) + '.')\ntime.sleep(120)"
    )
    wait(lambda: pids.exists() and pids.read_text(), lambda text: text and text.endswith("."))
    container, *children = json.loads(pids.read_text()[:-1])
    os.kill(container, signal.SIGKILL)
    job = training.ended()
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert job["FailureReason"].endswith("exit code: 137")
    assert not [pid for pid in (container, *children) if is_running(pid)]


@needs_proc
def test_processes_that_a_container_leaves_in_the_background_end_with_it(training: Training, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    job = training.run(f"pathlib.Path({str(pids)!r}).write_text(json.dumps([spawn(), spawn(start_new_session=True)]))")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert not [pid for pid in json.loads(pids.read_text()) if is_running(pid)]


def test_full_log_says_so_at_its_end_and_the_job_goes_on(server: Any, training: Training) -> None:
    job = training.run("for number in range(12000):\n    print(number, 'x' * 1000)\nprint('end')")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    lines = server.log(GROUP, "job/").splitlines()
    assert lines[0].startswith("0 x")
    kept = sum(len(line) + 26 for line in lines[:-1])
    assert STREAM_LIMIT_BYTES * 0.9 < kept <= STREAM_LIMIT_BYTES
    assert lines[-1] == f"log is full: {12001 - (len(lines) - 1)} more lines were dropped after 8,388,608 bytes"


def test_last_lines_of_a_full_log_still_say_why_the_job_failed(training: Training) -> None:
    job = training.run("for number in range(9000):\n    print('x' * 1000)\nraise ValueError('no trees')")
    assert "ValueError: no trees" in job["FailureReason"]


def test_line_without_an_end_is_cut_into_events(server: Any, training: Training) -> None:
    job = training.run("sys.stdout.write('x' * 600_000)\nsys.stdout.flush()")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    lines = server.log(GROUP, "job/").splitlines()
    assert [len(line) for line in lines] == [261_120, 261_120, 77_760]


def test_long_failure_is_cut_but_keeps_the_exit_code(training: Training) -> None:
    job = training.run("(ml / 'output/failure').write_text('é' * 50_000)\nsys.exit(7)")
    assert len(job["FailureReason"]) == 1024
    assert job["FailureReason"].startswith("AlgorithmError: éé")
    assert job["FailureReason"].endswith("é, exit code: 7")


def test_silent_failure_has_a_reason(training: Training) -> None:
    job = training.run("sys.exit(9)")
    assert job["FailureReason"] == "AlgorithmError: the container ended without a message; see its logs, exit code: 9"


def test_missing_bucket_of_the_output_fails_the_job(training: Training) -> None:
    job = training.run("(ml / 'model/m').write_text('1')", OutputDataConfig={"S3OutputPath": "s3://nowhere/models"})
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed: s3://nowhere/models/job/output: ")
    assert "NoSuchBucket" in job["FailureReason"]
    assert "ModelArtifacts" not in job


def test_missing_bucket_of_the_input_fails_the_job(training: Training) -> None:
    job = training.run("", InputDataConfig=channel("s3://nowhere/train"))
    assert job["FailureReason"].startswith("ClientError: Data download failed: s3://nowhere/train: ")
    assert "NoSuchBucket" in job["FailureReason"]


def test_input_that_the_bucket_denies_fails_the_job(server: Any, training: Training) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="closed")
    s3.put_object(Bucket="closed", Key="train/rows.csv", Body=b"1,2")
    statement = {
        "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::closed/*",
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="closed", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    job = training.run("", InputDataConfig=channel("s3://closed/train"))
    assert job["FailureReason"].startswith("ClientError: Data download failed: s3://closed/train: ")
    assert "Forbidden" in job["FailureReason"]


def test_input_modes_that_do_not_run_here_fail_the_job(training: Training) -> None:
    job = training.run("", InputDataConfig=channel("s3://lake/train", InputMode="Pipe"))
    assert job["FailureReason"] == "ClientError: channel 'train': the input mode Pipe isn't run locally"


def test_broken_expression_of_a_metric_fails_the_job(server: Any, training: Training) -> None:
    algorithm = {
        "TrainingImage": server.image(PREAMBLE), "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "auc", "Regex": "auc=("}],
    }  # fmt: skip
    assert "the Regex of metric 'auc'" in training.run("", AlgorithmSpecification=algorithm)["FailureReason"]


def test_full_disk_is_the_failure_reason(server: Any, training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    server.client("s3").put_object(Bucket="lake", Key="train/rows.csv", Body=b"1,2")
    monkeypatch.setattr(container_job, "download", full)
    job = training.run("", InputDataConfig=channel("s3://lake/train"))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: No space left on the disk")


def test_container_that_cannot_start_fails_the_job(server: Any, training: Training) -> None:
    server.images["ghost"] = Image("/nowhere/python", ("/nowhere/python",))
    algorithm = {"TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghost", "TrainingInputMode": "File"}
    job = training.run("", AlgorithmSpecification=algorithm)
    assert job["FailureReason"].startswith("ClientError: the container can't be started: ")


def test_nothing_stays_on_disk_after_success(server: Any, training: Training) -> None:
    server.client("s3").put_object(Bucket="lake", Key="train/rows.csv", Body=b"1,2")
    training.run("(ml / 'model/m').write_text('1')", InputDataConfig=channel("s3://lake/train"))
    training.wait(training.directory.exists, lambda there: not there)
    assert list((server.context.state_dir / "tmp").iterdir()) == []


def test_failed_job_can_be_looked_at_but_holds_no_copies_of_its_input(
    server: Any, training: Training, wait: Callable[..., Any]
) -> None:
    server.client("s3").put_object(Bucket="lake", Key="train/rows.csv", Body=b"1,2")
    training.run(
        "(ml / 'model/half').write_text('1')\nsys.exit(1)",
        InputDataConfig=channel("s3://lake/train"),
        HyperParameters={"depth": "6"},
    )
    ml = training.directory / "opt/ml"
    wait((ml / "input/data/train").exists, lambda there: not there)
    assert (ml / "model/half").read_text() == "1"
    assert json.loads((ml / "input/config/hyperparameters.json").read_text()) == {"depth": "6"}


def test_stop_that_comes_with_the_end_leaves_an_ended_job(training: Training) -> None:
    for number in range(4):
        name = f"job-{number}"
        training.start("", TrainingJobName=name)
        time.sleep(0.05 * number)

        def stopped(name: str = name) -> bool:
            try:
                training.client.stop_training_job(TrainingJobName=name)
            except ClientError as error:
                return "is in status" in str(error)
            return False

        training.wait(stopped, bool)
        job = training.client.describe_training_job(TrainingJobName=name)
        assert job["SecondaryStatus"] == job["TrainingJobStatus"]
        assert job["TrainingJobStatus"] in ("Completed", "Stopped")


def test_closing_the_service_does_not_wait_for_a_job_that_takes_its_time_to_stop(
    server: Any, training: Training, wait: Callable[..., Any]
) -> None:
    training.start("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(60)")
    wait(lambda: server.client("logs").describe_log_groups()["logGroups"], bool)
    wait(lambda: server.log(GROUP, "job/"), lambda log: "ready" in log)
    training.client.stop_training_job(TrainingJobName="job")
    started = time.monotonic()
    server.services[0].close()
    assert time.monotonic() - started < 10
    assert training.ended()["TrainingJobStatus"] == "Stopped"


@needs_proc
@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_jobs_end_with_the_server(tmp_path: Path, wait: Callable[..., Any], way: str) -> None:
    script, pids = tmp_path / "container.py", tmp_path / "pids"
    script.write_text(
        f"{PREAMBLE}pids = [os.getpid(), spawn(start_new_session=True)]\n"
        f"pathlib.Path({str(pids)!r}).write_text(json.dumps(pids) + '.')\ntime.sleep(120)"
    )
    port = free_port()
    started = process.start(port, tmp_path / "state", {"model": Image(sys.executable, (sys.executable, str(script)))})
    try:
        client = boto3.client(
            "sagemaker",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        client.create_training_job(**training_request("123456789012.dkr.ecr.us-east-1.amazonaws.com/model:1"))
        wait(lambda: pids.exists() and pids.read_text(), lambda text: text and text.endswith("."))
        running = json.loads(pids.read_text()[:-1])
        assert all(is_running(pid) for pid in running)
        if way == "killed":
            os.kill(started["pid"], signal.SIGKILL)
        else:
            process.stop(tmp_path / "state")
        wait(lambda: [pid for pid in running if is_running(pid)], lambda left: not left, 10)
    finally:
        process.stop(tmp_path / "state")
