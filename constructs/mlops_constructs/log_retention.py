"""Log groups of jobs and endpoints, made before the service makes them: with a key, and an end."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


@dataclass(frozen=True, kw_only=True)
class LogRetention:
    """How many days logs are kept, and whether they outlive their stack.

    A stack that comes back takes over what it left with ``cdk deploy --import-existing-resources``.
    """

    days: int = 90
    removal: RemovalPolicy = RemovalPolicy.RETAIN

    def __post_init__(self) -> None:
        """Refuse what CloudWatch Logs refuses."""
        if self.days not in _DAYS:
            raise ValueError(f"days must be one of {', '.join(map(str, _DAYS))}, got {self.days}")

    def define(self, scope: Construct, construct_id: str, *, name: str, key: kms.IKey) -> logs.CfnLogGroup:
        """A log group under the name that its service writes to. The key's policy must let CloudWatch Logs use it."""
        group = logs.CfnLogGroup(
            scope, construct_id, log_group_name=name, retention_in_days=self.days, kms_key_id=key.key_arn
        )
        group.apply_removal_policy(self.removal)
        return group
