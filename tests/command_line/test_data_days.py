"""The state of each day, from raw files and the catalog."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from dataset_job import landing as glue_landing
from dataset_job.declaration import parse
from dataset_job.storage import S3Storage
from mlops_cli.data.backfill import days_due
from mlops_cli.data.dataset import deployed_dataset
from mlops_cli.data.days import State
from mlops_cli.data.raw_files import RawFile, fingerprint, landing
from mlops_cli.deployment import DeploymentError
from tests.command_line.conftest import Account

DAY, NEXT = "2013-01-02", "2013-01-03"


def test_fingerprint_is_that_of_the_prepare_job(account: Account) -> None:
    for day in (DAY, NEXT):
        account.land(day, content=day.encode())
    account.s3.put_object(Bucket="raw", Key=f"weather/day={DAY}/_SUCCESS", Body=b"")
    columns = {"a": {"type": "string"}}
    tables = {
        "flights": {"daily": True, "columns": columns},
        "weather": {"daily": True, "days_before": 1, "columns": columns},
        "planes": {"columns": columns},
    }
    declared = parse(json.dumps({"name": "flights", "tables": tables, "prepared": {"columns": columns}}))
    theirs = glue_landing.look(S3Storage(account.s3), declared, "s3://raw")
    ours = landing(account.s3, "raw", account.dataset.daily)
    for day in map(date.fromisoformat, (DAY, NEXT)):
        assert ours.fingerprint(day) == theirs.fingerprint(day)


def test_fingerprint_ignores_the_order_and_tells_content_apart() -> None:
    one, other = RawFile("flights/day=2013-01-02/a.csv", 4, '"x"'), RawFile("flights/day=2013-01-02/b.csv", 4, '"x"')
    assert fingerprint([one, other]) == fingerprint([other, one])
    assert fingerprint([one]) != fingerprint([RawFile(one.key, 4, '"y"')])


def test_range_is_listed_with_the_earlier_days_that_its_first_day_reads(account: Account) -> None:
    for day in ("2013-01-01", DAY, NEXT):
        account.land(day)
    whole = landing(account.s3, "raw", account.dataset.daily)
    part = landing(account.s3, "raw", account.dataset.daily, (), date(2013, 1, 2), date(2013, 1, 2))
    assert part.fingerprint(date(2013, 1, 2)) == whole.fingerprint(date(2013, 1, 2))
    assert date(2013, 1, 3) not in part.days()


def test_landed_day_is_ready_when_every_table_is_there(account: Account) -> None:
    account.land(DAY, "flights")
    account.land(NEXT)
    days = account.days()
    assert (days[DAY].state, days[DAY].missing) == (State.WAITING, ["weather"])
    assert days[NEXT].state is State.READY


def test_day_waits_for_reference_tables_too(account: Account) -> None:
    account.land(DAY)
    account.s3.delete_object(Bucket="raw", Key="planes/planes.csv")
    assert account.days()[DAY].missing == ["planes"]


def test_gap_between_days_is_shown_as_absent(account: Account) -> None:
    account.land("2013-01-01")
    account.land("2013-01-04")
    states = [day.state for day in account.snapshot().days]
    assert states == [State.READY, State.ABSENT, State.ABSENT, State.READY]


def test_published_day_is_current_until_its_files_or_the_version_change(account: Account) -> None:
    for day in (DAY, NEXT):
        account.land(day)
    account.publish(DAY)
    account.publish(NEXT, version="v1")
    assert [day.state for day in account.snapshot().days] == [State.PUBLISHED, State.OUTDATED]
    account.land(DAY, "flights", content=b"a\n2\n")
    assert account.days()[DAY].state is State.CHANGED


def test_weather_that_changes_makes_the_next_day_change_as_well(account: Account) -> None:
    for day in (DAY, NEXT):
        account.land(day)
        account.publish(day) if day == DAY else None
    account.publish(NEXT)
    account.land(DAY, "weather", content=b"a\n2\n")
    assert [day.state for day in account.snapshot().days] == [State.CHANGED, State.CHANGED]


@pytest.mark.parametrize(
    ("status", "state"), [("RUNNING", State.PREPARING), ("STOPPED", State.ABANDONED), (None, State.ABANDONED)]
)
def test_claim_counts_as_long_as_its_run_lives(account: Account, status: str | None, state: State) -> None:
    account.land(DAY)
    account.stage(DAY, "claimed", run="run-b")
    if status:
        account.glue.add_run("run-b", status)
    assert account.days()[DAY].state is state


def test_held_day_is_ready_again_when_its_files_are_mended(account: Account) -> None:
    account.land(DAY)
    account.stage(DAY, "held", reason="too few rows")
    assert account.days()[DAY].state is State.HELD
    account.land(DAY, "flights", content=b"a\n2\n")
    assert account.days()[DAY].state is State.READY


def due(account: Account, redo: str) -> list[str]:
    return [day.day.isoformat() for day in days_due(account.snapshot(), redo)]


def test_backfill_takes_what_is_neither_published_nor_held_as_it_is(account: Account) -> None:
    facts: dict[str, Any] = {
        "2013-01-01": lambda day: account.publish(day),
        "2013-01-02": lambda day: account.publish(day, version="v1"),
        "2013-01-03": lambda day: account.stage(day, "held", reason="no"),
        "2013-01-04": lambda day: account.stage(day, "held", reason="no", version="v1"),
        "2013-01-05": lambda day: account.stage(day, "claimed"),
        "2013-01-06": lambda day: account.publish(day, inputs="other"),
    }
    for day in facts:
        account.land(day)
    account.land("2013-01-07", "flights")
    for day, record in facts.items():
        record(day)
    assert due(account, "outdated") == ["2013-01-02", "2013-01-04", "2013-01-05", "2013-01-06"]
    assert due(account, "changed") == ["2013-01-04", "2013-01-05", "2013-01-06"]
    assert due(account, "all") == [*facts]


def test_unknown_dataset_is_named_with_those_that_there_are(account: Account) -> None:
    with pytest.raises(DeploymentError, match="no dataset 'flihgts' in dev; there are: flights"):
        deployed_dataset(account.deployment, "flihgts")
