"""What everything in an environment stands on: its key, access logs, runtime image, alarm topic and budget."""

from __future__ import annotations

from aws_cdk import ArnFormat, CfnOutput, Duration, Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from mlops_constructs.findings import acknowledge
from mlops_constructs.job_role import service_principal
from mlops_constructs.runtime_image import RuntimeImage

from .blueprint import Blueprint
from .settings import Budget


class FoundationStack(Stack):
    """One key, the bucket of access logs, the runtime image's repository, the alarm topic, and a budget if wanted."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        self._removal = blueprint.removal
        settings = blueprint.settings
        self.key = self._define_key()
        self.access_logs = self._define_access_logs(settings.environment.log_retention_days)
        self.image = RuntimeImage(
            self,
            "RuntimeImage",
            repository_name=f"{settings.platform.name}-runtime-{settings.name}",
            source=blueprint.repository.runtime,
            key=self.key,
            removal=self._removal,
        )
        if blueprint.shared_with:
            self._share(blueprint.shared_with)
        self.alarms = self._define_alarms(settings.environment.alarm_email)
        self.alarm_publisher = self._define_alarm_publisher()
        self.alarm_target = targets.SnsTopic(self.alarms, role=self.alarm_publisher)
        if settings.environment.budget:
            self._define_budget(settings.environment.budget)
        self._export()
        CfnOutput(self, "RuntimeImageUri", value=self.image.uri)
        CfnOutput(self, "AlarmTopicArn", value=self.alarms.topic_arn)

    def _export(self) -> None:
        # Whether a setting uses them or not: an export that went with its last use would be refused as still imported,
        # because this stack is updated before the ones that import it.
        for value in (
            self.key.key_arn,
            self.access_logs.bucket_name,
            self.image.repository.repository_arn,
            self.image.repository.repository_name,
            self.alarms.topic_arn,
            self.alarm_publisher.role_arn,
        ):
            self.export_value(value)

    def _define_key(self) -> kms.Key:
        key = kms.Key(
            self,
            "Key",
            description="Encrypts the data, models, logs and images of one environment",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )
        logs = self.format_arn(
            service="logs", resource="log-group", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogGroupsOfThisAccount",
                actions=["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                principals=[iam.ServicePrincipal(f"logs.{self.region}.{self.url_suffix}")],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsToTheTopic",
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        return key

    def _share(self, accounts: tuple[str, ...]) -> None:
        """Let other accounts pull the image, and decrypt what buckets let them read."""
        self.image.share(accounts)
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="ObjectsForOtherAccounts",
                actions=["kms:Decrypt"],
                principals=[iam.AccountPrincipal(account) for account in accounts],
                resources=["*"],
                conditions={"StringEquals": {"kms:ViaService": f"s3.{self.region}.{self.url_suffix}"}},
            )
        )

    def _define_access_logs(self, retention_days: int) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "AccessLogs",
            # The log delivery service can't write to buckets whose default key is a customer's.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            lifecycle_rules=[s3.LifecycleRule(id="Expire", expiration=Duration.days(retention_days))],
            removal_policy=self._removal,
        )
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AccessLogsOfThisAccount",
                actions=["s3:PutObject"],
                principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                resources=[bucket.arn_for_objects("*")],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        acknowledge(bucket, {"AwsSolutions-S1": "It is the bucket that access logs go to; its own would never end"})
        return bucket

    def _define_alarms(self, email: str | None) -> sns.Topic:
        topic = sns.Topic(self, "Alarms", master_key=self.key, enforce_ssl=True)
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsOfThisAccount",
                actions=["sns:Publish"],
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        if email:
            sns.CfnSubscription(self, "AlarmEmail", topic_arn=topic.topic_arn, protocol="email", endpoint=email)
        return topic

    def _define_alarm_publisher(self) -> iam.Role:
        # EventBridge tells a topic's policy nothing that it could check, no account and no rule, so that any account's
        # rule would pass: it publishes with a role instead.
        publisher = iam.Role(self, "AlarmPublisher", assumed_by=service_principal(self, "events.amazonaws.com"))
        acknowledge(
            publisher,
            {"AwsSolutions-IAM5[Action::kms:GenerateDataKey*]": "The CDK's own grant, on the environment's key alone"},
        )
        return publisher

    def _define_budget(self, budget: Budget) -> budgets.CfnBudget:
        told = budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=budget.email)

        def notice(kind: str, percent: int) -> budgets.CfnBudget.NotificationWithSubscribersProperty:
            return budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    comparison_operator="GREATER_THAN", notification_type=kind, threshold=percent
                ),
                subscribers=[told],
            )

        return budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=budget.monthly_usd, unit="USD"),
            ),
            notifications_with_subscribers=[notice("ACTUAL", 80), notice("FORECASTED", 100)],
        )
