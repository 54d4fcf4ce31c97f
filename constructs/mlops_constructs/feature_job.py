"""The Spark job that turns raw data into what models are made from."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_s3 as s3
from constructs import Construct

from .glue_job import GlueJob, JobSecurity, SparkCode, SparkSizing
from .grants import grant_read_write_objects
from .log_retention import LogRetention


class FeatureJob(GlueJob):
    """A Glue job on large data: it scales, and keeps what the Spark UI shows of a run where it is told to.

    Parameters
    ----------
    code, security, arguments, sizing, logs
        As for `GlueJob`.
    event_logs
        The bucket that takes Spark's event logs, under ``spark-logs/<name>/``; none are written when left out.
    event_logs_name
        The folder of this job's event logs; the construct's id when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        code: SparkCode,
        security: JobSecurity,
        arguments: Mapping[str, str],
        sizing: SparkSizing | None = None,
        logs: LogRetention | None = None,
        event_logs: s3.IBucket | None = None,
        event_logs_name: str | None = None,
    ) -> None:
        folder = f"spark-logs/{event_logs_name or construct_id}/"
        options = {}
        if event_logs:
            options = {
                "--enable-spark-ui": "true",
                "--spark-event-logs-path": f"s3://{event_logs.bucket_name}/{folder}",
            }
        super().__init__(
            scope,
            construct_id,
            code=code,
            security=security,
            arguments={**options, **arguments},
            sizing=sizing,
            logs=logs,
        )
        if event_logs:
            # A log is written under another name and renamed when it is complete.
            grant_read_write_objects(event_logs, self.role, folder)
