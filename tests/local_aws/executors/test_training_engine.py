"""Training jobs on several hosts, on machines that are taken away, with checkpoints and without a network."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/training"
PREAMBLE = """
import json, os, pathlib, socket, sys, time
ml = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
resources = json.loads((ml / "input/config/resourceconfig.json").read_text())
me, checkpoints = resources["current_host"], ml / "checkpoints"
"""
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
    "CheckpointConfig": {"S3Uri": "s3://lake/checkpoints/a"},
}

Create = Callable[..., str]
Ended = Callable[..., dict[str, Any]]


@pytest.fixture
def create(server: Any, sagemaker: Any) -> Create:
    def create_job(script: str, *, instances: int = 1, **changes: Any) -> str:
        sagemaker.create_training_job(
            **{
                "TrainingJobName": "job",
                "RoleArn": ROLE,
                "AlgorithmSpecification": {
                    "TrainingImage": server.image(PREAMBLE + script),
                    "TrainingInputMode": "File",
                },
                "OutputDataConfig": {"S3OutputPath": "s3://lake/models"},
                "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": instances, "VolumeSizeInGB": 30},
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                **changes,
            }
        )
        return "job"

    return create_job


@pytest.fixture
def ended(sagemaker: Any, wait: Callable[..., Any]) -> Ended:
    def wait_for_end() -> dict[str, Any]:
        return wait(
            lambda: sagemaker.describe_training_job(TrainingJobName="job"),
            lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )

    return wait_for_end


def channel(name: str, distribution: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://lake/{name}/", "S3DataDistributionType": distribution}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "FastFile"}


def model_of(server: Any) -> dict[str, str]:
    body = server.client("s3").get_object(Bucket="lake", Key="models/job/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def test_hosts_read_each_object_of_a_sharded_channel_once_and_find_one_another(
    server: Any, create: Create, ended: Ended
) -> None:
    s3 = server.client("s3")
    keys = [f"part-{number}" for number in range(7)]
    for name in keys:
        s3.put_object(Bucket="lake", Key=f"rows/{name}", Body=b"x")
        s3.put_object(Bucket="lake", Key=f"all/{name}", Body=b"x")
    create(
        """
assert sorted(p.name for p in (ml / "input/data/all").iterdir()) == [f"part-{n}" for n in range(7)]
mine = ",".join(sorted(p.name for p in (ml / "input/data/rows").iterdir()))
(ml / "model" / me).write_text(mine)
(ml / "model/both").write_text(me)
address = resources["host_addresses"]
if me == "algo-1":
    listener = socket.create_server((address[me], 9099))
    got = {listener.accept()[0].recv(10).decode() for _ in resources["hosts"][1:]}
    assert got == {"algo-2", "algo-3"}, got
else:
    deadline = time.time() + 20
    while True:
        try:
            socket.create_connection((address["algo-1"], 9099)).sendall(me.encode())
            break
        except OSError:
            assert time.time() < deadline
            time.sleep(0.05)
print("done", me, os.environ["OMP_NUM_THREADS"])
""",
        instances=3,
        InputDataConfig=[channel("rows", "ShardedByS3Key"), channel("all", "FullyReplicated")],
    )
    job = ended()
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = model_of(server)
    assert model.pop("both") == "algo-1"
    assert sorted(model) == ["algo-1", "algo-2", "algo-3"]
    assert sorted(name for names in model.values() for name in names.split(",")) == keys
    for host in model:
        assert f"done {host}" in server.log("/aws/sagemaker/TrainingJobs", f"job/{host}-")


def test_failure_of_one_host_ends_the_others_and_says_which(server: Any, create: Create, ended: Ended) -> None:
    create(
        """
if me == "algo-2":
    (ml / "output").mkdir(exist_ok=True)
    (ml / "output/failure").write_text("its rows have no label")
    sys.exit(3)
