"""`mlops batch`: where each day stands, how that is shown, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mlops_cli.batch import commands, view
from mlops_cli.batch.predictions import Predictions, State, predictions
from mlops_cli.deployment import Deployment, DeploymentError
from tests.command_line.conftest import OUTPUTS, Account

PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/dev-late/3"
EXECUTION = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/dev-late-batch/execution/abc"


class Pipelines:
    """SageMaker, with one execution of the pipeline."""

    def __init__(self, *executions: dict[str, Any]) -> None:
        self.executions = list(executions)

    def list_pipeline_executions(self, **asked: Any) -> dict[str, Any]:
        assert asked["PipelineName"] == "dev-late-batch"
        return {"PipelineExecutionSummaries": self.executions[:1]}


class Stacks:
    """CloudFormation, with the parameter of the batch stack."""

    def __init__(self, released: str) -> None:
        self.released = released

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:
        assert StackName == "dev-late-batch"
        return {"Stacks": [{"Parameters": [{"ParameterKey": "ModelPackageArn", "ParameterValue": self.released}]}]}


class Batch:
    """The account of the other commands' tests, with a table of predictions and what the batch stack leaves."""

    def __init__(self, account: Account, released: str = PACKAGE) -> None:
        self.account = account
        self.sagemaker, self.stacks = Pipelines(), Stacks(released)
        self.deployment: Deployment = _Deployed("dev", self)

    def client(self, service: str) -> Any:
        others = {"sagemaker": self.sagemaker, "cloudformation": self.stacks}
        return others[service] if service in others else self.account.client(service)

    def predict(self, day: str, load: str | None = None, rows: int = 900) -> None:
        notes = {
            "load": load or f"load=1/day={day}",
            "rows": f"{rows}",
            "model-package": PACKAGE,
            "predicted-at": "2013-02-03T09:00:00",
        }
        key = f"predictions/late/day={day}/predictions.parquet"
        self.account.s3.put_object(Bucket="curated", Key=key, Body=b"x", Metadata=notes)

    def found(self, catch_up_days: int = 2, first: date | None = None, last: date | None = None) -> Predictions:
        return predictions(self.deployment, "late", self.account.dataset, catch_up_days, first, last)


class _Deployed(Deployment):
    def outputs(self, stack: str) -> dict[str, str]:
        return {"data": OUTPUTS, "late-batch": {"PipelineName": "dev-late-batch"}}[stack]


@pytest.fixture
def batch(account: Account) -> Batch:
    for day in ("2013-02-01", "2013-02-02", "2013-02-03", "2013-02-04"):
        account.publish(day)
    return Batch(account)


def states(found: Predictions) -> Mapping[str, tuple[str, bool]]:
    return {f"{day.day}"[8:]: (str(day.state), day.is_due) for day in found.days}


def shown(found: Predictions, count: int = 31) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    view.show(console, found, count)
    return console.export_text()


def test_the_newest_days_are_due_until_they_are_predicted_as_they_are_published(batch: Batch) -> None:
    batch.predict("2013-02-01")
    batch.predict("2013-02-03", load="load=0/day=2013-02-03")
    assert states(batch.found()) == {
        "01": ("predicted", False),
        "02": ("missing", False),
        "03": ("changed", True),
        "04": ("missing", True),
    }
    batch.predict("2013-02-03")
    assert states(batch.found())["03"] == ("predicted", False)


def test_predictions_of_a_day_that_is_not_published_any_more_are_told(batch: Batch) -> None:
    batch.predict("2013-01-31")
    assert states(batch.found())["31"] == (State.WITHDRAWN, False)


def test_what_else_lies_there_is_no_day(batch: Batch) -> None:
    for key in ("predictions/late/day=x/predictions.parquet", "predictions/late/day=2013-01-01/part.parquet"):
        batch.account.s3.put_object(Bucket="curated", Key=key, Body=b"x")
    assert len(batch.found().days) == 4


def test_some_days_can_be_asked_for_and_due_ones_stay_those_of_all(batch: Batch) -> None:
    found = batch.found(first=date(2013, 2, 2), last=date(2013, 2, 3))
    assert states(found) == {"02": ("missing", False), "03": ("missing", True)}


def test_status_shows_version_rows_time_and_what_to_do(batch: Batch) -> None:
    batch.predict("2013-02-01")
    began = datetime(2013, 2, 3, 9, tzinfo=UTC)
    run = {"PipelineExecutionArn": EXECUTION, "PipelineExecutionStatus": "Failed", "StartTime": began}
    batch.sagemaker.executions.append(run)
    told = shown(batch.found())
    assert "late in dev  version 3  1 of 4 days predicted, 900 rows  2 due  newest run failed, 2013-02-03 09:00" in told
    lines = [line.split() for line in told.splitlines()]
    assert ["■", "2013-02-01", "900", "900", "3", "2013-02-03", "09:00:00"] in lines
    assert [line.partition("not predicted")[2].strip() for line in told.splitlines() if "not predicted" in line] == [
        "", ", due", ", due",
    ]  # fmt: skip
    assert "mlops batch run --model late --day" in told
    assert "mlops batch run" not in shown(batch.found(), count=2)
    assert "2013-02-01" not in shown(batch.found(), count=2)


def test_status_without_versions_and_days_says_so(account: Account) -> None:
    told = shown(Batch(account, released="").found())
    assert "no version is released yet" in told
    assert "no day is published yet" in told


def test_json_has_the_same(batch: Batch) -> None:
    batch.predict("2013-02-04")
    told = json.loads(json.dumps(view.as_records(batch.found())))
    assert (told["model"], told["released"], told["newest_run"]) == ("late", PACKAGE, None)
    assert told["days"][-1] == {
        "day": "2013-02-04",
        "state": "predicted",
        "due": False,
        "rows": 900,
        "predicted": 900,
        "model_package": PACKAGE,
        "predicted_at": "2013-02-03T09:00:00",
    }
    assert told["days"][0]["model_package"] is None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run", "--model", "block_time", "--to", "2013-02-01"], "--to 2013-02-01 is the last of several days"),
        (
            ["run", "--model", "block_time", "--day", "2013-02-02", "--to", "2013-02-01"],
            "--day 2013-02-02 is after --to 2013-02-01",
        ),
        (["status", "--model", "block_tim"], "no model 'block_tim' in ml_code/models"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_asked_of_aws(words: list[str], reason: str) -> None:
    told = CliRunner().invoke(commands.app, words)
    assert reason in str(told.exception)


def test_model_that_predicts_no_days_is_told_how_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> dict[str, str]:
        raise DeploymentError("the stack dev-late-batch isn't deployed")

    monkeypatch.setattr(Deployment, "outputs", missing)
    monkeypatch.setattr(commands, "declaration", lambda _: {"data": {}})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    told = CliRunner().invoke(commands.app, ["status", "--model", "late"])
    assert "late predicts no days: add `batch:` to ml_code/models/late/model.yaml and deploy" in str(told.exception)
