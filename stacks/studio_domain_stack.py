"""Where people work: a Studio domain, and its teams with what each may do."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from mlops_constructs.data_lake import DataLake
from mlops_constructs.experiments import Experiments
from mlops_constructs.job_resources import JobNetwork
from mlops_constructs.studio_domain import StudioDomain, StudioNetwork
from mlops_constructs.studio_team import StudioTeam, Workspace
from mlops_constructs.team_jobs import TeamJobs

from .blueprint import Blueprint
from .foundation_stack import FoundationStack
from .model_settings import Model
from .studio_settings import Domain, Team
from .training_stack import TrainingStack

TRIED_FOLDER = "experiments/"
"""The folder of the artifacts that teams write, each below its name; nothing of the platform reads it."""


class StudioDomainStack(Stack):
    """A domain of its own stack, after the trainings: what teams may do is said of what others have built.

    A team's own jobs run in `jobs_network`, in a role of the team.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        settings: Domain,
        network: StudioNetwork,
        jobs_network: JobNetwork,
        teams: dict[str, Team],
        foundation: FoundationStack,
        lake: DataLake,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        self._blueprint, self._lake = blueprint, lake
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
        places = Construct(self, "Jobs")
        self.jobs = {
            name: TeamJobs(places, _id(name), image=foundation.image, key=foundation.key, network=jobs_network)
            for name in teams
        }
        for name, team in teams.items():
            self._let_run_jobs(name, team)
        CfnOutput(self, "DomainId", value=self._domain.domain_id)
        CfnOutput(self, "SecurityGroupId", value=self._domain.security_group_id)

    def grant_experiments(self, experiments: Experiments) -> None:
        """Let everybody track experiments, in jobs too, and look at them in a browser."""
        for name, team in self.teams.items():
            experiments.grant_track(team.role)
            experiments.grant_open(team.role)
            experiments.grant_track(self.jobs[name].role)

    def grant_model(self, team_name: str, model: Model, training: TrainingStack) -> None:
        """Let a team work on a model: read its data, artifacts and versions, and run its pipeline.

        Its own jobs read the data. Approving versions, releasing them, and writing what they are made of is not among
        it.
        """
        role = self.teams[team_name].role
        for reader in (role, self.jobs[team_name].role):
            self._lake.grant_read(reader, "curated", f"{model.data.dataset}/")
        self._lake.grant_read(role, "artifacts", f"{model.name}/")
        training.training.grant_run(role)
        training.registry.grant_list(role)
        training.registry.grant_read(role)

    def _let_run_jobs(self, name: str, team: Team) -> None:
        people, jobs = self.teams[name], self.jobs[name]
        for role in (people.role, jobs.role):
            self._lake.grant_read_write(role, "artifacts", f"{TRIED_FOLDER}{name}/")
        models = [each for each in self._blueprint.settings.models if each.name in team.models]
        machines = team.job_instance_types or [*(each.training.instance_type for each in models), team.instance_type]
        # Environments may share an account.
        jobs.grant_run(people.role, prefix=f"{self._blueprint.settings.name}-{name}-", instance_types=machines)

    def _define_team(self, name: str, team: Team) -> StudioTeam:
        return self._domain.add_team(
            _id(name),
            team_name=name,
            members=team.users,
            workspace=Workspace(instance_type=team.instance_type, volume_gb=team.volume_gb),
        )


def _id(team_name: str) -> str:
    return "".join(word.capitalize() for word in team_name.split("-"))
