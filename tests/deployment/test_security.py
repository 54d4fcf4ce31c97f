"""The security packs: no finding without an answer, no answer without a finding, and the checks do find something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from cfnlint.config import ConfigMixIn, ManualArgs
from cfnlint.runner import Runner

from mlops_constructs.findings import acknowledge
from tests.deployment.assemblies import CONTEXT, Templates, template_files
from tests.deployment.security_pack import Answer, Audit, audit

IGNORED_CFN_LINT_RULES = {
    "I1022": "asks for Fn::Sub in place of Fn::Join: the CDK writes joins, which read no dollar sign as a reference",
    "W6001": "wants no imports in outputs: that of a monitor's reports is a place in the bucket of another stack",
}


def test_every_finding_of_the_pack_is_answered(audited: Audit) -> None:
    assert audited.unanswered == []


def test_no_answer_outlives_its_finding(audited: Audit) -> None:
    assert audited.stale == []


def test_every_answer_gives_a_reason(audited: Audit) -> None:
    assert audited.answers
    assert [answer for answer in audited.answers if len(answer.reason.split()) < 5] == []


def test_the_pack_reaches_every_environment(audited: Audit) -> None:
    assert {path.split("/")[0] for path, _ in audited.found} == {"dev", "staging", "prod", "full"}


def test_cloudformation_s_default_rules_find_nothing(audited: Audit) -> None:
    assert audited.others == []


def careless(outdir: Path, answer: Callable[[Stack], None] = lambda stack: None) -> Callable[[], App]:
    def build() -> App:
        app = App(context=CONTEXT, outdir=str(outdir))
        stack = Stack(app, "careless")
        s3.Bucket(stack, "Open")
        role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("glue.amazonaws.com"))
        role.add_to_policy(iam.PolicyStatement(actions=["s3:*"], resources=["*"]))
        answer(stack)
        return app

    return build


def test_a_careless_stack_has_findings_without_an_answer(tmp_path: Path) -> None:
    unanswered = {finding for _, finding in audit(careless(tmp_path)).unanswered}
    assert {
        "AwsSolutions-S1",
        "AwsSolutions-S10",
        "AwsSolutions-IAM5[Action::s3:*]",
        "AwsSolutions-IAM5[Resource::*]",
    } <= unanswered


def test_an_answer_covers_its_construct_and_its_finding_only(tmp_path: Path) -> None:
    def answer(stack: Stack) -> None:
        acknowledge(stack.node.find_child("Role"), {"AwsSolutions-IAM5[Action::*]": "A test that lets actions pass"})
        acknowledge(stack.node.find_child("Role"), {"AwsSolutions-S10": "A test with an answer at the wrong construct"})

    found = audit(careless(tmp_path, answer))
    unanswered = {finding for _, finding in found.unanswered}
    assert "AwsSolutions-IAM5[Action::s3:*]" not in unanswered
    assert {"AwsSolutions-IAM5[Resource::*]", "AwsSolutions-S10"} <= unanswered
    assert [each.finding for each in found.stale] == ["AwsSolutions-S10"]


@pytest.mark.parametrize(
    ("path", "finding", "covered"),
    [
        ("dev/Role", "Rule[Resource::arn:x:1:log-group:/aws/*]", True),
        ("dev/Role/DefaultPolicy", "Rule[Resource::arn:x:1:log-group:/aws/*]", True),
        ("dev/RoleOfSomebodyElse", "Rule[Resource::arn:x:1:log-group:/aws/*]", False),
        ("dev/Role", "Rule[Resource::arn:x:1:log-group:/awsome/*]", False),
    ],
)
def test_a_star_stands_for_any_text(path: str, finding: str, covered: bool) -> None:
    assert Answer("dev/Role", "Rule[Resource::*:log-group:/aws/*]", "reason").covers(path, finding) is covered


def test_a_finding_of_the_default_rules_stops_the_synth(tmp_path: Path) -> None:
    app = App(context=CONTEXT, outdir=str(tmp_path))
    s3.CfnBucket(Stack(app, "wrong"), "Bucket", access_control="Nobody")
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()


def lint(files: list[Path]) -> list[str]:
    arguments = ManualArgs(
        templates=[str(file) for file in files],
        regions=["eu-west-1"],
        include_checks=["I", "W", "E"],
        ignore_checks=list(IGNORED_CFN_LINT_RULES),
    )
    return [str(match) for match in Runner(ConfigMixIn([], **arguments)).run()]


def test_cfn_lint_has_no_finding(assembly: Path, audited: Audit) -> None:
    full = [file for name, file in template_files(audited.assembly).items() if name.startswith("full/")]
    files = [*template_files(assembly).values(), *full]
    assert len(files) == 42
    assert lint(files) == []


def test_cfn_lint_finds_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.template.json"
    wrong.write_text('{"Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketNaem": "x"}}}}')
    assert any("BucketNaem" in line for line in lint([wrong]))


def policies(templates: Templates) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{stack}: {name}", statement)
        for stack, template in templates.items()
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Policy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]


def test_no_role_may_do_everything_of_a_service_or_use_a_managed_policy(templates: Templates, full: Templates) -> None:
    for place, statement in policies({**templates, **full}):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not [action for action in actions if action.endswith(":*") or action == "*"], place
    for template in {**templates, **full}.values():
        for resource in template["Resources"].values():
            assert "ManagedPolicyArns" not in resource.get("Properties", {})


def test_what_is_allowed_on_everything_knows_no_resources(templates: Templates, full: Templates) -> None:
    everywhere = {
        action
        for _, statement in policies({**templates, **full})
        if "*" in (statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]])
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    }
    assert everywhere == {
        "cloudwatch:PutMetricData",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "ecr:GetAuthorizationToken",
        "logs:CreateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:DescribeLogGroups",
        "logs:DescribeResourcePolicies",
        "logs:GetLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:UpdateLogDelivery",
        "sagemaker:ListApps",
        "sagemaker:ListDomains",
        "sagemaker:ListSpaces",
        "sagemaker:ListUserProfiles",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }
