"""The Spark job that turns raw data into features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aws_cdk import Duration, IgnoreMode, Names
from aws_cdk import aws_events as events
from aws_cdk import aws_glue as glue
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from .grants import grant_encrypt_decrypt, grant_read_asset
from .job_role import JobRole
from .log_retention import LogRetention

GLUE_VERSION = "6.0"
"""Spark 4.1 on Python 3.13."""


@dataclass(frozen=True, kw_only=True)
class SparkSizing:
    """Workers of a Spark job and the time after which it is stopped."""

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    workers: int = 2
    timeout: Duration = field(default_factory=lambda: Duration.minutes(60))

    def __post_init__(self) -> None:
        """Refuse what Glue refuses."""
        if self.workers < 2:
            raise ValueError(f"workers must be at least 2 (one of them is the driver), got {self.workers}")


@dataclass(frozen=True, kw_only=True)
class SparkCode:
    """A Glue script and the Python package that it imports, which lies in the folder `library` under `package`."""

    script: Path
    library: Path
    package: str


class PackageAsset(assets.Asset):
    """A zip that holds one package out of a folder of packages, without its tests and caches."""

    def __init__(self, scope: Construct, construct_id: str, *, library: Path, package: str) -> None:
        if not (library / package).is_dir():
            raise ValueError(f"{library} holds no package {package!r}")
        super().__init__(
            scope,
            construct_id,
            path=str(library),
            ignore_mode=IgnoreMode.DOCKER,
            exclude=["*", f"!{package}", f"{package}/tests", "**/__pycache__", "**/*.pyc"],
        )


class FeatureJob(Construct):
    """A Glue job with its own role, its script and library as assets, and encrypted logs, bookmarks and outputs.

    Parameters
    ----------
    code
        The script and the package it imports.
    key
        Encrypts what the job writes.
    arguments
        The script's own arguments (``--name``), which a run may override.
    sizing
        Workers and time limit; two small workers for an hour at most when left out.
    logs
        How long logs are kept: 90 days, also when the stack goes, when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        code: SparkCode,
        key: kms.IKey,
        arguments: Mapping[str, str],
        sizing: SparkSizing | None = None,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._key = key
        self._sizing = sizing or SparkSizing()
        self.role = self._define_role()
        self.script = assets.Asset(self, "Script", path=str(code.script))
        self.library = PackageAsset(self, "Library", library=code.library, package=code.package)
        self.security = self._define_security()
        self.job = self._define_job(arguments)
        self._define_logs(logs or LogRetention())

    @property
    def job_name(self) -> str:
        """The job's name, given by CloudFormation."""
        return self.job.ref

    def on_failure(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when a run fails, runs out of time or loses its machines."""
        return events.Rule(
            self,
            construct_id,
            description="A run of the feature job didn't succeed",
            event_pattern=events.EventPattern(
                source=["aws.glue"],
                detail_type=["Glue Job State Change"],
                detail={"jobName": [self.job_name], "state": ["FAILED", "TIMEOUT", "ERROR"]},
            ),
            targets=[target],
        )

    def _define_role(self) -> JobRole:
        role = JobRole(self, "Role", service="glue.amazonaws.com", log_groups="/aws-glue/", metrics_namespaces=["Glue"])
        # Glue makes the log groups of a job with a security configuration, and encrypts them, in the job's role.
        role.grant_log_encryption()
        grant_encrypt_decrypt(self._key, role)
        return role

    def _define_logs(self, retention: LogRetention) -> None:
        # With a security configuration the groups carry its name and the role's.
        prefix = f"/aws-glue/jobs/{self.security.ref}-role/{self.role.role_name}"
        for construct_id, stream in (("OutputLogs", "output"), ("ErrorLogs", "error")):
            group = retention.define(self, construct_id, name=f"{prefix}/{stream}", key=self._key)
            self.job.node.add_dependency(group)

    def _define_security(self) -> glue.CfnSecurityConfiguration:
        key = self._key.key_arn
        configuration = glue.CfnSecurityConfiguration
        # Nothing in it can be updated in place: another key needs another name.
        name = f"{Names.unique_resource_name(self, max_length=60, separator='-')}-{self._key.node.addr[-8:]}"
        return glue.CfnSecurityConfiguration(
            self,
            "Security",
            name=name,
            encryption_configuration=configuration.EncryptionConfigurationProperty(
                cloud_watch_encryption=configuration.CloudWatchEncryptionProperty(
                    cloud_watch_encryption_mode="SSE-KMS", kms_key_arn=key
                ),
                job_bookmarks_encryption=configuration.JobBookmarksEncryptionProperty(
                    job_bookmarks_encryption_mode="CSE-KMS", kms_key_arn=key
                ),
                s3_encryptions=[configuration.S3EncryptionProperty(s3_encryption_mode="SSE-KMS", kms_key_arn=key)],
            ),
        )

    def _define_job(self, arguments: Mapping[str, str]) -> glue.CfnJob:
        for asset in (self.script, self.library):
            grant_read_asset(asset, self.role)
        job = glue.CfnJob(
            self,
            "Job",
            role=self.role.role_arn,
            command=glue.CfnJob.JobCommandProperty(
                name="glueetl", python_version="3", script_location=self.script.s3_object_url
            ),
            glue_version=GLUE_VERSION,
            worker_type=self._sizing.worker_type,
            number_of_workers=self._sizing.workers,
            timeout=self._sizing.timeout.to_minutes(),
            max_retries=0,
            execution_property=glue.CfnJob.ExecutionPropertyProperty(max_concurrent_runs=2),
            security_configuration=self.security.ref,
            default_arguments={
                "--job-language": "python",
                "--extra-py-files": self.library.s3_object_url,
                "--enable-metrics": "true",
                **arguments,
            },
        )
        job.node.add_dependency(self.role.ready)
        return job
