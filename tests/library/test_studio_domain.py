"""A Studio domain: nothing outlives it unasked, nobody reaches it, and machines that nobody uses are given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_kms as kms
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from mlops_constructs.studio_domain import StudioDomain, StudioNetwork
from mlops_constructs.studio_team import Workspace

Find = Callable[..., Any]
NETWORK = StudioNetwork(vpc_id="vpc-0000000d", subnet_ids=["subnet-0000000a"])


@pytest.fixture
def domain(stack: Stack, key: kms.Key) -> StudioDomain:
    return StudioDomain(stack, "Studio", domain_name="lab", network=NETWORK, key=key, idle_minutes=90)


def properties(resources: Find, kind: str) -> dict[str, Any]:
    ((_, found),) = resources(kind).items()
    return dict(found["Properties"])


def test_domain_is_in_the_vpc_encrypted_without_docker_and_without_a_file_system(
    domain: StudioDomain, resources: Find
) -> None:
    found = properties(resources, "AWS::SageMaker::Domain")
    assert found["AppNetworkAccessType"] == "VpcOnly"
    assert found["AuthMode"] == "IAM"
    assert found["KmsKeyId"] == {"Fn::GetAtt": ["Key961B73FD", "Arn"]}
    assert found["DomainSettings"]["DockerSettings"] == {"EnableDockerAccess": "DISABLED"}
    assert found["HomeEfsFileSystemCreation"] == "Disabled"
    # a shared space would run in a role of the domain
    assert "DefaultSpaceSettings" not in found


@pytest.mark.parametrize("app", ["JupyterLab", "CodeEditor"])
def test_idle_apps_are_shut_down_and_users_can_only_shorten_the_time(
    app: str, domain: StudioDomain, resources: Find
) -> None:
    settings = properties(resources, "AWS::SageMaker::Domain")["DefaultUserSettings"][f"{app}AppSettings"]
    assert settings["AppLifecycleManagement"]["IdleSettings"] == {
        "LifecycleManagement": "ENABLED",
        "IdleTimeoutInMinutes": 90,
        "MinIdleTimeoutInMinutes": 60,
        "MaxIdleTimeoutInMinutes": 90,
    }


def test_nothing_comes_in_but_from_other_apps(domain: StudioDomain, resources: Find) -> None:
    group = properties(resources, "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    assert [(rule["FromPort"], rule["ToPort"]) for rule in group["SecurityGroupEgress"]] == [(443, 443)]
    itself = {"Ref": next(iter(resources("AWS::EC2::SecurityGroup")))}
    rule = properties(resources, "AWS::EC2::SecurityGroupIngress")
    assert rule["GroupId"] == rule["SourceSecurityGroupId"] == itself
    assert "CidrIp" not in rule


@pytest.mark.parametrize(
    ("removal", "policy"), [({}, "Retain"), ({"removal": RemovalPolicy.DESTROY}, "Delete")], ids=["default", "destroy"]
)
def test_domain_people_and_files_are_kept_unless_told_otherwise(
    removal: dict[str, Any], policy: str, stack: Stack, key: kms.Key, resources: Find
) -> None:
    domain = StudioDomain(stack, "Studio", domain_name="lab", network=NETWORK, key=key, **removal)
    domain.add_team("Delays", team_name="delays", members=["ada"])
    group = ("EC2::SecurityGroup", "EC2::SecurityGroupIngress", "EC2::SecurityGroupEgress")
    for kind in (*group, "SageMaker::Domain", "SageMaker::UserProfile", "SageMaker::Space"):
        ((_, found),) = resources(f"AWS::{kind}").items()
        assert found["DeletionPolicy"] == found["UpdateReplacePolicy"] == policy


def test_each_member_has_a_profile_in_the_team_s_role_and_a_space_of_the_team_s_size(
    domain: StudioDomain, resources: Find
) -> None:
    size = Workspace(instance_type="ml.m5.large", volume_gb=50)
    team = domain.add_team("Delays", team_name="delays", members=["ada", "grace"], workspace=size)
    assert team.profile_names == ["delays-ada", "delays-grace"]
    profiles = [each["Properties"] for each in resources("AWS::SageMaker::UserProfile").values()]
    (role,) = {each["UserSettings"]["ExecutionRole"]["Fn::GetAtt"][0] for each in profiles}
    assert role.startswith("StudioDelaysRole")
    assert [each["UserProfileName"] for each in profiles] == ["delays-ada", "delays-grace"]
    for space in resources("AWS::SageMaker::Space").values():
        found = space["Properties"]
        assert found["OwnershipSettings"] == {"OwnerUserProfileName": found["SpaceName"]}
        assert found["SpaceSharingSettings"] == {"SharingType": "Private"}
        settings = found["SpaceSettings"]
        assert settings["JupyterLabAppSettings"]["DefaultResourceSpec"] == {"InstanceType": "ml.m5.large"}
        assert settings["SpaceStorageSettings"] == {"EbsStorageSettings": {"EbsVolumeSizeInGb": 50}}
        assert any("Profile" in each for each in space["DependsOn"])


def test_profiles_wait_for_the_permissions_of_their_role(domain: StudioDomain, resources: Find) -> None:
    domain.add_team("Delays", team_name="delays", members=["ada"])
    ((_, profile),) = resources("AWS::SageMaker::UserProfile").items()
    assert any("RoleDefaultPolicy" in each for each in profile["DependsOn"])


def test_what_cloudformation_is_given_is_what_sagemaker_takes(domain: StudioDomain, resources: Find) -> None:
    domain.add_team("Delays", team_name="delays", members=["ada"])
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"))
    for kind in ("Domain", "UserProfile", "Space"):
        ((_, found),) = resources(f"AWS::SageMaker::{kind}").items()
        shape = model.operation_model(f"Create{kind}").input_shape
        report = ParamValidator().validate(resolved(found["Properties"]), shape)
        assert not report.has_errors(), report.generate_report()


def resolved(value: Any) -> Any:
    """Properties with a text in place of everything that only the deployment knows."""
    if isinstance(value, dict):
        known = not any(key == "Ref" or key.startswith("Fn::") for key in value)
        return {key: resolved(each) for key, each in value.items()} if known else "arn:aws:iam::123456789012:role/some"
    return [resolved(each) for each in value] if isinstance(value, list) else value


def test_what_sagemaker_refuses_is_refused_at_once(stack: Stack, key: kms.Key, domain: StudioDomain) -> None:
    with pytest.raises(ValueError, match=r"idle_minutes must be 60 to 525600, as SageMaker takes it, got 59"):
        StudioDomain(stack, "Short", domain_name="lab", network=NETWORK, key=key, idle_minutes=59)
    with pytest.raises(ValueError, match=r"subnet_ids must name at least one subnet of vpc-1, got none"):
        StudioNetwork(vpc_id="vpc-1", subnet_ids=[])
    with pytest.raises(ValueError, match=r"volume_gb must be 5 to 16384, as SageMaker takes it, got 4"):
        Workspace(volume_gb=4)
    with pytest.raises(ValueError, match=r"instance_type must start with ml\., .* got 't3.medium'"):
        Workspace(instance_type="t3.medium")
    with pytest.raises(ValueError, match=r"delays: members must be at least one, and each once, got \['a', 'a'\]"):
        domain.add_team("Twice", team_name="delays", members=["a", "a"])
    with pytest.raises(ValueError, match=r"is longer than the 63 characters"):
        domain.add_team("Long", team_name="delays", members=["a" * 60])
