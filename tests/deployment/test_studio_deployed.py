"""The Studio domain deployed to the local AWS: roles are made, what is Studio's own is taken and said to do nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from local_aws.server import running
from local_aws.service import LocalContext
from tests.deployment.assemblies import Template, Templates
from tests.local_aws.cloudformation.deployer import Deployer, resource


@pytest.fixture
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalContext]:
    with running(tmp_path_factory.mktemp("local-aws")) as server:
        yield server.context


def imports_of(value: Any) -> set[str]:
    """The exports of other stacks that a template imports."""
    if isinstance(value, dict):
        found = {value["Fn::ImportValue"]} if "Fn::ImportValue" in value else set()
        return found.union(*(imports_of(each) for each in value.values()))
    return set[str]().union(*(imports_of(each) for each in value)) if isinstance(value, list) else set()


def deploy_exports(context: LocalContext, names: set[str]) -> None:
    """A stack in place of those that export."""
    outputs = {
        f"Output{index}": {"Value": f"arn:aws:any:::{re.sub('[^A-Za-z0-9]', '-', name)}", "Export": {"Name": name}}
        for index, name in enumerate(sorted(names))
    }
    some = {"Some": resource("SSM::Parameter", {"Type": "String", "Value": "thing"})}
    status = Deployer(context, "exports").deploy(some, template={"Outputs": outputs})["StackStatus"]
    assert status == "CREATE_COMPLETE"


def test_studio_deploys_changes_and_goes(full: Templates, context: LocalContext) -> None:
    template: Template = full["full/studio-domain"]
    resources = {name: each for name, each in template["Resources"].items() if each["Type"] != "AWS::CDK::Metadata"}
    imported = imports_of(template)
    assert any("ModelPackageGroup" in name for name in imported)
    deploy_exports(context, imported)
    stack = Deployer(context, "full-studio-domain")
    described = stack.deploy(resources, template={"Outputs": template["Outputs"]})
    assert described["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    assert set(stack.outputs()) == {"DomainId", "SecurityGroupId"}

    # inert, and yet in order: a space after its profile, a profile after the policy of its role
    done = [name for name, status in stack.events() if status == "CREATE_COMPLETE"]
    (profile,) = [name for name in done if name.startswith("StudioDelaysadaProfile")]
    (space,) = [name for name in done if name.startswith("StudioDelaysadaSpace")]
    (policy,) = [name for name in done if name.startswith("StudioDelaysRoleDefaultPolicy")]
    assert done.index(policy) < done.index(profile) < done.index(space)
    iam = stack.client("iam")
    role = next(name for name in resources if re.fullmatch("StudioDelaysRole[0-9A-F]{8}", name))
    assert iam.list_role_policies(RoleName=stack.physical_id(role))["PolicyNames"]

    without_blocks = {name: each for name, each in resources.items() if not name.startswith("StudioBlocks")}
    assert stack.deploy(without_blocks)["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    skipped = {name for name, status in stack.events() if status == "DELETE_SKIPPED"}
    # the environment retains: whoever leaves loses the role, and keeps the files
    assert {name[:-8] for name in skipped} == {"StudioBlocksadaProfile", "StudioBlocksadaSpace"}
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
