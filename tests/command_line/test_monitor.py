"""`mlops monitor`: what the runs have found, how the model stands, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from mlops_cli import jobs
from mlops_cli.deployment import Deployment, DeploymentError
from mlops_cli.monitoring import commands, watched
from mlops_cli.monitoring.reports import Reports
from tests.runtime.test_monitor_report_page import drifted, report

REPORTS = "s3://artifacts/flight_delay/monitoring/reports"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:dev-flight-delay-retraining"
PREFIX = "flight_delay/monitoring/reports"

Deploy = Callable[..., None]


@pytest.fixture(autouse=True)
def deploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    """The account of a monitored model; deploying takes the outputs of its monitoring stack."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="artifacts")

        def stack(**outputs: str) -> None:
            template = {
                "Resources": {"Alarms": {"Type": "AWS::SNS::Topic"}},
                "Outputs": {name: {"Value": value} for name, value in outputs.items()},
            }
            boto3.client("cloudformation").create_stack(
                StackName="dev-flight-delay-monitoring", TemplateBody=json.dumps(template)
            )

        yield stack


@pytest.fixture
def deployed(deploy: Deploy) -> None:
    deploy(PipelineName="dev-flight-delay-monitoring", Reports=REPORTS, AlarmNames="drift,quality")


def leave(hour: str, execution: str, content: dict[str, Any]) -> None:
    """What a run of the monitor leaves."""
    s3, folder = boto3.client("s3"), f"{PREFIX}/{hour}/{execution}"
    s3.put_object(Bucket="artifacts", Key=f"{folder}/report.json", Body=json.dumps(content))
    s3.put_object(Bucket="artifacts", Key=f"{folder}/report.html", Body=f"the page of {execution}")
    s3.put_object(Bucket="artifacts", Key=f"{PREFIX}/latest.json", Body="{}")


