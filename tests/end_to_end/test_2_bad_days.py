"""Days that come wrong, twice, late or in pieces: the events of their landing alone decide, and nothing bad is read."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import polars as pl
import pytest

from mlops_cli.flights import daily_table
from tests.end_to_end.conftest import Platform

DATABASE, TABLE, WORKFLOW = "mlops_dev", "flights", "dev-flights"
SECONDS = 240
SEPTEMBER = [date(2013, 9, day) for day in range(1, 31)]
Text = Callable[[str], str | bytes]


def column(name: str, value: str) -> Text:
    """Every row's value of a column replaced."""

    def change(text: str) -> str:
        header, *rows = text.splitlines()
        position = header.split(",").index(name)
        changed = [row.split(",") for row in rows]
        for row in changed:
            row[position] = value
        return "\n".join([header, *(",".join(row) for row in changed)]) + "\n"

    return change


def without(name: str) -> Text:
    """The file without a column."""

    def change(text: str) -> str:
        rows = [row.split(",") for row in text.splitlines()]
        position = rows[0].index(name)
        return "\n".join(",".join(row[:position] + row[position + 1 :]) for row in rows) + "\n"

    return change


def with_column(name: str) -> Text:
    return lambda text: "\n".join(f"{row},{'A1' if number else name}" for number, row in enumerate(text.splitlines()))


