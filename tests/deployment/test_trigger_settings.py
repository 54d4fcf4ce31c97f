"""What starts a training by itself: which schedules are refused, with place and fix, and what each setting leads to."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stacks.configuration import load
from stacks.settings import Repository
from tests.deployment.assemblies import Templates
from tests.deployment.declarations import Change, problems

DECLARED = "ml_code/models/flight_delay/model.yaml"


@pytest.mark.parametrize(
    ("triggers", "finding"),
    [
        (
            "schedule: every day",
            r"triggers\.schedule .*cron\(0 6 \* \* \? \*\), six fields, or rate\(1 day\), got 'every",
        ),
        ("schedule: cron(0 7 * * * *)", r"triggers\.schedule:? must have a \? as either the day of month or the day"),
        ("schedule: cron(0 7 ? * ? *)", r"triggers\.schedule:? must have a \? as either"),
        ("schedule: cron(60 7 * * ? *)", r"triggers\.schedule:? has the minutes '60'; it takes numbers from 0 to 59"),
        ("schedule: cron(0 7,24 * * ? *)", r"has the hours '7,24'"),
        ("schedule: cron(0 7 ? * MO *)", r"has the day of week 'MO'"),
        ("schedule: cron(0 7 ? 0-3 MON *)", r"has the month '0-3'"),
        ("schedule: cron(0/0 7 * * ? *)", r"has the minutes '0/0'"),
        ("schedule: cron(0 7 * * ? 1969)", r"has the year '1969'"),
        ("schedule: rate(1 days)", r"triggers\.schedule:? says '1 days': one day, or several days"),
        ("schedule: rate(2 day)", r"says '2 day'"),
        ("new_data: {at_most_every_hours: 0}", r"triggers\.new_data\.at_most_every_hours must be at least 1, got 0"),
        ("new_data: {at_most_every_hours: 721}", r"at_most_every_hours must be at most 720, got 721"),
        ("new_data: {at_most_every_hour: 1}", r"at_most_every_hour .*did you mean 'at_most_every_hours'"),
        ("shedule: null", r"shedule .*did you mean 'schedule'"),
    ],
)
def test_trigger_that_can_not_be_is_named_with_its_fix(
    repository: Repository, change: Change, triggers: str, finding: str
) -> None:
    change(DECLARED, r"^training:$", f"training:\n  triggers:\n    {triggers}")
    told = problems(repository)
    assert any(re.search(finding, each) for each in told), told
    assert all(f"{DECLARED}:" in each for each in told)


@pytest.mark.parametrize(
    "schedule",
    [
        "cron(0 7 * * ? *)", "cron(0/15 6-20 ? * MON-FRI *)", "cron(0 7 L * ? *)", "cron(0 7 15W * ? 2026-2030)",
        "cron(0 7 ? JAN,JUL 2#1 *)", "cron(30 5,17 ? * 6L *)", "rate(1 hour)", "rate(12 hours)",
    ],
)  # fmt: skip
def test_schedule_that_eventbridge_takes_is_taken(repository: Repository, change: Change, schedule: str) -> None:
    change(DECLARED, r"^training:$", f"training:\n  triggers:\n    schedule: {schedule}")
    (model,) = [each for each in load(repository).environments[-1].models if each.name == "flight_delay"]
    assert model.training.triggers.schedule == schedule


def triggers_of(template: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The schedules' expressions, and the inputs with which rules start the state machine."""
    resources = template["Resources"].values()
    schedules = [each["Properties"] for each in resources if each["Type"] == "AWS::Scheduler::Schedule"]
    rules = [each["Properties"] for each in resources if each["Type"] == "AWS::Events::Rule"]
    inputs = [json.loads(target["Input"]) for rule in rules for target in rule["Targets"] if "Input" in target]
    return [each["ScheduleExpression"] for each in schedules], inputs


@pytest.mark.parametrize("model", ["flight-delay", "block-time"])
def test_models_train_daily_and_on_new_data_but_in_dev_where_half_a_year_lands_at_once(
    templates: Templates, model: str
) -> None:
    daily, new_data = ["cron(0 7 * * ? *)"], [{"trigger": "new-data", "at_most_every_hours": 24}]
    assert triggers_of(templates[f"prod/{model}-training"]) == (daily, new_data)
    assert triggers_of(templates[f"dev/{model}-training"]) == (daily, [])


def test_new_data_is_what_the_model_s_own_dataset_has_published(templates: Templates) -> None:
    resources = templates["prod/flight-delay-training"]["Resources"].values()
    (rule,) = [
        each["Properties"]
        for each in resources
        if each["Type"] == "AWS::Events::Rule" and "Input" in each["Properties"]["Targets"][0]
    ]
    assert rule["EventPattern"] == {
        "source": ["mlops.data"],
        "detail-type": ["Dataset Published"],
        "detail": {"dataset": ["flights"], "workflow": ["prod-flights"]},
    }
