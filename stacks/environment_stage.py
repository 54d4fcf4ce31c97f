"""One environment: its stacks and what they hand to each other."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Environment, Stage, Tags
from constructs import Construct

from mlops_constructs.experiments import Experiments

from .batch_stack import BatchStack
from .blueprint import Blueprint
from .data_stack import DataStack
from .fleet_stack import FleetStack
from .foundation_stack import FoundationStack
from .lineage import UNKNOWN_COMMIT
from .model_settings import Model
from .monitoring_stack import MonitoringStack
from .serving_stack import ServingStack
from .settings import EnvironmentSettings, Repository
from .studio_domain_stack import StudioDomainStack
from .studio_stack import StudioStack
from .training_stack import TrainingStack


class EnvironmentStage(Stage):
    """`cdk deploy '<name>/*'` deploys it, in any account when the configuration names none.

    `commit` is that of the code, for the lineage of the models that it trains.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        repository: Repository,
        commit: str = UNKNOWN_COMMIT,
    ) -> None:
        account, region = settings.environment.account, settings.environment.region
        super().__init__(scope, construct_id, env=Environment(account=account, region=region))
        blueprint = Blueprint(settings=settings, repository=repository, commit=commit)
        foundation = FoundationStack(self, "foundation", blueprint=blueprint)
        data = DataStack(self, "data", blueprint=blueprint, foundation=foundation)
        experiments = None
        if settings.environment.studio and settings.environment.studio.mlflow:
            studio = StudioStack(self, "studio", blueprint=blueprint, foundation=foundation, lake=data.lake)
            experiments = studio.experiments
        self._fleets = {
            name: FleetStack(
                self,
                f"fleet-{name}",
                blueprint=blueprint,
                name=name,
                fleet=fleet,
                foundation=foundation,
                lake=data.lake,
            )
            for name, fleet in settings.environment.fleets.items()
        }
        trainings = {}
        for model in settings.models:
            training = trainings[model.name] = TrainingStack(
                self,
                f"{model.slug}-training",
                blueprint=blueprint,
                model=model,
                foundation=foundation,
                lake=data.lake,
                published=data.datasets[model.data.dataset].workflow.published,
                experiments=experiments,
            )
            self._define_use(blueprint, model, foundation, data, training)
        self._define_studio_domain(blueprint, foundation, data, trainings, experiments)
        for key, value in blueprint.tags.items():
            Tags.of(self).add(key, value)

    def _define_use(
        self,
        blueprint: Blueprint,
        model: Model,
        foundation: FoundationStack,
        data: DataStack,
        training: TrainingStack,
    ) -> None:
        """Where a model's versions are asked, and what watches that."""
        asked: list[ServingStack | BatchStack] = []
        if model.serving is not None:
            serving = ServingStack(
                self,
                f"{model.slug}-serving",
                blueprint=blueprint,
                model=model,
                serving=model.serving,
                foundation=foundation,
                lake=data.lake,
                registry=training.registry,
            )
            asked.append(serving)
            if model.serving.component:
                serving.add_stack_dependency(self._fleets[model.serving.component.fleet])
        if model.batch is not None:
            batch = BatchStack(
                self,
                f"{model.slug}-batch",
                blueprint=blueprint,
                model=model,
                batch=model.batch,
                foundation=foundation,
                data=data,
                registry=training.registry,
            )
            asked.append(batch)
        if model.monitoring is not None:
            monitoring = MonitoringStack(
                self,
                f"{model.slug}-monitoring",
                blueprint=blueprint,
                model=model,
                monitoring=model.monitoring,
                foundation=foundation,
                data=data,
                training=training,
                releases=[stack.release for stack in asked],
            )
            for stack in asked:
                monitoring.add_stack_dependency(stack)

    def _define_studio_domain(
        self,
        blueprint: Blueprint,
        foundation: FoundationStack,
        data: DataStack,
        trainings: Mapping[str, TrainingStack],
        experiments: Experiments | None,
    ) -> None:
        studio, network = blueprint.settings.environment.studio, blueprint.studio_network
        if studio is None or studio.domain is None or network is None or blueprint.network is None:
            return
        stack = StudioDomainStack(
            self,
            "studio-domain",
            blueprint=blueprint,
            settings=studio.domain,
            network=network,
            jobs_network=blueprint.network,
            teams=studio.teams,
            foundation=foundation,
            lake=data.lake,
        )
        if experiments:
            stack.grant_experiments(experiments)
        for model in blueprint.settings.models:
            for name, team in studio.teams.items():
                if model.name in team.models:
                    stack.grant_model(name, model, trainings[model.name])
