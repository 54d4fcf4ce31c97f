"""Machines and networks of jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .pipeline_step import InvalidPipelineError

# Families with a d after the generation (m5d, c6gd, g4dn, p3dn, p4d), and those that have no other kind.
_LOCAL_DISK = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|dl1|g[567]e?|p[56][a-z0-9-]*|trn[12]n?)\.")


def has_local_disk(instance_type: str) -> bool:
    """Whether a machine works on disks that it brings itself.

    Its hardware encrypts them, and SageMaker refuses jobs and endpoints that name a key for them.
    """
    return bool(_LOCAL_DISK.match(instance_type))


@dataclass(frozen=True, kw_only=True)
class JobResources:
    """Machines of one job: instance type and count, disk in GiB, and the time in seconds after which it is stopped."""

    instance_type: str
    instance_count: int = 1
    volume_gb: int = 30
    max_runtime_seconds: int = 3600

    def __post_init__(self) -> None:
        """Refuse sizes that no job can have."""
        if not self.instance_type.startswith("ml."):
            raise InvalidPipelineError(f"instance_type must start with ml., as ml.m5.xlarge: {self.instance_type!r}")
        if self.instance_count < 1 or self.volume_gb < 1 or self.max_runtime_seconds < 1:
            raise InvalidPipelineError(f"instance_count, volume_gb and max_runtime_seconds must be positive: {self}")

    def cluster(self, kms_key_arn: str | None) -> dict[str, Any]:
        """The machines as SageMaker takes them, with the key for disks that take one."""
        cluster: dict[str, Any] = {
            "InstanceType": self.instance_type,
            "InstanceCount": self.instance_count,
            "VolumeSizeInGB": self.volume_gb,
        }
        if kms_key_arn and not has_local_disk(self.instance_type):
            cluster["VolumeKmsKeyId"] = kms_key_arn
        return cluster


@dataclass(frozen=True, kw_only=True)
class JobNetwork:
    """The subnets and security groups that jobs and endpoints run in."""

    subnet_ids: Sequence[str]
    security_group_ids: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """SageMaker's `VpcConfig`."""
        return {"SecurityGroupIds": list(self.security_group_ids), "Subnets": list(self.subnet_ids)}
