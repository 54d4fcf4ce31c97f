"""What the groups of operations share: who calls, and how requests become revisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError

from local_aws.cloudformation.environment import Environment, StackReferences, evaluation_parameters
from local_aws.cloudformation.errors import CloudFormationError, ValidationError
from local_aws.cloudformation.intrinsics import Evaluator
from local_aws.cloudformation.parameters import resolve_parameters
from local_aws.cloudformation.stacks import Revision, Stack
from local_aws.cloudformation.template import Template, parse_template

Input = dict[str, Any]
Output = dict[str, Any]
RunDeployment = Callable[[Stack, Callable[[], None], str], None]

_IAM_TYPES = ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::User", "AWS::IAM::Group")


@dataclass(frozen=True)
class Caller:
    """The account and region that a request is for."""

    account: str
    region: str


class Revisions:
    """Turns requests into revisions."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def template(self, caller: Caller, request: Input, stack: Stack | None = None) -> Template:
        """Return the request's template: in its body, in S3, or the stack's previous one."""
        if request.get("UsePreviousTemplate"):
            if stack is None or stack.revision is None:
                raise ValidationError("Cannot use previous template: the stack has none")
            return stack.revision.template
        if "TemplateBody" in request:
            return parse_template(request["TemplateBody"])
        if "TemplateURL" in request:
            return parse_template(self._fetch(caller, request["TemplateURL"]))
        raise ValidationError("Either Template URL or Template Body must be specified.")

    def revision(self, caller: Caller, request: Input, stack: Stack) -> Revision:
        """Return what the request wants the stack to be; raise for missing parameters, capabilities, broken rules."""
        _refuse_ignored(request)
        template = self.template(caller, request, stack)
        previous = stack.revision
        parameters = resolve_parameters(
            template,
            request.get("Parameters", []),
            previous.parameters if previous else None,
            lambda name: self._environment.ssm_value(caller.account, caller.region, name),
        )
        tags = (
            {tag["Key"]: tag["Value"] for tag in request["Tags"]}
            if "Tags" in request
            else previous.tags
            if previous
            else {}
        )
        revision = Revision(
            template=template,
            parameters=parameters,
            tags=tags,
            capabilities=tuple(request.get("Capabilities", ())),
            notification_arns=tuple(request.get("NotificationARNs", ())),
            role_arn=request.get("RoleARN") or (previous.role_arn if previous else None),
            rollback_configuration=request.get("RollbackConfiguration", {}),
        )
        _check_capabilities(revision)
        self._check_rules(stack, revision)
        return revision

    def unsupported(self, template: Template) -> list[str]:
        """Return the template's resource types that nothing here can deploy, each with where it is used."""
        known = set(self._environment.providers) | set(self._environment.inert)
        return [
            f"{declaration.logical_id} ({declaration.type})"
            for declaration in template.resources.values()
            if declaration.type not in known
        ]

    def evaluator(self, stack: Stack, revision: Revision) -> Evaluator:
        """Return an evaluator of conditions and rules."""
        return Evaluator(
            revision.template, evaluation_parameters(stack, revision), StackReferences(stack, self._environment)
        )

    def _fetch(self, caller: Caller, url: str) -> str:
        # https://bucket.s3.region.host/key, or https://host/bucket/key
        parts = urlsplit(url)
        host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
        bucket, marker, _ = host.partition(".s3.")
        if not marker:
            bucket, marker, _ = host.partition(".s3-")
        if not marker:
            bucket, _, path = path.partition("/")
        try:
            answer = self._environment.client(caller.account, caller.region, "s3").get_object(Bucket=bucket, Key=path)
        except ClientError as error:
            raise ValidationError(f"S3 error: {error.response['Error'].get('Message')} ({url})") from error
        return str(answer["Body"].read().decode())

    def _check_rules(self, stack: Stack, revision: Revision) -> None:
        evaluator = _RuleEvaluator(
            revision.template, evaluation_parameters(stack, revision), StackReferences(stack, self._environment)
        )
        for name, rule in revision.template.section("Rules").items():
            if "RuleCondition" in rule and not evaluator.evaluate(rule["RuleCondition"]):
                continue
            for assertion in rule.get("Assertions", []):
                if not evaluator.evaluate(assertion["Assert"]):
                    described = assertion.get("AssertDescription", f"rule {name} failed")
                    raise ValidationError(f"Template error: {described}")


class _RuleEvaluator(Evaluator):
    """Adds the functions that only rules have."""

    def evaluate(self, value: Any) -> Any:
        if isinstance(value, Mapping) and len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Fn::Contains":
                items, wanted = self.evaluate(argument[0]), self.evaluate(argument[1])
                return str(wanted) in [str(item) for item in items]
            if name in ("Fn::EachMemberEquals", "Fn::EachMemberIn"):
                items, wanted = self.evaluate(argument[0]), self.evaluate(argument[1])
                return all(item == wanted if name.endswith("Equals") else item in wanted for item in items)
        return super().evaluate(value)


def _refuse_ignored(request: Input) -> None:
    for name in ("StackPolicyBody", "StackPolicyURL", "StackPolicyDuringUpdateBody", "TimeoutInMinutes"):
        if name in request:
            raise ValidationError(f"The local AWS's CloudFormation doesn't act on {name}")
    if request.get("RollbackConfiguration", {}).get("RollbackTriggers"):
        raise ValidationError("The local AWS's CloudFormation doesn't act on RollbackTriggers")


def _check_capabilities(revision: Revision) -> None:
    iam = [item for item in revision.template.resources.values() if item.type in _IAM_TYPES]
    named = [
        item for item in iam if {"RoleName", "ManagedPolicyName", "UserName", "GroupName"} & item.properties.keys()
    ]
    needed = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM" if iam else None
    if needed and not {needed, "CAPABILITY_NAMED_IAM"} & set(revision.capabilities):
        raise CloudFormationError("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")
