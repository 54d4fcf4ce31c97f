"""Jobs that people start by hand, in a role of their own: what they write, nothing of the platform reads."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .findings import acknowledge
from .grants import grant_encrypt_decrypt
from .job_resources import JobNetwork
from .job_role import JobRole
from .runtime_image import RuntimeImage

_KINDS = ("Processing", "Training")


class TeamJobs(Construct):
    """The role of a team's own jobs, which the team may pass to SageMaker, and no other.

    Its jobs write their logs and metrics and pull the image. Data that they read and the folder that they write is
    granted by whoever has it: `lake.grant_read(jobs.role, ...)`. Never grant it what a pipeline reads: a team that
    writes there replaces what others have judged and approved.

    Parameters
    ----------
    image
        What the jobs may run.
    key
        Encrypts what they write, and their disks.
    network
        Where they run.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, image: RuntimeImage, key: kms.IKey, network: JobNetwork
    ) -> None:
        super().__init__(scope, construct_id)
        self._network = network
        self.role = JobRole(
            self,
            "Role",
            service="sagemaker.amazonaws.com",
            log_groups="/aws/sagemaker/",
            metrics_namespaces=[f"/aws/sagemaker/{kind}Jobs" for kind in _KINDS],
        )
        image.grant_pull(self.role)
        grant_encrypt_decrypt(key, self.role)
        self.role.grant_disk_encryption(key)
        self.role.grant_network(network)

    def grant_run(self, role: iam.IRole, *, prefix: str, instance_types: Sequence[str]) -> None:
        """Let a role run processing and training jobs of its own in the role of these jobs.

        Their names begin with the prefix, so that the role looks at and stops no others. They run in the network's
        subnets with its security groups, and on machines of the named types; raises ValueError when none is named. A
        request that leaves one of these out is refused too: the operator ForAllValues holds for what isn't there.
        """
        if not instance_types:
            raise ValueError(f"{prefix}: instance_types must name at least one machine, got none")
        arns = {kind: self._arn(f"{kind.lower()}-job", f"{prefix}*") for kind in _KINDS}
        allowed = {
            "sagemaker:InstanceTypes": sorted(set(instance_types)),
            "sagemaker:VpcSecurityGroupIds": list(self._network.security_group_ids),
            "sagemaker:VpcSubnets": list(self._network.subnet_ids),
        }
        iam.Grant.add_to_principal(
            grantee=role,
            actions=[f"sagemaker:Create{kind}Job" for kind in _KINDS],
            resource_arns=list(arns.values()),
            conditions={"ForAllValues:StringEquals": allowed, "Null": dict.fromkeys(allowed, "false")},
        )
        others = [f"sagemaker:{verb}{kind}Job" for verb in ("Describe", "Stop") for kind in _KINDS]
        iam.Grant.add_to_principal(
            grantee=role, actions=[*others, "sagemaker:AddTags"], resource_arns=list(arns.values())
        )
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["iam:PassRole"],
            resource_arns=[self.role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )
        reason = "People name their jobs; the role is held to a prefix"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{kind.lower()}-job/{prefix}*]": reason for kind in _KINDS})

    def _arn(self, resource: str, name: str) -> str:
        return Stack.of(self).format_arn(service="sagemaker", resource=resource, resource_name=name)
