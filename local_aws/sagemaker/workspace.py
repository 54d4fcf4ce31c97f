"""The SageMaker of one account and region: what all of its parts share."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from local_aws.clock import Worker
from local_aws.json_api import ApiError
from local_aws.service import Image, LocalContext

_log = logging.getLogger(__name__)

Record = dict[str, Any]
Operation = Callable[[Record], Mapping[str, Any]]


AUTOPILOT_REPOSITORY = "local-autopilot"
"""The image that stands for those of Autopilot, which nobody but AWS has."""
_AUTOPILOT = Path(__file__).parent / "automl" / "container.py"
_CHECKS = Path(__file__).parent / "checks"
_OWN_IMAGES = {
    AUTOPILOT_REPOSITORY: Image(sys.executable, (sys.executable, str(_AUTOPILOT))),
    "sagemaker-model-monitor-analyzer": Image(sys.executable, (sys.executable, str(_CHECKS / "analyzer.py"))),
    "sagemaker-model-monitor-groundtruth-merger": Image(sys.executable, (sys.executable, str(_CHECKS / "merger.py"))),
    "sagemaker-clarify-processing": Image(sys.executable, (sys.executable, str(_CHECKS / "clarify.py"))),
}


class UnknownImageError(Exception):
    """A container image that nothing on this machine can run; the message names the ones that can be."""


class Workspace:
    """Names, clients, tags and images of one account and region. `lock` guards the records of every part.

    `tagged` holds who is told of new tags, by the kind of resource that an ARN names, `listeners` who is told of events
    by their detail type, before those leave SageMaker; they mustn't wait. `components_of` names the inference
    components on an endpoint.
    """

    def __init__(self, context: LocalContext, account: str, region: str) -> None:
        self.context = context
        self.account = account
        self.region = region
        self.lock = threading.RLock()
        self._tags: dict[str, dict[str, str]] = {}
        self.tagged: dict[str, Callable[[str, Mapping[str, str]], None]] = {}
        self.listeners: dict[str, list[Callable[[Mapping[str, Any]], None]]] = {}
        self.components_of: Callable[[str], list[str]] = lambda _: []
        self._events: deque[tuple[str, Any, str]] = deque()
        self._events_lock = threading.Lock()
        self._delivering = False
        self.variables: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda _: {}
        """What a job's container needs beside its own variables, to reach what those name."""

    def arn(self, kind: str, name: str) -> str:
        """Return the ARN of a resource, `arn:aws:sagemaker:<region>:<account>:<kind>/<name>`."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name}"

    def now(self) -> datetime:
        """Return the present moment by the clock of the local AWS, in UTC."""
        return self.context.clock.now()

    def client(self, service: str, role_arn: str | None = None) -> Any:
        """Return a client of this region that acts as the role."""
        return self.context.client(service, region=self.region, role_arn=role_arn)

    def job_directory(self, kind: str, name: str) -> Path:
        """Return where a job of this name keeps its files."""
        return self.context.state_dir / "jobs" / kind / name

    def container_environment(self, role_arn: str | None) -> dict[str, str]:
        """Return what SageMaker sets in every container: region, credentials of the role, and here the endpoint."""
        return {
            **self.context.credentials(role_arn),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.context.endpoint_url,
        }

    def image(self, uri: str) -> Image:
        """Return how an image runs here, by its repository: `mlops-runtime` also runs `mlops-runtime-dev`."""
        repository = uri.rpartition("@")[0] or uri
        repository = repository.partition("/")[2] or repository
        repository = repository.partition(":")[0]
        images = {**_OWN_IMAGES, **self.context.images}
        for name in sorted(images, key=len, reverse=True):
            if repository == name or repository.startswith((f"{name}-", f"{name}/")):
                return images[name]
        known = ", ".join(sorted(self.context.images)) or "none"
        raise UnknownImageError(
            f"no container of the image {uri} runs on this machine: images are known for the repositories {known}"
        )

    def emit(self, detail_type: str, detail: Mapping[str, Any], arn: str) -> None:
        """Put an event of SageMaker on the default bus; times are written in milliseconds, as SageMaker does.

        Events are delivered in their order, but not by the caller: what they reach may ask about what the caller holds.
        """
        for listener in self.listeners.get(detail_type, ()):
            listener(detail)
        with self._events_lock:
            self._events.append((detail_type, plain(detail), arn))
            if not self._delivering:
                self._delivering = True
                worker = self.context.clock.worker("events of SageMaker")
                threading.Thread(target=self._deliver, args=(worker,), name="sagemaker-events", daemon=True).start()

    def _deliver(self, worker: Worker) -> None:
        while True:
            with self._events_lock:
                if not self._events:
                    self._delivering = False
                    worker.end()
                    return
                detail_type, detail, arn = self._events.popleft()
            try:
                self.context.emit("aws.sagemaker", detail_type, detail, [arn])
            except Exception:
                # a job goes on when a target of its events breaks
                _log.exception("the event %s of %s wasn't delivered", detail_type, arn)

    def tag(self, arn: str, tags: list[dict[str, str]]) -> None:
        """Add tags to a resource."""
        with self.lock:
            self._tags.setdefault(arn, {}).update({tag["Key"]: tag["Value"] for tag in tags})

    def forget(self, arn: str) -> None:
        """Drop the tags of a deleted resource."""
        with self.lock:
            self._tags.pop(arn, None)

    def operations(self) -> dict[str, Operation]:
        """Return the operations on tags."""
        return {"AddTags": self._add_tags, "ListTags": self._list_tags, "DeleteTags": self._delete_tags}

    def _add_tags(self, request: Record) -> Record:
        arn = str(request["ResourceArn"])
        listener = self.tagged.get(arn.rpartition(":")[2].partition("/")[0])
        if listener:
            listener(arn, {tag["Key"]: tag["Value"] for tag in request["Tags"]})
        self.tag(request["ResourceArn"], request["Tags"])
        return self._list_tags(request)

    def _list_tags(self, request: Record) -> Record:
        with self.lock:
            tags = self._tags.get(request["ResourceArn"], {})
            return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _delete_tags(self, request: Record) -> Record:
        with self.lock:
            for key in request["TagKeys"]:
                self._tags.get(request["ResourceArn"], {}).pop(key, None)
        return {}


def not_found(message: str = "Requested resource not found.") -> ApiError:
    """Return the error of a name that isn't there: a ValidationException for most of SageMaker."""
    return ApiError("ValidationException", message)


def plain(value: Any) -> Any:
    """Return a value as plain JSON, with times in milliseconds since 1970."""
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
