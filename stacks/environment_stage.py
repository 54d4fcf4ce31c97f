"""One environment: its stacks and what they hand to each other."""

from __future__ import annotations

from aws_cdk import Environment, RemovalPolicy, Stage, Tags
from constructs import Construct

from mlops_constructs.log_retention import LogRetention
from mlops_constructs.pipeline_steps import JobNetwork

from .data_stack import DataStack
from .foundation_stack import FoundationStack
from .serving_stack import ServingStack
from .settings import EnvironmentSettings, Repository
from .training_stack import TrainingStack


class EnvironmentStage(Stage):
    """`cdk deploy '<name>/*'` deploys it, in any account when the configuration names none."""

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: EnvironmentSettings, repository: Repository
    ) -> None:
        environment = settings.environment
        super().__init__(scope, construct_id, env=Environment(account=environment.account, region=environment.region))
        removal = RemovalPolicy.DESTROY if environment.removal == "destroy" else RemovalPolicy.RETAIN
        logs = LogRetention(days=environment.log_retention_days, removal=removal)
        network = None
        if environment.network:
            network = JobNetwork(
                subnet_ids=environment.network.subnet_ids, security_group_ids=environment.network.security_group_ids
            )
        # A stack's own tags are those that it can be found by; the CDK gives it none of its resources'.
        tags = {**settings.platform.tags, "platform": settings.platform.name, "environment": settings.name}
        foundation = FoundationStack(
            self, "foundation", settings=settings, repository=repository, removal=removal, tags=tags
        )
        data = DataStack(
            self,
            "data",
            settings=settings,
            repository=repository,
            key=foundation.key,
            access_logs=foundation.access_logs,
            alarms=foundation.alarm_target,
            logs=logs,
            removal=removal,
            tags=tags,
        )
        for model in settings.models:
            name = f"{settings.name}-{model.slug}"
            training = TrainingStack(
                self,
                f"{model.slug}-training",
                model=model,
                name=name,
                repository=repository,
                lake=data.lake,
                image=foundation.image,
                key=foundation.key,
                alarms=foundation.alarm_target,
                network=network,
                removal=removal,
                tags=tags,
            )
            ServingStack(
                self,
                f"{model.slug}-serving",
                model=model,
                name=name,
                lake=data.lake,
                image=foundation.image,
                registry=training.registry,
                key=foundation.key,
                logs=logs,
                network=network,
                tags=tags,
            )
        for key, value in tags.items():
            Tags.of(self).add(key, value)
