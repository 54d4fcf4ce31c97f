"""Endpoints of containers whose model is a text, made and asked through the API."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

ROLE = "arn:aws:iam::123456789012:role/serving"
ENDED = {"InService", "Failed"}

# a container under the hosting contract: answers with its model's content, and the headers that it got
CONTAINER = """
import http.server, json, os, pathlib, sys, time

base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
assert sys.argv[1] == "serve"
if os.environ.get("BREAK_AT_START"):
    sys.exit("the model is broken")
model = (base / "model" / "model.txt").read_text()
print("loaded", model, flush=True)

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: the second would wait for the first's acknowledgement

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(float(os.environ.get("SLEEP", "0")))
        if body == b"fail":
            self.answer(400, b'{"error": "row 1: no"}')
        elif body == b"broken":
            self.answer(500, b"no")
        elif body == b"die":
            os._exit(9)
        elif body == b"pid":
            self.answer(200, str(os.getpid()).encode())
        elif body == b"headers":
            self.answer(200, json.dumps(dict(self.headers)).encode(), "application/json")
        elif body == b"slow":
            time.sleep(0.5)
            self.answer(200, model.encode())
        elif "STATUS" in os.environ:
            self.answer(int(os.environ["STATUS"]), b"out of order")
        else:
            self.answer(200, f"{model}:{os.environ.get('FLAVOUR', '')}".encode())

    def answer(self, status, body, content_type="text/csv"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def model_archive(content: str) -> bytes:
    """Return a model.tar.gz whose model is a text."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("model.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content.encode()))
    return packed.getvalue()


@dataclass
class Load:
    """What clients got that asked all the time: answers, each with when it came, and failures."""

    answers: list[tuple[float, str]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def since(self, moment: float) -> list[str]:
        return [answer for when, answer in list(self.answers) if when >= moment]

    def said(self) -> set[str]:
        return {answer for _, answer in self.answers}


class Serving:
    """Models, configurations and one endpoint, made through the API."""

    def __init__(self, server: Any, sagemaker: Any, wait: Callable[..., Any]) -> None:
        self.server = server
        self.sagemaker = sagemaker
        self.runtime = server.client("sagemaker-runtime")
        self.image = server.image(CONTAINER)
        self._wait = wait

    def model(self, name: str, content: str, **environment: str) -> None:
        key = f"models/{name}/model.tar.gz"
        self.server.client("s3").put_object(Bucket="lake", Key=key, Body=model_archive(content))
        container = {"Image": self.image, "ModelDataUrl": f"s3://lake/{key}", "Environment": environment}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)

    def config(self, name: str, models: dict[str, str], instances: int = 1, **extra: Any) -> None:
        common = {"InstanceType": "ml.m5.large", "InitialInstanceCount": instances}
        variants = [{"VariantName": variant, "ModelName": model, **common} for variant, model in models.items()]
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **extra)

    def create(self, config: str) -> dict[str, Any]:
        self.sagemaker.create_endpoint(EndpointName="live", EndpointConfigName=config)
        return self.settled()

    def update(self, config: str, **extra: Any) -> dict[str, Any]:
        self.sagemaker.update_endpoint(EndpointName="live", EndpointConfigName=config, **extra)
        return self.settled()

    def settled(self) -> dict[str, Any]:
        found: dict[str, Any] = self._wait(
            lambda: self.sagemaker.describe_endpoint(EndpointName="live"), lambda it: it["EndpointStatus"] in ENDED
        )
        return found

    def invoke(self, body: str = "1,2", **extra: Any) -> str:
        answer = self.runtime.invoke_endpoint(
            EndpointName="live", Body=body.encode(), **{"ContentType": "text/csv", **extra}
        )
        return str(answer["Body"].read().decode())

    @contextmanager
    def load(self, body: str = "1,2", clients: int = 4) -> Iterator[Load]:
        """Have clients ask all the time while the block runs: over 100 times a second on a free machine."""
        load, stop = Load(), threading.Event()

        def ask() -> None:
            while not stop.wait(0.01):
                try:
                    answer = self.invoke(body)
                    load.answers.append((time.monotonic(), answer))
                except Exception as error:
                    load.failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            stop.set()
            for thread in threads:
                thread.join(timeout=20)

    def logged(self, text: str, stream: str = "live/") -> str:
        """Return the container's log once it holds the text."""
        read = lambda: self.server.log("/aws/sagemaker/Endpoints/live", stream)  # noqa: E731
        return str(self._wait(read, lambda log: text in log))

    def captured(self, prefix: str = "captured/") -> list[dict[str, Any]]:
        s3 = self.server.client("s3")
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="lake", Prefix=prefix).get("Contents", [])]
        text = "".join(s3.get_object(Bucket="lake", Key=key)["Body"].read().decode() for key in keys)
        return [json.loads(line) for line in text.splitlines()]


def capture(**extra: Any) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://lake/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        **extra,
    }
