"""The machines of an endpoint: instances that are always there, or functions that come with requests."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY_SIZES_MB = (1024, 2048, 3072, 4096, 5120, 6144)


@dataclass(frozen=True, kw_only=True)
class EndpointSizing:
    """Instances of an endpoint."""

    instance_type: str = "ml.m5.large"
    instance_count: int = 1

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        if not self.instance_type.startswith("ml."):
            raise ValueError(f"instance_type must start with ml., as ml.m5.large: {self.instance_type!r}")
        if self.instance_count < 1:
            raise ValueError(f"instance_count must be at least 1, got {self.instance_count}")


@dataclass(frozen=True, kw_only=True)
class ServerlessSizing:
    """A serverless endpoint: paid by request, slow to answer the first one.

    Parameters
    ----------
    memory_mb
        1024 to 6144 in steps of 1024; vCPUs come with memory.
    max_concurrency
        Requests at the same time, 1 to 200; more are throttled.
    provisioned_concurrency
        Of these, how many have a warm container waiting; none when left out.
    """

    memory_mb: int = 2048
    max_concurrency: int = 5
    provisioned_concurrency: int | None = None

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        if self.memory_mb not in MEMORY_SIZES_MB:
            raise ValueError(f"memory_mb must be one of {', '.join(map(str, MEMORY_SIZES_MB))}, got {self.memory_mb}")
        if not 1 <= self.max_concurrency <= 200:
            raise ValueError(f"max_concurrency must lie between 1 and 200, got {self.max_concurrency}")
        if self.provisioned_concurrency is not None and not 1 <= self.provisioned_concurrency <= self.max_concurrency:
            raise ValueError(
                f"provisioned_concurrency must lie between 1 and max_concurrency, {self.max_concurrency}, "
                f"got {self.provisioned_concurrency}"
            )
