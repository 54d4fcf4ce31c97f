"""Spark jobs of Glue: their code, machines, role, encryption and logs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aws_cdk import Duration, IgnoreMode, Names
from aws_cdk import aws_events as events
from aws_cdk import aws_glue as glue
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from .grants import grant_encrypt_decrypt, grant_read_assets
from .job_role import JobRole
from .log_retention import LogRetention

GLUE_VERSION = "6.0"
"""Spark 4.1 on Python 3.13. Its jobs log as they run, without the options that turned it on up to Glue 4.0."""


@dataclass(frozen=True, kw_only=True)
class SparkSizing:
    """Workers of a Spark job, and what Glue does when a run takes long or fails.

    With `autoscaling`, `workers` is the most that a run gets. With `flex` a run takes spare machines. A run that would
    be one more than `concurrent_runs` waits in Glue's queue.
    """

    worker_type: Literal["G.1X", "G.2X", "G.4X", "G.8X"] = "G.1X"
    workers: int = 2
    autoscaling: bool = False
    flex: bool = False
    timeout: Duration = field(default_factory=lambda: Duration.minutes(60))
    retries: int = 0
    concurrent_runs: int = 10

    def __post_init__(self) -> None:
        """Refuse what Glue refuses."""
        if self.workers < 2:
            raise ValueError(f"workers must be at least 2 (one of them is the driver), got {self.workers}")
        if self.flex and self.worker_type not in {"G.1X", "G.2X"}:
            raise ValueError(f"flex takes workers of type G.1X or G.2X, got {self.worker_type}")
        if not 0 <= self.retries <= 10:
            raise ValueError(f"retries must be from 0 to 10, got {self.retries}")
        if self.concurrent_runs < 1:
            raise ValueError(f"concurrent_runs must be at least 1, got {self.concurrent_runs}")


class PackageAsset(assets.Asset):
    """A zip that holds one package out of a folder of packages, without its tests and caches.

    Files of the package whose names match `without` stay behind: what isn't code shouldn't change the code's hash.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, library: Path, package: str, without: Sequence[str] = ()
    ) -> None:
        if not (library / package).is_dir():
            raise ValueError(f"{library} holds no package {package!r}")
        super().__init__(
            scope,
            construct_id,
            path=str(library),
            ignore_mode=IgnoreMode.DOCKER,
            exclude=[
                "*",
                f"!{package}",
                f"{package}/tests",
                "**/__pycache__",
                "**/*.pyc",
                *(f"{package}/{pattern}" for pattern in without),
            ],
        )


class ScriptAsset(assets.Asset):
    """A script."""

    def __init__(self, scope: Construct, construct_id: str, *, script: Path) -> None:
        super().__init__(scope, construct_id, path=str(script))


class JsonAsset(assets.Asset):
    """Data that a job reads as a JSON file."""

    def __init__(self, scope: Construct, construct_id: str, *, content: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "content.json"
            file.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
            super().__init__(scope, construct_id, path=str(file))  # copies it into the assembly


@dataclass(frozen=True, kw_only=True)
class SparkCode:
    """A Glue script, the Python packages that it imports, and data files that it is told of by arguments."""

    script: assets.Asset
    packages: Sequence[assets.Asset]
    data: Sequence[assets.Asset] = ()


class JobSecurity(Construct):
    """A key and the Glue security configuration that makes jobs use it for logs, bookmarks and outputs."""

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self.key = key
        configuration = glue.CfnSecurityConfiguration
        arn = key.key_arn
        # Nothing in it can be updated in place: another key needs another name.
        name = f"{Names.unique_resource_name(self, max_length=60, separator='-')}-{key.node.addr[-8:]}"
        self.configuration = configuration(
            self,
            "Configuration",
            name=name,
            encryption_configuration=configuration.EncryptionConfigurationProperty(
                cloud_watch_encryption=configuration.CloudWatchEncryptionProperty(
                    cloud_watch_encryption_mode="SSE-KMS", kms_key_arn=arn
                ),
                job_bookmarks_encryption=configuration.JobBookmarksEncryptionProperty(
                    job_bookmarks_encryption_mode="CSE-KMS", kms_key_arn=arn
                ),
                s3_encryptions=[configuration.S3EncryptionProperty(s3_encryption_mode="SSE-KMS", kms_key_arn=arn)],
            ),
        )
        self.name = self.configuration.ref


class GlueJob(Construct):
    """A Glue job with its own role, which reads its code and writes encrypted logs, and metrics of both kinds.

    Parameters
    ----------
    code
        The script, the packages it imports and the data it reads.
    security
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
        security: JobSecurity,
        arguments: Mapping[str, str],
        sizing: SparkSizing | None = None,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._code = code
        self._security = security
        self._sizing = sizing or SparkSizing()
        self.role = self._define_role()
        self.job = self._define_job(arguments)
        self.job_name = self.job.ref
        """The job's name, given by CloudFormation."""
        self._define_logs(logs or LogRetention())

    def on_failure(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when a run fails, runs out of time or loses its machines."""
        return events.Rule(
            self,
            construct_id,
            description=f"A run of the job {self.node.id} didn't succeed",
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
        grant_encrypt_decrypt(self._security.key, role)
        grant_read_assets([self._code.script, *self._code.packages, *self._code.data], role)
        return role

    def _define_logs(self, retention: LogRetention) -> None:
        # With a security configuration the groups carry its name and the role's.
        prefix = f"/aws-glue/jobs/{self._security.name}-role/{self.role.role_name}"
        groups = [
            retention.define(self, construct_id, name=f"{prefix}/{stream}", key=self._security.key)
            for construct_id, stream in (("OutputLogs", "output"), ("ErrorLogs", "error"))
        ]
        self.job.node.add_dependency(*groups)

    def _define_job(self, arguments: Mapping[str, str]) -> glue.CfnJob:
        sizing, code = self._sizing, self._code
        options = {
            "--job-language": "python",
            "--enable-metrics": "true",
            "--enable-observability-metrics": "true",
        }
        if code.packages:
            options["--extra-py-files"] = ",".join(package.s3_object_url for package in code.packages)
        if sizing.autoscaling:
            options["--enable-auto-scaling"] = "true"
        job = glue.CfnJob(
            self,
            "Job",
            role=self.role.role_arn,
            command=glue.CfnJob.JobCommandProperty(
                name="glueetl", python_version="3", script_location=code.script.s3_object_url
            ),
            glue_version=GLUE_VERSION,
            worker_type=sizing.worker_type,
            number_of_workers=sizing.workers,
            execution_class="FLEX" if sizing.flex else "STANDARD",
            timeout=sizing.timeout.to_minutes(),
            max_retries=sizing.retries,
            execution_property=glue.CfnJob.ExecutionPropertyProperty(max_concurrent_runs=sizing.concurrent_runs),
            job_run_queuing_enabled=True,
            security_configuration=self._security.name,
            default_arguments={**options, **arguments},
        )
        job.node.add_dependency(self.role.ready)
        return job
