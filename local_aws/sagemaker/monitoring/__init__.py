"""Model Monitor: job definitions, schedules, and their executions as processing jobs."""

from local_aws.sagemaker.monitoring.definitions import JobDefinitions
from local_aws.sagemaker.monitoring.schedules import MonitoringSchedules

__all__ = ["JobDefinitions", "MonitoringSchedules"]
