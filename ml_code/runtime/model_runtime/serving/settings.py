"""Where a server listens and what it accepts, from SageMaker's environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from model_runtime.errors import JobError

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class ServerSettings:
    """The settings of one server.

    `workers` processes answer. `client_seconds` is how long a client may take to send a request, or to take the answer.
    `batch` says that the server works for a batch transform job, whose bodies are the account's own files.
    """

    host: str
    port: int
    workers: int
    max_body_bytes: int
    client_seconds: int
    default_accept: str
    batch: bool

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServerSettings:
        """Read the variables; raises JobError for a value that isn't a number in range."""
        return cls(
            host=environment.get("SAGEMAKER_BIND_TO_HOST") or "0.0.0.0",  # noqa: S104  # the contract: all interfaces
            port=_number(environment, "SAGEMAKER_BIND_TO_PORT", 8080, 65535),
            workers=_number(environment, "SAGEMAKER_MODEL_SERVER_WORKERS", len(os.sched_getaffinity(0)), 256),
            max_body_bytes=_number(environment, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 6, 100) * MEBIBYTE,
            client_seconds=_number(environment, "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60, 3600),
            default_accept=environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", ""),
            batch=environment.get("SAGEMAKER_BATCH", "").lower() == "true",
        )


def _number(environment: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text) <= highest:
        raise JobError(f"{name} must be a number from 1 to {highest}, got {text!r}")
    return int(text)
