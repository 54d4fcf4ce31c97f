"""Each resource type: created as declared, really changed by an update, replaced where AWS replaces, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.catalog import INERT_TYPES, PROVIDERS
from local_aws.cloudformation.schemas import resource_schema
from tests.local_aws.cloudformation.deployer import Deployer, deployed, resource, tags

ROLE = "arn:aws:iam::123456789012:role/any"
GLUE_KEY = "arn:aws:kms:us-east-1:123456789012:key/1"


def policy(action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def trust(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_every_provided_type_is_one_of_the_registry() -> None:
    assert all(resource_schema(kind) is not None for kind in PROVIDERS)
    assert not set(PROVIDERS) & set(INERT_TYPES)


def test_bucket_follows_its_settings(stack: Deployer) -> None:
    s3 = stack.client("s3")
    encryption = {
        "ServerSideEncryptionConfiguration": [
            {"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
        ]
    }
    rule = {"Id": "Expire", "Status": "Enabled", "ExpirationInDays": 30}
    name = deployed(
        stack,
        "S3::Bucket",
        {
            "BucketEncryption": encryption,
            "VersioningConfiguration": {"Status": "Enabled"},
            "LifecycleConfiguration": {"Rules": [rule]},
            "NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
            "Tags": tags(team="data"),
        },
    )
    rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["BucketKeyEnabled"] is True
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"

    shorter = {**rule, "ExpirationInDays": 7}
    assert (
        deployed(stack, "S3::Bucket", {"LifecycleConfiguration": {"Rules": [shorter]}, "Tags": tags(team="ml")}) == name
    )
    assert s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"][0]["Expiration"]["Days"] == 7
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Suspended"
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == tags(team="ml")
    with pytest.raises(ClientError, match="NotFound"):
        s3.get_bucket_encryption(Bucket=name)

    renamed = deployed(stack, "S3::Bucket", {"BucketName": f"renamed-{name}"[:60]})
    assert renamed != name
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket=name)
    stack.destroy()
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket=renamed)


def test_bucket_tells_the_bus_of_new_objects_as_long_as_it_is_told_to(stack: Deployer) -> None:
    s3, sqs, events = stack.client("s3"), stack.client("sqs"), stack.client("events")
    queue = sqs.create_queue(QueueName="landed")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="landed", EventPattern=json.dumps({"source": ["aws.s3"], "detail-type": ["Object Created"]}))
    events.put_targets(Rule="landed", Targets=[{"Id": "queue", "Arn": arn}])

    def told(key: str) -> bool:
        s3.put_object(Bucket=name, Key=key, Body=b"1")
        return any(
            json.loads(message["Body"])["detail"]["object"]["key"] == key
            for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        )

    bridge = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    name = deployed(stack, "S3::Bucket", {"NotificationConfiguration": bridge})
    assert told("flights/day=2013-01-01/flights.csv")
    deployed(stack, "S3::Bucket", {})
    assert not told("flights/day=2013-01-02/flights.csv")


def test_key_changes_in_place_and_is_scheduled_for_deletion(stack: Deployer) -> None:
    kms = stack.client("kms")
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}],
    }
    key = deployed(stack, "KMS::Key", {"KeyPolicy": document, "Description": "one", "EnableKeyRotation": True})
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True
    assert deployed(stack, "KMS::Key", {"KeyPolicy": document, "Description": "two"}) == key
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "two"
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    stack.destroy()
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_role_and_policy_follow_their_documents(stack: Deployer) -> None:
    iam = stack.client("iam")

    def roles(action: str, service: str) -> dict[str, Any]:
        inline = {"PolicyName": "own", "PolicyDocument": policy(action)}
        return {
            "Role": resource("IAM::Role", {"AssumeRolePolicyDocument": trust(service), "Policies": [inline]}),
            "Policy": resource(
                "IAM::Policy",
                {"PolicyName": "more", "PolicyDocument": policy(action), "Roles": [{"Ref": "Role"}]},
            ),
        }

    stack.deploy(roles("s3:GetObject", "glue.amazonaws.com"))
    name = stack.physical_id("Role")
    stack.deploy(roles("s3:PutObject", "sagemaker.amazonaws.com"))
    assert stack.physical_id("Role") == name
    role = iam.get_role(RoleName=name)["Role"]
    assert role["AssumeRolePolicyDocument"] == trust("sagemaker.amazonaws.com")
    for each in ("own", "more"):
        assert iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"] == policy("s3:PutObject")
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName=name)


def test_topic_its_policy_and_subscription(stack: Deployer) -> None:
    sns = stack.client("sns")

    def resources(display: str, action: str) -> dict[str, Any]:
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": action}]}
        return {
            "Topic": resource("SNS::Topic", {"DisplayName": display}),
            "Policy": resource("SNS::TopicPolicy", {"Topics": [{"Ref": "Topic"}], "PolicyDocument": document}),
            "Mail": resource(
                "SNS::Subscription", {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": "a@example.com"}
            ),
        }

    stack.deploy(resources("Alarms", "sns:Publish"))
    arn = stack.physical_id("Topic")
    stack.deploy(resources("Warnings", "sns:Subscribe"))
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert attributes["DisplayName"] == "Warnings"
    assert json.loads(attributes["Policy"])["Statement"][0]["Action"] == "sns:Subscribe"
    assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"][0]["Endpoint"] == "a@example.com"
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_budget_follows_its_limit(stack: Deployer) -> None:
    def budget(amount: int) -> dict[str, Any]:
        limit = {"Amount": amount, "Unit": "USD"}
        told = {"SubscriptionType": "EMAIL", "Address": "a@example.com"}
        notice = {"ComparisonOperator": "GREATER_THAN", "NotificationType": "ACTUAL", "Threshold": 80}
        return {
            "Budget": {"BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": limit},
            "NotificationsWithSubscribers": [{"Notification": notice, "Subscribers": [told]}],
        }

    name = deployed(stack, "Budgets::Budget", budget(100))
    assert deployed(stack, "Budgets::Budget", budget(50)) == name
    found = stack.client("budgets").describe_budget(AccountId="123456789012", BudgetName=name)["Budget"]
    assert found["BudgetLimit"]["Amount"] == "50"
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_log_group_follows_its_retention(stack: Deployer) -> None:
    logs = stack.client("logs")

    def group() -> dict[str, Any]:
        return dict(logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0])

    name = deployed(stack, "Logs::LogGroup", {"RetentionInDays": 7, "Tags": tags(team="data")})
    assert group()["retentionInDays"] == 7
    assert deployed(stack, "Logs::LogGroup", {"RetentionInDays": 30}) == name
    assert group()["retentionInDays"] == 30
    deployed(stack, "Logs::LogGroup", {})
    assert "retentionInDays" not in group()
    stack.destroy()
    assert not logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]


def test_rule_sends_matching_events_to_its_targets(stack: Deployer) -> None:
    sqs, events = stack.client("sqs"), stack.client("events")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def resources(state: str) -> dict[str, Any]:
        pattern = {"source": ["app"], "detail": {"state": [state]}}
        target = {"Id": "Topic", "Arn": {"Ref": "Topic"}}
        return {
            "Topic": resource("SNS::Topic", {}),
            "Queue": resource(
                "SNS::Subscription", {"TopicArn": {"Ref": "Topic"}, "Protocol": "sqs", "Endpoint": queue_arn}
            ),
            "Rule": resource("Events::Rule", {"EventPattern": pattern, "Targets": [target]}),
        }

    def told(state: str) -> bool:
        detail = json.dumps({"state": state})
        events.put_events(Entries=[{"Source": "app", "DetailType": "Job", "Detail": detail}])
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return bool(messages)

    stack.deploy(resources("FAILED"))
    assert told("FAILED")
    assert not told("TIMEOUT")
    stack.deploy(resources("TIMEOUT"))
    assert told("TIMEOUT")
    assert not told("FAILED")
    stack.destroy()
    assert not told("TIMEOUT")


def test_rule_with_a_target_out_of_reach_is_refused(stack: Deployer) -> None:
    target = {"Id": "it", "Arn": "arn:aws:lambda:us-east-1:123456789012:function:f"}
    stack.deploy({"Rule": resource("Events::Rule", {"EventPattern": {"source": ["app"]}, "Targets": [target]})})
    assert "don't reach the target arn:aws:lambda" in stack.reasons()


def test_repository_follows_its_settings(stack: Deployer) -> None:
    ecr = stack.client("ecr")
    name = deployed(stack, "ECR::Repository", {"ImageTagMutability": "IMMUTABLE", "RepositoryName": "runtime"})
    settings = {"ImageScanningConfiguration": {"ScanOnPush": True}, "RepositoryName": "runtime"}
    assert deployed(stack, "ECR::Repository", settings) == name
    found = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert found["imageTagMutability"] == "MUTABLE"
    assert found["imageScanningConfiguration"]["scanOnPush"] is True
    stack.destroy()
    with pytest.raises(ClientError, match="RepositoryNotFound"):
        ecr.describe_repositories(repositoryNames=[name])


def test_database_follows_its_description(stack: Deployer) -> None:
    glue = stack.client("glue")
    database = {"Name": "features", "Description": "one"}
    name = deployed(stack, "Glue::Database", {"CatalogId": "123456789012", "DatabaseInput": database})
    assert name == "features"
    deployed(
        stack, "Glue::Database", {"CatalogId": "123456789012", "DatabaseInput": {**database, "Description": "two"}}
    )
    assert glue.get_database(Name=name)["Database"]["Description"] == "two"
    stack.destroy()
    with pytest.raises(ClientError, match="EntityNotFound"):
        glue.get_database(Name=name)


def test_glue_job_is_updated_in_place_with_its_tags(stack: Deployer) -> None:
    glue = stack.client("glue")

    def job(**changes: Any) -> dict[str, Any]:
        return {
            "Role": ROLE,
            "Command": {"Name": "glueetl", "ScriptLocation": "s3://b/one.py", "PythonVersion": "3"},
            "DefaultArguments": {"--day": "today"},
            "GlueVersion": "6.0",
            "NumberOfWorkers": 2,
            "WorkerType": "G.1X",
            "Timeout": 60,
            "Tags": {"team": "data"},
            **changes,
        }

    name = deployed(stack, "Glue::Job", job())
    created = glue.get_job(JobName=name)["Job"]["CreatedOn"]
    again = job(Timeout=90, DefaultArguments={"--day": "yesterday"}, Tags={"team": "ml"})
    assert deployed(stack, "Glue::Job", again) == name
    found = glue.get_job(JobName=name)["Job"]
    assert (found["Timeout"], found["DefaultArguments"]) == (90, {"--day": "yesterday"})
    assert found["CreatedOn"] == created
    arn = f"arn:aws:glue:us-east-1:123456789012:job/{name}"
    assert glue.get_tags(ResourceArn=arn)["Tags"] == {"team": "ml"}
    stack.destroy()
    with pytest.raises(ClientError, match="EntityNotFound"):
        glue.get_job(JobName=name)


def test_security_configuration_is_made_anew_under_its_name(stack: Deployer) -> None:
    def configuration(mode: str) -> dict[str, Any]:
        return {
            "Name": "encrypted",
            "EncryptionConfiguration": {"S3Encryptions": [{"S3EncryptionMode": mode, "KmsKeyArn": GLUE_KEY}]},
        }

    name = deployed(stack, "Glue::SecurityConfiguration", configuration("SSE-S3"))
    assert deployed(stack, "Glue::SecurityConfiguration", configuration("SSE-KMS")) == name
    found = stack.client("glue").get_security_configuration(Name=name)["SecurityConfiguration"]
    assert found["EncryptionConfiguration"]["S3Encryption"][0]["S3EncryptionMode"] == "SSE-KMS"
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_pipeline_definition_is_updated_in_place(stack: Deployer) -> None:
    sagemaker = stack.client("sagemaker")

    def pipeline(message: str) -> dict[str, Any]:
        steps = [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": message}}]
        body = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": steps})
        return {
            "PipelineName": "training",
            "RoleArn": ROLE,
            "PipelineDefinition": {"PipelineDefinitionBody": body},
            "Tags": tags(team="ml"),
        }

    deployed(stack, "SageMaker::Pipeline", pipeline("one"))
    deployed(stack, "SageMaker::Pipeline", pipeline("two"))
    assert "two" in sagemaker.describe_pipeline(PipelineName="training")["PipelineDefinition"]
    stack.destroy()
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_pipeline(PipelineName="training")


def test_broken_pipeline_definition_fails_the_stack_with_the_reason(stack: Deployer) -> None:
    body = json.dumps({"Version": "2020-12-01", "Steps": [{"Name": "X", "Type": "Nonsense", "Arguments": {}}]})
    properties = {
        "PipelineName": "broken",
        "RoleArn": ROLE,
        "PipelineDefinition": {"PipelineDefinitionBody": body},
    }
    assert stack.deploy({"It": resource("SageMaker::Pipeline", properties)})["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "Nonsense" in stack.reasons()


def test_group_with_versions_cannot_be_deleted(stack: Deployer) -> None:
    sagemaker = stack.client("sagemaker")
    deployed(stack, "SageMaker::ModelPackageGroup", {"ModelPackageGroupName": "delays", "Tags": tags(team="ml")})
    package = sagemaker.create_model_package(ModelPackageGroupName="delays")["ModelPackageArn"]
    assert stack.destroy()["StackStatus"] == "DELETE_FAILED"
    sagemaker.delete_model_package(ModelPackageName=package)
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE"


def test_group_is_shared_with_other_accounts_as_long_as_its_policy_says_so(stack: Deployer) -> None:
    sagemaker, name = stack.client("sagemaker"), {"ModelPackageGroupName": "shared"}
    sharing = policy("sagemaker:DescribeModelPackage")
    sharing["Statement"][0]["Principal"] = {"AWS": "arn:aws:iam::111122223333:root"}
    deployed(stack, "SageMaker::ModelPackageGroup", {**name, "ModelPackageGroupPolicy": sharing})
    assert json.loads(sagemaker.get_model_package_group_policy(**name)["ResourcePolicy"]) == sharing
    package = sagemaker.create_model_package(**name)["ModelPackageArn"]
    deployed(stack, "SageMaker::ModelPackageGroup", name)
    with pytest.raises(ClientError, match="Cannot find resource policy"):
        sagemaker.get_model_package_group_policy(**name)
    assert sagemaker.describe_model_package(ModelPackageName=package)["ModelPackageVersion"] == 1


def test_model_is_replaced_and_its_reference_is_its_arn(stack: Deployer) -> None:
    def model(data: str) -> dict[str, Any]:
        container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/any:1", "ModelDataUrl": data}
        return {"ExecutionRoleArn": ROLE, "PrimaryContainer": container}

    first = deployed(stack, "SageMaker::Model", model("s3://b/1.tar.gz"))
    second = deployed(stack, "SageMaker::Model", model("s3://b/2.tar.gz"))
    assert first != second
    assert second.startswith("arn:aws:sagemaker:us-east-1:123456789012:model/")
    names = [found["ModelArn"] for found in stack.client("sagemaker").list_models()["Models"]]
    assert first not in names
    assert second in names
    stack.destroy()


def test_endpoint_that_cannot_start_rolls_the_stack_back_with_the_reason(stack: Deployer) -> None:
    container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/unknown:1"}
    variant = {
        "VariantName": "live",
        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": 1,
    }
    described = stack.deploy(
        {
            "Model": resource("SageMaker::Model", {"ExecutionRoleArn": ROLE, "PrimaryContainer": container}),
            "Config": resource("SageMaker::EndpointConfig", {"ProductionVariants": [variant]}),
            "Endpoint": resource(
                "SageMaker::Endpoint",
                {"EndpointName": "live", "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
            ),
        }
    )
    assert described["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "no container of the image" in stack.reasons()
    sagemaker = stack.client("sagemaker")
    assert not sagemaker.list_endpoints()["Endpoints"]
    assert not sagemaker.list_endpoint_configs()["EndpointConfigs"]