def some_rows_again(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([*lines, *lines[1:6]]) + "\n"


def in_latin_1(text: str) -> bytes:
    lines = text.splitlines()
    lines[5] = lines[5].replace(",EWR,", ",\u00cbWR,").replace(",JFK,", ",J\u00cbK,").replace(",LGA,", ",LG\u00c4,")
    return "\n".join(lines).encode("latin-1") + b"\n"


HELD: Mapping[str, tuple[Text, str]] = {
    "without a column": (without("distance"), "the header misses distance"),
    "of the wrong types": (column("sched_dep_time", "noon"), "rows of flights are bad (100.0 %, at most 1 % may be)"),
    "half there": (lambda text: text[: len(text) // 2], "the file ends in the middle of a row"),
    "half there to a line": (
        lambda text: "\n".join(text.splitlines()[:450]) + "\n",
        "RowCount between 500 and 2000 (dev-flights)",
    ),
    "empty": (lambda _: "", "the file is empty, it doesn't even have a header"),
    "without rows": (lambda text: text.splitlines()[0] + "\n", "RowCount between 500 and 2000 (dev-flights)"),
    "in UTF-16": (lambda text: text.encode("utf-16"), "the header isn't UTF-8 text"),
    "always late": (column("arr_delay", "300"), 'Mean "late" between'),
    "of another day": (lambda _: daily_table("flights").csv(date(2013, 12, 1)), "the row is of 2013-12-01"),
}
PUBLISHED: Mapping[str, tuple[Text, int, str]] = {
    "with a column more": (with_column("gate"), 0, "not declared, so ignored: gate"),
    "with rows twice": (some_rows_again, 5, "the row is there already"),
    "in Latin-1": (in_latin_1, 1, "the row isn't UTF-8 text"),
    "as it should be": (lambda text: text, 0, ""),
}
DAY_OF = dict(zip([*HELD, *PUBLISHED], SEPTEMBER, strict=False))


class Days:
    """The dataset as its catalog shows it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.glue, self.s3 = platform.client("glue"), platform.client("s3")
        self.raw = platform.output("data", "RawBucketName")

    def land(self, day: date, change: Text = lambda text: text, name: str = "flights.csv") -> None:
        text = change(daily_table("flights").csv(day))
        body = text.encode() if isinstance(text, str) else text
        self.s3.put_object(Bucket=self.raw, Key=f"flights/day={day}/{name}", Body=body)

    def land_weather(self, day: date) -> None:
        body = daily_table("weather").csv(day).encode()
        self.s3.put_object(Bucket=self.raw, Key=f"weather/day={day}/weather.csv", Body=body)

    def published(self) -> dict[date, dict[str, Any]]:
        return self._partitions(TABLE)

    def staged(self) -> dict[date, dict[str, Any]]:
        return self._partitions(f"{TABLE}_staged")

    def _partitions(self, table: str) -> dict[date, dict[str, Any]]:
        pages = self.glue.get_paginator("get_partitions").paginate(DatabaseName=DATABASE, TableName=table)
        return {
            date.fromisoformat(each["Values"][0]): each["Parameters"]
            | {"location": each["StorageDescriptor"]["Location"]}
            for page in pages
            for each in page["Partitions"]
        }

    def running(self) -> list[dict[str, Any]]:
        return [run for run in self.glue.get_workflow_runs(Name=WORKFLOW)["Runs"] if run["Status"] == "RUNNING"]

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Wait until something holds and no run is at work."""
        deadline = time.monotonic() + SECONDS
        while not (until() and not self.running()):
            assert time.monotonic() < deadline, f"{what}: {self.staged()}"
            time.sleep(0.5)

    def decided(self, *days: date) -> bool:
        published, staged = self.published(), self.staged()
        return all(staged[day]["state"] == "held" if day in staged else day in published for day in days)

    def rows(self, day: date) -> pl.DataFrame:
        """The published rows of a day, through the manifest."""
        bucket = self.platform.output("data", "CuratedBucketName")
        manifest = json.loads(self.s3.get_object(Bucket=bucket, Key=f"{TABLE}/manifest.json")["Body"].read())
        keys = [key for key in manifest[1:] if f"day={day}/" in key]
        return pl.concat(
            pl.read_parquet(io.BytesIO(self.s3.get_object(Bucket=bucket, Key=f"{TABLE}/{key}")["Body"].read()))
            for key in keys
        )

    def quarantined(self, day: date) -> pl.DataFrame:
        bucket = self.platform.output("data", "QuarantineBucketName")
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=f"{TABLE}/day={day}/").get("Contents", [])
        return pl.concat(
            pl.read_parquet(io.BytesIO(self.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()))
            for each in found
        )


@pytest.fixture(scope="module")
def days(platform: Platform) -> Days:
    """September, every day of it wrong in its way, landed in one go and decided by the events of its landing alone."""
    found = Days(platform)
    runs = len(found.glue.get_workflow_runs(Name=WORKFLOW)["Runs"])
    for day in DAY_OF.values():
        found.land_weather(day)
    # newest first: the order doesn't matter
    for what, day in reversed(DAY_OF.items()):
        found.land(day, (HELD.get(what) or PUBLISHED[what])[0])
    found.wait(lambda: found.decided(*DAY_OF.values()), "September")
    assert len(found.glue.get_workflow_runs(Name=WORKFLOW)["Runs"]) > runs
    return found


@pytest.mark.parametrize("what", HELD)
def test_day_is_held_with_the_reason(what: str, days: Days) -> None:
    day = DAY_OF[what]
    assert day not in days.published()
    assert HELD[what][1] in days.staged()[day]["reason"]


@pytest.mark.parametrize("what", PUBLISHED)
def test_day_is_published_and_what_was_wrong_is_told(what: str, days: Days) -> None:
    _, quarantined, told = PUBLISHED[what]
    day = DAY_OF[what]
    record = days.published()[day]
    flights = len(daily_table("flights").days[day])
    rows = flights - quarantined if what == "in Latin-1" else flights
    assert (int(record["recordCount"]), int(record["quarantined"])) == (rows, quarantined)
    assert days.rows(day).height == rows
    assert days.rows(day).select("flight_number", "route").n_unique() == rows
    assert told in record["reasons"] + record["notes"]
    passed, _, total = record["rules"].partition("/")
    assert passed == total != "0"


def test_rows_in_quarantine_are_the_lines_that_came(days: Days) -> None:
    day = DAY_OF["with rows twice"]
    landed = days.s3.get_object(Bucket=days.raw, Key=f"flights/day={day}/flights.csv")["Body"].read().decode()
    bad = days.quarantined(day)
    assert sorted(bad["row"]) == sorted(landed.splitlines()[1:6])
    assert set(bad["source_table"]) == {"flights"}
    assert days.quarantined(DAY_OF["of the wrong types"]).height == len(
        daily_table("flights").days[DAY_OF["of the wrong types"]]
    )


def test_held_days_fail_the_run_with_their_reasons_and_reach_the_alarm(days: Days) -> None:
    runs = days.glue.get_workflow_runs(Name=WORKFLOW)["Runs"]
    assert any(run["Statistics"]["FailedActions"] for run in runs)
    job = days.platform.output("data", "FlightsPublishJobName")
    messages = [run.get("ErrorMessage", "") for run in days.glue.get_job_runs(JobName=job)["JobRuns"]]
    assert any(f"held back, {len(HELD)} days: {DAY_OF['without a column']}: s3://" in message for message in messages)
    rules = days.platform.client("events").list_rules()["Rules"]
    patterns = [json.loads(rule["EventPattern"]) for rule in rules if "EventPattern" in rule]
    assert any(job in pattern.get("detail", {}).get("jobName", []) for pattern in patterns)


def test_status_tells_what_is_held_and_why(days: Days) -> None:
    told = days.platform.run(["mlops", "data", "status", "--from", "2013-09-01"]).stdout
    assert "held" in told
    assert str(DAY_OF["always late"]) in told
    assert 'Mean "late"' in told


def test_same_day_landed_again_is_not_prepared_again(days: Days) -> None:
    day = DAY_OF["as it should be"]
    before, runs = days.published()[day], len(days.glue.get_workflow_runs(Name=WORKFLOW)["Runs"])
    days.land(day)
    days.wait(lambda: len(days.glue.get_workflow_runs(Name=WORKFLOW)["Runs"]) > runs, "the run of the same day")
    assert days.published()[day] == before


def test_corrected_and_late_files_replace_their_days_alone(days: Days) -> None:
    """A held day gets its file again, a published day a late file beside the first, and another one fewer rows."""
    corrected, late, shorter = DAY_OF["empty"], DAY_OF["with a column more"], DAY_OF["as it should be"]
    before = days.published()
    header, *rows = daily_table("flights").csv(late).splitlines()
    days.land(corrected)
    numbers = [row.split(",") for row in rows[:3]]
    for number in numbers:
        number[10] = str(int(number[10]) + 7000)
    late_file = "\n".join([header, *(",".join(row) for row in numbers)]) + "\n"
    days.land(late, lambda _: late_file, "late.csv")
    days.land(shorter, lambda text: "\n".join(text.splitlines()[:-9]) + "\n")
    days.wait(
        lambda: corrected in days.published() and days.published()[shorter]["load"] != before[shorter]["load"],
        "the corrected days",
    )
    after = days.published()
    counts = {day: len(daily_table("flights").days[day]) for day in (corrected, late, shorter)}
    assert int(after[corrected]["recordCount"]) == counts[corrected] == days.rows(corrected).height
    assert int(after[late]["recordCount"]) == counts[late] + 3 == days.rows(late).height
    assert int(after[shorter]["recordCount"]) == counts[shorter] - 9 == days.rows(shorter).height
    untouched = set(before) - {late, shorter}
    assert {day: after[day] for day in untouched} == {day: before[day] for day in untouched}


def test_correction_that_is_bad_leaves_what_is_published(days: Days) -> None:
    day = DAY_OF["with rows twice"]
    before, rows = days.published()[day], days.rows(day)
    days.land(day, HELD["always late"][0])
    days.wait(lambda: day in days.staged() and days.staged()[day]["state"] == "held", "the bad correction")
    assert days.published()[day] == before
    assert days.rows(day).equals(rows)
    assert 'Mean "late"' in days.staged()[day]["reason"]


def test_killed_run_leaves_no_part_of_a_day_and_the_next_run_repairs_it(days: Days) -> None:
    day, again = SEPTEMBER[len(DAY_OF)], DAY_OF["in Latin-1"]
    before, rows = days.published(), days.rows(again)
    days.land_weather(day)
    days.land(day)
    days.land(again)
    deadline = time.monotonic() + SECONDS
    while days.staged().get(day, {}).get("state") != "claimed":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (run,) = days.running()
    days.glue.stop_workflow_run(Name=WORKFLOW, RunId=run["WorkflowRunId"])
    days.wait(lambda: True, "the stopped run")
    assert days.published() == before
    assert days.rows(again).equals(rows)
    days.platform.run(["mlops", "data", "run", "--from", str(again), "--to", str(day)])
    after = days.published()
    assert int(after[day]["recordCount"]) == len(daily_table("flights").days[day]) == days.rows(day).height
    assert after[again]["load"] != before[again]["load"]
    assert day not in days.staged()
    assert again not in days.staged()
