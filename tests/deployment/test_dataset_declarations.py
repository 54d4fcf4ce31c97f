"""dataset.yaml, and what models say about datasets: every mistake is told at synth, with its line and the fix."""

from __future__ import annotations

import re
import shutil

import pytest

from stacks.configuration import load
from stacks.settings import Repository
from tests.deployment.declarations import Change, problems

DATASET = "ml_code/datasets/flights/dataset.yaml"
ETL = "ml_code/datasets/flights/etl.py"
CLASSIFIER = "ml_code/models/flight_delay/model.yaml"
REGRESSION = "ml_code/models/block_time/model.yaml"


def test_the_dataset_of_flights_is_read_with_its_defaults(repository: Repository) -> None:
    (dataset,) = load(repository).environments[1].datasets
    assert dataset.daily_tables == ["flights", "weather"]
    assert (dataset.etl.workers, dataset.etl.flex, dataset.trigger.batch_size) == (2, False, 100)
    assert (dataset.trigger.window_seconds, dataset.checks.parallel) == (300, 25)


def test_a_dataset_is_overridden_for_one_environment_only(repository: Repository) -> None:
    windows = [each.datasets[0].trigger.window_seconds for each in load(repository).environments]
    assert windows == [5, 300, 300]


def test_jobs_are_told_what_is_declared_and_nothing_about_machines(repository: Repository) -> None:
    (dataset,) = load(repository).environments[0].datasets
    told = dataset.declaration()
    assert set(told) == {"name", "tables", "prepared", "quarantine"}
    assert list(told["tables"]["flights"]["columns"])[:3] == ["year", "month", "day"]
    assert told["tables"]["weather"]["days_before"] == 1


@pytest.mark.parametrize(
    ("pattern", "new", "finding"),
    [
        (
            r"type: int, required",
            "type: integer, required",
            r"tables\.flights\.columns\.year\.type must be as int: one of string, .*, got 'integer'",
        ),
        (r"type: int, required", "type: 'decimal(5)', required", r"columns\.year\.type must be as int: one of"),
        (r"type: int, required", "typ: int, required", r"columns\.year\.type is missing; add it"),
        (r"description: Local date of the scheduled departure", "unit: day", r"year\.description is missing"),
        (
            r"key: \[year, month",
            "key: [yaer, month",
            r"tables\.flights\.key\[0\]: 'yaer' is no column of the table",
        ),
        (r"key: \[flight_number,", "key: [number,", r"prepared\.key\[0\]: 'number' is no column of the table"),
        (
            r"^    late: \{",
            "    day: {",
            r"prepared\.columns\.day: is the partition key, which every prepared table has; remove it",
        ),
        (r"^    daily: true.*\n", "", r"tables\.flights\.day: needs daily: true; add it, or remove day"),
        (r"maximum_percent: 1", "maximum_percent: 101", r"quarantine\.maximum_percent must be at most 100, got 101"),
        (r"^owner: .*\n", "", r"owner is missing; add it"),
        (r"^name: flights", "name: flight", r"name must be the folder's, 'flights', got 'flight'"),
        (r"^rules:\n(  - .*\n)+", "rules: []\n", r"rules must have at least 1 entries, got an empty list"),
        (r"^first_day: .*", "first_day: 2013-01-01", r"first_day must be text, got 2013-01-01; put it in"),
        (
            r"^trigger:\n.*\n",
            "trigger: {batch_size: 101, window_seconds: 0}\n",
            r"trigger\.batch_size must be at most 100, got 101",
        ),
        (
            r"^trigger:\n.*\n",
            "trigger: {schedule: daily}\n",
            r"trigger\.schedule must be as cron\(0 6 .*, got 'daily'",
        ),
        (
            r"^quarantine:",
            "etl: {worker_type: G.4X, flex: true}\nquarantine:",
            r"etl\.flex: takes workers of type G\.1X or G\.2X alone; change worker_type",
        ),
        (r"^quarantine:", "etl: {workers: 1}\nquarantine:", r"etl\.workers must be at least 2, got 1"),
    ],
)
def test_mistake_in_a_dataset_is_named_with_its_line(
    repository: Repository, change_first: Change, pattern: str, new: str, finding: str
) -> None:
    change_first(DATASET, pattern, new)
    found = problems(repository)
    assert re.match(rf"{re.escape(DATASET)}:\d+: .*{finding}", found[0]), found


