"""Runs of the workflow: starting, following, filling ranges of days, and waiting for what events start."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mlops_cli.commands import app
from mlops_cli.data import commands, runs
from mlops_cli.data.backfill import Backfill, Tally, chunks, days_due
from mlops_cli.data.waiting import wait_until_published
from mlops_cli.deployment import DeploymentError
from tests.command_line.conftest import Account

DAYS = [f"2013-01-{day:02}" for day in range(1, 8)]
BROKEN = "RowCount between 500 and 2000 fails"


@pytest.fixture(autouse=True)
def _here(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "Deployment", lambda *_: account.deployment)
    monkeypatch.setattr(commands, "_poll", lambda _: 0.01)
    for day in DAYS:
        account.land(day)
    account.glue.work = lambda run, properties: publish_range(account, run, properties)


def publish_range(account: Account, run: str, properties: dict[str, str], held: tuple[str, ...] = ()) -> None:
    """What a run does: the days of its range that need it."""
    for day in days_due(account.snapshot(), properties["Redo"]):
        name = day.day.isoformat()
        if properties.get("FirstDay", name) <= name <= properties.get("LastDay", name):
            if name in held:
                account.stage(name, "held", run=run, reason=BROKEN)
            else:
                account.publish(name, run=run)


def mlops(*words: str) -> Result:
    return CliRunner().invoke(app, ["data", *words])


def test_run_tells_what_it_published() -> None:
    told = mlops("run", "--from", DAYS[0], "--to", DAYS[2])
    assert told.exit_code == 0, told.output
    assert "run-0: 3 days published, 2,700 rows" in told.stdout


def test_run_that_finds_nothing_to_do_says_so() -> None:
    mlops("run")
    assert "nothing to do: every day that has landed whole is published" in mlops("run").stdout


def test_run_that_holds_a_day_back_ends_with_code_1_and_the_reason(account: Account) -> None:
    def hold_one(run: str, properties: dict[str, str]) -> None:
        publish_range(account, run, properties, held=(DAYS[3],))
        account.glue.runs[run]["Statistics"] = {"FailedActions": 1}

    account.glue.work = hold_one
    told = mlops("run")
    assert told.exit_code == 1
    assert "6 days published" in told.stdout
    assert f"held back, {DAYS[3]}: {BROKEN}" in told.stdout


def test_run_whose_job_fails_is_an_error_with_its_message_and_log_group(account: Account) -> None:
    failed = {
        "JobName": "prepare-job", "JobRunState": "FAILED", "ErrorMessage": "no code for the dataset",
        "LogGroupName": "/aws-glue/jobs/x",
    }  # fmt: skip

    def fail(run: str, _: Any) -> None:
        account.glue.runs[run] |= {
            "Statistics": {"FailedActions": 1},
            "Graph": {"Nodes": [{"JobDetails": {"JobRuns": [failed]}}]},
        }

    account.glue.work = fail
    told = mlops("run")
    assert isinstance(told.exception, DeploymentError)
    assert "prepare FAILED: no code for the dataset (log group /aws-glue/jobs/x/error)" in str(told.exception)


def test_range_in_the_wrong_order_is_refused(account: Account) -> None:
    told = mlops("run", "--from", DAYS[2], "--to", DAYS[0])
    assert "--from 2013-01-03 is after --to 2013-01-01" in str(told.exception)
    assert not account.glue.started


def test_start_waits_while_too_many_run(account: Account) -> None:
    account.glue.refusals = 2
    waited: list[None] = []
    run = runs.start(account.glue, account.dataset, None, None, "all", poll=0, waiting=lambda: waited.append(None))
    assert (run, len(waited)) == ("run-0", 2)
    assert account.glue.started == [{"Redo": "all"}]


def test_backfill_runs_over_the_days_that_need_it_only(account: Account) -> None:
    account.publish(DAYS[0])
    account.publish(DAYS[3], version="v1")
    told = mlops("backfill", "--days-per-run", "4")
    assert told.exit_code == 0, told.output
    assert "6 of 7 days need a run: 2 runs" in told.stdout
    assert sorted(each["FirstDay"] + each["LastDay"] for each in account.glue.started) == [
        DAYS[1] + DAYS[4], DAYS[5] + DAYS[6],
    ]  # fmt: skip
    assert not days_due(account.snapshot(), "outdated")


def test_backfill_started_again_takes_only_what_is_left(account: Account) -> None:
    def only_the_first(run: str, properties: dict[str, str]) -> None:
        if run == "run-0":
            publish_range(account, run, properties)
        else:
            account.glue.runs[run] |= {"Status": "ERROR", "ErrorMessage": "no capacity"}

    account.glue.work = only_the_first
    told = mlops("backfill", "--days-per-run", "3", "--concurrency", "1")
    assert told.exit_code == 1
    assert "3 days published" in told.stdout
    assert "no capacity" in told.stderr
    assert "4 days are left" in told.stderr
    account.glue.work = lambda run, properties: publish_range(account, run, properties)
    again = mlops("backfill", "--days-per-run", "31")
    assert "4 of 7 days need a run: 1 run," in again.stdout
    assert again.exit_code == 0
    assert "nothing to do" in mlops("backfill").stdout


def test_backfill_reports_held_days_and_does_not_try_them_again(account: Account) -> None:
    account.glue.work = lambda run, properties: publish_range(account, run, properties, held=(DAYS[1],))
    told = mlops("backfill")
    assert told.exit_code == 1
    assert f"held back, {DAYS[1]}: {BROKEN}" in told.stdout
    assert "nothing to do" in mlops("backfill").stdout


def test_interrupted_backfill_starts_no_more_runs_and_says_how_to_go_on(account: Account) -> None:
    started = account.glue.started

    def never_ends(run: str, _: Any) -> None:
        account.glue.runs[run]["Status"] = "RUNNING"

    account.glue.work = never_ends
    work = Backfill(account.glue, account.dataset, "outdated", concurrency=1, poll=0.01)

    def interrupt(_: Tally) -> None:
        if started:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work.run(chunks([date.fromisoformat(day) for day in DAYS], 2), interrupt)
    assert len(started) == 1


def test_runs_never_overlap_and_keep_to_their_size() -> None:
    days = [date(2013, 1, 1) + timedelta(days=2 * offset) for offset in range(10)]
    found = chunks(days[::-1], 4)
    assert [len(chunk.days) for chunk in found] == [4, 4, 2]
    assert all(one.last < other.first for one, other in pairwise(found))


def wait(account: Account, **limits: float) -> Any:
    days = [date.fromisoformat(day) for day in DAYS]
    limits = {"seconds": 5, "quiet_seconds": 0.05} | limits
    return wait_until_published(account.glue, account.dataset, days, lambda _: None, poll=0.01, **limits)


def test_wait_ends_when_every_day_is_published(account: Account) -> None:
    for day in DAYS:
        account.publish(day)
    assert len(wait(account)) == len(DAYS)


def test_wait_says_why_when_a_day_is_held(account: Account) -> None:
    account.stage(DAYS[0], "held", reason=BROKEN)
    with pytest.raises(DeploymentError, match=f"1 of 7 days: {DAYS[0]}: {BROKEN}"):
        wait(account)


def test_wait_says_that_no_event_has_started_the_workflow(account: Account) -> None:
    account.glue.runs.clear()
    with pytest.raises(DeploymentError, match="no event has started the workflow dev-flights"):
        wait(account)


def test_wait_is_bounded(account: Account) -> None:
    account.glue.add_run("run-b", "RUNNING")
    with pytest.raises(DeploymentError, match="after 0 s, 0 of 7 days are published"):
        wait(account, seconds=0.05)
