"""Which days a run works on, whatever woke it: those whose files differ from what the catalog says is published."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from dataset_job.arguments import Request, WorkflowRun, parse, request_of
from dataset_job.catalog import DayRecord
from dataset_job.errors import DatasetError
from dataset_job.landing import Landing, look
from dataset_job.prepare import days_to_prepare, left_over
from dataset_job.storage import FileStorage
from tests.datasets.lake import declared

DAYS = [date(2013, 7, day) for day in (3, 4, 5)]
RUN = WorkflowRun("dev-flights", "wr_mine")


class Records:
    """The catalog's part that is asked for: what is published, staged, and which runs are at work."""

    def __init__(self) -> None:
        self.days: dict[date, DayRecord] = {}
        self.claims: dict[date, DayRecord] = {}
        self.alive = {RUN.run}

    def published(self) -> dict[date, DayRecord]:
        return self.days

    def staged(self) -> dict[date, DayRecord]:
        return self.claims

    def is_alive(self, workflow: str, run: str) -> bool:
        return run in self.alive


@pytest.fixture
def landed(tmp_path: Path) -> Landing:
    paths = ["planes/planes.csv", "airports/airports.csv"]
    paths += [f"{table}/day={day}/{table}.csv" for day in DAYS for table in ("flights", "weather")]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x\n")
    return look(FileStorage(), declared(), f"file://{tmp_path}")


@pytest.fixture
def records(landed: Landing) -> Records:
    """The first day is published as it landed, by the version v1."""
    found = Records()
    found.days[DAYS[0]] = record(landed, DAYS[0])
    return found


def record(landed: Landing, day: date, **facts: str) -> DayRecord:
    known = {"inputs": landed.fingerprint(day), "version": "v1", "load": "l1", "run": "wr_other", **facts}
    return DayRecord(day, f"s3://curated/flights/load={known['load']}/day={day}", known)


def wanted(landed: Landing, records: Records, version: str = "v1", **request: object) -> list[date]:
    return list(days_to_prepare(landed, Request(**request), records, RUN, version))  # type: ignore[arg-type]


def test_days_that_are_published_as_they_landed_are_left_alone(landed: Landing, records: Records) -> None:
    assert wanted(landed, records) == DAYS[1:]


def test_day_whose_files_changed_is_prepared_again(landed: Landing, records: Records) -> None:
    records.days[DAYS[0]] = record(landed, DAYS[0], inputs="others")
    assert wanted(landed, records) == DAYS


def test_other_code_makes_old_days_again_only_when_asked(landed: Landing, records: Records) -> None:
    assert wanted(landed, records, "v2") == DAYS[1:]
    assert wanted(landed, records, "v2", redo="outdated") == DAYS
    assert wanted(landed, records, "v1", redo="outdated") == DAYS[1:]
    assert wanted(landed, records, "v1", redo="all") == DAYS


def test_range_limits_the_days(landed: Landing, records: Records) -> None:
    assert wanted(landed, records, first_day=DAYS[2]) == [DAYS[2]]
    assert wanted(landed, records, last_day=DAYS[1]) == [DAYS[1]]


def test_day_that_another_run_is_at_work_on_is_its_own(landed: Landing, records: Records) -> None:
    records.alive.add("wr_other")
    records.claims[DAYS[1]] = record(landed, DAYS[1], state="claimed")
    assert wanted(landed, records) == [DAYS[2]]


def test_day_with_newer_files_is_taken_over_from_a_run_at_work(landed: Landing, records: Records) -> None:
    records.alive.add("wr_other")
    records.claims[DAYS[1]] = record(landed, DAYS[1], state="staged", inputs="older")
    assert wanted(landed, records) == DAYS[1:]


@pytest.mark.parametrize("state", ["claimed", "staged"])
def test_day_of_a_run_that_died_is_taken_over(landed: Landing, records: Records, state: str) -> None:
    records.claims[DAYS[1]] = record(landed, DAYS[1], state=state)
    assert wanted(landed, records) == DAYS[1:]


def test_days_that_this_run_claimed_before_it_was_retried_are_its_own(landed: Landing, records: Records) -> None:
    records.claims[DAYS[1]] = record(landed, DAYS[1], state="claimed", run=RUN.run)
    assert wanted(landed, records) == DAYS[1:]


def test_held_day_is_tried_again_when_its_files_or_the_rules_change(landed: Landing, records: Records) -> None:
    records.claims[DAYS[1]] = record(landed, DAYS[1], state="held")
    assert wanted(landed, records) == [DAYS[2]]
    assert wanted(landed, records, "v2") == DAYS[1:]
    records.claims[DAYS[1]] = record(landed, DAYS[1], state="held", inputs="older")
    assert wanted(landed, records) == DAYS[1:]


def test_correction_that_is_held_does_not_touch_what_is_published(landed: Landing, records: Records) -> None:
    records.days[DAYS[0]] = record(landed, DAYS[0], inputs="older")
    records.claims[DAYS[0]] = record(landed, DAYS[0], state="held")
    assert wanted(landed, records) == DAYS[1:]


def test_claim_that_was_left_on_a_published_day_is_no_reason_to_prepare_it(landed: Landing, records: Records) -> None:
    records.claims[DAYS[0]] = record(landed, DAYS[0], state="staged")
    assert wanted(landed, records) == DAYS[1:]


def test_held_correction_is_let_go_when_the_first_files_are_back(landed: Landing, records: Records) -> None:
    records.claims[DAYS[0]] = record(landed, DAYS[0], state="held", inputs="a bad correction")
    records.claims[DAYS[1]] = record(landed, DAYS[1], state="held")
    assert left_over(landed, records, RUN, "v1") == [records.claims[DAYS[0]]]  # type: ignore[arg-type]
    records.alive.add("wr_other")
    assert left_over(landed, records, RUN, "v1") == []  # type: ignore[arg-type]


class Properties:
    """Glue's answer about a workflow run."""

    def __init__(self, **properties: str) -> None:
        self.properties = properties

    def get_workflow_run_properties(self, *, Name: str, RunId: str) -> dict[str, dict[str, str]]:
        assert (Name, RunId) == ("dev-flights", "wr_mine")
        return {"RunProperties": self.properties}


def test_run_properties_say_the_days_and_what_is_made_again() -> None:
    given = Properties(FirstDay="2013-07-03", Redo="outdated", **{"aws:eventIds": "[a]"})
    assert request_of(given, RUN) == Request(date(2013, 7, 3), None, "outdated")
    assert request_of(Properties(), RUN) == Request(None, None, "changed")


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"FirstDay": "3 July"}, "FirstDay must be YYYY-MM-DD, got '3 July'"),
        ({"FirstDay": "2013-07-04", "LastDay": "2013-07-03"}, "FirstDay 2013-07-04 is after LastDay 2013-07-03"),
        ({"Redo": "everything"}, "Redo must be one of changed, outdated, all, got 'everything'"),
    ],
)
def test_run_properties_that_make_no_sense_are_refused(properties: dict[str, str], reason: str) -> None:
    with pytest.raises(DatasetError, match=reason):
        request_of(Properties(**properties), RUN)


def test_arguments_of_glue_are_ignored_and_missing_ones_named() -> None:
    glue = ["--JOB_NAME", "j", "--WORKFLOW_NAME", "w", "--WORKFLOW_RUN_ID", "r", "--TempDir", "s3://t"]
    assert parse([*glue, "--dataset", "flights"], "dataset")["dataset"] == "flights"
    with pytest.raises(DatasetError, match="the job's arguments miss --raw"):
        parse([*glue, "--dataset", "flights"], "dataset", "raw")
    with pytest.raises(DatasetError, match="start the workflow"):
        parse(["--dataset", "flights"], "dataset")
