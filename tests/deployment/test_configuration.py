"""Configuration files that are wrong: every finding names file, line, key, value and the fix, all at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stacks.configuration import ConfigurationError, load
from stacks.settings import Repository, Settings

ROOT = Path(__file__).resolve().parents[2]
MODEL = "ml_code/models/late/model.yaml"
DATASET = "ml_code/datasets/trips/dataset.yaml"
ETL = "ml_code/datasets/trips/etl.py"
FILES = {
    "config/platform.yaml": "name: mlops\nenvironments: [dev, prod]\ndatasets: [trips]\nmodels: [late]\n",
    "config/dev.yaml": "removal: destroy\n",
    "config/prod.yaml": "removal: retain\n",
    MODEL: """name: late
description: Is it late?
problem: binary_classification
data:
  dataset: trips
  label: late
  features:
    - carrier
    - distance
gate:
  metric: auc
  minimum: 0.7
serving: {}
""",
    DATASET: """name: trips
description: Trips and what became of them
owner: trips@example.com
tables:
  trips:
    description: A trip
    daily: true
    key: [id]
    columns:
      id: {type: int, required: true, description: Its number}
      carrier: {type: string, description: Who drove}
prepared:
  description: A trip
  key: [id]
  columns:
    id: {type: int, description: Its number}
    carrier: {type: float, description: Who drove}
    distance: {type: float, description: Miles}
    late: {type: int, description: 1 when it was late}
rules:
  - RowCount > 0
  - IsComplete "id"
""",
    ETL: "def transform(spark, tables, days):\n    return tables['trips']\n",
}
Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a sound configuration and returns what changes one of its files."""

    def change(path: str, content: str | bytes) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    for path, content in FILES.items():
        change(path, content)
    return change


@pytest.fixture
def problems(tmp_path: Path, write: Write) -> Callable[[], list[str]]:
    def find() -> list[str]:
        with pytest.raises(ConfigurationError) as raised:
            load(Repository(root=tmp_path))
        return raised.value.problems

    return find


def changed(path: str, old: str, new: str) -> str:
    assert FILES[path].count(old) == 1
    return FILES[path].replace(old, new)


def test_the_sound_configuration_loads(tmp_path: Path, write: Write) -> None:
    settings = load(Repository(root=tmp_path))
    assert [each.name for each in settings.environments] == ["dev", "prod"]
    assert settings.environments[0].models[0].training.test_days == 30


def test_the_repository_s_own_configuration_loads() -> None:
    settings: Settings = load(Repository(root=ROOT))
    assert [each.name for each in settings.environments] == ["dev", "staging", "prod"]


def test_an_empty_environment_file_means_all_defaults(tmp_path: Path, write: Write) -> None:
    write("config/dev.yaml", "")
    assert load(Repository(root=tmp_path)).environments[0].environment.removal == "retain"


