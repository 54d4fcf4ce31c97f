"""What moto's CloudWatch lacks: metrics that lie in logs, and alarms that are evaluated."""

from local_aws.cloudwatch.service import CloudWatchService

__all__ = ["CloudWatchService"]
