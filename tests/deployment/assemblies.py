"""Cloud assemblies: made as the CDK CLI makes them, and read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stacks.configuration import load
from stacks.dataset_settings import Dataset
from stacks.model_settings import Model
from stacks.settings import Environment, EnvironmentSettings, Repository, Settings
from stacks.training_definition import Surroundings

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = Repository(root=ROOT)
CDK = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))
CONTEXT = CDK["context"] | {
    "aws:cdk:enable-path-metadata": CDK["pathMetadata"],
    "aws:cdk:enable-asset-metadata": CDK["assetMetadata"],
    "aws:cdk:version-reporting": CDK["versionReporting"],
}
"""What the CDK CLI hands to the app."""

SURROUNDINGS = Surroundings(
    image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-runtime-dev:1",
    role_arn="arn:aws:iam::123456789012:role/jobs",
    kms_key_arn="arn:aws:kms:us-east-1:123456789012:key/0",
    group_name="dev-flight-delay",
    code="s3://assets/code.zip",
    manifest="s3://curated/flights/manifest.json",
    artifacts="s3://artifacts/flight_delay",
)
"""What a training's definition is rendered for, where no stack is."""

Template = dict[str, Any]
Templates = Mapping[str, Template]


def synthesize(outdir: Path, *, cwd: Path = ROOT, prefix: Sequence[str] = (), **environment: str) -> None:
    """Run app.py as the CDK CLI does, without credentials and with nothing else of this process's environment."""
    subprocess.run(
        [*prefix, sys.executable, str(ROOT / "app.py")],
        env={
            "PATH": os.environ["PATH"],
            "CDK_OUTDIR": str(outdir),
            "CDK_CONTEXT_JSON": json.dumps(CONTEXT),
            **environment,
        },
        cwd=cwd,
        check=True,
        timeout=300,
    )


def templates_of(assembly: Path) -> dict[str, Template]:
    """Every stack of an assembly, as `dev/data`, with its template."""
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in template_files(assembly).items()}


def template_files(assembly: Path) -> dict[str, Path]:
    """Every stack of an assembly, as `dev/data`, with the file of its template."""
    return {name: folder / properties["templateFile"] for name, folder, properties in _stacks(assembly)}


def tags_of(assembly: Path) -> dict[str, dict[str, str]]:
    """Every stack of an assembly, as `dev/data`, with the tags that CloudFormation gives the stack."""
    return {name: properties.get("tags", {}) for name, _, properties in _stacks(assembly)}


def _stacks(assembly: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    for manifest in sorted(assembly.glob("assembly-*/manifest.json")):
        for artifact in json.loads(manifest.read_text(encoding="utf-8"))["artifacts"].values():
            if artifact["type"] == "aws:cloudformation:stack":
                yield artifact["displayName"].split(" ")[0], manifest.parent, artifact["properties"]


DATASET_OPTIONS: Mapping[str, Any] = {
    "first_day": "2013-01-01",
    "etl": {
        "worker_type": "G.2X",
        "workers": 10,
        "autoscaling": True,
        "flex": True,
        "timeout_minutes": 120,
        "retries": 1,
        "spark_ui": True,
    },
    "trigger": {"batch_size": 10, "window_seconds": 60, "schedule": "cron(0 6 * * ? *)"},
    "rules": ["RowCount > 1", 'ReferentialIntegrity "route" "airports.name" >= 0'],
    "checks": {"workers": 5, "parallel": 10},
    "quarantine": {"maximum_percent": 0.5},
}


TEAMS: Mapping[str, Any] = {
    "delays": {"users": ["ada", "grace"], "models": ["flight_delay"]},
    "blocks": {
        "users": ["ada"],
        "models": ["block_time"],
        "instance_type": "ml.m5.large",
        "job_instance_types": ["ml.c5.xlarge"],
        "volume_gb": 50,
    },
    "all": {"users": ["Mary-Jackson"], "models": ["block_time", "flight_delay"]},
}


NATIVE: Mapping[str, str] = {
    "debugger_image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-debugger-rules:latest",
    "clarify_image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-clarify-processing:1.0",
    "monitor_image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-analyzer:latest",
}
NATIVE_CHECKS = ["data_quality", "data_bias", "model_bias", "explainability"]


def with_native_services(model: Model) -> Model:
    """A model that asks for everything that SageMaker itself has for it."""
    data = model.model_dump()
    changes = {
        "native_checks": NATIVE_CHECKS,
        "training": {**data["training"], "debugger": "native"},
        "monitoring": {**data["monitoring"], "engine": "native"},
    }
    return Model.model_validate({**data, **changes})


def everything_set() -> EnvironmentSettings:
    """An environment that leaves no setting at its default, as a company's own would look."""
    dev = load(REPOSITORY).environments[0]
    environment = Environment.model_validate(
        {
            "account": "123456789012",
            "region": "eu-west-1",
            "removal": "retain",
            "log_retention_days": 365,
            "capture_retention_days": 30,
            "quarantine_retention_days": 30,
            "query_limit_gb": 100,
            "network": {
                "vpc_id": "vpc-0000000d",
                "subnet_ids": ["subnet-0000000a", "subnet-0000000b"],
                "security_group_ids": ["sg-0000000c"],
            },
            "budget": {"monthly_usd": 500, "email": "owner@example.com"},
            "alarm_email": "operator@example.com",
            "fleets": {"small": {"instance_type": "ml.c5.large", "minimum": 1, "maximum": 3}},
            "native": NATIVE,
            "registry": {"shared_with": ["111122223333"]},
            "studio": {"mlflow": True, "domain": {"idle_minutes": 120}, "teams": TEAMS},
        }
    )
    platform = dev.platform.model_copy(update={"tags": {"team": "delays"}})
    datasets = tuple(Dataset.model_validate(each.model_dump() | DATASET_OPTIONS) for each in dev.datasets)
    # the others are as they are in dev: a block time has no groups to compare
    models = tuple(with_native_services(each) if each.fairness.facets else each for each in dev.models)
    changes = {"name": "full", "environment": environment, "platform": platform, "datasets": datasets, "models": models}
    return dev.model_copy(update=changes)


def settings_of(*environments: EnvironmentSettings) -> Settings:
    """Settings with just these environments."""
    return Settings(platform=environments[0].platform, environments=environments)
