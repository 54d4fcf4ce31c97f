"""How a model serves: its endpoint's machines, releases, scaling, and the version that is tried beside it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlops_constructs.endpoint_release import ReleasePolicy

from .setting_types import FleetName, InstanceType, Percent, Positive, Section
from .trigger_settings import CheckedSchedule

Limit = Annotated[float, Field(gt=0)]


class ReleaseAlarms(Section):
    """What takes a new version back, seen in two of three minutes, a shift in one; null for no alarm."""

    server_error_percent: Annotated[float, Field(ge=0, lt=100)] | None = 1.0
    """Share of its requests that it fails on (5xx)."""
    client_error_percent: Annotated[float, Field(ge=0, lt=100)] | None = 20.0
    """Share of its requests that it refuses (4xx)."""
    p99_milliseconds: Limit | None = 500.0
    """Time of the model for 99 of 100 requests."""
    prediction_shift: Limit | None = 0.5
    """Population stability index of its predictions against those on its validation days."""


class Release(Section):
    """How a new version takes over from the one that serves."""

    strategy: Literal["all_at_once", "canary", "linear", "rolling"] | None = None
    """canary: a share of the traffic first; linear: in equal steps; rolling: instance by instance; all_at_once.
    Left out: canary where there are always two instances and more, else all_at_once."""
    percent: Annotated[int, Field(ge=1, le=50)] = 10
    """Share of the canary, of a linear step (10 and more) or of a rolling batch (5 and more)."""
    wait_minutes: Annotated[int, Field(ge=0, le=60)] = 5
    """Between two steps, while the alarms are watched."""
    bake_minutes: Annotated[int, Field(ge=0, le=60)] = 5
    """After the last step, while the alarms are watched and the old fleet is kept."""
    alarms: ReleaseAlarms = ReleaseAlarms()
    """What takes it back."""


class ScheduledScaling(Section):
    """Bounds from a moment on."""

    schedule: CheckedSchedule
    """When, in UTC: cron(0 7 ? * MON-FRI *)."""
    minimum: Annotated[int, Field(ge=0)]
    """Least number of instances from then on."""
    maximum: Positive
    """Most instances from then on."""

    @model_validator(mode="after")
    def _bounds_leave_something(self) -> ScheduledScaling:
        _check_bounds(self.minimum, self.maximum)
        return self


class Scaling(Section):
    """More instances with more requests."""

    minimum: Annotated[int, Field(ge=0)] = 1
    """Least number of instances; 0 with asynchronous only."""
    maximum: Positive = 4
    """Most instances."""
    requests_per_instance: Limit = 1000.0
    """Requests in a minute that an instance is to have, on average."""
    scale_in: bool = True
    """Whether instances go again by themselves."""
    scale_in_minutes: Annotated[int, Field(ge=0, le=24 * 60)] = 5
    """Pause after instances have gone."""
    scale_out_minutes: Annotated[int, Field(ge=0, le=24 * 60)] = 1
    """Pause after instances have come."""
    schedules: list[ScheduledScaling] = Field(default_factory=list)
    """Other bounds at certain times."""

    @model_validator(mode="after")
    def _bounds_leave_something(self) -> Scaling:
        _check_bounds(self.minimum, self.maximum)
        return self


class Serverless(Section):
    """Paid by request: no instance waits, and the first request does."""

    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 2048
    """Memory of a container."""
    max_concurrency: Annotated[int, Field(ge=1, le=200)] = 5
    """Requests at the same time; more are refused."""
    provisioned_concurrency: Annotated[int, Field(ge=1, le=200)] | None = None
    """How many containers are kept warm."""


class Asynchronous(Section):
    """Requests lie in S3, and so do answers: for requests that are big or take minutes."""

    max_concurrent: Annotated[int, Field(ge=1, le=1000)] = 4
    """Requests that an instance works on at the same time."""
    backlog_per_instance: Limit = 5.0
    """Requests that may wait for each instance before scaling adds one."""


class Challenger(Section):
    """A second version beside the one that serves, which `mlops model challenge` names."""

    mode: Literal["shadow", "split"] = "shadow"
    """shadow: gets copies of requests, its answers are only captured; split: answers a share of the requests."""
    percent: Annotated[int, Field(ge=1, le=100)] = 10
    """Share of the requests that it gets."""
    instance_count: Positive = 1
    """Its machines, of the endpoint's type."""


class Component(Section):
    """A place on machines that models share, instead of an endpoint of its own."""

    fleet: FleetName
    """One of the environment's fleets."""
    copies: Positive = 1
    """Containers of the model. With scaling, how many a release begins with."""
    memory_mb: Annotated[int, Field(ge=128)] = 1024
    """Memory that each copy is promised, and gets no more of, in MiB."""
    cpus: Annotated[float, Field(ge=0.25)] | None = None
    """Cores that each copy is promised; left out: none."""


