"""What an endpoint may have beside its model: machines, capture, releases, scaling, a second version, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from .endpoint_release import PERIOD, ReleaseLimits, ReleasePolicy
from .endpoint_scaling import EndpointScaling
from .endpoint_sizing import EndpointSizing, ServerlessSizing

VARIANT = "live"
"""The name of the variant that answers. It never changes: scaling and releases are tied to it."""
CHALLENGER = "challenger"
"""The name of the variant that is tried beside it."""


@dataclass(frozen=True, kw_only=True)
class DataCapture:
    """Which share of the requests is written to a bucket, under ``<endpoint>/<variant>/<date>``."""

    bucket: s3.IBucket
    percent: int = 100

    def __post_init__(self) -> None:
        """Refuse shares that don't exist."""
        if not 1 <= self.percent <= 100:
            raise ValueError(f"percent must lie between 1 and 100, got {self.percent}; leave the capture out for none")


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """A second version beside the one that is released.

    Parameters
    ----------
    model_package_arn
        Usually a stack parameter; with an empty text there is no second one.
    mode
        ``shadow``: it gets copies of requests, and its answers are captured and measured, but given to nobody;
        ``split``: it answers a share of the requests.
    percent
        Of the requests that it gets, 1 to 100; as a split 1 to 99.
    instance_count
        Its instances, of the endpoint's type.
    """

    model_package_arn: str
    mode: Literal["shadow", "split"] = "shadow"
    percent: int = 10
    instance_count: int = 1

    def __post_init__(self) -> None:
        """Refuse shares that don't exist."""
        most = 100 if self.mode == "shadow" else 99
        if not 1 <= self.percent <= most:
            raise ValueError(f"percent of a {self.mode} must lie between 1 and {most}, got {self.percent}")

    @property
    def shape(self) -> tuple[str, int, int]:
        """What there is of it but its version."""
        return self.mode, self.percent, self.instance_count


@dataclass(frozen=True, kw_only=True)
class AsyncInference:
    """Requests of up to a gigabyte that lie in S3 and are answered there, when an instance has time.

    Parameters
    ----------
    bucket, prefix
        Answers go to ``<prefix>answers/`` and failures to ``<prefix>failures/``; requests are read from the bucket.
    max_concurrent
        Requests that an instance works on at the same time, 1 to 1000.
    backlog_per_instance
        Requests that may wait for an instance before there are more; with a scaling.
    """

    bucket: s3.IBucket
    prefix: str
    max_concurrent: int = 4
    backlog_per_instance: float = 5.0


@dataclass(frozen=True, kw_only=True)
class ServingMetricNames:
    """Where the containers write their metrics, in the embedded format: requests, time, predictions, and their shift.

    `fleet` is the dimension that tells releases apart: see `InferenceEndpoint`.
    """

    namespace: str
    environment: str
    model: str

    def variables(self, endpoint_name: str, variant: str, fleet: str) -> Mapping[str, str]:
        """The environment variables by which a container knows them."""
        return {
            "METRICS_NAMESPACE": self.namespace,
            "METRICS_ENVIRONMENT": self.environment,
            "MODEL_NAME": self.model,
            "ENDPOINT_NAME": endpoint_name,
            "VARIANT_NAME": variant,
            "FLEET_NAME": fleet,
        }

    def shift(self, endpoint_name: str, fleet: str) -> cloudwatch.Metric:
        """The population stability index of a fleet's predictions."""
        return cloudwatch.Metric(
            namespace=self.namespace,
            metric_name="PredictionShift",
            dimensions_map={"Endpoint": endpoint_name, "Fleet": fleet},
            statistic=cloudwatch.Stats.MAXIMUM,
            period=PERIOD,
        )


@dataclass(frozen=True, kw_only=True)
class EndpointOptions:
    """What an endpoint may have beside its model.

    Parameters
    ----------
    enabled
        False: there is neither fleet nor endpoint, whatever is released; role and logs stay.
    sizing
        Instances, or a serverless endpoint, which has no capture, no release in parts, no scaling and no challenger.
    capture
        Requests and answers to keep; none when left out.
    release, limits
        How a new version takes over, and what takes it back.
    scaling
        Follows the traffic; a constant number of instances when left out.
    asynchronous
        Answers by S3 instead of at once.
    challenger
        A second version.
    metrics
        Of the containers; none when left out.
    topic
        Is told when an alarm of the release goes off.
    """

    enabled: bool = True
    sizing: EndpointSizing | ServerlessSizing = field(default_factory=EndpointSizing)
    capture: DataCapture | None = None
    release: ReleasePolicy = field(default_factory=ReleasePolicy)
    limits: ReleaseLimits = field(default_factory=ReleaseLimits)
    scaling: EndpointScaling | None = None
    asynchronous: AsyncInference | None = None
    challenger: Challenger | None = None
    metrics: ServingMetricNames | None = None
    topic: sns.ITopic | None = None

    @property
    def shape(self) -> str:
        """A hash of all that makes another endpoint configuration of the same version."""
        parts = (self.sizing, self.capture and self.capture.percent, self.challenger and self.challenger.shape)
        asynchronous = self.asynchronous and (self.asynchronous.prefix, self.asynchronous.max_concurrent)
        return sha256(repr((*parts, asynchronous)).encode()).hexdigest()[:8]

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses, or would do otherwise than asked."""
        if isinstance(self.sizing, ServerlessSizing):
            for name in ("capture", "scaling", "asynchronous", "challenger"):
                if getattr(self, name) is not None:
                    raise ValueError(f"a serverless endpoint has no {name}: use instances, or leave it out")
            return
        count, scaling = self.sizing.instance_count, self.scaling
        if scaling and not scaling.minimum <= count <= scaling.maximum:
            raise ValueError(
                f"instance_count must be from {scaling.minimum} to {scaling.maximum} as scaling, got {count}"
            )
        if scaling and scaling.least == 0 and not self.asynchronous:
            raise ValueError("scaling has a minimum of 0, which only an asynchronous endpoint may have")
        self.release.check(min(count, scaling.least) if scaling else count)
        if self.challenger and self.challenger.mode == "split" and self.release.strategy == "rolling":
            raise ValueError("a rolling release takes one variant: use canary or linear beside a split")
        if self.challenger and self.asynchronous:
            raise ValueError("an asynchronous endpoint takes one variant, and so no challenger")