def run(*words: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(commands.app, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.mark.usefixtures("deployed")
def test_history_tells_verdict_features_and_quality_the_newest_first() -> None:
    leave("2026/11/30/10", "late", drifted())
    leave("2026/12/01/09", "calm", report())
    leave("2026/12/01/10", "newest", report(status="no_traffic", rows=0, features=[], quality=None))
    found = json.loads(run("history", "flight_delay", "--json"))
    assert [(each["execution"], each["status"], each["moved"]) for each in found] == [
        ("newest", "no_traffic", []),
        ("calm", "calm", []),
        ("late", "drifted", ["temperature"]),
    ]
    assert found[0]["quality"] is None
    assert found[1]["quality"] == {"metric": "auc", "value": 0.752, "loss": 0.009, "broken": False}
    lines = [line.split() for line in run("history", "flight_delay").splitlines()]
    assert lines[1][:3] == ["2026-12-01", "10h", "2013-07-01"]
    assert lines[3][5:9] == ["drifted", "6,304", "7", "temperature"]
    assert len(run("history", "flight_delay", "--most", "1").splitlines()) == 2


@pytest.mark.usefixtures("deployed")
def test_a_look_at_another_time_says_nothing_of_how_things_stand() -> None:
    leave("2026/12/01/10", "daily", drifted() | {"looks_back": False})
    leave("2026/12/01/11", "look", report(looks_back=True))
    found = json.loads(run("status", "flight_delay", "--json"))["report"]
    assert (found["execution"], found["status"]) == ("daily", "drifted")
    assert "calm, a look back" in run("history", "flight_delay")


@pytest.mark.usefixtures("deployed")
def test_the_newest_page_is_copied_or_that_of_a_run(tmp_path: Path) -> None:
    leave("2026/11/30/10", "late", drifted())
    leave("2026/12/01/10", "calm", report())
    page = tmp_path / "page.html"
    told = run("report", "flight_delay", "--page", str(page))
    assert page.read_text() == "the page of calm"
    assert f"{page}: calm, 6,304 rows, 2013-07-01 10:00 to 2013-07-08 10:00 UTC" in told
    run("report", "flight_delay", "--page", str(page), "--execution", "late")
    assert page.read_text() == "the page of late"
    with pytest.raises(DeploymentError, match="the execution other left no report"):
        run("report", "flight_delay", "--page", str(page), "--execution", "other")


@pytest.mark.usefixtures("deployed")
def test_a_monitor_that_has_not_run_says_what_starts_it() -> None:
    assert "has not run yet: `mlops monitor run flight_delay`" in run("history", "flight_delay")
    assert "no run yet: `mlops monitor run flight_delay` starts one" in run("status", "flight_delay")
    with pytest.raises(DeploymentError, match="mlops monitor run flight_delay"):
        run("report", "flight_delay")


def test_what_is_not_monitored_is_told_how_it_would() -> None:
    with pytest.raises(DeploymentError, match="flight_delay isn't monitored: add `monitoring:`"):
        run("status", "flight_delay")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run", "flight_delay", "--start", "2026-12-02", "--end", "2026-12-01"], "is not before --end"),
        (["status", "flight_dela"], "no model 'flight_dela' in ml_code/models"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_asked_of_aws(words: list[str], reason: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        run(*words)


@pytest.mark.usefixtures("deployed")
def test_a_run_takes_its_window_and_tells_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    def run_pipeline(sagemaker: Any, name: str, parameters: dict[str, str], report: Any, poll: float) -> str:
        asked.append({"pipeline": name, **parameters})
        leave("2026/12/01/11", "abc", drifted())
        return "arn:aws:sagemaker:us-east-1:123456789012:pipeline/dev-flight-delay-monitoring/execution/abc"

    monkeypatch.setattr(jobs, "run_pipeline", run_pipeline)
    told = run("run", "flight_delay", "--start", "2026-11-24T06:30")
    assert asked == [{"pipeline": "dev-flight-delay-monitoring", "Start": "2026-11-24T06:30:00+00:00", "End": "now"}]
    assert "temperature is warmer than in training" in told
    assert "next: The alarm starts a training." in told


def test_status_shows_alarms_and_the_retraining_that_they_started(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(PipelineName="p", Reports=REPORTS, AlarmNames="drift,quality,gone", RetrainingArn=MACHINE)
    leave("2026/12/01/10", "late", drifted())
    cloudwatch = boto3.client("cloudwatch")
    for name, metric in (("quality", "QualityLoss"), ("drift", "DriftedFeatures"), ("someone else's", "m")):
        cloudwatch.put_metric_alarm(
            AlarmName=name, ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, MetricName=metric,
            Namespace="n", Period=60, Statistic="Sum", Threshold=1,
        )  # fmt: skip
    for name, state in (("drift", "ALARM"), ("quality", "OK")):
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="2 of 3")
    loop = watched.Retraining(
        f"{MACHINE}:1", "RUNNING", datetime(2026, 12, 1, 10, 5, tzinfo=UTC), None, {}
    )  # fmt: skip
    monkeypatch.setattr(watched, "newest_retraining", lambda states, machine: loop)
    told = json.loads(run("status", "flight_delay", "--json"))
    assert [(each["name"], each["state"]) for each in told["alarms"]] == [("drift", "ALARM"), ("quality", "OK")]
    assert [each["cause"] for each in told["alarms"]] == ["drift", "quality"]
    assert told["report"]["moved"] == ["temperature"]
    assert told["retraining"]["status"] == "RUNNING"
    text = run("status", "flight_delay")
    assert "drifted  6,304 rows, 2013-07-01 10:00 to 2013-07-08 10:00, version 7, auc 0.752" in text
    assert "temperature is warmer than in training" in text
    assert "goes on since 2026-12-01 10:05" in text


def test_a_retraining_that_was_given_up_tells_each_attempt(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(PipelineName="p", Reports=REPORTS, AlarmNames="", RetrainingArn=MACHINE)
    attempts = [
        {"outcome": "rejected", "reason": "auc 0.64 is under 0.65", "training": "arn:a"},
        {"outcome": "waiting", "reason": "version 4 waits for its approval", "training": "arn:b"},
    ]
    ended = datetime(2026, 12, 1, 10, 5, tzinfo=UTC)
    loop = watched.Retraining("e", "SUCCEEDED", ended, ended, {"outcome": "given up", "attempts": attempts})
    monkeypatch.setattr(watched, "newest_retraining", lambda states, machine: loop)
    text = run("status", "flight_delay")
    assert "given up, 2026-12-01 10:05" in text
    assert "attempt 1: rejected, auc 0.64 is under 0.65" in text
    assert "attempt 2: waiting, version 4 waits for its approval" in text


def test_an_alarm_of_a_formula_is_on_what_its_metrics_are() -> None:
    def metric(name: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": "n", "MetricName": name}, "Period": 3600, "Stat": "Maximum"}
        return {"Id": name.lower(), "MetricStat": stat, "ReturnData": False}

    formula = {"Id": "seen", "Expression": "IF(cpu > 0, FILL(recentrows, 0))", "ReturnData": True}
    cloudwatch = boto3.client("cloudwatch")
    for name, metrics in (("quiet", ["CPU", "RecentRows"]), ("own", ["CPU"])):
        cloudwatch.put_metric_alarm(
            AlarmName=name, ComparisonOperator="LessThanThreshold", EvaluationPeriods=2, Threshold=1,
            Metrics=[formula, *map(metric, metrics)],
        )  # fmt: skip
    assert [each.cause for each in watched.alarms(cloudwatch, ["quiet", "own"])] == ["silence", "own"]


class Loop:
    """Step Functions with executions of the retraining loop: status and output of each, the newest first."""

    def __init__(self, *executions: tuple[str, dict[str, Any]]) -> None:
        self.executions = executions

    def list_executions(self, *, stateMachineArn: str, maxResults: int) -> dict[str, Any]:
        began = datetime(2026, 12, 1, tzinfo=UTC)
        return {
            "executions": [
                {"executionArn": str(number), "status": status, "startDate": began}
                for number, (status, _) in enumerate(self.executions)
            ]
        }

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:
        status, told = self.executions[int(executionArn)]
        return told if status == "FAILED" else {"output": json.dumps(told)} if status == "SUCCEEDED" else {}


def test_of_retrainings_the_one_that_works_counts_and_those_that_joined_it_do_not() -> None:
    joined, calm = ("SUCCEEDED", {"outcome": "joined"}), ("SUCCEEDED", {"outcome": "calm"})
    found = watched.newest_retraining(Loop(joined, ("RUNNING", {}), calm), MACHINE)
    assert found is not None
    assert (found.execution, found.status) == ("1", "RUNNING")
    found = watched.newest_retraining(Loop(joined, joined, calm, ("FAILED", {})), MACHINE)
    assert found is not None
    assert found.told == {"outcome": "calm"}
    found = watched.newest_retraining(Loop(("FAILED", {"error": "Refused", "cause": "no data"})), MACHINE)
    assert found is not None
    assert found.told == {"error": "Refused", "reason": "no data"}
    assert watched.newest_retraining(Loop(joined), MACHINE) is None


@pytest.mark.usefixtures("deployed")
def test_what_else_lies_there_is_no_report() -> None:
    for key in ("2026/12/01/10/report.json", "x/12/01/10/abc/report.json", "2026/12/01/10/abc/sub/report.json"):
        boto3.client("s3").put_object(Bucket="artifacts", Key=f"{PREFIX}/{key}", Body=b"x")
    reports = Reports(Deployment("dev", boto3.session.Session()), "flight_delay")
    assert reports.newest(5) == []
    leave("2026/12/01/11", "cut", {})
    boto3.client("s3").put_object(Bucket="artifacts", Key=f"{PREFIX}/2026/12/01/11/cut/report.json", Body=b"{")
    with pytest.raises(DeploymentError, match=r"cut/report\.json is no JSON"):
        reports.newest(5)
