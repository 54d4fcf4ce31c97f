"""Which resource types the local AWS deploys, and which it only keeps in the books."""

from __future__ import annotations

from collections.abc import Mapping

from local_aws.cloudformation.providers import (
    athena,
    autoscaling,
    budgets,
    cloudwatch,
    ecr,
    events,
    glue,
    iam,
    keys,
    logs,
    s3,
    sagemaker,
    scheduler,
    sns,
    ssm,
    states,
)
from local_aws.cloudformation.providers.api_resource import ApiResource
from local_aws.cloudformation.providers.provider import Provider

INERT_TYPES: Mapping[str, str] = {
    "AWS::CDK::Metadata": "carries the versions of the constructs for AWS's statistics",
    "AWS::EC2::SecurityGroup": "nothing here has a network that it could guard: everything talks on 127.0.0.1",
    "AWS::EC2::SecurityGroupEgress": "a rule of a security group",
    "AWS::EC2::SecurityGroupIngress": "a rule of a security group",
    "AWS::SageMaker::Domain": "Studio is a web application of AWS's; notebooks run with any Jupyter here",
    "AWS::SageMaker::UserProfile": "belongs to a Studio domain",
    "AWS::SageMaker::Space": "belongs to a Studio domain",
}

_TABLES: tuple[ApiResource, ...] = (
    s3.BUCKET,
    s3.BUCKET_POLICY,
    keys.KEY,
    keys.ALIAS,
    ecr.REPOSITORY,
    ssm.PARAMETER,
    logs.LOG_GROUP,
    cloudwatch.ALARM,
    cloudwatch.DASHBOARD,
    sns.TOPIC,
    sns.SUBSCRIPTION,
    glue.DATABASE,
    glue.TABLE,
    glue.JOB,
    glue.WORKFLOW,
    glue.TRIGGER,
    glue.DATA_QUALITY_RULESET,
    glue.SECURITY_CONFIGURATION,
    athena.WORK_GROUP,
    athena.NAMED_QUERY,
    scheduler.SCHEDULE,
    scheduler.SCHEDULE_GROUP,
    states.STATE_MACHINE,
    sagemaker.MODEL_PACKAGE_GROUP,
    sagemaker.PIPELINE,
    sagemaker.MODEL,
    sagemaker.ENDPOINT_CONFIG,
    sagemaker.ENDPOINT,
    sagemaker.INFERENCE_COMPONENT,
    sagemaker.MLFLOW_APP,
    *map(sagemaker.job_definition, ("DataQuality", "ModelQuality", "ModelBias", "ModelExplainability")),
    sagemaker.MONITORING_SCHEDULE,
    autoscaling.SCALABLE_TARGET,
    autoscaling.SCALING_POLICY,
)

PROVIDERS: Mapping[str, Provider] = {
    **{resource.type: resource for resource in _TABLES},
    "AWS::IAM::Role": iam.Role(),
    "AWS::IAM::Policy": iam.Policy(),
    "AWS::IAM::ManagedPolicy": iam.ManagedPolicy(),
    "AWS::Events::Rule": events.Rule(),
    "AWS::SNS::TopicPolicy": sns.TopicPolicy(),
    "AWS::Budgets::Budget": budgets.Budget(),
}
