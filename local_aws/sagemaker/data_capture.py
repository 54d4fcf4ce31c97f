"""Requests and answers of an endpoint, written to S3 in the documented format.

One line for each invocation, `<DestinationS3Uri>/<endpoint>/<variant>/yyyy/mm/dd/hh/<MM-SS-mmm-uuid>.jsonl`, by the UTC
hour of the request. What is sent within a flush interval goes into one file.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.clock import Clock
from local_aws.jobs.s3_files import S3Uri

FLUSH_SECONDS = 1.0
PENDING_LIMIT = 20_000
_random = random.SystemRandom()


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    variant: str
    time: datetime
    request_type: str
    request: bytes
    answer_type: str
    answer: bytes
    inference_id: str | None = None
    custom_attributes: str | None = None


class DataCapture:
    """Captures a share of the exchanges in a thread of its own.

    `config` is the DataCaptureConfig of an endpoint configuration. Hours are by the clock of the local AWS, and
    before that moves on, what came by then is written. When S3 refuses, exchanges wait for the next flush; beyond
    20,000 waiting ones the oldest are dropped. `report` is told either.
    """

    def __init__(
        self,
        client: Any,
        endpoint: str,
        config: Mapping[str, Any],
        clock: Clock,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._root = S3Uri.parse(config["DestinationS3Uri"]).child(endpoint)
        self._percent = float(config["InitialSamplingPercentage"])
        modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
        self._input = bool(modes & {"Input", "InputAndOutput"})
        self._output = bool(modes & {"Output", "InputAndOutput"})
        types = config.get("CaptureContentTypeHeader", {})
        self._encodings = {
            **{kind.lower(): "JSON" for kind in types.get("JsonContentTypes", [])},
            **{kind.lower(): "CSV" for kind in types.get("CsvContentTypes", [])},
        }
        key = config.get("KmsKeyId")
        self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
        self._report = report
        self._pending: list[Exchange] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._flusher = threading.Thread(target=self._flush_regularly, name=f"capture-{endpoint}", daemon=True)
        self._flusher.start()
        self._unlisten = clock.before_look(self._flush)

    def take(self, exchange: Exchange) -> None:
        """Keep the exchange, if the sampling chooses it."""
        if _random.uniform(0, 100) >= self._percent:
            return
        with self._lock:
            self._pending.append(exchange)
            dropped = len(self._pending) - PENDING_LIMIT
            if dropped > 0:
                del self._pending[:dropped]
        if dropped > 0:
            self._report(f"data capture: {dropped} exchanges were dropped, S3 doesn't take them fast enough")

    def close(self) -> None:
        """Write what is left."""
        self._closed.set()
        self._unlisten()
        self._flusher.join(timeout=30)
        self._flush()

    def _flush_regularly(self) -> None:
        while not self._closed.wait(FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        # who asks for it returns when everything is in S3, whoever writes it
        with self._writing:
            with self._lock:
                pending, self._pending = self._pending, []
            self._write(pending)

    def _write(self, pending: list[Exchange]) -> None:
        files: dict[tuple[str, str], list[Exchange]] = defaultdict(list)
        for exchange in pending:
            files[exchange.variant, exchange.time.strftime("%Y/%m/%d/%H")].append(exchange)
        for (variant, hour), exchanges in files.items():
            first = exchanges[0].time
            name = f"{first:%M-%S}-{first.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
            uri = self._root.child(f"{variant}/{hour}/{name}")
            body = "".join(json.dumps(self._line(exchange)) + "\n" for exchange in exchanges).encode()
            try:
                self._client.put_object(Bucket=uri.bucket, Key=uri.key, Body=body, **self._encryption)
            except (ClientError, BotoCoreError) as error:
                self._report(f"data capture: {uri} can't be written: {error}")
                with self._lock:
                    self._pending[:0] = exchanges

    def _line(self, exchange: Exchange) -> dict[str, Any]:
        captured = {}
        if self._input:
            captured["endpointInput"] = self._side("INPUT", exchange.request_type, exchange.request)
        if self._output:
            captured["endpointOutput"] = self._side("OUTPUT", exchange.answer_type, exchange.answer)
        metadata: dict[str, Any] = {
            "eventId": str(uuid.uuid4()),
            "inferenceTime": exchange.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if exchange.inference_id is not None:
            metadata["inferenceId"] = exchange.inference_id
        if exchange.custom_attributes is not None:
            metadata["customAttributes"] = [exchange.custom_attributes]
        return {"captureData": captured, "eventMetadata": metadata, "eventVersion": "0"}

    def _side(self, mode: str, content_type: str, data: bytes) -> dict[str, str]:
        encoding = self._encodings.get(content_type.partition(";")[0].strip().lower(), "BASE64")
        text = ""
        if encoding != "BASE64":
            with contextlib.suppress(UnicodeDecodeError):
                text = data.decode("utf-8")
            if data and not text:
                encoding = "BASE64"
        if encoding == "BASE64":
            text = base64.b64encode(data).decode()
        return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": encoding}
