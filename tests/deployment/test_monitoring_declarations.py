"""Monitoring as it is deployed: its settings, what the job is told and may reach, what starts a training."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from stacks.configuration import load
from stacks.model_settings import Model
from stacks.monitoring_definition import limits_of
from stacks.monitoring_settings import cool_down_hours, is_rare, native_schedule, period_hours, silent_periods
from stacks.native_monitoring import PREPROCESSOR
from stacks.schedule_gaps import longest_gap_hours
from stacks.settings import Repository
from tests.deployment.assemblies import REPOSITORY, Template, Templates
from tests.deployment.declarations import Change, problems
from tests.deployment.permissions import permissions_of
from tests.deployment.snapshots import readable

DELAY, BLOCK = "ml_code/models/flight_delay/model.yaml", "ml_code/models/block_time/model.yaml"
NAMES = {"LakeCurated": "curated", "LakeArtifacts": "artifacts", "LakeCapture": "capture"}
SECTION = r"^monitoring:\n(.+\n)+"


def model_of(name: str, repository: Repository = REPOSITORY) -> Model:
    """A model as prod has it, which overrides the least."""
    return next(each for each in load(repository).environments[-1].models if each.name == name)


def step_of(template: Template) -> dict[str, Any]:
    (pipeline,) = [
        each for each in readable(template)["Resources"].values() if each["Type"] == "AWS::SageMaker::Pipeline"
    ]
    (step,) = pipeline["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"]["Steps"]
    return dict(step["Arguments"])


def told(template: Template) -> dict[str, Any]:
    words = step_of(template)["AppSpecification"]["ContainerArguments"]
    return dict(zip(words[::2], words[1::2], strict=True))


def resources_of(template: Template, kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in template["Resources"].values() if each["Type"] == kind]


def test_job_is_told_of_captured_requests_labels_and_the_moment_that_it_looks_from(templates: Templates) -> None:
    given = told(templates["prod/flight-delay-monitoring"])
    assert given["--endpoint"] == "prod-flight-delay"
    assert given["--captures"].startswith("s3://<")
    assert given["--ground-truth"].endswith("/ground-truth/flight_delay")
    assert given["--labels-within-hours"] == "48"
    assert given["--package"] == {"Get": "Parameters.Package"}
    assert given["--now"] == {"Get": "Execution.StartDateTime"}
    assert given["--execution"] == {"Get": "Execution.PipelineExecutionId"}
    assert given["--reports"].endswith("/flight_delay/monitoring/reports")
    assert "--predictions" not in given


def test_model_without_an_endpoint_is_watched_by_its_predictions(templates: Templates) -> None:
    given = told(templates["dev/block-time-monitoring"])
    assert given["--predictions"].endswith("/predictions/block_time")
    assert given["--manifest"].endswith("/flights/manifest.json")
    assert given["--key"] == "flight_number,route"
    assert "--endpoint" not in given


@pytest.mark.parametrize("model", ["flight-delay", "block-time"])
def test_no_argument_is_longer_than_sagemaker_takes(model: str, templates: Templates) -> None:
    step = step_of(templates[f"dev/{model}-monitoring"])
    texts = [each for each in step["AppSpecification"]["ContainerArguments"] if isinstance(each, str)]
    assert max(len(re.sub(r"<[^>]+>", "x" * 63, each)) for each in texts) <= 256
    assert step["Environment"]["METRICS_NAMESPACE"] == "mlops/Monitoring"


def test_job_reads_what_it_compares_and_writes_its_reports_alone(templates: Templates) -> None:
    template = templates["dev/flight-delay-monitoring"]
    role = permissions_of(template, "MonitorJobRole", NAMES)
    hour = "2013/08/01/10/requests.jsonl"
    places = {
        "captured": f"capture/dev-flight-delay/live/{hour}",
        "labels": f"capture/ground-truth/flight_delay/{hour}",
        "others": f"capture/dev-other/live/{hour}",
        "baseline": "artifacts/flight_delay/x/baseline/statistics.json",
        "report": "artifacts/flight_delay/monitoring/reports/2013/08/01/10/x/report.html",
        "rows": "curated/flights/load=1/day=2013-08-01/part.parquet",
    }

    def may(action: str) -> set[str]:
        return {name for name, place in places.items() if role.allows(f"s3:{action}Object", place)}

    assert may("Get") == {"captured", "labels", "baseline", "report"}
    assert may("Put") == may("Delete") == {"report"}
    assert not [each for each in role.actions() if re.search(r":(Create|Delete|Update|Start|Stop)(?!Grant|Log)", each)
                and not each.startswith("s3:")]  # fmt: skip


def test_schedule_starts_the_pipeline_itself(templates: Templates) -> None:
    (schedule,) = resources_of(templates["dev/flight-delay-monitoring"], "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "cron(0 10 * * ? *)"
    assert "pipeline/dev-flight-delay-monitoring" in json.dumps(schedule["Target"]["Arn"])


def test_drift_and_quality_retrain_and_the_other_alarms_tell_people(templates: Templates) -> None:
    template = templates["dev/flight-delay-monitoring"]
    rules = resources_of(template, "AWS::Events::Rule")
    (rule,) = [each for each in rules if each["EventPattern"]["source"] == ["aws.cloudwatch"]]
    starting = [each["Fn::GetAtt"][0] for each in rule["EventPattern"]["resources"]]
    metrics = {key: each["Properties"].get("MetricName") for key, each in template["Resources"].items()}
    assert [metrics[each] for each in starting] == ["DriftedFeatures", "QualityBroken"]
    alarms = resources_of(template, "AWS::CloudWatch::Alarm")
    assert len(alarms) == 5
    assert all("Alarms" in json.dumps(each["AlarmActions"]) for each in alarms)


def test_model_that_people_retrain_has_alarms_and_no_loop(templates: Templates) -> None:
    template = templates["dev/block-time-monitoring"]
    assert resources_of(template, "AWS::StepFunctions::StateMachine") == []
    assert "RetrainingArn" not in template["Outputs"]
    alarms = resources_of(template, "AWS::CloudWatch::Alarm")
    assert {each["MetricName"]: each["EvaluationPeriods"] for each in alarms} == {
        "DriftedFeatures": 1, "QualityBroken": 1,
    }  # fmt: skip


def test_outputs_name_what_people_and_commands_look_for(templates: Templates) -> None:
    outputs = templates["dev/flight-delay-monitoring"]["Outputs"]
    wanted = {"PipelineName", "Reports", "AlarmNames", "RetrainingArn", "DashboardName", "ScheduleName"}
    assert wanted <= set(outputs)
    assert outputs["DashboardName"]["Value"] == "mlops-dev-flight-delay"


def test_limits_say_what_is_checked_and_leave_out_what_is_not(repository: Repository, change: Change) -> None:
    found = limits_of(*(lambda model: (model, model.monitoring))(model_of("flight_delay")))  # type: ignore[arg-type]
    assert found["quality"] == {"metric": "auc", "maximum_loss": 0.05, "least_labels": 500}
    assert found["attributions"] == {"minimum_ndcg": 0.9}
    assert found["retrain"] == {"on": ["drift", "quality"], "datapoints": 2, "of": 3}
    assert [each["values"] for each in found["facets"]] == [["LGA"], ["EWR"]]
    change(
        DELAY, SECTION, "monitoring:\n  fairness: false\n  drift: {features: {seats: {psi: 0.3}}, ignore: [seats]}\n"
    )
    model = model_of("flight_delay", repository)
    assert model.monitoring
    found = limits_of(model, model.monitoring)
    assert not {"quality", "attributions", "facets"} & set(found)
    assert found["drift"] == {"psi": 0.2, "features": {"seats": {"psi": 0.3}}, "ignore": ["seats"]}


def test_native_engine_has_the_four_schedules_beside_the_job(full: Templates) -> None:
    template = full["full/flight-delay-monitoring"]
    kinds = ["DataQuality", "ModelQuality", "ModelBias", "ModelExplainability"]
    for kind in kinds:
        assert len(resources_of(template, f"AWS::SageMaker::{kind}JobDefinition")) == 1
    schedules = resources_of(template, "AWS::SageMaker::MonitoringSchedule")
    assert [each["MonitoringScheduleConfig"]["MonitoringType"] for each in schedules] == kinds
    assert template["Parameters"]["NativeSchedules"]["Default"] == "off"
    assert len(resources_of(template, "AWS::SageMaker::Pipeline")) == 1


def test_native_jobs_only_look_at_the_endpoint_that_serves(full: Templates) -> None:
    role = permissions_of(full["full/flight-delay-monitoring"], "NativeJobRole", NAMES)
    serving, others, probe = (
        f"arn:sagemaker:::endpoint/{each}"
        for each in ("full-flight-delay", "full-flight-delay-2", "monitor-full-flight-delay-1746251067")
    )

    def may(endpoint: str) -> set[str]:
        calls = ("Create", "Delete", "Describe", "Invoke", "Update")
        return {each for each in calls if role.allows(f"sagemaker:{each}Endpoint", endpoint)}

    assert may(serving) == {"Describe"}
    assert may(others) == set()
    assert may(probe) == {"Create", "Delete", "Describe", "Invoke"}
    assert role.allows("ecr:GetAuthorizationToken", "*")


def test_native_baselines_follow_releases_and_deployments_of_the_endpoint_and_the_monitor(full: Templates) -> None:
    rules = resources_of(readable(full["full/flight-delay-monitoring"]), "AWS::Events::Rule")
    following = [each for each in rules if "NativeBaselinesMachine" in json.dumps(each["Targets"])]
    deployed, released = sorted((each["EventPattern"] for each in following), key=lambda each: str(each["source"]))
    assert released["detail"]["name"] == ["/full-flight-delay-endpoint/released-version"]
    assert deployed["detail-type"] == ["CloudFormation Stack Status Change"]
    # its own update of the stack ends well or is rolled back: what is rolled back must not start it again
    assert deployed["detail"]["status-details"] == {"status": ["CREATE_COMPLETE", "UPDATE_COMPLETE"]}
    stacks = [each["prefix"].partition(":stack/")[2] for each in deployed["detail"]["stack-id"]]
    assert stacks == ["full-flight-delay-serving/", "full-flight-delay-monitoring/"]


def test_preprocessor_names_the_values_of_every_row() -> None:
    scope: dict[str, Any] = {}
    exec(PREPROCESSOR.format(features=["carrier", "origin"]), scope)

    class Record:
        class endpoint_input:
            data = "1,2\n"

    assert scope["preprocess_handler"](Record) == {"carrier": "1", "origin": "2"}
    Record.endpoint_input.data = "1,2\n3,\n"
    assert scope["preprocess_handler"](Record) == [{"carrier": "1", "origin": "2"}, {"carrier": "3", "origin": ""}]


@pytest.mark.parametrize(
    ("schedule", "hours", "rare", "native"),
    [
        ("cron(0 10 * * ? *)", 24, False, "cron(0 10 ? * * *)"),
        ("cron(0 * * * ? *)", 1, False, "cron(0 * ? * * *)"),
        ("cron(0 0/6 * * ? *)", 6, False, "cron(0 0/6 ? * * *)"),
        ("cron(30 10 * * ? *)", 24, False, None),
        ("cron(0 8-18 * * ? *)", 14, False, None),
        ("cron(0 6,18 * * ? *)", 12, False, None),
        ("cron(0 10 L * ? *)", 24, True, None),
        ("rate(240 minutes)", 4, False, None),
        ("cron(0 10 ? * MON-FRI *)", 24, False, None),
        ("cron(0 10 ? * MON *)", 24, True, None),
        ("cron(0 10 1 * ? *)", 24, True, None),
        ("rate(1 hour)", 1, False, "cron(0 * ? * * *)"),
        ("rate(6 hours)", 6, False, "cron(0 0/6 ? * * *)"),
        ("rate(5 minutes)", 1, False, None),
        ("rate(1 day)", 24, False, "cron(0 0 ? * * *)"),
        ("rate(2 days)", 24, True, None),
    ],
)
def test_schedule_decides_the_period_of_alarms(schedule: str, hours: int, rare: bool, native: str | None) -> None:
    assert period_hours(schedule) == hours
    assert is_rare(schedule) is rare
    assert native_schedule(schedule) == native


@pytest.mark.parametrize(
    ("schedule", "hours", "periods"),
    [
        ("cron(0 10 * * ? *)", 24, 2),
        ("cron(0 0/6 * * ? *)", 6, 2),
        ("cron(0,30 8-18 ? * MON-FRI *)", 62, 4),
        ("cron(0 10 ? * MON-FRI *)", 72, 4),
        ("cron(0 10 ? * FRI-MON *)", 96, 5),
        ("cron(0 10 ? * MON *)", 168, None),
        ("cron(0 10 1 * ? *)", 744, None),
        ("cron(0 10 ? * 6L *)", 744, None),
        ("cron(0 10 1 JAN,JUL ? *)", 4416, None),
        ("rate(90 minutes)", 2, 2),
        ("rate(7 days)", 168, None),
    ],
)
def test_silence_and_cool_down_last_through_the_longest_gap(schedule: str, hours: int, periods: int | None) -> None:
    assert longest_gap_hours(schedule) == hours
    assert silent_periods(schedule) == periods


def test_rare_monitor_is_waited_for(repository: Repository, change: Change) -> None:
    change(DELAY, SECTION, "monitoring:\n  schedule: rate(7 days)\n  retrain: {datapoints: 1, of: 1}\n")
    assert cool_down_hours(model_of("flight_delay", repository)) == 2 * 168
    change(DELAY, "of: 1", "of: 1, cool_down_hours: 100")
    assert any("must be at least 168" in each for each in problems(repository))


def test_cool_down_lasts_until_labels_have_come_and_an_alarm_has_seen_calm_runs() -> None:
    model = model_of("flight_delay")
    assert cool_down_hours(model) == 48 + 2 * 24 + 24  # labels, calm runs, and a day to spare


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ("schedul: rate(1 day)", r"monitoring\.schedul .*did you mean 'schedule'"),
        ("window_days: 0", r"monitoring\.window_days must be at least 1, got 0"),
        ("drift: {psi: 0}", r"monitoring\.drift\.psi must be .*0.*got 0"),
        ("drift: {ignore: [seat]}", r"ignore.* one of the model's features, got 'seat'; did you mean 'seats'"),
        ("drift: {features: {seat: {psi: 1}}}", r"features\.seat.* one of the model's features, got 'seat'; did you"),
        ("quality: {}", r"monitoring\.quality\.maximum_loss is missing; add it"),
        (
            "quality: {maximum_loss: 1, least_labels: 199}",
            r"monitoring\.quality\.least_labels:? must be at least 200: of fewer no interval is told, .* got 199",
        ),
        ("retrain: {datapoints: 4}", r"retrain\.datapoints:? must be at most of, 3, got 4"),
        ("retrain: {of: 8, datapoints: 2}", r"retrain\.of:? must be at most 7: alarms look back seven days, got 8"),
        ("retrain: {cool_down_hours: 24}", r"retrain\.cool_down_hours:? must be at least 48: so long .* got 24"),
        (
            "quality: {maximum_loss: 1}\n  retrain: {cool_down_hours: 48}",
            r"retrain\.cool_down_hours:? must be at least 96: so long .* got 48",
        ),
        ("retrain: {on: [quality]}", r"retrain\.on.* names quality, which isn't checked: add monitoring\.quality"),
        ("retrain: {on: [drift, drift]}", r"retrain\.on.* is listed twice: drift; remove one"),
        ("schedule: cron(0 10 ? * MON *)", r"retrain\.of:? must be 1 with the schedule cron.*, which is rarer"),
        ("engine: native", r"monitoring\.engine.* needs the image of a service that is closed .*native\.monitor_image"),
    ],
)
def test_setting_that_can_not_be_is_named_with_its_fix(
    repository: Repository, change: Change, settings: str, finding: str
) -> None:
    change(DELAY, SECTION, f"monitoring:\n  {settings}\n")
    found = problems(repository)
    assert any(re.search(finding, each) for each in found), found
    assert all(f"{DELAY}:" in each for each in found)


def test_model_without_requests_has_nothing_to_watch(repository: Repository, change: Change) -> None:
    change(BLOCK, r"^batch:\n(.+\n)+", "\n")
    assert any("needs requests to look at: serving" in each for each in problems(repository))


def test_native_engine_needs_an_endpoint(repository: Repository, change: Change) -> None:
    change(BLOCK, SECTION, "monitoring:\n  engine: native\n")
    assert any("needs an endpoint whose requests are captured" in each for each in problems(repository))


def test_model_without_monitoring_has_no_such_stack(repository: Repository, change: Change) -> None:
    change(BLOCK, SECTION, "\n")
    assert model_of("block_time", repository).monitoring is None
