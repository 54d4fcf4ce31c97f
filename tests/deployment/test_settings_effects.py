"""No setting is an ornament: each one changes what is synthesized, or is known to serve somebody else.

One app holds a variant of the dev environment for each setting, with that setting changed; its stacks must differ from
the unchanged ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from stacks.automl_settings import AutoML
from stacks.configuration import load
from stacks.dataset_settings import Dataset
from stacks.diagnostic_settings import Diagnostics
from stacks.engine_settings import Engine
from stacks.fairness_settings import Fairness
from stacks.model_settings import Model
from stacks.monitoring_settings import Monitoring
from stacks.native_settings import Native
from stacks.serving_settings import Serving
from stacks.settings import Environment, EnvironmentSettings, Platform
from stacks.tuning_settings import Tuning
from tests.deployment.assemblies import CONTEXT, REPOSITORY, Templates, templates_of
from tests.deployment.snapshots import without_name

NETWORK = {"vpc_id": "vpc-0000000a", "subnet_ids": ["subnet-0000000a"], "security_group_ids": ["sg-0000000a"]}
STUDIO = {"mlflow": True, "domain": {}, "teams": {"delays": {"users": ["ada"], "models": ["flight_delay"]}}}
BUDGET = {"monthly_usd": 10, "email": "a@example.com"}
FLEETS = {"small": {"maximum": 3}}
SURROUNDINGS = {"network": NETWORK, "budget": BUDGET, "studio": STUDIO, "fleets": FLEETS}

CHANGES: Mapping[str, Any] = {
    "platform.name": "other",
    "platform.tags": {"team": "other"},
    "environment.account+region": ("123456789012", "eu-west-1"),
    "environment.removal": "retain",
    "environment.log_retention_days": 1,
    "environment.capture_retention_days": 1,
    "environment.quarantine_retention_days": 1,
    "environment.query_limit_gb": 11,
    "environment.network.subnet_ids": ["subnet-0000000b"],
    "environment.network.security_group_ids": ["sg-0000000b"],
    "environment.network.vpc_id": "vpc-0000000b",
    "environment.studio.mlflow": False,
    "environment.studio.domain.idle_minutes": 61,
    "environment.studio.teams.delays.users": ["grace"],
    "environment.studio.teams.delays.models": ["block_time"],
    "environment.studio.teams.delays.instance_type": "ml.m5.large",
    "environment.studio.teams.delays.job_instance_types": ["ml.c5.xlarge"],
    "environment.studio.teams.delays.volume_gb": 50,
    "environment.fleets.small.instance_type": "ml.c5.large",
    "environment.fleets.small.minimum": 2,
    "environment.fleets.small.maximum": 4,
    "environment.budget.monthly_usd": 11,
    "environment.budget.email": "b@example.com",
    "environment.alarm_email": "b@example.com",
    "environment.registry.shared_with": ["111122223333"],
    "model.description": "Something else",
    "model.data.label": "block_minutes",
    "model.data.rules": ["RowCount > 1"],
    "model.data.allow_leakage": ["carrier"],
    "model.training.instance_type": "ml.m5.2xlarge",
    "model.training.volume_gb": 31,
    "model.training.max_runtime_minutes": 61,
    "model.training.test_days": 31,
    "model.training.validation_days": 15,
    "model.training.hyperparameters": {"rounds": 1},
    "model.training.triggers.schedule": "rate(1 day)",
    "model.training.triggers.new_data.at_most_every_hours": 12,
    "model.gate.metric": "f1",
    "model.gate.minimum": 0.71,
    "model.gate.champion.margin": 0.01,
    "model.problem+gate.maximum": ("regression", {"metric": "mae", "maximum": 14.0}),
    "model.serving.instance_type": "ml.m5.xlarge",
    "model.serving.instance_count": 3,
    "model.serving.capture_percent": 0,
    "model.batch.schedule": "rate(1 day)",
    "model.batch.new_data": False,
    "model.batch.catch_up_days": 3,
    "model.batch.instance_type": "ml.m5.xlarge",
    "model.batch.instance_count": 2,
    "model.batch.max_concurrent_transforms": 1,
    "model.batch.max_payload_mb": 7,
    "model.batch.max_runtime_minutes": 61,
    "dataset.description": "Something else",
    "dataset.owner": "other@example.com",
    "dataset.first_day": "2012-01-01",
    "dataset.tables.flights.description": "Something else",
    "dataset.tables.planes.daily": True,
    "dataset.tables.flights.day": "to_date(time_hour)",
    "dataset.tables.flights.days_before": 2,
    "dataset.tables.flights.key": ["flight"],
    "dataset.tables.flights.columns.year.type": "bigint",
    "dataset.tables.flights.columns.year.description": "Something else",
    "dataset.tables.flights.columns.dest.required": False,
    "dataset.prepared.description": "Something else",
    "dataset.prepared.key": ["route"],
    "dataset.prepared.columns.seats.type": "double",
    "dataset.prepared.columns.seats.description": "Something else",
    "dataset.rules": ["RowCount > 1"],
    "dataset.etl.worker_type": "G.2X",
    "dataset.etl.workers": 3,
    "dataset.etl.autoscaling": True,
    "dataset.etl.flex": True,
    "dataset.etl.timeout_minutes": 61,
    "dataset.etl.retries": 1,
    "dataset.etl.spark_ui": True,
    "dataset.trigger.batch_size": 10,
    "dataset.trigger.window_seconds": 10,
    "dataset.trigger.schedule": "rate(1 day)",
    "dataset.checks.workers": 3,
    "dataset.checks.parallel": 3,
    "dataset.quarantine.maximum_percent": 2,
}
ELSEWHERE = {
    "platform.environments": "the stages themselves",
    "platform.models": "the stacks themselves",
    "platform.datasets": "the jobs and tables themselves",
    "environment.models": "overrides of model.yaml, tested with the configuration",
    "environment.datasets": "overrides of dataset.yaml, tested with the configuration",
    "dataset.name": "the folder's name, tested with the configuration",
    "model.name": "the folder's name, tested with the configuration",
    "model.data.dataset": "another one must be declared; test_synth looks at the manifest that a model reads",
    "model.data.features": "clients send them; they must be those of the model's code",
}
"""Settings that change no template of an environment, and what they do."""


def settings_of(section: type[BaseModel], path: str) -> Iterator[str]:
    """Every setting of a section and of those inside, by its path."""
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            yield f"{path}.{name}"
        else:
            yield from settings_of(inner, f"{path}.{name}")


def test_every_setting_is_tried_or_known_to_serve_elsewhere() -> None:
    sections: dict[str, type[BaseModel]] = {
        "platform": Platform,
        "environment": Environment,
        "dataset": Dataset,
        "model": Model,
    }
    every = {path for name, section in sections.items() for path in settings_of(section, name)}
    for section, path in ((Diagnostics, "model.training.diagnostics"), (Fairness, "model.fairness")):
        every -= set(settings_of(section, path))  # tried by test_judgement_declarations, without a synth for each
    every -= set(settings_of(Engine, "model.training")) - set(CHANGES)  # tried by test_engine_declarations
    every -= set(settings_of(Serving, "model.serving")) - set(CHANGES)  # tried by test_serving_declarations
    every -= set(settings_of(Monitoring, "model.monitoring"))  # tried by test_monitoring_declarations
    every -= set(settings_of(Tuning, "model.training.tuning"))  # tried by test_tuning_declarations
    every -= {*settings_of(Native, "environment.native"), "model.training.debugger", "model.native_checks"}
    every -= {*settings_of(AutoML, "model.training.automl"), "model.training.algorithm"}
    # Tables, columns, teams and fleets have names of their own, which no setting has.
    tried = {re.sub(r"\.(tables|columns|teams|fleets)\.\w+(?=\.)", r".\1", path.split("+")[0]) for path in CHANGES}
    assert every == tried | {"environment.region", "model.gate.maximum"} | set(ELSEWHERE)


def variant(base: EnvironmentSettings, path: str, value: Any) -> EnvironmentSettings:
    """The base with one setting changed."""
    root, *keys = path.split(".")
    lists = {"model": base.models, "dataset": base.datasets}
    section: BaseModel = lists[root][0] if root in lists else getattr(base, root)
    data = section.model_dump()
    if path == "environment.account+region":
        data["account"], data["region"] = value
    elif path == "model.problem+gate.maximum":
        data["problem"], data["gate"] = value
        del data["fairness"]  # limits of a classifier
    else:
        place = data
        for key in keys[:-1]:
            place[key] = {} if place[key] is None else place[key]
            place = place[key]
        place[keys[-1]] = value
    changed = type(section).model_validate(data)
    return base.model_copy(update={f"{root}s": (changed,)} if root in lists else {root: changed})


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """All stacks of all variants, `untouched/data` and `v1/data`; `nothing` has no datasets and models."""
    from aws_cdk import App

    from stacks.environment_stage import EnvironmentStage

    dev = load(REPOSITORY).environments[0]
    environment = Environment.model_validate({**dev.environment.model_dump(), **SURROUNDINGS})
    base = dev.model_copy(update={"environment": environment, "models": dev.models[:1]})
    every = {"untouched": base, "twin": base}
    every["nothing"] = base.model_copy(update={"models": (), "datasets": ()})
    every |= {f"v{index}": variant(base, path, value) for index, (path, value) in enumerate(CHANGES.items())}
    outdir: Path = tmp_path_factory.mktemp("variants") / "cdk.out"
    app = App(context=CONTEXT, outdir=str(outdir))
    for stage, settings in every.items():
        EnvironmentStage(app, stage, settings=settings, repository=REPOSITORY)
    app.synth()
    return templates_of(outdir)


def stacks_of(variants: Templates, stage: str) -> dict[str, Any]:
    found = {name.split("/")[1]: template for name, template in variants.items() if name.split("/")[0] == stage}
    return {name: without_name(template, stage) for name, template in found.items()}


def test_the_same_settings_make_the_same_stacks(variants: Templates) -> None:
    assert stacks_of(variants, "untouched") == stacks_of(variants, "twin")


@pytest.mark.parametrize(("index", "path"), list(enumerate(CHANGES)), ids=list(CHANGES))
def test_a_changed_setting_changes_a_stack(index: int, path: str, variants: Templates) -> None:
    assert stacks_of(variants, f"v{index}") != stacks_of(variants, "untouched")


def exports_of(variants: Templates, stage: str, stack: str) -> dict[str, str]:
    """What a stack exports: the name of each export with its value."""
    outputs = stacks_of(variants, stage)[stack].get("Outputs", {}).values()
    return {each["Export"]["Name"]: json.dumps(each["Value"]) for each in outputs if "Export" in each}


@pytest.mark.parametrize("stage", ["nothing", *(f"v{index}" for index in range(len(CHANGES)))], ids=["none", *CHANGES])
def test_no_setting_takes_an_export_away_that_a_deployed_stack_still_imports(stage: str, variants: Templates) -> None:
    # The CDK CLI updates the stack that exports first, and CloudFormation refuses to delete an export in use.
    producers = ["foundation", "data", *(["flight-delay-training"] if stage != "nothing" else [])]
    for stack in producers:
        before = exports_of(variants, "untouched", stack)
        assert before
        assert exports_of(variants, stage, stack) == before
