"""What a studio, the network and the models of its environment ask of each other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from botocore.loaders import Loader

from .model_settings import Model
from .nearest import nearest
from .settings import Environment
from .studio_settings import Studio
from .yaml_source import KeyPath, YamlSource, dotted

_OF_APPS = "AppInstanceType"
_OF_JOBS = ("ProcessingInstanceType", "TrainingInstanceType")


def check_studio(
    environment: Environment | None,
    source: YamlSource,
    models: Mapping[str, Model | None],
    sources: Mapping[str, YamlSource],
) -> list[str]:
    """Everything that a studio asks for and its environment doesn't have."""
    if environment is None or environment.studio is None:
        return []
    studio = environment.studio
    return [
        *(_untracked(source, models, sources) if studio.mlflow else ()),
        *_homeless(environment, studio, source),
        *_lost_teams(studio, source, models),
    ]


def _untracked(source: YamlSource, models: Mapping[str, Model | None], sources: Mapping[str, YamlSource]) -> list[str]:
    """A training that has no network can't be tracked."""
    problems = []
    for name, model in models.items():
        if model and model.training.network_isolation:
            place = sources[name].place(("training", "network_isolation"))
            said = (
                f"can't be true where trainings are tracked, as {source.file} says with studio.mlflow; drop one of both"
            )
            problems.append(f"{place}: {dotted(place.key)}: {said}")
    return problems


def _homeless(environment: Environment, studio: Studio, source: YamlSource) -> list[str]:
    """A domain is in a VPC, and teams are in a domain."""
    if studio.domain is None:
        said = "need a domain to work in; add studio.domain, as `domain: {idle_minutes: 60}`"
        return [_finding(source, ("studio", "teams"), said)] if studio.teams else []
    if environment.network is None:
        said = "needs a VPC; add network with vpc_id, subnet_ids (private ones) and security_group_ids"
        return [_finding(source, ("studio", "domain"), said)]
    if environment.network.vpc_id is None:
        said = "needs the VPC of the subnets; add network.vpc_id"
        return [_finding(source, ("studio", "domain"), said)]
    return []


def _lost_teams(studio: Studio, source: YamlSource, models: Mapping[str, Model | None]) -> list[str]:
    """A team names models that there are, a machine that there is, and people whom nobody else is called as."""
    problems = []
    for team_name, team in studio.teams.items():
        at: KeyPath = ("studio", "teams", team_name)
        for other in studio.teams:
            if team_name.startswith(f"{other}-"):
                said = (
                    f"begins as {other!r} does, which the names of that team's jobs and people begin with; rename one"
                )
                problems.append(_finding(source, at, said))
        for index, model in enumerate(team.models):
            if model not in models:
                said = f"{model!r} is no model of config/platform.yaml{nearest(model, models)}"
                problems.append(_finding(source, (*at, "models", index), said))
        if team.instance_type not in _machines(_OF_APPS):
            said = f"{team.instance_type!r} is no machine of Studio{nearest(team.instance_type, _machines(_OF_APPS))}"
            problems.append(_finding(source, (*at, "instance_type"), said))
        for index, machine in enumerate(team.job_instance_types or []):
            if machine not in _machines(*_OF_JOBS):
                said = f"{machine!r} is no machine of jobs{nearest(machine, _machines(*_OF_JOBS))}"
                problems.append(_finding(source, (*at, "job_instance_types", index), said))
        folded = [user.casefold() for user in team.users]
        for index, user in enumerate(team.users):
            first = folded.index(user.casefold())
            if first < index:
                said = f"{user!r} and {team.users[first]!r} differ in capitals only; rename one"
                problems.append(_finding(source, (*at, "users", index), said))
    return problems


def _finding(source: YamlSource, key: KeyPath, said: str) -> str:
    place = source.place(key)
    return f"{place}: {dotted(place.key)}: {said}"


@cache
def _machines(*shapes: str) -> tuple[str, ...]:
    """The machines that SageMaker's API takes for one of some uses."""
    known = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    return tuple(dict.fromkeys(each for shape in shapes for each in known[shape]["enum"] if each.startswith("ml.")))
