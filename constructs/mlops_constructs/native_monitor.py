"""SageMaker Model Monitor's own schedules of an endpoint, for accounts that have it: closed since 2026-07-30.

Job definitions can't be changed. Each has a hash of its content in its name, so that another content is another
definition, and the schedule, whose name stays, goes from one to the other without a gap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from aws_cdk import CfnCondition, CfnResource, Stack
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .job_resources import JobNetwork, JobResources
from .job_role import JobRole

Kind = Literal["DataQuality", "ModelQuality", "ModelBias", "ModelExplainability"]
_LONGEST_NAME = 63
_HASH = 10
_NAME_HASH = 6
_INPUT, _OUTPUT = "/opt/ml/processing/input/endpoint", "/opt/ml/processing/output"


@dataclass(frozen=True, kw_only=True)
class NativeJob:
    """What one kind of job is told, in SageMaker's own words: members of its definition's properties.

    Parameters
    ----------
    kind
        As AWS::SageMaker::<kind>JobDefinition.
    application
        ``ImageUri`` and what else the kind's AppSpecification has.
    baseline
        The kind's BaselineConfig: ``{"ConstraintsResource": {"S3Uri": ...}}``.
    endpoint
        What the kind's EndpointInput has beside the endpoint's name and its place in the container.
    ground_truth
        The S3 URI of the labels, for the kinds that need them.
    """

    kind: Kind
    application: Mapping[str, Any]
    baseline: Mapping[str, Any]
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    ground_truth: str | None = None


class NativeMonitor(Construct):
    """Definitions and schedules of an endpoint, all under a condition: Model Monitor wants an endpoint that is there.

    Parameters
    ----------
    name
        Names of definitions and schedules begin with it. Of one that is too long for SageMaker's 63 characters they
        begin with its beginning and a hash of the whole, so that two models never share a name.
    endpoint_name
        The endpoint, whose requests are captured.
    jobs
        One for each kind that is wanted.
    schedule
        As Model Monitor takes it: ``cron(0 * ? * * *)`` each hour, ``cron(0 10 ? * * *)`` each day at ten,
        ``cron(0 0/6 ? * * *)`` every six hours. Source: ScheduleConfig in the API reference.
    role
        What the jobs work in; whoever makes it grants what they read and write.
    resources
        Their machines.
    output
        The S3 URI below which each schedule writes; no slash at its end.
    kms_key_arn
        Encrypts what they write, and their disks.
    condition
        Without which there is neither a definition nor a schedule.
    network
        Subnets and security groups; SageMaker's own network when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        endpoint_name: str,
        jobs: Sequence[NativeJob],
        schedule: str,
        role: JobRole,
        resources: JobResources,
        output: str,
        kms_key_arn: str,
        condition: CfnCondition,
        network: JobNetwork | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._name, self._endpoint_name, self._role, self._condition = name, endpoint_name, role, condition
        self._shared = {
            "JobResources": {"ClusterConfig": resources.cluster(kms_key_arn)},
            "RoleArn": role.role_arn,
            "StoppingCondition": {"MaxRuntimeInSeconds": resources.max_runtime_seconds},
        }
        if network:
            self._shared["NetworkConfig"] = {
                "EnableInterContainerTrafficEncryption": True,
                "EnableNetworkIsolation": False,
                "VpcConfig": network.to_json(),
            }
        self._output, self._key = output, kms_key_arn
        self.schedule_names = [self._define(job, schedule) for job in jobs]

    def _define(self, job: NativeJob, schedule: str) -> str:
        definition = self._define_definition(job)
        name = _bounded(self._name, _dashed(job.kind))
        made = sagemaker.CfnMonitoringSchedule(
            self,
            f"{job.kind}Schedule",
            monitoring_schedule_name=name,
            monitoring_schedule_config=sagemaker.CfnMonitoringSchedule.MonitoringScheduleConfigProperty(
                monitoring_job_definition_name=definition,
                monitoring_type=job.kind,
                schedule_config=sagemaker.CfnMonitoringSchedule.ScheduleConfigProperty(schedule_expression=schedule),
            ),
        )
        made.add_resource_dependency(self._resource(job.kind))
        made.cfn_options.condition = self._condition
        return name

    def _define_definition(self, job: NativeJob) -> str:
        """The name of a definition that is made."""
        inputs: dict[str, Any] = {
            "EndpointInput": {
                "EndpointName": self._endpoint_name,
                "LocalPath": _INPUT,
                "S3DataDistributionType": "FullyReplicated",
                "S3InputMode": "File",
                **job.endpoint,
            }
        }
        if job.ground_truth:
            inputs["GroundTruthS3Input"] = {"S3Uri": job.ground_truth}
        written = {"S3Uri": f"{self._output}/{_dashed(job.kind)}", "LocalPath": _OUTPUT, "S3UploadMode": "EndOfJob"}
        properties = {
            f"{job.kind}AppSpecification": dict(job.application),
            f"{job.kind}BaselineConfig": dict(job.baseline),
            f"{job.kind}JobInput": inputs,
            f"{job.kind}JobOutputConfig": {"KmsKeyId": self._key, "MonitoringOutputs": [{"S3Output": written}]},
            **self._shared,
        }
        content = json.dumps(Stack.of(self).resolve(properties), sort_keys=True)
        name = _bounded(self._name, f"{_dashed(job.kind)}-{sha256(content.encode()).hexdigest()[:_HASH]}")
        made = CfnResource(
            self,
            job.kind,
            type=f"AWS::SageMaker::{job.kind}JobDefinition",
            properties={"JobDefinitionName": name, **properties},
        )
        made.cfn_options.condition = self._condition
        made.node.add_dependency(self._role.ready)
        return name

    def _resource(self, kind: Kind) -> CfnResource:
        found = self.node.find_child(kind)
        assert isinstance(found, CfnResource)
        return found


def _bounded(name: str, ending: str) -> str:
    room = _LONGEST_NAME - len(ending) - 1
    if len(name) > room:
        hashed = sha256(name.encode()).hexdigest()[:_NAME_HASH]
        name = f"{name[: room - _NAME_HASH - 1].rstrip('-')}-{hashed}"
    return f"{name}-{ending}"


def _dashed(kind: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("-")