class Serving(Section):
    """The endpoint."""

    enabled: bool = True
    """false: there is no endpoint, and nothing to pay; all else stays as it is."""
    instance_type: InstanceType = "ml.m5.large"
    """Machine, as ml.m5.large."""
    instance_count: Positive = 1
    """Number of machines; two or more spread over zones. With scaling, how many it begins with."""
    capture_percent: Percent = 100
    """Share of requests and answers that is kept; 0 for none."""
    release: Release = Release()
    """How a new version takes over."""
    scaling: Scaling | None = None
    """More instances with more requests; left out: always as many."""
    serverless: Serverless | None = None
    """Instead of instances; left out: instances."""
    asynchronous: Asynchronous | None = None
    """Answers by S3; left out: at once."""
    challenger: Challenger | None = None
    """A second version beside the one that serves; left out: none."""
    component: Component | None = None
    """On a fleet of the environment that several models share, whose machines are then those of the model; `scaling`
    counts copies. Left out: an endpoint of its own."""

    def release_policy(self) -> ReleasePolicy:
        """How a new version takes over. Raises ValueError for what SageMaker refuses."""
        release = self.release
        return ReleasePolicy(
            strategy=release.strategy or (self._in_parts() if self._least_instances() > 1 else "all_at_once"),
            percent=release.percent,
            wait_seconds=60 * release.wait_minutes,
            bake_seconds=60 * release.bake_minutes,
        )

    def _in_parts(self) -> Literal["canary", "rolling"]:
        return "rolling" if self.component else "canary"

    @property
    def _count(self) -> tuple[int, tuple[str, ...]]:
        """How many there are to begin with, and the setting that says so."""
        if self.component:
            return self.component.copies, ("component", "copies")
        return self.instance_count, ("instance_count",)

    def _least_instances(self) -> int:
        count, _ = self._count
        if self.scaling is None:
            return count
        return min(count, self.scaling.minimum, *(each.minimum for each in self.scaling.schedules))

    @model_validator(mode="after")
    def _parts_fit(self) -> Serving:
        if self.component:
            self._check_component()
        try:
            self.release_policy().check(self._least_instances())
        except ValueError as error:
            raise _refused(f"can't be done: {error}", "release") from error
        if self.serverless:
            self._check_serverless(self.serverless)
        scaling, (count, at) = self.scaling, self._count
        if scaling and not scaling.minimum <= count <= scaling.maximum:
            raise _refused(f"must be from {scaling.minimum} to {scaling.maximum} as scaling says, got {count}", *at)
        if self._least_instances() == 0 and not self.asynchronous:
            raise _refused("goes down to 0 instances, which only an asynchronous endpoint may", "scaling")
        if self.challenger:
            self._check_challenger(self.challenger)
        return self

    def _check_serverless(self, serverless: Serverless) -> None:
        for name, value in (
            ("scaling", self.scaling),
            ("asynchronous", self.asynchronous),
            ("challenger", self.challenger),
        ):
            if value is not None:
                raise _refused("is not for serverless endpoints; leave one of the two out", name)
        if self.release.strategy not in (None, "all_at_once"):
            raise _refused("has no effect on serverless endpoints; leave it out", "release", "strategy")
        if self.capture_percent:
            raise _refused("must be 0 with serverless, which can't capture", "capture_percent")
        if (serverless.provisioned_concurrency or 0) > serverless.max_concurrency:
            raise _refused(
                f"must be at most max_concurrency, {serverless.max_concurrency}, "
                f"got {serverless.provisioned_concurrency}",
                "serverless",
                "provisioned_concurrency",
            )

    def _check_component(self) -> None:
        for name, value in (
            ("serverless", self.serverless),
            ("asynchronous", self.asynchronous),
            ("challenger", self.challenger),
        ):
            if value is not None:
                raise _refused("is not for a component of a fleet; leave one of the two out", name)
        if self.release.strategy not in (None, "all_at_once", "rolling"):
            raise _refused(
                f"must be rolling or all_at_once for a component, got {self.release.strategy}", "release", "strategy"
            )
        if self.capture_percent:
            raise _refused(
                "must be 0 with component: a fleet captures nothing, as requests of all its models would lie together",
                "capture_percent",
            )

    def _check_challenger(self, challenger: Challenger) -> None:
        if self.asynchronous:
            raise _refused("is not for asynchronous endpoints, which have one variant", "challenger")
        if challenger.mode == "split" and challenger.percent == 100:
            raise _refused("must be less than 100 for a split: approve the version instead", "challenger", "percent")
        if challenger.mode == "split" and self.release.strategy == "rolling":
            raise _refused("can't be rolling beside a split, which has two variants", "release", "strategy")


def _check_bounds(minimum: int, maximum: int) -> None:
    if minimum > maximum:
        raise _refused(f"must be at most the maximum, {maximum}, got {minimum}", "minimum")


def _refused(reason: str, *at: str) -> PydanticCustomError:
    return PydanticCustomError("serving", "{reason}", {"reason": reason, "at": at})
