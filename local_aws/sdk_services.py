"""What integrations of schedules and state machines call AWS services, and how their errors are named."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SdkService:
    """A service as AWS's SDK integrations know it: boto3's name of it, and the class name that errors begin with."""

    client: str
    errors: str


SDK_SERVICES = {
    "athena": SdkService("athena", "Athena"),
    "cloudformation": SdkService("cloudformation", "CloudFormation"),
    "cloudwatch": SdkService("cloudwatch", "CloudWatch"),
    "cloudwatchlogs": SdkService("logs", "CloudWatchLogs"),
    "codepipeline": SdkService("codepipeline", "CodePipeline"),
    "ecr": SdkService("ecr", "Ecr"),
    "eventbridge": SdkService("events", "EventBridge"),
    "glue": SdkService("glue", "Glue"),
    "kms": SdkService("kms", "Kms"),
    "s3": SdkService("s3", "S3"),
    "sagemaker": SdkService("sagemaker", "SageMaker"),
    "scheduler": SdkService("scheduler", "Scheduler"),
    "sfn": SdkService("stepfunctions", "Sfn"),
    "sns": SdkService("sns", "Sns"),
    "sqs": SdkService("sqs", "Sqs"),
    "ssm": SdkService("ssm", "Ssm"),
}
"""By the name in the ARN of an integration: `sagemaker` of `aws-sdk:sagemaker:startPipelineExecution`."""