time.sleep(50)
""",
        instances=2,
    )
    job = ended()
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: algo-2: its rows have no label, exit code: 3"


def test_checkpoints_are_in_s3_while_the_job_runs_and_are_there_when_the_next_one_starts(
    server: Any, sagemaker: Any, create: Create, ended: Ended, wait: Callable[..., Any]
) -> None:
    s3 = server.client("s3")
    s3.put_object(Bucket="lake", Key="checkpoints/a/old", Body=b"earlier")
    create(
        """
assert (checkpoints / "old").read_text() == "earlier"
(checkpoints / "sub").mkdir()
(checkpoints / "sub/new").write_text("now")
while True: time.sleep(0.1)
""",
        CheckpointConfig={"S3Uri": "s3://lake/checkpoints/a"},
    )
    keys = lambda: [each["Key"] for each in s3.list_objects_v2(Bucket="lake", Prefix="checkpoints/").get("Contents")]  # noqa: E731
    wait(keys, lambda found: found == ["checkpoints/a/old", "checkpoints/a/sub/new"])
    assert sagemaker.describe_training_job(TrainingJobName="job")["TrainingJobStatus"] == "InProgress"
    sagemaker.stop_training_job(TrainingJobName="job")
    assert ended()["TrainingJobStatus"] == "Stopped"


def test_spot_job_whose_machine_is_taken_goes_on_from_its_checkpoint(
    server: Any, sagemaker: Any, create: Create, ended: Ended, wait: Callable[..., Any]
) -> None:
    create(
        """
import signal
state = checkpoints / "state"
if state.exists():
    (ml / "model/model").write_text(state.read_text())
    sys.exit(0)
(ml / "model/lost").write_text("with the machine")
def leave(*_):
    state.write_text("saved at the notice")
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(50)
""",
        **SPOT,
    )
    arn = sagemaker.describe_training_job(TrainingJobName="job")["TrainingJobArn"]
    wait(lambda: "ready" in server.log("/aws/sagemaker/TrainingJobs", "job/") if streams(server) else False, bool)
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "local-aws:interrupt", "Value": "now"}])
    job = ended()
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert model_of(server) == {"model": "saved at the notice"}
    phases = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    again = ["Interrupted", "Starting", "Downloading", "Training"]
    assert phases == ["Starting", "Downloading", "Training", *again, "Uploading", "Completed"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1


def streams(server: Any) -> list[Any]:
    try:
        return list(
            server.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
        )
    except ClientError:
        return []


def test_job_that_waits_longer_than_it_may_is_stopped(create: Create, ended: Ended) -> None:
    condition = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
    create("time.sleep(50)", **{**SPOT, "StoppingCondition": condition})
    job = ended()
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60}}, "Invalid MaxWaitTimeInSeconds"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59}}, "Invalid MaxWaitTime"),
        (
            {
                "ResourceConfig": {
                    "InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1,
                    "KeepAlivePeriodInSeconds": 60,
                }
            },
            "KeepAlivePeriodInSeconds",
        ),
    ],
)  # fmt: skip
def test_spot_job_that_sagemaker_refuses_is_refused(create: Create, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason):
        create("", **{**SPOT, **changes})


def test_machines_on_demand_are_never_taken(sagemaker: Any, create: Create, ended: Ended) -> None:
    create("time.sleep(1)")
    arn = sagemaker.describe_training_job(TrainingJobName="job")["TrainingJobArn"]
    with pytest.raises(ClientError, match="no managed spot job"):
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "local-aws:interrupt", "Value": "now"}])
    assert ended()["TrainingJobStatus"] == "Completed"


@pytest.mark.parametrize("instances", [1, 2])
def test_isolated_container_has_no_credentials_and_reaches_nobody(
    server: Any, create: Create, ended: Ended, instances: int
) -> None:
    port = server.context.endpoint_url.rpartition(":")[2]
    create(
        f"""
assert not [name for name in os.environ if name.startswith("AWS_") and "REGION" not in name]
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=2)
    print("reached")
except OSError as error:
    print("alone", error)
""",
        instances=instances,
        EnableNetworkIsolation=True,
    )
    job = ended()
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    log = server.log("/aws/sagemaker/TrainingJobs", "job/algo-1")
    assert ("alone" in log) != ("keeps this machine's network" in log)
