"""Releases of an endpoint under load, on the local AWS: what clients notice of them.

    python benchmarks/releases.py [--rate 300] [--wait 5] [--json]

The runtime's own server answers for the sample model `flight_delay`, two instances of one process each, with data
capture on. A process of its own sends `--rate` requests a second, each at its time whether or not those before were
answered, and writes down every answer. Then come one after another: releases all at once, by canary, linear and
rolling; a version that fails and one that is slow, both by canary and with an alarm; and an instance is killed.
`--wait` is the pause between the steps of a release, in seconds.

What is lost is counted by the client: anything but an answer of 200. A version that fails costs the canary's share
until its alarm goes off; the old fleet answers all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.serving import train  # noqa: E402
from local_aws.server import LocalAwsServer, running  # noqa: E402
from local_aws.service import Image  # noqa: E402

ENDPOINT, VARIANT, INSTANCES = "flight-delay", "live", 2
ROLE = "arn:aws:iam::123456789012:role/serving"
REPOSITORY = "runtime"
LOAD = Path(__file__).resolve().parent / "serving_rivals" / "steady_load.py"
ALARM_PERIOD = 10
FAULTS = {
    "failing": "def predict_fn(data, model):\n    raise RuntimeError('out of order')\n",
    "slow": "import time\n\n\ndef predict_fn(data, model):\n    time.sleep(0.4)\n    return [0.5] * len(data)\n",
}


@dataclass(frozen=True)
class Told:
    """What clients noticed of one scenario; times in milliseconds."""

    scenario: str
    outcome: str
    seconds: float
    requests: int
    lost: int
    p50: float
    p99: float
    lost_afterwards: int


class Fleet:
    """The endpoint, and the versions that it may serve."""

    def __init__(self, server: LocalAwsServer, folder: Path, wait: int) -> None:
        client = server.context.client
        self.sagemaker, self.cloudwatch, self._s3 = client("sagemaker"), client("cloudwatch"), client("s3")
        self._folder, self._wait, self._numbers = folder, wait, 0
        self._s3.create_bucket(Bucket="models")

    def add(self, version: str, model: Path, code: str = "") -> None:
        """A model, with an inference.py of its own where there is code."""
        copy = self._folder / version
        shutil.copytree(model, copy)
        if code:
            (copy / "code" / "flight_delay" / "inference.py").write_text(code)
        archive = self._folder / f"{version}.tar.gz"
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(copy, arcname=".")
        self._s3.upload_file(str(archive), "models", archive.name)
        self.sagemaker.create_model(
            ModelName=version,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}:1",
                "ModelDataUrl": f"s3://models/{archive.name}",
                "Environment": {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
            },
        )

    def configure(self, version: str) -> str:
        """A configuration of a version, with data capture."""
        self._numbers += 1
        name = f"{version}-{self._numbers}"
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {
                    "VariantName": VARIANT,
                    "ModelName": version,
                    "InitialInstanceCount": INSTANCES,
                    "InstanceType": "ml.m5.large",
                    "InitialVariantWeight": 1,
                }
            ],
            DataCaptureConfig={
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": "s3://models/captured",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
            },
        )
        return name

    def create(self, version: str) -> None:
        """The endpoint, with a version."""
        self.sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=self.configure(version))
        self._settled()

    def release(self, version: str, strategy: Mapping[str, Any], alarm: Mapping[str, Any] | None = None) -> str:
        """Release a version and tell how it went."""
        name, config = self.configure(version), dict(strategy)
        if alarm:
            self.cloudwatch.put_metric_alarm(
                AlarmName=name,
                Namespace="AWS/SageMaker",
                Dimensions=[
                    {"Name": "EndpointName", "Value": ENDPOINT},
                    {"Name": "VariantName", "Value": VARIANT},
                    {"Name": "EndpointConfigName", "Value": name},
                ],
                Period=ALARM_PERIOD,
                EvaluationPeriods=1,
                ComparisonOperator="GreaterThanThreshold",
                TreatMissingData="notBreaching",
                **alarm,
            )
            config["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name}]}
        self.sagemaker.update_endpoint(EndpointName=ENDPOINT, EndpointConfigName=name, DeploymentConfig=config)
        found = self._settled()
        return "released" if found["EndpointConfigName"] == name else "rolled back"

    def _settled(self) -> Mapping[str, Any]:
        while True:
            found: Mapping[str, Any] = self.sagemaker.describe_endpoint(EndpointName=ENDPOINT)
            if found["EndpointStatus"] in ("InService", "Failed"):
                return found
            time.sleep(0.1)

    def blue_green(self, kind: str, bake: int | None = None, **size: int) -> dict[str, Any]:
        """A blue/green policy: CANARY and LINEAR have their size in percent."""
        routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": 0 if kind == "ALL_AT_ONCE" else self._wait}
        for name, percent in size.items():
            routing[name] = {"Type": "CAPACITY_PERCENT", "Value": percent}
        waits = self._wait if bake is None else bake
        return {
            "BlueGreenUpdatePolicy": {
                "TrafficRoutingConfiguration": routing,
                "TerminationWaitInSeconds": waits,
                "MaximumExecutionTimeoutInSeconds": 600,
            }
        }

    def rolling(self) -> dict[str, Any]:
        """Half of the instances at a time."""
        return {
            "RollingUpdatePolicy": {
                "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
                "WaitIntervalInSeconds": self._wait,
                "MaximumExecutionTimeoutInSeconds": 600,
            }
        }


def kill_an_instance(port: int) -> str:
    """Kill the parent of one instance's processes: whatever it worked on is gone."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"serve" in command and f"127.0.0.1:{port}".encode() in environment:
            found.append(int(entry.name))
    os.kill(min(found), signal.SIGKILL)
    time.sleep(8)  # it is replaced
    return "replaced"


