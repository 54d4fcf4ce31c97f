"""Where people work: a Studio domain, and its teams with what each may do."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from mlops_constructs.data_lake import DataLake
from mlops_constructs.experiments import Experiments
from mlops_constructs.studio_domain import StudioDomain, StudioNetwork
from mlops_constructs.studio_team import StudioTeam, Workspace

from .blueprint import Blueprint
from .foundation_stack import FoundationStack
from .model_settings import Model
from .studio_settings import Domain, Team
from .training_stack import TrainingStack


class StudioDomainStack(Stack):
    """A domain of its own stack, after the trainings: what teams may do is said of what others have built."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        settings: Domain,
        network: StudioNetwork,
        teams: dict[str, Team],
        foundation: FoundationStack,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        self._environment = blueprint.settings.name
        self._domain = StudioDomain(
            self,
            "Studio",
            domain_name=blueprint.place,
            network=network,
            key=foundation.key,
            idle_minutes=settings.idle_minutes,
            removal=blueprint.removal,
        )
        self.teams = {name: self._define_team(name, team) for name, team in teams.items()}
        CfnOutput(self, "DomainId", value=self._domain.domain_id)
        CfnOutput(self, "SecurityGroupId", value=self._domain.security_group_id)

    def grant_experiments(self, experiments: Experiments) -> None:
        """Let everybody track experiments, and look at them in a browser."""
        for team in self.teams.values():
            experiments.grant_track(team.role)
            experiments.grant_open(team.role)

    def grant_model(self, team_name: str, model: Model, training: TrainingStack, lake: DataLake) -> None:
        """Let a team work on a model: read its data, artifacts and versions, and run its pipeline and jobs like its.

        Approving versions, and releasing them, is not among it.
        """
        role = self.teams[team_name].role
        lake.grant_read(role, "curated", f"{model.data.dataset}/")
        lake.grant_read(role, "artifacts", f"{model.name}/")
        training.training.grant_run(role)
        # Environments may share an account.
        training.training.grant_jobs(role, f"{self._environment}-{team_name}-")
        training.registry.grant_list(role)
        training.registry.grant_read(role)

    def _define_team(self, name: str, team: Team) -> StudioTeam:
        return self._domain.add_team(
            "".join(word.capitalize() for word in name.split("-")),
            team_name=name,
            members=team.users,
            workspace=Workspace(instance_type=team.instance_type, volume_gb=team.volume_gb),
        )
