"""SageMaker Studio: a domain inside of a VPC, whose members work in teams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .job_role import service_principal
from .studio_team import StudioTeam, Workspace

SHORTEST_IDLE_MINUTES, LONGEST_IDLE_MINUTES = 60, 525600
_APP_PORTS = (8192, 65535)
"""What apps of a domain talk to each other on, as SageMaker documents it for domains inside of a VPC."""


@dataclass(frozen=True, kw_only=True)
class StudioNetwork:
    """The VPC of a domain and its private subnets. Apps get no public address: they reach AWS by what the VPC has.

    That is a NAT gateway, or interface endpoints for `sagemaker.api`, `sagemaker.runtime`, `sts`, `kms`, `logs`,
    `monitoring` and `ecr`, and one for `s3`, whose security groups let the domain's group in at port 443.
    """

    vpc_id: str
    subnet_ids: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse a network without a place for apps."""
        if not self.subnet_ids:
            raise ValueError(f"subnet_ids must name at least one subnet of {self.vpc_id}, got none")


class StudioDomain(Construct):
    """A Studio domain of IAM users inside of a VPC, without a file system that outlives it.

    Files of members lie on the EBS volumes of their spaces. The domain makes no EFS file system
    (``HomeEfsFileSystemCreation: Disabled``), so that nothing is left behind in the VPC, and nothing keeps it from
    being deleted. Apps that nobody uses are shut down, and Docker is off.

    Whoever gets a profile without a team, made by hand say, works in `default_role`, which may do nothing. Shared
    spaces would all run in one role of the domain instead of the team's, so that there are none: the domain says no
    settings for them.

    Parameters
    ----------
    domain_name
        Names the domain; changing it makes another one.
    network
        Where the apps run.
    key
        Encrypts the volumes of spaces. Another one makes another domain.
    idle_minutes
        Minutes without use after which an app is shut down, 60 to 525600; 60 when left out. Members may shorten it. It
        is said once for all: the schemas that CloudFormation publishes take it for domains only.
    removal
        What happens to the domain, its members and their spaces, files included, when the stack goes. They are kept
        when left out. Spaces whose apps run can't be deleted: stop the apps first.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        domain_name: str,
        network: StudioNetwork,
        key: kms.IKey,
        idle_minutes: int = 60,
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, construct_id)
        if not SHORTEST_IDLE_MINUTES <= idle_minutes <= LONGEST_IDLE_MINUTES:
            raise ValueError(
                f"idle_minutes must be {SHORTEST_IDLE_MINUTES} to {LONGEST_IDLE_MINUTES}, as SageMaker takes it, "
                f"got {idle_minutes}"
            )
        self._key, self._removal = key, removal
        self.security_group = self._define_security_group(domain_name, network)
        self.default_role = iam.Role(self, "DefaultRole", assumed_by=service_principal(self, "sagemaker.amazonaws.com"))
        self.domain = self._define_domain(domain_name, network, idle_minutes)

    @property
    def domain_id(self) -> str:
        """What the API calls the domain by."""
        return self.domain.ref

    @property
    def security_group_id(self) -> str:
        """The group of all apps, which the groups of interface endpoints have to let in."""
        return self.security_group.ref

    def add_team(
        self, construct_id: str, *, team_name: str, members: Sequence[str], workspace: Workspace | None = None
    ) -> StudioTeam:
        """Give some people a role of their own, and each of them a profile and a space.

        `workspace` says what a space has; a small one when left out.
        """
        return StudioTeam(
            self,
            construct_id,
            domain_id=self.domain_id,
            team_name=team_name,
            members=members,
            workspace=workspace or Workspace(),
            key=self._key,
            removal=self._removal,
        )

    def _define_security_group(self, name: str, network: StudioNetwork) -> ec2.CfnSecurityGroup:
        first, last = _APP_PORTS
        group = ec2.CfnSecurityGroup(
            self,
            "SecurityGroup",
            group_description=f"Apps of the Studio domain {name}: nothing comes in but from other apps",
            vpc_id=network.vpc_id,
            # Named, since CloudFormation would allow everything otherwise.
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp", from_port=443, to_port=443, cidr_ip="0.0.0.0/0", description="TLS, to AWS"
                )
            ],
        )
        incoming = ec2.CfnSecurityGroupIngress(
            self,
            "FromApps",
            group_id=group.ref,
            source_security_group_id=group.ref,
            ip_protocol="tcp",
            from_port=first,
            to_port=last,
            description="Between apps",
        )
        outgoing = ec2.CfnSecurityGroupEgress(
            self,
            "ToApps",
            group_id=group.ref,
            destination_security_group_id=group.ref,
            ip_protocol="tcp",
            from_port=first,
            to_port=last,
            description="Between apps",
        )
        for each in (group, incoming, outgoing):
            each.apply_removal_policy(self._removal)  # a domain that is kept needs them
        return group

    def _define_domain(self, name: str, network: StudioNetwork, idle_minutes: int) -> sagemaker.CfnDomain:
        property_of = sagemaker.CfnDomain
        idle = property_of.AppLifecycleManagementProperty(
            idle_settings=property_of.IdleSettingsProperty(
                lifecycle_management="ENABLED",
                idle_timeout_in_minutes=idle_minutes,
                min_idle_timeout_in_minutes=SHORTEST_IDLE_MINUTES,
                max_idle_timeout_in_minutes=idle_minutes,
            )
        )
        domain = sagemaker.CfnDomain(
            self,
            "Domain",
            domain_name=name,
            auth_mode="IAM",
            app_network_access_type="VpcOnly",
            vpc_id=network.vpc_id,
            subnet_ids=list(network.subnet_ids),
            kms_key_id=self._key.key_arn,
            home_efs_file_system_creation="Disabled",
            default_user_settings=property_of.UserSettingsProperty(
                execution_role=self.default_role.role_arn,
                security_groups=[self.security_group.ref],
                studio_web_portal="ENABLED",
                default_landing_uri="studio::",
                auto_mount_home_efs="Disabled",
                jupyter_lab_app_settings=property_of.JupyterLabAppSettingsProperty(app_lifecycle_management=idle),
                code_editor_app_settings=property_of.CodeEditorAppSettingsProperty(app_lifecycle_management=idle),
            ),
            domain_settings=property_of.DomainSettingsProperty(
                docker_settings=property_of.DockerSettingsProperty(enable_docker_access="DISABLED")
            ),
        )
        domain.apply_removal_policy(self._removal)
        return domain
