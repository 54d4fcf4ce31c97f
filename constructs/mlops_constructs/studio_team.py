"""People who work in Studio with one role: their profiles, and the spaces that they work in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .findings import acknowledge
from .job_role import JobRole

SMALLEST_VOLUME_GB, LARGEST_VOLUME_GB = 5, 16384
LONGEST_NAME = 63


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The space of a member.

    Parameters
    ----------
    instance_type
        The machine, and the only one that members may choose, beside the one that SageMaker runs pages on.
    volume_gb
        GiB of the EBS volume that their files lie on, 5 to 16384. It can grow, and never shrink.
    """

    instance_type: str = "ml.t3.medium"
    volume_gb: int = 20

    def __post_init__(self) -> None:
        """Refuse sizes that SageMaker refuses."""
        if not self.instance_type.startswith("ml."):
            raise ValueError(f"instance_type must start with ml., as ml.t3.medium, got {self.instance_type!r}")
        if not SMALLEST_VOLUME_GB <= self.volume_gb <= LARGEST_VOLUME_GB:
            raise ValueError(
                f"volume_gb must be {SMALLEST_VOLUME_GB} to {LARGEST_VOLUME_GB}, as SageMaker takes it, "
                f"got {self.volume_gb}"
            )


class StudioTeam(Construct):
    """A role, and a profile and a private space for each member.

    The role opens the member's own space, and writes the log of its apps, and nothing else until something grants it
    more: `lake.grant_read(team.role, ...)`, `training.grant_run(team.role)`. A profile and its space are named
    ``<team>-<member>``, so that somebody can be in several teams, with each one's role.

    Permissions on spaces follow
    https://docs.aws.amazon.com/sagemaker/latest/dg/studio-updated-jl-admin-guide-permissions.html, held to this domain.

    Parameters
    ----------
    domain_id
        The domain.
    team_name
        Start of the names of profiles and spaces.
    members
        Names of the people; letters, digits and single dashes.
    workspace
        What a space has.
    key
        The domain's key, which the volumes of spaces are encrypted with.
    removal
        What happens to profiles and spaces, files included, when the stack goes. They are kept when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        domain_id: str,
        team_name: str,
        members: Sequence[str],
        workspace: Workspace,
        key: kms.IKey,
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, construct_id)
        if not members or len(set(members)) != len(members):
            raise ValueError(f"{team_name}: members must be at least one, and each once, got {list(members)}")
        self.team_name = team_name
        self._domain_id, self._workspace, self._removal = domain_id, workspace, removal
        self.role = self._define_role(key)
        self.profile_names = [self._define_member(member) for member in members]

    def _define_member(self, member: str) -> str:
        name = f"{self.team_name}-{member}"
        if len(name) > LONGEST_NAME:
            raise ValueError(f"{name!r} is longer than the {LONGEST_NAME} characters that a profile's name may have")
        # A person, whose profile and files must not become another's: the id is the name, whatever the order.
        scope = Construct(self, member)
        profile = self._define_profile(scope, name)
        profile.node.add_dependency(self.role.ready)
        space = self._define_space(scope, name)
        space.node.add_dependency(profile)
        for each in (profile, space):
            each.apply_removal_policy(self._removal)
        return name

    def _define_profile(self, scope: Construct, name: str) -> sagemaker.CfnUserProfile:
        property_of, size = sagemaker.CfnUserProfile, self._workspace.volume_gb
        return sagemaker.CfnUserProfile(
            scope,
            "Profile",
            domain_id=self._domain_id,
            user_profile_name=name,
            user_settings=property_of.UserSettingsProperty(
                execution_role=self.role.role_arn,
                space_storage_settings=property_of.DefaultSpaceStorageSettingsProperty(
                    default_ebs_storage_settings=property_of.DefaultEbsStorageSettingsProperty(
                        default_ebs_volume_size_in_gb=size, maximum_ebs_volume_size_in_gb=size
                    )
                ),
            ),
        )

    def _define_space(self, scope: Construct, name: str) -> sagemaker.CfnSpace:
        property_of = sagemaker.CfnSpace
        return sagemaker.CfnSpace(
            scope,
            "Space",
            domain_id=self._domain_id,
            space_name=name,
            ownership_settings=property_of.OwnershipSettingsProperty(owner_user_profile_name=name),
            space_sharing_settings=property_of.SpaceSharingSettingsProperty(sharing_type="Private"),
            space_settings=property_of.SpaceSettingsProperty(
                app_type="JupyterLab",
                jupyter_lab_app_settings=property_of.SpaceJupyterLabAppSettingsProperty(
                    default_resource_spec=property_of.ResourceSpecProperty(instance_type=self._workspace.instance_type)
                ),
                space_storage_settings=property_of.SpaceStorageSettingsProperty(
                    ebs_storage_settings=property_of.EbsStorageSettingsProperty(
                        ebs_volume_size_in_gb=self._workspace.volume_gb
                    )
                ),
            ),
        )

    def _define_role(self, key: kms.IKey) -> JobRole:
        role = JobRole(self, "Role", service="sagemaker.amazonaws.com", log_groups="/aws/sagemaker/studio")
        key.grant(role, "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext")
        role.grant_disk_encryption(key)
        self._let_open_own_space(role)
        self._let_look_at_domain(role)
        return role

    def _arn(self, kind: str, name: str) -> str:
        return Stack.of(self).format_arn(
            service="sagemaker", resource=kind, resource_name=f"{self._domain_id}/{name}" if name else self._domain_id
        )

    def _let_open_own_space(self, role: iam.Role) -> None:
        """What a member does is held to the member: SageMaker tells IAM whose space it is, and who asks."""
        itself = self._arn("user-profile", "${sagemaker:UserProfileName}")
        own = {
            "ArnLike": {"sagemaker:OwnerUserProfileArn": itself},
            "StringEquals": {"sagemaker:SpaceSharingType": "Private"},
        }
        machines = {"sagemaker:InstanceTypes": ["system", self._workspace.instance_type]}
        apps, spaces = self._arn("app", "*"), self._arn("space", "*")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sagemaker:CreateApp", "sagemaker:UpdateSpace"],
                resources=[apps, spaces],
                conditions={**own, "ForAllValues:StringEquals": machines},
            )
        )
        role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:DeleteApp"], resources=[apps], conditions=own))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["sagemaker:AddTags"],
                resources=[apps],
                # Studio tags the apps that it creates; what exists may not be tagged anew.
                conditions={"Null": {"sagemaker:TaggingAction": "false"}},
            )
        )
        role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:CreatePresignedDomainUrl"], resources=[itself]))
        reason = "Members name their apps; conditions hold the role to the space of whoever asks"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{kind}/*/*]": reason for kind in ("app", "space")})

    def _let_look_at_domain(self, role: iam.Role) -> None:
        reading = [f"sagemaker:Describe{kind}" for kind in ("App", "Domain", "Space", "UserProfile")]
        kinds = ("app", "space", "user-profile")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=reading, resources=[self._arn("domain", ""), *(self._arn(kind, "*") for kind in kinds)]
            )
        )
        # Lists know no resources.
        listing = [f"sagemaker:List{kind}" for kind in ("Apps", "Domains", "Spaces", "UserProfiles")]
        role.add_to_policy(iam.PolicyStatement(actions=listing, resources=["*"]))
        acknowledge(
            role,
            {
                "AwsSolutions-IAM5[Resource::*:user-profile/*/*]": "Studio's pages show who is in the domain",
                "AwsSolutions-IAM5[Resource::*]": "Studio's pages list what is in the domain, which knows no resources",
            },
        )