def test_a_dataset_in_which_nothing_lands_by_day_is_refused(repository: Repository, change_first: Change) -> None:
    for _ in range(2):
        change_first(DATASET, r"^    daily: true.*\n", "")
        change_first(DATASET, r"^    day: make_date.*\n", "")
    change_first(DATASET, r"^    days_before.*\n", "")
    (found,) = problems(repository)
    assert "tables: has no table with daily: true, so that nothing would start a preparation" in found


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        ("RowCuont > 1", "'RowCuont > 1' must start with a type of rule, as RowCount; did you mean 'RowCount'?"),
        ("RowCount >", "'RowCount >' ends before its value"),
        ('IsComplete "route', "has a quote that doesn't close"),
        ('ColumnValues "weekday" in [1, 2', "has a '[' without its other half"),
        ('ColumnValues "weekday" in 1, 2]', "has a ']' without its other half"),
        ("IsComplete route", "must name its column in double quotes, as IsComplete"),
        ('IsComplete "ruote"', "'ruote' is no column of the prepared table; did you mean 'route'?"),
        ('(RowCount > 1) and (IsComplete "ruote")', "'ruote' is no column of the prepared table; did you mean"),
        ("(RowCount > 1) xor (RowCount > 2)", "must join rules in parentheses by and, or"),
        (
            'ReferentialIntegrity "route" "airprots.name" = 1.0',
            "'airprots' is no reference table of the dataset; did you mean 'airports'?",
        ),
        ('Uniqueness "route" "fligth_number" = 1.0', "'fligth_number' is no column of the prepared table; did you"),
    ],
)
@pytest.mark.parametrize(
    ("file", "place"), [(DATASET, "rules[0]"), (CLASSIFIER, "data.rules[0]"), (REGRESSION, "data.rules[0]")]
)
def test_broken_rule_is_named_with_its_line(
    repository: Repository, change_first: Change, rule: str, finding: str, file: str, place: str
) -> None:
    change_first(file, r"^( *)rules:\n", rf"\1rules:\n\1  - '{rule}'\n")
    (found,) = problems(repository)
    line = (repository.root / file).read_text().splitlines().index(next(
        each for each in (repository.root / file).read_text().splitlines() if rule in each
    )) + 1  # fmt: skip
    assert found.startswith(f"{file}:{line}: {place}: ")
    assert finding in found


@pytest.mark.parametrize(
    "rule",
    [
        "RowCount > 100",
        'ColumnValues "route" in ["EWR-IAH", "JFK-LAX"]',
        'ColumnValues "late" in [0, 1] where "late is not null"',
        'CustomSql "select count(*) from primary where distance > 0" > 0',
        'Completeness "seats" > 0.4 with threshold > 0.9',
        '(RowCount > 1) or ((IsComplete "route") and (ColumnValues "route" matches "(EWR|JFK)-.*"))',
        'ReferentialIntegrity "route" "airports.name" < 1.0',
    ],
)
def test_rule_that_glue_takes_passes(repository: Repository, change_first: Change, rule: str) -> None:
    change_first(DATASET, r"^rules:\n", f"rules:\n  - '{rule}'\n")
    assert load(repository)


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("def prepare(spark, tables, days): ...\n", "must have the function `def transform(spark, tables, days)`"),
        (
            "def transform(spark, tables): ...\n",
            "transform must take (spark, tables, days), got (spark, tables)",
        ),
        ("def transform(:\n", "must have the function `def transform(spark, tables, days)`"),
    ],
)
def test_code_without_the_function_that_prepares_is_named(repository: Repository, code: str, finding: str) -> None:
    (repository.root / ETL).write_text(code)
    assert problems(repository) == [f"{ETL}: {finding}"]


def test_missing_code_of_a_dataset_is_named(repository: Repository) -> None:
    (repository.root / ETL).unlink()
    assert problems(repository) == [f"{ETL}: the file is missing; create it with `def transform(spark, tables, days)`"]