def test_a_value_is_overridden_for_one_environment_only(tmp_path: Path, write: Write) -> None:
    write("config/prod.yaml", "models:\n  late:\n    serving: {instance_count: 3}\n    gate: {minimum: 0.9}\n")
    dev, prod = load(Repository(root=tmp_path)).environments
    assert (dev.models[0].serving.instance_count, prod.models[0].serving.instance_count) == (1, 3)
    assert (dev.models[0].gate.minimum, prod.models[0].gate.minimum) == (0.7, 0.9)


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        pytest.param(
            "config/dev.yaml",
            "# a comment\nremoval: [destroy\n",
            ["config/dev.yaml:3: not valid YAML: expected ',' or ']', but got '<stream end>'"],
            id="broken YAML",
        ),
        pytest.param(
            "config/dev.yaml",
            "models:\n\tlate: {}\n",
            [
                "config/dev.yaml:2: not valid YAML: found character '\\t' that cannot start any token; "
                "indent with spaces, not tabs"
            ],
            id="tabs",
        ),
        pytest.param(
            "config/dev.yaml",
            b"removal: destroy\n# caf\xe9\n",
            ["config/dev.yaml:2: byte 0xe9 is no UTF-8; save the file as UTF-8"],
            id="not UTF-8",
        ),
        pytest.param(
            "config/dev.yaml",
            "- removal\n",
            ["config/dev.yaml:1: the file must hold keys and values, as `name: value`"],
            id="a list",
        ),
        pytest.param(
            "config/dev.yaml",
            "models: &all\n  late: *all\n",
            ["config/dev.yaml:1: models.late holds itself; write its value out"],
            id="endless",
        ),
        pytest.param(
            "config/dev.yaml",
            "removal: destroy\nlog_retention_days: 30\nremoval: retain\n",
            ["config/dev.yaml:3: removal is written twice, first in line 1; remove one"],
            id="duplicate key",
        ),
        pytest.param(
            "config/dev.yaml",
            "removel: destroy\n",
            [
                "config/dev.yaml:1: removel is not a known key; did you mean 'removal'?; known here: account, "
                "alarm_email, budget, capture_retention_days, datasets, fleets, log_retention_days, models, native, "
                "network, quarantine_retention_days, query_limit_gb, region, registry, removal, studio"
            ],
            id="unknown key",
        ),
        pytest.param(
            "config/dev.yaml",
            "network:\n  subnet_ids: [subnet-01234567]\n  security_group_ids: [sg-01234567]\n  mode: own\n",
            ["config/dev.yaml:4: network.mode is not a known key; known here: security_group_ids, subnet_ids, vpc_id"],
            id="unknown key inside",
        ),
        pytest.param(
            "config/dev.yaml",
            "removal: 1\n",
            ["config/dev.yaml:1: removal must be one of 'destroy' or 'retain', got 1"],
            id="a number for a choice",
        ),
        pytest.param(
            "config/dev.yaml",
            "removal: retian\n",
            ["config/dev.yaml:1: removal must be one of 'destroy' or 'retain', got 'retian'; did you mean 'retain'?"],
            id="a misspelt choice",
        ),
        pytest.param(
            "config/dev.yaml",
            "capture_retention_days: '30'\n",
            ["config/dev.yaml:1: capture_retention_days must be a whole number, got '30'; take the quotes off"],
            id="text for a number",
        ),
        pytest.param(
            "config/dev.yaml",
            "account: 012345670123\nregion: eu-west-1\n",
            ['config/dev.yaml:1: account must be text, got 012345670123; put it in quotes, as "012345670123"'],
            id="an account that YAML reads as octal",
        ),
        pytest.param(
            "config/dev.yaml",
            "region: eu-west-1\n",
            ["config/dev.yaml:1: region: needs account beside it; set both, or neither"],
            id="region without account",
        ),
        pytest.param(
            "config/dev.yaml",
            "network: {subnet_ids: [], security_group_ids: [sg-01234567, default]}\n",
            [
                "config/dev.yaml:1: network.subnet_ids must have at least 1 entries, got an empty list",
                "config/dev.yaml:1: network.security_group_ids[1] must be as sg-0123456789abcdef0, got 'default'",
            ],
            id="a network without subnets",
        ),
        pytest.param(
            "config/dev.yaml",
            "log_retention_days:\nbudget: 500\n",
            [
                "config/dev.yaml:1: log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, "
                "400, 545, 731, 1827 or 3653, got nothing",
                "config/dev.yaml:2: budget must hold keys and values, got 500",
            ],
            id="a section without content",
        ),
        pytest.param(
            "config/dev.yaml",
            "budget: {monthly_usd: 0, email: nobody}\n",
            [
                "config/dev.yaml:1: budget.monthly_usd must be at least 1, got 0",
                "config/dev.yaml:1: budget.email must be as somebody@example.com, got 'nobody'",
            ],
            id="out of range",
        ),
        pytest.param(
            "config/dev.yaml",
            "models:\n  Late: {}\n  lat: {}\n",
            [
                "config/dev.yaml:2: models.Late must be as flight_delay: up to 41 small letters, digits and _, "
                "got 'Late'",
                "config/dev.yaml:2: models.Late: 'Late' is no model of config/platform.yaml; did you mean 'late'?",
                "config/dev.yaml:3: models.lat: 'lat' is no model of config/platform.yaml; did you mean 'late'?",
            ],
            id="overrides of unknown models",
        ),
        pytest.param(
            "config/dev.yaml",
            "removal: gone\nmodels:\n  late:\n    serving:\n      instances: 2\n    training: {test_days: 0}\n",
            [
                "config/dev.yaml:1: removal must be one of 'destroy' or 'retain', got 'gone'",
                "config/dev.yaml:6: models.late.training.test_days must be at least 1, got 0",
                "config/dev.yaml:5: models.late.serving.instances is not a known key; did you mean "
                "'instance_type'?; known here: asynchronous, capture_percent, challenger, component, enabled, "
                "instance_count, instance_type, release, scaling, serverless",
            ],
            id="wrong overrides, beside other errors",
        ),
        pytest.param(
            "config/platform.yaml",
            "",
            [
                "config/platform.yaml:1: name is missing; add it",
                "config/platform.yaml:1: environments is missing; add it",
                "config/platform.yaml:1: models is missing; add it",
                "config/platform.yaml:1: datasets is missing; add it",
            ],
            id="an empty platform file",
        ),
        pytest.param(
            "config/platform.yaml",
            "name: my--platform\nenvironments:\n  - dev\n  - prod\n  - dev\ndatasets: []\nmodels: []\n",
            [
                "config/platform.yaml:1: name must be as my-platform: small letters, digits and single dashes, "
                "got 'my--platform'",
                "config/platform.yaml:5: environments[2]: 'dev' is listed twice; remove one",
            ],
            id="an environment listed twice",
        ),
        pytest.param(
            "config/platform.yaml",
            "name: mlops\nenvironments: [dev]\ndatasets: []\nmodels: []\ntags:\n  team: data\n  environment: test\n",
            [
                "config/platform.yaml:7: tags.environment: is always the environment's, which stacks are found by; "
                "remove it"
            ],
            id="a tag that stacks are found by",
        ),
        pytest.param(
            "config/platform.yaml",
            "name: mlops\nenvironments: [dev, prd]\ndatasets: [trips, trip]\nmodels: [late, later]\n",
            [
                "config/platform.yaml:2: environments[1]: 'prd' has no file config/prd.yaml; create it; "
                "did you mean 'prod'?",
                "config/platform.yaml:3: datasets[1]: 'trip' has no file ml_code/datasets/trip/dataset.yaml; create it",
                "config/platform.yaml:4: models[1]: 'later' has no file ml_code/models/later/model.yaml; create it",
            ],
            id="files that are missing",
        ),
        pytest.param(
            MODEL,
            changed(MODEL, "gate:\n  metric: auc\n  minimum: 0.7\n", "gate: {minimum: high}\n"),
            [
                f"{MODEL}:10: gate.metric is missing; add it",
                f"{MODEL}:10: gate.minimum must be a number, got 'high'",
            ],
            id="a missing key and a wrong one",
        ),
        pytest.param(
            MODEL,
            changed(MODEL, "    - distance\n", "    - late\n    - carrier\n"),
            [f"{MODEL}:10: data.features[2]: 'carrier' is listed twice; remove one"],
            id="a feature listed twice",
        ),
        pytest.param(
            MODEL,
            changed(MODEL, "    - distance\n", "    - late\n"),
            [
                f"{MODEL}:9: data.features[1]: 'late' is the label, which a model can't be told; remove it from the "
                "features"
            ],
            id="the label among the features",
        ),
        pytest.param(
            MODEL,
            changed(MODEL, "name: late", "name: later"),
            [f"{MODEL}:1: name must be the folder's, 'late', got 'later'"],
            id="another name than the folder's",
        ),
        pytest.param(
            MODEL,
            FILES[MODEL] + "training:\n  hyperparameters:\n    depth: [1, 2]\n    rate:\n",
            [
                f"{MODEL}:16: training.hyperparameters.depth: must be text, a number, or true or false",
                f"{MODEL}:17: training.hyperparameters.rate: must be text, a number, or true or false",
            ],
            id="hyperparameters that are no scalars",
        ),
        pytest.param(
            MODEL,
            "",
            [f"{MODEL}:1: {key} is missing; add it" for key in ("name", "description", "problem", "data", "gate")],
            id="an empty model file",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_fix(
    path: str, content: str | bytes, expected: list[str], write: Write, problems: Callable[[], list[str]]
) -> None:
    write(path, content)
    assert problems() == expected


def test_the_errors_of_all_files_come_at_once(write: Write, problems: Callable[[], list[str]]) -> None:
    write("config/dev.yaml", "removal: no\n")
    write("config/prod.yaml", "removal: [\n")
    write(MODEL, changed(MODEL, "minimum: 0.7", "minimum: high"))
    assert [line.split(" ")[0] for line in problems()] == [f"{MODEL}:12:", "config/dev.yaml:1:", "config/prod.yaml:2:"]


def test_a_missing_platform_file_is_named(tmp_path: Path, problems: Callable[[], list[str]]) -> None:
    (tmp_path / "config/platform.yaml").unlink()
    assert problems() == ["config/platform.yaml: the file is missing; create it"]


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path, problems: Callable[[], list[str]]) -> None:
    (tmp_path / "config/platform.yaml").unlink()
    (tmp_path / "config/platform.yaml").mkdir()
    assert problems() == ["config/platform.yaml: can't be read: Is a directory"]


def copy_app(target: Path) -> Path:
    """The app beside the configuration that `write` wrote."""
    shutil.copy(ROOT / "app.py", target)
    for folder in ("stacks", "constructs"):
        (target / folder).symlink_to(ROOT / folder)
    return target / "app.py"


def test_a_broken_configuration_ends_the_app_with_its_findings(tmp_path: Path, write: Write) -> None:
    write("config/dev.yaml", "removel: destroy\n")
    run = subprocess.run([sys.executable, copy_app(tmp_path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert run.stderr.startswith("The configuration is broken:\nconfig/dev.yaml:1: removel is not a known key")
    assert "Traceback" not in run.stderr


def test_an_unexpected_exception_is_not_swallowed(tmp_path: Path, write: Write) -> None:
    # The configuration is sound, and the repository lacks the scripts of Glue jobs that the app packs.
    run = subprocess.run([sys.executable, copy_app(tmp_path)], capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    assert "Traceback" in run.stderr
