"""Application Auto Scaling: the capacity of endpoints follows their metrics and the calendar."""

from local_aws.autoscaling.service import AutoScalingService

__all__ = ["AutoScalingService"]
