"""AWS::IAM::Role, AWS::IAM::Policy and AWS::IAM::ManagedPolicy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.api_shape import as_text, fit_input
from local_aws.cloudformation.providers.provider import ProviderFailure, Provisioned, Request, is_gone, tag_map

_PRINCIPALS = {"Roles": "role", "Users": "user", "Groups": "group"}


class Role:
    """A role with its inline and attached policies."""

    name_property: str | None = "RoleName"

    def create(self, request: Request) -> Provisioned:
        """Create the role, then give it its policies."""
        iam, properties = request.client("iam"), request.properties
        name = request.name("RoleName")
        plain = {key: value for key, value in properties.items() if key not in ("Policies", "ManagedPolicyArns")}
        role = iam.create_role(**fit_input("iam", "CreateRole", plain | {"RoleName": name}))["Role"]
        request.identified(name)
        for arn in properties.get("ManagedPolicyArns", []):
            _attach(iam, name, arn)
        for policy in properties.get("Policies", []):
            _put_inline(iam, name, policy)
        return Provisioned(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    def update(self, request: Request) -> Provisioned:
        """Change what differs, policies one by one."""
        iam, name, after, before = request.client("iam"), request.physical_id, request.properties, request.previous
        if request.changed("AssumeRolePolicyDocument"):
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=as_text(after["AssumeRolePolicyDocument"]))
        if request.changed("Description", "MaxSessionDuration"):
            iam.update_role(
                RoleName=name,
                Description=after.get("Description", ""),
                MaxSessionDuration=int(after.get("MaxSessionDuration", 3600)),
            )
        if request.changed("PermissionsBoundary"):
            if "PermissionsBoundary" in after:
                iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=after["PermissionsBoundary"])
            else:
                iam.delete_role_permissions_boundary(RoleName=name)
        _change_attachments(iam, name, before.get("ManagedPolicyArns", []), after.get("ManagedPolicyArns", []))
        _change_inline(iam, name, before.get("Policies", []), after.get("Policies", []))
        _change_tags(iam, name, tag_map(before.get("Tags")), tag_map(after.get("Tags")))
        return Provisioned(name, request.attributes)

    def delete(self, request: Request) -> None:
        """Take the role's own policies away and delete it; one that others attached makes it fail, as on AWS."""
        iam, name = request.client("iam"), request.physical_id
        try:
            for arn in request.properties.get("ManagedPolicyArns", []):
                _ignore_gone(lambda arn=arn: iam.detach_role_policy(RoleName=name, PolicyArn=arn))
            for policy in request.properties.get("Policies", []):
                _ignore_gone(
                    lambda policy=policy: iam.delete_role_policy(RoleName=name, PolicyName=policy["PolicyName"])
                )
            iam.delete_role(RoleName=name)
        except ClientError as error:
            if not is_gone(error):
                raise


class Policy:
    """An inline policy put on roles, users and groups."""

    name_property: str | None = None

    def create(self, request: Request) -> Provisioned:
        """Put the policy on every principal."""
        principals = _principals(request.properties)
        if not principals:
            raise ProviderFailure("At least one of [Groups,Roles,Users] must be non-empty.", "InvalidRequest")
        # CloudFormation's own id for the policy: the API has none
        identifier = f"{request.stack_name[:16]}-{request.logical_id[:16]}-{request.properties['PolicyName'][:12]}"
        request.identified(identifier)
        for kind, principal in principals:
            self._put(request, kind, principal)
        return Provisioned(identifier, {"Id": identifier})

    def update(self, request: Request) -> Provisioned:
        """Put the policy anew, and take it from principals that are gone from the list."""
        kept = _principals(request.properties)
        for kind, principal in kept:
            self._put(request, kind, principal)
        renamed = request.changed("PolicyName")
        for kind, principal in _principals(request.previous):
            if renamed or (kind, principal) not in kept:
                self._remove(request, kind, principal, request.previous["PolicyName"])
        return Provisioned(request.physical_id, request.attributes)

    def delete(self, request: Request) -> None:
        """Take the policy from every principal."""
        for kind, principal in _principals(request.properties):
            self._remove(request, kind, principal, request.properties["PolicyName"])

    @staticmethod
    def _put(request: Request, kind: str, principal: str) -> None:
        put = getattr(request.client("iam"), f"put_{kind}_policy")
        put(
            PolicyName=request.properties["PolicyName"],
            PolicyDocument=as_text(request.properties["PolicyDocument"]),
            **{f"{kind.title()}Name": principal},
        )

    @staticmethod
    def _remove(request: Request, kind: str, principal: str, policy_name: str) -> None:
        remove = getattr(request.client("iam"), f"delete_{kind}_policy")
        _ignore_gone(lambda: remove(PolicyName=policy_name, **{f"{kind.title()}Name": principal}))


