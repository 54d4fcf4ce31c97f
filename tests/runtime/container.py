"""A directory laid out as SageMaker lays out a container's /opt/ml, and a small model to run in it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

RUNTIME = Path(__file__).parents[2] / "ml_code" / "runtime"
MISSING = Path(__file__).parent / "not_in_the_image"
FIRST_DAY = date(2013, 1, 1)
DAYS = 30
ROWS_A_DAY = 40

FEATURES = """
FEATURES = ("hour", "distance", "carrier")
LABEL = "late"


def code_number(text):
    if len(text) != 2:
        raise ValueError(f"{text!r} is no code of two characters")
    return float(int(text, 36))


ENCODERS = {"carrier": code_number}
"""

TRAIN = """
from dataclasses import dataclass

import polars as pl
import xgboost as xgb

from toy.features import FEATURES, LABEL


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    rounds: int = 10
    learning_rate: float = 0.3
    booster: str = "gbtree"
    verbose: bool = False

    def __post_init__(self):
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")


def fit(train, validation, hyperparameters):
    data = xgb.DMatrix(
        train.select(pl.col(FEATURES).cast(pl.Float32)).to_numpy(), label=train[LABEL].to_numpy(),
        feature_names=list(FEATURES),
    )
    parameters = {"objective": "binary:logistic", "learning_rate": hyperparameters.learning_rate, "nthread": 1}
    return xgb.train(parameters, data, hyperparameters.rounds)
"""

TOY = {"__init__.py": "", "features.py": FEATURES, "train.py": TRAIN}
REGRESSION = {
    "features.py": FEATURES.replace('"late"', '"minutes"'),
    "train.py": TRAIN.replace("binary:logistic", "reg:squarederror"),
}


def rows(days: int = DAYS, seed: int = 1) -> pl.DataFrame:
    """Labelled rows from FIRST_DAY on, ROWS_A_DAY for each day: late and long flights leave late in the day."""
    random = np.random.default_rng(seed)
    count = days * ROWS_A_DAY
    hour = random.integers(5, 23, count)
    return pl.DataFrame(
        {
            "day": [FIRST_DAY + timedelta(days=index // ROWS_A_DAY) for index in range(count)],
            "flight": [f"UA {index}" for index in range(count)],
            "hour": hour.astype(np.float32),
            "distance": pl.Series(random.random(count).astype(np.float32) * 2000),
            "carrier": random.integers(360, 1296, count).astype(np.float32),
            "late": (random.random(count) < hour / 30).astype(np.int32),
            "minutes": (hour * 10 + random.normal(0, 5, count)).astype(np.float32),
        }
    )


@dataclass
class Container:
    """The container's directory `base`; `run` and `serve` start the runtime in a process of its own."""

    base: Path
    environment: dict[str, str] = field(default_factory=dict)

    def code(self, directory: str, files: Mapping[str, str] | None = None, package: str = "toy") -> None:
        """Put a model's package into a directory as the one zip file that an asset is."""
        target = self.base / directory
        target.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(target / "asset.zip", "w") as archive:
            for name, text in {**TOY, **(files or {})}.items():
                archive.writestr(f"{package}/{name}", text)

    def parquet(self, path: str, frame: pl.DataFrame) -> None:
        """Write one Parquet file."""
        file = self.base / path
        file.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(file)

    def partitioned(self, directory: str, frame: pl.DataFrame) -> None:
        """Write a table as a dataset's manifest brings it: a folder for each day, the day in its name alone."""
        for (day,), part in frame.group_by("day"):
            self.parquet(f"{directory}/day={day}/part-0.snappy.parquet", part.drop("day"))

    def hyperparameters(self, values: Mapping[str, str]) -> None:
        """Write a training job's hyperparameters."""
        file = self.base / "input" / "config" / "hyperparameters.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(dict(values)))

    def training_job(
        self, hyperparameters: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None
    ) -> None:
        """Lay out a training job: code, hyperparameters, 20 days to train on and 5 to validate."""
        data = rows()
        self.code("input/data/code", files)
        self.hyperparameters(hyperparameters or {})
        days = pl.col("day")
        validation_from = FIRST_DAY + timedelta(days=20)
        self.parquet("input/data/train/part.parquet", data.filter(days < validation_from))
        end = validation_from + timedelta(days=5)
        self.parquet("input/data/validation/part.parquet", data.filter(days.is_between(validation_from, end)))

    def process_environment(self) -> dict[str, str]:
        """The variables of the container's processes; nothing of the tests' own settings gets in."""
        temporary = self.base / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{MISSING}{os.pathsep}{RUNTIME}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SAGEMAKER_BASE_DIR": str(self.base),
            "TMPDIR": str(temporary),
            **self.environment,
        }

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the image to its end."""
        return subprocess.run(
            [sys.executable, "-m", "model_runtime", command, *arguments],
            cwd=self.base,
            env=self.process_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command of the image; the caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "model_runtime", command],
            cwd=self.base,
            env=self.process_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def serve(self) -> Server:
        """Start the server on a free port of the loopback interface and wait until it is healthy."""
        port = free_port()
        self.environment |= {"SAGEMAKER_BIND_TO_HOST": "127.0.0.1", "SAGEMAKER_BIND_TO_PORT": str(port)}
        server = Server(self.start("serve"), port)
        try:
            server.wait_until_healthy()
        except BaseException:
            server.stop()
            raise
        return server

    def failure(self) -> str:
        """What becomes the job's FailureReason."""
        return (self.base / "output" / "failure").read_text()

    def left_over(self) -> list[str]:
        """What the processes left in their temporary directory."""
        return sorted(path.name for path in (self.base / "tmp").iterdir())


@dataclass
class Answer:
    """A response of the server."""

    status: int
    content_type: str
    body: bytes

    @property
    def error(self) -> str:
        """The reason that an error response gives."""
        return str(json.loads(self.body)["error"])


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    def wait_until_healthy(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                assert self.request("GET", "/ping").status == 200
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"the server isn't healthy, exit code {self.process.poll()}")

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("content-type", ""), response.read())
        finally:
            connection.close()

    def invoke(self, body: bytes | str, content_type: str = "text/csv", accept: str | None = None) -> Answer:
        headers = {"Content-Type": content_type} | ({} if accept is None else {"Accept": accept})
        return self.request("POST", "/invocations", body.encode() if isinstance(body, str) else body, headers)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the process if it still runs, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.communicate(timeout=35)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        return self.process.returncode


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


def json_file(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text())
