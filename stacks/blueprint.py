"""What the stacks of one environment have in common, in the CDK's terms."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy

from mlops_constructs.log_retention import LogRetention
from mlops_constructs.pipeline_steps import JobNetwork
from mlops_constructs.studio_domain import StudioNetwork

from .dataset_settings import Dataset
from .lineage import UNKNOWN_COMMIT
from .model_settings import Model
from .settings import EnvironmentSettings, Repository


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """The settings of an environment, the code that they are about, and the commit of that code."""

    settings: EnvironmentSettings
    repository: Repository
    commit: str = UNKNOWN_COMMIT

    @property
    def removal(self) -> RemovalPolicy:
        """What happens to state when its stack goes."""
        return RemovalPolicy.DESTROY if self.settings.environment.removal == "destroy" else RemovalPolicy.RETAIN

    @property
    def logs(self) -> LogRetention:
        """How long logs are kept."""
        return LogRetention(days=self.settings.environment.log_retention_days, removal=self.removal)

    @property
    def network(self) -> JobNetwork | None:
        """Where jobs and endpoints run; None for SageMaker's own network."""
        network = self.settings.environment.network
        if network is None:
            return None
        return JobNetwork(subnet_ids=network.subnet_ids, security_group_ids=network.security_group_ids)

    @property
    def studio_network(self) -> StudioNetwork | None:
        """Where a Studio domain is; None where the configuration names no VPC."""
        network = self.settings.environment.network
        if network is None or network.vpc_id is None:
            return None
        return StudioNetwork(vpc_id=network.vpc_id, subnet_ids=network.subnet_ids)

    @property
    def shared_with(self) -> tuple[str, ...]:
        """Other accounts that use the versions of models."""
        return tuple(self.settings.environment.registry.shared_with)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of every stack and resource; a stack's own, which it is found by, have to be handed to it."""
        platform = self.settings.platform
        return {**platform.tags, "platform": platform.name, "environment": self.settings.name}

    @property
    def place(self) -> str:
        """The name of what there is once in an environment: the database and the workgroup, as mlops-dev."""
        return f"{self.settings.platform.name}-{self.settings.name}"

    def name_of(self, part: Model | Dataset) -> str:
        """The name of a model's endpoint, pipeline, registry and rules, or of a dataset's workflow and rules.

        They are contracts.
        """
        return f"{self.settings.name}-{part.slug}"

    def fleet_name(self, fleet: str) -> str:
        """The name of a fleet's endpoint, a contract."""
        return f"{self.settings.name}-fleet-{fleet}"