class ManagedPolicy:
    """A customer-managed policy; an update of its document is a new default version."""

    name_property: str | None = "ManagedPolicyName"

    def create(self, request: Request) -> Provisioned:
        """Create the policy and attach it."""
        iam, properties = request.client("iam"), request.properties
        created = iam.create_policy(
            PolicyName=request.name("ManagedPolicyName", length=128),
            PolicyDocument=as_text(properties["PolicyDocument"]),
            Path=properties.get("Path", "/"),
            Description=properties.get("Description", ""),
        )["Policy"]
        arn = created["Arn"]
        request.identified(arn)
        for kind, principal in _principals(properties):
            self._attach(request, kind, principal)(PolicyArn=arn, **{f"{kind.title()}Name": principal})
        return Provisioned(arn, {"PolicyArn": arn, "PolicyId": created["PolicyId"]})

    def update(self, request: Request) -> Provisioned:
        """Add a version and drop the previous one; follow the principals."""
        iam, arn = request.client("iam"), request.physical_id
        if request.changed("PolicyDocument"):
            previous = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            document = as_text(request.properties["PolicyDocument"])
            iam.create_policy_version(PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
            iam.delete_policy_version(PolicyArn=arn, VersionId=previous)
        before, after = _principals(request.previous), _principals(request.properties)
        for kind, principal in after:
            if (kind, principal) not in before:
                self._attach(request, kind, principal)(PolicyArn=arn, **{f"{kind.title()}Name": principal})
        self._detach(request, [entry for entry in before if entry not in after])
        return Provisioned(arn, request.attributes)

    def delete(self, request: Request) -> None:
        """Detach the policy and delete it with its versions."""
        iam, arn = request.client("iam"), request.physical_id
        self._detach(request, _principals(request.properties))
        try:
            for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
                if not version["IsDefaultVersion"]:
                    iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
            iam.delete_policy(PolicyArn=arn)
        except ClientError as error:
            if not is_gone(error):
                raise

    @staticmethod
    def _attach(request: Request, kind: str, _principal: str) -> Any:
        return getattr(request.client("iam"), f"attach_{kind}_policy")

    @staticmethod
    def _detach(request: Request, principals: Iterable[tuple[str, str]]) -> None:
        for kind, principal in principals:
            detach = getattr(request.client("iam"), f"detach_{kind}_policy")
            arguments = {"PolicyArn": request.physical_id, f"{kind.title()}Name": principal}
            _ignore_gone(lambda detach=detach, arguments=arguments: detach(**arguments))


def _principals(properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(kind, str(name)) for key, kind in _PRINCIPALS.items() for name in properties.get(key, [])]


def _ignore_gone(call: Any) -> None:
    try:
        call()
    except ClientError as error:
        if not is_gone(error):
            raise


def _attach(iam: Any, role: str, arn: str) -> None:
    iam.attach_role_policy(RoleName=role, PolicyArn=arn)


def _put_inline(iam: Any, role: str, policy: Mapping[str, Any]) -> None:
    document = as_text(policy["PolicyDocument"])
    iam.put_role_policy(RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=document)


def _change_attachments(iam: Any, role: str, before: list[str], after: list[str]) -> None:
    for arn in after:
        if arn not in before:
            _attach(iam, role, arn)
    for arn in before:
        if arn not in after:
            _ignore_gone(lambda arn=arn: iam.detach_role_policy(RoleName=role, PolicyArn=arn))


def _change_inline(iam: Any, role: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    for policy in after:
        if policy not in before:
            _put_inline(iam, role, policy)
    kept = {policy["PolicyName"] for policy in after}
    for policy in before:
        name = policy["PolicyName"]
        if name not in kept:
            _ignore_gone(lambda name=name: iam.delete_role_policy(RoleName=role, PolicyName=name))


def _change_tags(iam: Any, role: str, before: dict[str, str], after: dict[str, str]) -> None:
    removed = [key for key in before if key not in after]
    if removed:
        iam.untag_role(RoleName=role, TagKeys=removed)
    if after != before and after:
        iam.tag_role(RoleName=role, Tags=[{"Key": key, "Value": value} for key, value in after.items()])