@pytest.mark.parametrize(
    ("file", "gate", "finding"),
    [
        (
            CLASSIFIER,
            "{metric: acu, minimum: 0.7}",
            "gate.metric: must be one of auc, .*, got 'acu'; did you mean 'auc'?",
        ),
        (CLASSIFIER, "{metric: mae, maximum: 14}", "gate.metric: must be one of auc, accuracy, .*, got 'mae'"),
        (CLASSIFIER, "{metric: auc}", "gate: needs minimum, the auc that still passes; add it"),
        (CLASSIFIER, "{metric: auc, minimum: 70}", "gate.minimum: must be from 0 to 1, as auc is"),
        (
            CLASSIFIER,
            "{metric: auc, maximum: 0.7}",
            "gate.maximum: bounds auc on the wrong side, of which more is better; set minimum instead",
        ),
        (CLASSIFIER, "{metric: auc, minimum: 0.7, maximum: 0.8}", "gate.maximum: bounds auc on the wrong side"),
        (REGRESSION, "{metric: auc, minimum: 0.7}", "gate.metric: must be one of mae, mse, rmse, r2, got 'auc'"),
        (
            REGRESSION,
            "{metric: mae, minimum: 14}",
            "gate.minimum: bounds mae on the wrong side, of which less is better; set maximum instead",
        ),
        (REGRESSION, "{metric: r2, maximum: 0.5}", "gate.maximum: bounds r2 on the wrong side, of which more is"),
        (REGRESSION, "{metric: rmse, maximum: -1}", "gate.maximum must be at least 0, got -1"),
    ],
)
def test_gate_that_does_not_fit_the_problem_is_refused(
    repository: Repository, change_first: Change, file: str, gate: str, finding: str
) -> None:
    change_first(file, r"^gate:\n(  .*\n)+", f"gate: {gate}\n")
    found = problems(repository)
    assert re.match(rf"{re.escape(file)}:\d+: {finding.replace('?', '[?]')}", found[0]), found


@pytest.mark.parametrize("gate", ["{metric: r2, minimum: 0.5}", "{metric: rmse, maximum: 20}"])
def test_bound_on_the_right_side_passes(repository: Repository, change_first: Change, gate: str) -> None:
    change_first(REGRESSION, r"^gate:\n(  .*\n)+", f"gate: {gate}\n")
    assert load(repository)


def test_two_datasets_with_the_same_raw_table_are_refused(repository: Repository, change_first: Change) -> None:
    shutil.copytree(repository.datasets / "flights", repository.datasets / "trips")
    change_first("ml_code/datasets/trips/dataset.yaml", "^name: flights", "name: trips")
    change_first("config/platform.yaml", r"datasets: \[flights\]", "datasets: [flights, trips]")
    tables = ("flights", "weather", "planes", "airports")
    assert problems(repository) == [
        f"config/platform.yaml:5: datasets[1]: the table 'raw_{table}' belongs to the dataset 'flights' too; rename one"
        for table in tables
    ]


def test_a_dataset_named_like_a_folder_of_predictions_is_refused(repository: Repository, change_first: Change) -> None:
    shutil.move(repository.datasets / "flights", repository.datasets / "predictions")
    change_first("ml_code/datasets/predictions/dataset.yaml", "^name: flights", "name: predictions")
    change_first("config/platform.yaml", r"datasets: \[flights\]", "datasets: [predictions]")
    assert any(
        "'predictions' is the folder of predictions; choose another name" in each for each in problems(repository)
    )


def test_all_broken_rules_are_told_at_once(repository: Repository, change_first: Change) -> None:
    change_first(DATASET, "- RowCount between", "- RowCuont between")
    change_first(DATASET, 'IsComplete "route"', 'IsComplete "rout"')
    first, second = problems(repository)
    start = "ml_code/datasets/flights/dataset.yaml:[0-9]+: rules"
    assert re.match(rf"{start}\[0\]: 'RowCuont .*did you mean 'RowCount'", first)
    assert re.match(rf"{start}\[2\]: .*'rout' is no column", second)