def measure(options: argparse.Namespace, folder: Path) -> list[Told]:
    """Run every scenario under one load."""
    rows = train(folder)
    body = folder / "body.csv"
    body.write_text(rows.head(1).write_csv(include_header=False))
    images = {REPOSITORY: Image(sys.executable, (sys.executable, "-m", "model_runtime"))}
    with running(folder / "state", images) as server:
        fleet = Fleet(server, folder, options.wait)
        for version in ("first", "second"):
            fleet.add(version, folder / "ml" / "model")
        for version, code in FAULTS.items():
            fleet.add(version, folder / "ml" / "model", code)
        fleet.create("first")
        canary = fleet.blue_green("CANARY", CanarySize=10)
        long_canary = fleet.blue_green("CANARY", bake=3 * ALARM_PERIOD, CanarySize=10)
        long_canary["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["WaitIntervalInSeconds"] = 6 * ALARM_PERIOD
        errors = {"MetricName": "Invocation5XXErrors", "Statistic": "Sum", "Threshold": 1.0}
        latency = {"MetricName": "ModelLatency", "ExtendedStatistic": "p99", "Threshold": 200_000.0}
        scenarios: dict[str, Callable[[], str]] = {
            "all at once": lambda: fleet.release("second", fleet.blue_green("ALL_AT_ONCE")),
            "canary, 10 %": lambda: fleet.release("first", canary),
            "linear, 25 %": lambda: fleet.release("second", fleet.blue_green("LINEAR", LinearStepSize=25)),
            "rolling, 50 %": lambda: fleet.release("first", fleet.rolling()),
            "canary that fails": lambda: fleet.release("failing", long_canary, errors),
            "canary that is slow": lambda: fleet.release("slow", long_canary, latency),
            "instance killed": lambda: kill_an_instance(server.port),
        }
        answers = folder / "answers.csv"
        command = [sys.executable, str(LOAD), str(server.port), ENDPOINT, str(body), str(options.rate), str(answers)]
        load = subprocess.Popen(command)
        try:
            time.sleep(3)
            spans = {}
            for name, scenario in scenarios.items():
                began = time.time()
                outcome = scenario()
                ended = time.time()
                time.sleep(3)
                spans[name] = (outcome, began, ended, time.time())
                print(f"{name}: {outcome}", file=sys.stderr, flush=True)
        finally:
            load.terminate()
            load.wait(timeout=30)
        return [_told(name, *span, _read(answers)) for name, span in spans.items()]


def _read(file: Path) -> list[tuple[float, int, float]]:
    """When each request was sent, its status, 0 for none, and its time in milliseconds."""
    found = []
    for line in file.read_text().splitlines():
        sent, status, taken = line.split(",")
        found.append((float(sent), int(status), float(taken)))
    return found


def _told(
    name: str, outcome: str, began: float, ended: float, after: float, answers: list[tuple[float, int, float]]
) -> Told:
    during = [each for each in answers if began <= each[0] < after]
    times = [taken for _, status, taken in during if status == 200]
    cuts = statistics.quantiles(times, n=100)
    return Told(
        scenario=name,
        outcome=outcome,
        seconds=round(ended - began, 1),
        requests=len(during),
        lost=sum(status != 200 for _, status, _ in during),
        p50=round(cuts[49], 1),
        p99=round(cuts[98], 1),
        lost_afterwards=sum(status != 200 for sent, status, _ in during if sent >= ended),
    )


def show(found: list[Told], rate: float) -> None:
    """Print what clients noticed."""
    table = Table(title=f"releases under {rate:g} requests/s")
    for column in ("", "outcome", "seconds", "requests", "lost", "p50 ms", "p99 ms", "lost afterwards"):
        table.add_column(column, justify="left" if column in ("", "outcome") else "right")
    for each in found:
        table.add_row(*(str(value) for value in asdict(each).values()))
    Console().print(table)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second")
    parser.add_argument("--wait", type=int, default=5, help="seconds between the steps of a release")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="releases-") as folder:
        found = measure(options, Path(folder))
    if options.json:
        print(json.dumps([asdict(each) for each in found], indent=1))
    else:
        show(found, options.rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
