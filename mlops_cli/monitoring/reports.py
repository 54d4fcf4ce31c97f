"""What a model's monitor has left: a folder for each run, with the report as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from mlops_cli.deployment import Deployment, DeploymentError, dashed

PART = "monitoring"
REPORT, PAGE = "report.json", "report.html"


@dataclass(frozen=True)
class MonitorRun:
    """A run of the monitor with its report: the hour (UTC) that it is kept under, and the pipeline execution's id."""

    hour: datetime
    execution: str
    folder: str
    report: Mapping[str, Any]

    @property
    def status(self) -> str:
        """`calm`, `drifted`, `too_few_rows`, `no_traffic` or `no_baseline`."""
        return str(self.report["status"])

    @property
    def looks_back(self) -> bool:
        """Whether it was asked for another time or version than those of now: it tells nothing of how things stand."""
        return bool(self.report.get("looks_back"))

    @property
    def moved(self) -> list[str]:
        """The features that have moved, by score."""
        moved = [each for each in self.report["features"] if each["moved"]]
        return [str(each["name"]) for each in sorted(moved, key=lambda each: -(each["score"] or 0))]

    @property
    def version(self) -> str:
        """The number of the version that was looked at; empty for none."""
        return str((self.report.get("package") or {}).get("version") or "")

    @property
    def window(self) -> str:
        """The days that were looked at."""
        return " to ".join(str(self.report["window"][end])[:16].replace("T", " ") for end in ("start", "end"))

    def quality(self) -> str:
        """The metric that was judged with its value, and whether that is too bad; empty for none."""
        found = self.report.get("quality")
        if not found or found["value"] is None:
            return ""
        lost = ", too bad" if found["broken"] else ""
        return f"{found['metric']} {found['value']:.3f}{lost}"

    def to_json(self) -> dict[str, Any]:
        """What there is to say of it as plain data."""
        quality = self.report.get("quality") or {}
        return {
            "execution": self.execution,
            "hour": self.hour.isoformat(),
            "folder": self.folder,
            "status": self.status,
            "looks_back": self.looks_back,
            "window": dict(self.report["window"]),
            "rows": self.report["rows"],
            "version": int(self.version) if self.version else None,
            "moved": self.moved,
            "findings": [str(each["text"]) for each in self.report["findings"]],
            "quality": {name: quality[name] for name in ("metric", "value", "loss", "broken")} if quality else None,
        }


@dataclass
class Reports:
    """The reports of one model's monitor. Raises DeploymentError when the model isn't monitored."""

    deployment: Deployment
    model: str
    outputs: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.outputs = self.deployment.outputs(f"{dashed(self.model)}-{PART}")
        except DeploymentError as error:
            raise DeploymentError(
                f"{self.model} isn't monitored: add `monitoring:` to ml_code/models/{self.model}/model.yaml and deploy "
                f"({error})"
            ) from error

    @property
    def pipeline(self) -> str:
        """The pipeline that each run is an execution of."""
        return self.outputs["PipelineName"]

    def newest(self, most: int) -> list[MonitorRun]:
        """The newest runs, at most so many, the newest first."""
        return [self._run(key) for key in self._keys()[:most]]

    def current(self) -> MonitorRun | None:
        """The newest run that tells how things stand; None for none."""
        runs = map(self._run, self._keys())
        return next((each for each in runs if not each.looks_back), None)

    def executions(self) -> set[str]:
        """The ids of all executions that have left a report."""
        return {key.split("/")[-2] for key in self._keys()}

    def without(self, seen: Collection[str]) -> list[MonitorRun]:
        """The runs of other executions than these, the newest first."""
        return [self._run(key) for key in self._keys() if key.split("/")[-2] not in seen]

    def of(self, execution: str) -> MonitorRun:
        """The run of a pipeline execution, by its id or ARN. Raises DeploymentError when it left no report."""
        wanted = execution.rpartition("/")[2]
        keys = [key for key in self._keys() if key.split("/")[-2] == wanted]
        if not keys:
            raise DeploymentError(f"the execution {wanted} left no report below {self.outputs['Reports']}")
        return self._run(keys[0])

    def page(self, run: MonitorRun) -> bytes:
        """The page of a run. Raises DeploymentError when it isn't there."""
        where = urlsplit(f"{run.folder}/{PAGE}")
        try:
            body: bytes = self._s3.get_object(Bucket=where.netloc, Key=where.path.lstrip("/"))["Body"].read()
        except ClientError as error:
            raise DeploymentError(f"the page isn't there: {run.folder}/{PAGE}: {error}") from error
        return body

    @property
    def _s3(self) -> Any:
        return self.deployment.client("s3")

    def _keys(self) -> Sequence[str]:
        """The reports, the newest first: `<prefix>/yyyy/mm/dd/hh/<execution>/report.json`."""
        bucket, prefix = self._place()
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        found = [
            (key.removeprefix(f"{prefix}/").split("/")[:4], each["LastModified"], key)
            for page in pages
            for each in page.get("Contents", [])
            if _is_report(key := each["Key"], prefix)
        ]
        return [key for _, _, key in sorted(found, reverse=True)]

    def _run(self, key: str) -> MonitorRun:
        bucket, prefix = self._place()
        body = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        *hour, execution, _ = key.removeprefix(f"{prefix}/").split("/")
        moment = datetime(*(int(each) for each in hour), tzinfo=UTC)  # type: ignore[misc,arg-type]
        try:
            report = json.loads(body)
        except ValueError as error:
            raise DeploymentError(f"s3://{bucket}/{key} is no JSON: {error}") from error
        return MonitorRun(moment, execution, f"s3://{bucket}/{key.rpartition('/')[0]}", report)

    def _place(self) -> tuple[str, str]:
        where = urlsplit(self.outputs["Reports"])
        return where.netloc, where.path.strip("/")


def _is_report(key: str, prefix: str) -> bool:
    parts = key.removeprefix(f"{prefix}/").split("/")
    return len(parts) == 6 and parts[-1] == REPORT and all(each.isdigit() for each in parts[:4])


def texts(run: MonitorRun) -> Iterator[str]:
    """The findings of a run, one sentence each, and what happens next."""
    for finding in run.report["findings"]:
        yield str(finding["text"])
    if run.report.get("next"):
        yield f"next: {run.report['next']}"
