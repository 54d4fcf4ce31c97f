"""EventBridge Scheduler: schedules that run."""

from local_aws.schedules.service import SchedulerService

__all__ = ["SchedulerService"]
