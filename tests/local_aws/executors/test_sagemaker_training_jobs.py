"""Training jobs: the container's contract, how they end, what Describe and List say."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/training"
PREAMBLE = "import json, os, pathlib, sys, time\nml = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"

TRAIN = """
assert sys.argv[1:] == ["train"], sys.argv
parameters = json.loads((ml / "input/config/hyperparameters.json").read_text())
channels = json.loads((ml / "input/config/inputdataconfig.json").read_text())
resources = json.loads((ml / "input/config/resourceconfig.json").read_text())
assert channels["train"]["TrainingInputMode"] == "File" and resources["hosts"] == ["algo-1"]
rows = (ml / "input/data/train/rows.csv").read_text()
print("validation:auc=0.5")
print("validation:auc=0.75")
(ml / "model/model.txt").write_text(parameters["depth"] + rows + os.environ["TRAINING_JOB_NAME"] + os.environ["COLOUR"])
"""


@pytest.fixture
def create(server: Any, sagemaker: Any) -> Callable[..., str]:
    def create_job(script: str, name: str = "job", **changes: Any) -> str:
        sagemaker.create_training_job(
            **{
                "TrainingJobName": name,
                "RoleArn": ROLE,
                "AlgorithmSpecification": {
                    "TrainingImage": server.image(PREAMBLE + script),
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "validation:auc", "Regex": "validation:auc=([0-9.]+)"}],
                },
                "OutputDataConfig": {"S3OutputPath": "s3://lake/models"},
                "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                **changes,
            }
        )
        return name

    return create_job


@pytest.fixture
def ended(sagemaker: Any, wait: Callable[..., Any]) -> Callable[[str], dict[str, Any]]:
    def wait_for_end(name: str = "job") -> dict[str, Any]:
        return wait(
            lambda: sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )

    return wait_for_end


def test_container_finds_its_inputs_and_the_model_lands_in_s3(
    server: Any, create: Callable[..., str], ended: Callable[..., Any]
) -> None:
    s3 = server.client("s3")
    s3.put_object(Bucket="lake", Key="train/rows.csv", Body=b"1,2")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://lake/train"}}
    create(
        TRAIN,
        HyperParameters={"depth": "6"},
        Environment={"COLOUR": "green"},
        InputDataConfig=[{"ChannelName": "train", "DataSource": source, "ContentType": "text/csv"}],
    )
    job = ended()
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://lake/models/job/output/model.tar.gz"
    archive = s3.get_object(Bucket="lake", Key="models/job/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert tar.getnames() == ["model.txt"]
        model = tar.extractfile("model.txt")
        assert model is not None
        assert model.read() == b"61,2jobgreen"
    phases = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert phases == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["FinalMetricDataList"][0]["Value"] == 0.75
    assert "validation:auc=0.75" in server.log("/aws/sagemaker/TrainingJobs", "job/algo-1-")
    assert server.event(TrainingJobStatus="Completed")["TrainingJobName"] == "job"


def test_failure_file_is_the_failure_reason(create: Callable[..., str], ended: Callable[..., Any]) -> None:
    create("(ml / 'output/failure').write_text('label column is missing'); sys.exit(3)")
    job = ended()
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: label column is missing, exit code: 3"


def test_without_a_failure_file_the_last_lines_of_the_log_say_why(
    create: Callable[..., str], ended: Callable[..., Any]
) -> None:
    create("raise RuntimeError('no trees')")
    assert "RuntimeError: no trees, exit code: 1" in ended()["FailureReason"]


def test_missing_input_names_the_prefix(create: Callable[..., str], ended: Callable[..., Any]) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://lake/nothing"}}
    create("", InputDataConfig=[{"ChannelName": "train", "DataSource": source}])
    assert 'No S3 objects found under S3 URL "s3://lake/nothing"' in ended()["FailureReason"]


SHOW_INPUT = """
base = ml / "input/data/train"
print(json.dumps(sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file())))
"""


@pytest.mark.parametrize(
    ("uri", "keys", "found"),
    [
        ("delay", ["delay/a", "delay/b/c"], ["a", "b/c"]),
        ("delay", ["delay/a", "delay_v2/x"], ["delay/a", "delay_v2/x"]),
        ("of/delay", ["of/delay/a", "of/delay_v2/x", "of/other"], ["delay/a", "delay_v2/x"]),
        ("delay/", ["delay/", "delay/a", "delay_v2/x"], ["a"]),
        ("delay/day=", ["delay/day=1/x", "delay/day=2/x"], ["day=1/x", "day=2/x"]),
        ("of/rows.csv", ["of/rows.csv", "of/other"], ["rows.csv"]),
        ("of/rows.csv", ["of/rows.csv", "of/rows.csv.bak"], ["rows.csv", "rows.csv.bak"]),
    ],
)
def test_prefix_means_every_object_whose_key_starts_with_it(
    server: Any, create: Callable[..., str], ended: Callable[..., Any], uri: str, keys: list[str], found: list[str]
) -> None:
    for key in keys:
        server.client("s3").put_object(Bucket="lake", Key=key, Body=b"")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://lake/{uri}"}}
    create(SHOW_INPUT, InputDataConfig=[{"ChannelName": "train", "DataSource": source}])
    assert ended()["TrainingJobStatus"] == "Completed"
    assert json.loads(server.log("/aws/sagemaker/TrainingJobs", "job/algo-1-").splitlines()[0]) == found


def test_object_and_folder_of_the_same_name_cannot_be_an_input(
    server: Any, create: Callable[..., str], ended: Callable[..., Any]
) -> None:
    for key in ("train", "train/rows.csv"):
        server.client("s3").put_object(Bucket="lake", Key=key, Body=b"")
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://lake/train"}}
    create("", InputDataConfig=[{"ChannelName": "train", "DataSource": source}])
    assert "s3://lake/train: an object and a folder of the same name" in ended()["FailureReason"]


def test_manifest_lists_single_objects(server: Any, create: Callable[..., str], ended: Callable[..., Any]) -> None:
    for key in ("in/a/x", "in/a/x2", "in/b/x"):
        server.client("s3").put_object(Bucket="lake", Key=key, Body=b"")
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://lake/manifest"}}
    channels = [{"ChannelName": "train", "DataSource": source}]
    for name, listed in (("job", ["a/x", "b/x"]), ("job-2", ["a"])):
        manifest = json.dumps([{"prefix": "s3://lake/in/"}, *listed])
        server.client("s3").put_object(Bucket="lake", Key="manifest", Body=manifest.encode())
        create(SHOW_INPUT, name=name, InputDataConfig=channels)
        ended(name)
    assert server.log("/aws/sagemaker/TrainingJobs", "job/algo-1-").splitlines()[0] == '["a/x", "b/x"]'
    assert 'No S3 objects found under S3 URL "s3://lake/in/a"' in ended("job-2")["FailureReason"]


def test_checkpoints_are_those_of_their_folder(
    server: Any, create: Callable[..., str], ended: Callable[..., Any]
) -> None:
    s3 = server.client("s3")
    for key in ("checkpoints/job/step-1", "checkpoints/job-2/step-9"):
        s3.put_object(Bucket="lake", Key=key, Body=b"")
    script = "(ml / 'checkpoints/step-2').touch()\nprint(*sorted(os.listdir(ml / 'checkpoints')))"
    create(script, CheckpointConfig={"S3Uri": "s3://lake/checkpoints/job"})
    assert ended()["TrainingJobStatus"] == "Completed"
    assert server.log("/aws/sagemaker/TrainingJobs", "job/algo-1-").splitlines()[0] == "step-1 step-2"
    kept = [entry["Key"] for entry in s3.list_objects_v2(Bucket="lake", Prefix="checkpoints/job/")["Contents"]]
    assert kept == ["checkpoints/job/step-1", "checkpoints/job/step-2"]


def test_job_past_its_time_limit_is_stopped_and_keeps_its_model(
    create: Callable[..., str], ended: Callable[..., Any]
) -> None:
    create("(ml / 'model/m').write_text('half'); time.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = ended()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert job["ModelArtifacts"]["S3ModelArtifacts"].endswith("job/output/model.tar.gz")


def test_stopped_job_gets_sigterm_first(
    server: Any, sagemaker: Any, create: Callable[..., str], ended: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    create(
        "import signal\n"
        "def save(*_):\n    (ml / 'model/saved').write_text('1')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\nprint('ready')\ntime.sleep(60)"
    )
    wait(lambda: server.client("logs").describe_log_groups()["logGroups"], bool)
    wait(lambda: server.log("/aws/sagemaker/TrainingJobs", "job/"), lambda log: "ready" in log)
    sagemaker.stop_training_job(TrainingJobName="job")
    job = ended()
    assert job["TrainingJobStatus"] == "Stopped"
    assert "ModelArtifacts" in job
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName="job")


def test_unknown_image_fails_the_job_with_the_known_ones(create: Callable[..., str], ended: Callable[..., Any]) -> None:
    image = "111122223333.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    create("", AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"})
    assert image in ended()["FailureReason"]
    assert "known for the repositories model" in ended()["FailureReason"]


def test_invalid_requests_are_refused(sagemaker: Any, create: Callable[..., str], ended: Callable[..., Any]) -> None:
    with pytest.raises(ClientError, match="failed to satisfy constraint: Member must satisfy regular expression"):
        create("", name="not_a_name")
    create("", name="once")
    with pytest.raises(ClientError) as raised:
        create("", name="once")
    assert raised.value.response["Error"]["Code"] == "ResourceInUse"
    with pytest.raises(ClientError, match=r"Requested resource not found\."):
        sagemaker.describe_training_job(TrainingJobName="never")


def test_jobs_are_listed_newest_first_in_pages(
    sagemaker: Any, create: Callable[..., str], ended: Callable[..., Any]
) -> None:
    for name in ("one", "two", "three"):
        create("", name=name)
        ended(name)
    first = sagemaker.list_training_jobs(MaxResults=2)
    assert [job["TrainingJobName"] for job in first["TrainingJobSummaries"]] == ["three", "two"]
    rest = sagemaker.list_training_jobs(MaxResults=2, NextToken=first["NextToken"])
    assert [job["TrainingJobName"] for job in rest["TrainingJobSummaries"]] == ["one"]
    by_name = sagemaker.list_training_jobs(SortBy="Name", SortOrder="Ascending", NameContains="T")
    assert [job["TrainingJobName"] for job in by_name["TrainingJobSummaries"]] == ["three", "two"]
    assert not sagemaker.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"]
