"""A Step Functions state machine as the platform's own ones are: logged, encrypted and traced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_stepfunctions as stepfunctions
from constructs import Construct

from .findings import acknowledge
from .job_role import service_principal
from .log_retention import LogRetention


def log_group_of(machine: str) -> str:
    """The name of the log group of a state machine that `define_machine` makes under a name."""
    return f"/aws/vendedlogs/states/{machine}"


def define_machine_role(scope: Construct, construct_id: str = "Role") -> iam.Role:
    """A role for a state machine that may write its log and its traces, and nothing else yet."""
    role = iam.Role(scope, construct_id, assumed_by=service_principal(scope, "states.amazonaws.com"))
    # As Step Functions documents it: log deliveries belong to the account, traces to nothing.
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[
                "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
                "logs:DescribeLogGroups",
                "logs:DescribeResourcePolicies",
                "logs:GetLogDelivery",
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:UpdateLogDelivery",
                "xray:GetSamplingRules",
                "xray:GetSamplingTargets",
                "xray:PutTelemetryRecords",
                "xray:PutTraceSegments",
            ],
            resources=["*"],
        )
    )
    reason = "Log deliveries and traces know no resources that a policy could name"
    acknowledge(role, {"AwsSolutions-IAM5[Resource::*]": reason})
    return role


def define_machine(
    scope: Construct,
    *,
    name: str,
    definition: Mapping[str, Any],
    role: iam.Role,
    key: kms.IKey,
    logs: LogRetention,
) -> stepfunctions.CfnStateMachine:
    """A standard state machine with its log group ``/aws/vendedlogs/states/<name>``, made once its role is whole.

    The policy of `key`, which encrypts the log, must let CloudWatch Logs use it.
    """
    group = logs.define(scope, "Log", name=log_group_of(name), key=key)
    property_of = stepfunctions.CfnStateMachine
    machine = stepfunctions.CfnStateMachine(
        scope,
        "Machine",
        definition_string=json.dumps(definition),
        role_arn=role.role_arn,
        state_machine_type="STANDARD",
        logging_configuration=property_of.LoggingConfigurationProperty(
            level="ALL",
            include_execution_data=True,
            destinations=[
                property_of.LogDestinationProperty(
                    cloud_watch_logs_log_group=property_of.CloudWatchLogsLogGroupProperty(log_group_arn=group.attr_arn)
                )
            ],
        ),
        tracing_configuration=property_of.TracingConfigurationProperty(enabled=True),
    )
    machine.node.add_dependency(role.node.find_child("DefaultPolicy"))
    return machine


def define_starter(scope: Construct, construct_id: str, *, service: str, state_machine_arn: str) -> iam.Role:
    """A role by which a service, as ``events.amazonaws.com``, starts one state machine."""
    role = iam.Role(scope, construct_id, assumed_by=service_principal(scope, service))
    role.add_to_policy(iam.PolicyStatement(actions=["states:StartExecution"], resources=[state_machine_arn]))
    return role


def failed_executions(state_machine_arn: str) -> events.EventPattern:
    """The events of a state machine's executions that have failed."""
    return events.EventPattern(
        source=["aws.states"],
        detail_type=["Step Functions Execution Status Change"],
        detail={"stateMachineArn": [state_machine_arn], "status": ["FAILED", "TIMED_OUT"]},
    )
