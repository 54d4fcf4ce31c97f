"""Where people work with models, and where their experiments are tracked."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from .setting_types import InstanceType, ModelName, Section, TeamName, UserName, unique


class Domain(Section):
    """A Studio domain inside of the VPC of `network`."""

    idle_minutes: Annotated[int, Field(ge=60, le=525600)] = 60
    """Minutes without use after which machines are given back, 60 to 525600; users may shorten it for themselves."""


class Team(Section):
    """People with one role, and what each of them works on. A profile and its space are named <team>-<user>."""

    users: Annotated[list[UserName], Field(min_length=1), AfterValidator(unique)]
    """Who is in it. Somebody may be in several teams, with a profile in each."""
    models: Annotated[list[ModelName], Field(min_length=1), AfterValidator(unique)]
    """Models of config/platform.yaml whose data they read and whose trainings they start and read."""
    instance_type: InstanceType = "ml.t3.medium"
    """The machine that each of them may use, and no other."""
    job_instance_types: Annotated[list[InstanceType], Field(min_length=1), AfterValidator(unique)] | None = None
    """Machines that jobs of their own may run on; left out: those that their models train on, and `instance_type`."""
    volume_gb: Annotated[int, Field(ge=5, le=16384)] = 20
    """GiB of the disk that each one's files lie on; it can grow, and never shrink."""


class Studio(Section):
    """Where people work with models, and where their experiments are tracked."""

    mlflow: bool = False
    """Whether there is an MLflow app, which every training then tracks its run in; false: there is no such stack."""
    domain: Domain | None = None
    """A SageMaker Studio domain; left out: none. It needs `network` with `vpc_id`."""
    teams: dict[TeamName, Team] = Field(default_factory=dict)
    """Who works in the domain, by team."""
