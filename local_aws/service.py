"""What every service of the local AWS is given and what it has to answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from werkzeug import Request, Response

from local_aws.clock import Clock

DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class Call:
    """One request of an AWS client, with what its signature says about it."""

    request: Request
    account: str
    region: str
    service: str


@dataclass(frozen=True)
class Image:
    """How containers of a repository run on this machine: an interpreter and the image's ENTRYPOINT."""

    python: str
    entrypoint: tuple[str, ...]


class Service(Protocol):
    """An AWS service that the local AWS answers itself, before moto is asked."""

    scopes: frozenset[str]

    def handle(self, call: Call) -> Response | None:
        """Answer the call, or return None to let moto answer it."""

    def close(self) -> None:
        """Stop every thread and subprocess that the service started."""


@dataclass
class LocalContext:
    """The surroundings of a service: where the local AWS listens, keeps its state, and how it runs images.

    `images` maps an ECR repository name to the way its containers run here. `emit` puts an event of an AWS service on
    the default bus. `clock` is the time that schedules go by. `event_targets` is where services say what takes the
    events that rules send to ARNs of theirs: by service, a function of the ARN and the event, which raises ApiError.
    `alarm_actions` does so for the actions of alarms: by service, a function of the action's ARN, which mustn't wait.
    `scaled_variants` tells which variants of an endpoint are scaled, given account, region and the endpoint's name.
    """

    endpoint_url: str
    state_dir: Path
    images: Mapping[str, Image] = field(default_factory=dict)
    account: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION
    emit: Callable[[str, str, dict[str, Any], list[str]], None] = lambda *_: None
    clock: Clock = field(default_factory=Clock)
    event_targets: dict[str, Callable[[str, Mapping[str, Any]], None]] = field(default_factory=dict)
    alarm_actions: dict[str, Callable[[str], None]] = field(default_factory=dict)
    scaled_variants: Callable[[str, str, str], set[str]] = lambda *_: set()
    _session: Any = field(default_factory=boto3.session.Session, repr=False)
    _clients: dict[tuple[str, str, str | None], Any] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def client(self, service: str, *, region: str | None = None, role_arn: str | None = None) -> Any:
        """Return a cached boto3 client that talks to this local AWS, as the given role if one is named."""
        key = (service, region or self.region, role_arn)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._new_client(*key)
            return self._clients[key]

    def credentials(self, role_arn: str | None = None) -> dict[str, str]:
        """Return the environment variables with which a process acts as the role (or as the account's owner)."""
        if role_arn is None:
            # the local AWS accepts any key: these mark its own calls
            return {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        assumed = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="local-aws")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": assumed["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": assumed["SecretAccessKey"],
            "AWS_SESSION_TOKEN": assumed["SessionToken"],
        }

    def _new_client(self, service: str, region: str, role_arn: str | None) -> Any:
        credentials = self.credentials(role_arn)
        return self._session.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=credentials.get("AWS_SESSION_TOKEN"),
            config=Config(
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                max_pool_connections=32,
                read_timeout=300,
            ),
        )
