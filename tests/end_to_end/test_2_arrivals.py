"""Days that arrive after the demo: what the events start, what `mlops data` shows and does."""

from __future__ import annotations

import json
import time
from datetime import date
from typing import Any

from mlops_cli import flights
from mlops_cli.data import runs
from mlops_cli.data.dataset import Dataset, deployed_dataset
from mlops_cli.data.days import Day, State, snapshot
from mlops_cli.data.waiting import wait_until_published
from tests.end_to_end.conftest import Platform

ALONE, BEHIND = date(2013, 8, 1), (date(2013, 8, 2), date(2013, 8, 3))
SECONDS = 240


def dataset_of(platform: Platform) -> Dataset:
    return deployed_dataset(platform.deployment, "flights")


def wait_for(platform: Platform, *days: date) -> None:
    glue = platform.client("glue")
    wait_until_published(glue, dataset_of(platform), days, lambda _: None, poll=0.5, seconds=SECONDS)


def land(platform: Platform, first: date, last: date) -> int:
    return flights.land(platform.client("s3"), platform.output("data", "RawBucketName"), first, last)


def quiet(platform: Platform, before: int) -> list[runs.Run]:
    """Wait until the events that came have started a run more than before, and none is under way."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = runs.recent(platform.client("glue"), dataset_of(platform))
        if len(found) > before and not any(run.is_live for run in found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def the_day(platform: Platform, day: date) -> Day:
    (found,) = snapshot(platform.deployment, dataset_of(platform), day, day).days
    return found


def status(platform: Platform, *words: str) -> Any:
    return json.loads(platform.run(["mlops", "data", "status", "flights", "--json", *words]).stdout)


def test_day_that_lands_alone_is_published_by_its_events(platform: Platform) -> None:
    rows = land(platform, ALONE, ALONE)
    wait_for(platform, ALONE)
    told = status(platform, "--from", f"{ALONE}", "--to", f"{ALONE}")
    (day,) = told["days"]
    assert (day["state"], day["rows"], day["quarantined"]) == ("published", rows, 0)
    passed, _, total = day["rules"].partition("/")
    assert passed == total != "0"


def test_day_that_lands_twice_is_not_made_again(platform: Platform) -> None:
    glue, dataset = platform.client("glue"), dataset_of(platform)
    before, known = the_day(platform, ALONE), len(runs.recent(glue, dataset))
    land(platform, ALONE, ALONE)
    quiet(platform, known)
    after = the_day(platform, ALONE)
    assert after.published == before.published
    assert after.state is State.PUBLISHED
    manifest = platform.client("s3").get_object(Bucket=dataset.curated_bucket, Key=dataset.manifest_key)
    listed = [key for key in json.loads(manifest["Body"].read())[1:] if f"day={ALONE}" in key]
    assert len(listed) == 1


def test_status_tells_what_a_day_waits_for(platform: Platform) -> None:
    day = BEHIND[0]
    text = flights.daily_table("flights").csv(day)
    raw = platform.output("data", "RawBucketName")
    known = len(runs.recent(platform.client("glue"), dataset_of(platform)))
    platform.client("s3").put_object(Bucket=raw, Key=flights.raw_key("flights", day), Body=text.encode())
    quiet(platform, known)
    told = platform.run(["mlops", "data", "status", "--from", f"{day}"]).stdout
    assert "weather hasn't landed" in told
    assert "1 waiting" in told


def test_backfill_brings_what_no_event_told_of_and_then_has_nothing_to_do(platform: Platform) -> None:
    glue = platform.client("glue")
    trigger = f"{dataset_of(platform).workflow}-landed"
    glue.stop_trigger(Name=trigger)
    try:
        rows = land(platform, *BEHIND)
        days = ["--from", f"{BEHIND[0]}", "--to", f"{BEHIND[-1]}"]
        command = ["mlops", "data", "backfill", *days, "--days-per-run", "1"]
        told = platform.run(command).stdout
        assert "2 of 2 days need a run: 2 runs" in told
        assert f"2 days published, {rows:,} rows" in told
        assert "nothing to do" in platform.run(command).stdout
    finally:
        glue.start_trigger(Name=trigger)
