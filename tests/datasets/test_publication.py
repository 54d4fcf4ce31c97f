"""Publishing: what passes its checks becomes visible in one step, what doesn't is held, and a newer run wins."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest

from dataset_job.arguments import Request, WorkflowRun
from dataset_job.catalog import HELD, STAGED, Catalog, DayRecord
from dataset_job.checks import Checks, Verdict
from dataset_job.errors import DatasetError
from dataset_job.manifest import Manifest
from dataset_job.prepare import PrepareJob
from dataset_job.publish import PublishJob
from dataset_job.storage import S3Storage
from local_aws.server import LocalAwsServer, running
from tests.datasets.lake import declared

DAYS = [date(2013, 7, day) for day in (3, 4, 5)]
BUCKET, DATABASE, DATASET = "curated", "mlops_dev", "flights"
RUN = WorkflowRun("dev-flights", "wr_mine")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsServer]:
    with running(tmp_path_factory.mktemp("aws")) as found:
        yield found


class Lake:
    """A catalog, a bucket and a bus, with what a run has staged; `events` are those that were announced."""

    def __init__(self, server: LocalAwsServer) -> None:
        session = boto3.session.Session("AK", "SK", region_name="us-east-1")
        self.glue, self.s3 = (session.client(name, endpoint_url=server.context.endpoint_url) for name in ("glue", "s3"))
        self.s3.create_bucket(Bucket=BUCKET)
        self.glue.create_database(DatabaseInput={"Name": DATABASE})
        for table in (DATASET, f"{DATASET}_staged"):
            descriptor = {"Columns": [{"Name": "late", "Type": "int"}], "Location": f"s3://{BUCKET}/{DATASET}/"}
            key = [{"Name": "day", "Type": "date"}]
            self.glue.create_table(
                DatabaseName=DATABASE,
                TableInput={"Name": table, "StorageDescriptor": descriptor, "PartitionKeys": key},
            )
        self.catalog = Catalog(self.glue, DATABASE, DATASET)
        self.storage = S3Storage(self.s3)
        self.manifest = Manifest(self.s3, self.storage, BUCKET, DATASET)
        self.events: list[dict[str, Any]] = []

    def put_events(self, *, Entries: Sequence[dict[str, str]]) -> dict[str, int]:
        self.events += [{"type": each["DetailType"], **json.loads(each["Detail"])} for each in Entries]
        return {"FailedEntryCount": 0}

    def stage(self, day: date, load: str = "l1", **facts: str) -> DayRecord:
        folder = f"{DATASET}/load={load}/day={day}"
        for part in ("part-0", "part-1"):
            self.s3.put_object(Bucket=BUCKET, Key=f"{folder}/{part}.parquet", Body=load.encode())
        known = {"load": load, "run": RUN.run, "state": STAGED, "inputs": "i", "version": "v1"}
        counts = {"recordCount": "10", "quarantined": "1", "reasons": "{}", "notes": "[]"}
        record = DayRecord(day, f"s3://{BUCKET}/{folder}", known | counts | facts)
        self.catalog.stage([record])
        return record

    def publish(self, **failures: str) -> None:
        Judge.failures = failures
        PublishJob(self.catalog, self.storage, Judge(), self.manifest, self, RUN).go()  # type: ignore[arg-type]

    def files(self) -> list[str]:
        body = self.s3.get_object(Bucket=BUCKET, Key=f"{DATASET}/manifest.json")["Body"].read()
        prefix, *keys = json.loads(body)
        assert prefix == {"prefix": f"s3://{BUCKET}/{DATASET}/"}
        return keys

    def version_of(self, key: str) -> str:
        body = self.s3.get_object(Bucket=BUCKET, Key=f"{key}.version")["Body"].read()
        return str(json.loads(body)["manifest"])

    def superseded(self, load: str, day: date) -> bool:
        tags = self.s3.get_object_tagging(Bucket=BUCKET, Key=f"{DATASET}/load={load}/day={day}/part-0.parquet")
        return {"Key": "superseded", "Value": "true"} in tags["TagSet"]


class Judge:
    """Checks whose verdict a test decides: `failures` are reasons by the day of the month."""

    failures: dict[str, str]

    def evaluate(self, days: Sequence[date]) -> Iterator[Verdict]:
        for day in days:
            reason = self.failures.get(f"d{day.day}")
            yield Verdict(day, 3 - bool(reason), 3, (reason,) if reason else (), (f"result-{day}",))


@pytest.fixture
def lake(server: LocalAwsServer) -> Iterator[Lake]:
    found = Lake(server)
    yield found
    found.glue.delete_database(Name=DATABASE)
    for page in found.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for each in page.get("Contents", []):
            found.s3.delete_object(Bucket=BUCKET, Key=each["Key"])
    found.s3.delete_bucket(Bucket=BUCKET)


def test_days_that_pass_become_visible_and_are_announced(lake: Lake) -> None:
    for day in DAYS:
        lake.stage(day)
    lake.publish()
    published = lake.catalog.published()
    assert list(published) == DAYS
    assert published[DAYS[0]].facts["rules"] == "3/3"
    assert published[DAYS[0]].facts["results"] == f"result-{DAYS[0]}"
    assert "state" not in published[DAYS[0]].facts
    assert lake.catalog.staged() == {}
    assert lake.files() == [f"load=l1/day={day}/part-{part}.parquet" for day in DAYS for part in (0, 1)]
    (event,) = lake.events
    assert event["type"] == "Dataset Published"
    assert (event["rows"], event["quarantined"], event["days"]) == (30, 3, [str(day) for day in DAYS])
    kept = lake.s3.get_object(Bucket=BUCKET, Key=event["manifest"].removeprefix(f"s3://{BUCKET}/"))
    assert json.loads(kept["Body"].read())[1:] == lake.files()
    version = event["manifest"]
    assert lake.version_of(f"{DATASET}/manifest.json") == version
    assert lake.version_of(version.removeprefix(f"s3://{BUCKET}/")) == version


def test_name_of_the_newest_version_follows_a_run_that_was_overtaken_or_killed(lake: Lake) -> None:
    lake.stage(DAYS[0])
    lake.publish()
    first = lake.version_of(f"{DATASET}/manifest.json")
    lake.stage(DAYS[1])
    lake.publish()
    second = lake.version_of(f"{DATASET}/manifest.json")
    assert first != second
    lake.manifest._name(first.removeprefix(f"s3://{BUCKET}/"))  # the first run is slow, and names its version only now
    assert lake.version_of(f"{DATASET}/manifest.json") == second
    lake.manifest._put_name(f"{DATASET}/manifest.json.version", first)  # and is killed before it looks again
    lake.stage(DAYS[1], state=HELD, reason="bad")  # the next run finds nothing to publish
    with pytest.raises(DatasetError):
        lake.publish()
    assert lake.version_of(f"{DATASET}/manifest.json") == second


def test_day_that_fails_its_rules_is_held_and_the_others_go_on(lake: Lake) -> None:
    for day in DAYS:
        lake.stage(day)
    with pytest.raises(DatasetError) as held:
        lake.publish(d4="Mean is off")
    assert str(held.value) == "held back, 1 day: 2013-07-04: 1 of 3 rules fails: Mean is off"
    assert list(lake.catalog.published()) == [DAYS[0], DAYS[2]]
    (record,) = lake.catalog.staged().values()
    assert (record.facts["state"], record.facts["rules"]) == (HELD, "2/3")
    assert [event["type"] for event in lake.events] == ["Dataset Published", "Dataset Held"]
    assert lake.events[1]["days"] == [{"day": "2013-07-04", "reason": "1 of 3 rules fails: Mean is off"}]


def test_day_that_was_held_while_it_was_prepared_fails_the_run_too(lake: Lake) -> None:
    lake.stage(DAYS[0], state=HELD, reason="the file is empty")
    with pytest.raises(DatasetError, match="held back, 1 day: 2013-07-03: the file is empty"):
        lake.publish()
    assert lake.catalog.published() == {}


def test_new_load_replaces_a_day_in_catalog_and_manifest_and_marks_the_old_one(lake: Lake) -> None:
    for day in DAYS[:2]:
        lake.stage(day)
    lake.publish()
    lake.stage(DAYS[1], "l2")
    assert not lake.superseded("l1", DAYS[1])
    lake.publish()
    loads = {DAYS[0]: "l1", DAYS[1]: "l2"}
    parts = [f"load={load}/day={day}/part-{part}.parquet" for day, load in loads.items() for part in (0, 1)]
    assert lake.files() == parts
    assert lake.catalog.published()[DAYS[1]].location == f"s3://{BUCKET}/{DATASET}/load=l2/day={DAYS[1]}"
    assert lake.superseded("l1", DAYS[1])
    assert not lake.superseded("l1", DAYS[0])
    assert not lake.superseded("l2", DAYS[1])


def test_held_correction_leaves_the_published_day(lake: Lake) -> None:
    lake.stage(DAYS[0])
    lake.publish()
    lake.stage(DAYS[0], "l2")
    with pytest.raises(DatasetError, match="held back"):
        lake.publish(d3="Mean is off")
    assert lake.catalog.published()[DAYS[0]].facts["load"] == "l1"
    assert lake.files() == [f"load=l1/day={DAYS[0]}/part-{part}.parquet" for part in (0, 1)]


def test_days_of_other_runs_are_not_touched(lake: Lake) -> None:
    lake.stage(DAYS[0], run="wr_other")
    lake.publish()
    assert lake.catalog.published() == {}
    assert list(lake.catalog.staged()) == [DAYS[0]]
    assert lake.events == []


def test_day_that_a_later_run_took_over_meanwhile_is_left_to_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.stage(DAYS[0])

    def evaluate(_: Judge, days: Sequence[date]) -> Iterator[Verdict]:
        for day in days:
            lake.stage(day, "newer", run="wr_newer")
            yield Verdict(day, 3, 3, (), ())

    monkeypatch.setattr(Judge, "evaluate", evaluate)
    lake.publish()
    assert lake.catalog.published() == {}
    assert lake.catalog.staged()[DAYS[0]].facts["load"] == "newer"


def test_manifest_that_a_killed_run_left_behind_is_caught_up(lake: Lake) -> None:
    lake.stage(DAYS[0])
    lake.publish()
    # published, but the run was killed before it wrote the manifest
    record = lake.stage(DAYS[1], "l2")
    lake.catalog.publish([record])
    lake.catalog.release([record])
    lake.publish()
    assert lake.events[-1]["days"] == [str(DAYS[1])]
    assert {key.partition("/part")[0] for key in lake.files()} == {
        f"load=l{number + 1}/day={day}" for number, day in enumerate(DAYS[:2])
    }
    lake.publish()
    assert len(lake.events) == 2


def test_manifest_knows_every_day_when_many_publish_at_once(lake: Lake) -> None:
    days = [date(2013, 1, day) for day in range(1, 13)]
    records = {day: lake.stage(day) for day in days}

    def publish(day: date) -> None:
        lake.catalog.publish([records[day]])
        lake.manifest.write(lake.catalog)

    threads = [threading.Thread(target=publish, args=(day,)) for day in days]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.split("/")[1] for key in lake.files()} == {f"day={day}" for day in days}


class Quality:
    """Glue's answers about evaluation runs; each ends at the third look."""

    def __init__(self, status: str = "SUCCEEDED", result: str = "PASS") -> None:
        self.status, self.result = status, result
        self.asked: list[dict[str, Any]] = []
        self.looks: dict[str, int] = {}

    def start_data_quality_ruleset_evaluation_run(self, **request: Any) -> dict[str, str]:
        self.asked.append(request)
        return {"RunId": request["DataSource"]["GlueTable"]["AdditionalOptions"]["catalogPartitionPredicate"]}

    def get_data_quality_ruleset_evaluation_run(self, *, RunId: str) -> dict[str, Any]:
        self.looks[RunId] = self.looks.get(RunId, 0) + 1
        status = self.status if self.looks[RunId] > 2 else "RUNNING"
        return {"Status": status, "ResultIds": [f"{RunId} a", f"{RunId} b"], "ErrorString": "no partition"}

    def get_data_quality_result(self, *, ResultId: str) -> dict[str, Any]:
        rules = [
            {"Name": "Rule_1", "Description": "RowCount > 1", "Result": "PASS"},
            {
                "Name": "Rule_2",
                "Description": 'Mean "late" > 0.5',
                "Result": self.result,
                "EvaluationMessage": "Value: 0.25 does not meet\n the constraint requirement!",
            },
        ]
        return {"RulesetName": "dev-flights", "RuleResults": rules}


def checks(glue: Quality) -> Checks:
    return Checks(glue, DATABASE, "flights_staged", ["dev-flights", "dev-late"], "role", sleep=lambda _: None)


def test_each_day_is_evaluated_by_itself_with_all_rulesets() -> None:
    glue = Quality()
    verdicts = list(checks(glue).evaluate(DAYS))
    assert [(verdict.day, verdict.passed, verdict.total, verdict.reason) for verdict in verdicts] == [
        (day, 4, 4, None) for day in DAYS
    ]
    assert sorted(glue.looks) == [f"day = '{day}'" for day in DAYS]
    assert all(request["RulesetNames"] == ["dev-flights", "dev-late"] for request in glue.asked)


def test_rule_that_fails_is_told_with_its_ruleset_and_what_was_found() -> None:
    (verdict,) = checks(Quality(result="FAIL")).evaluate(DAYS[:1])
    assert (verdict.passed, verdict.total) == (2, 4)
    told = 'Mean "late" > 0.5 (dev-flights): Value: 0.25 does not meet the constraint requirement!'
    assert verdict.reason == f"2 of 4 rules fail: {told}; {told}"


def test_evaluation_that_fails_itself_is_told_with_its_day() -> None:
    (verdict,) = checks(Quality("FAILED")).evaluate(DAYS[:1])
    assert verdict.error is not None
    assert verdict.error.startswith(
        "the rules of 2013-07-03 weren't evaluated: the run day = '2013-07-03' ended FAILED: no"
    )


@pytest.mark.parametrize(("results", "rules"), [(0, 2), (1, 2), (2, 0)])
def test_evaluation_without_all_results_is_no_pass(results: int, rules: int, monkeypatch: pytest.MonkeyPatch) -> None:
    glue = Quality()
    answer, result = glue.get_data_quality_ruleset_evaluation_run, glue.get_data_quality_result
    monkeypatch.setattr(glue, "get_data_quality_ruleset_evaluation_run", lambda **run: _first(answer(**run), results))
    found = {"RuleResults": result(ResultId="x")["RuleResults"][:rules]}
    monkeypatch.setattr(glue, "get_data_quality_result", lambda **_: found)
    (verdict,) = checks(glue).evaluate(DAYS[:1])
    assert verdict.error is not None


def _first(answer: dict[str, Any], count: int) -> dict[str, Any]:
    return answer | {"ResultIds": answer["ResultIds"][:count]}


def test_day_that_could_not_be_checked_stays_staged_and_the_others_are_published(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in DAYS:
        lake.stage(day)

    def evaluate(_: Judge, days: Sequence[date]) -> Iterator[Verdict]:
        for day in days:
            yield Verdict(day, 3, 3, (), (), error="throttled" if day == DAYS[0] else None)

    monkeypatch.setattr(Judge, "evaluate", evaluate)
    with pytest.raises(DatasetError, match="not checked, 1 day: throttled"):
        lake.publish()
    assert list(lake.catalog.published()) == DAYS[1:]
    assert lake.catalog.staged()[DAYS[0]].facts["state"] == STAGED


def test_claim_of_a_later_run_survives_the_publication_of_an_earlier_one(lake: Lake) -> None:
    """The later run claims the day after the earlier one has made sure that it is still its own."""
    record = lake.stage(DAYS[0])
    lake.stage(DAYS[0], "l2", run="wr_later")
    lake.catalog.publish([record])
    lake.catalog.release([record])
    assert lake.catalog.staged()[DAYS[0]].facts["load"] == "l2"


def test_rows_that_were_published_meanwhile_are_not_marked_as_replaced(lake: Lake) -> None:
    record = lake.stage(DAYS[0])
    uris = {name: f"s3://{BUCKET}/{name}" for name in ("raw", "curated", "quarantine")}
    job = PrepareJob(lake.catalog, lake.storage, declared(), {"version": "v1", **uris}, RUN)
    _, replaced = job._claim({DAYS[0]: "newer"}, Request())
    assert replaced == [record.location]
    lake.catalog.publish([record])
    job._clear(DAYS[:1], replaced)
    assert not lake.superseded("l1", DAYS[0])


def test_more_days_than_a_call_takes_are_written_in_several(lake: Lake) -> None:
    days = [date.fromordinal(DAYS[0].toordinal() + offset) for offset in range(130)]
    records = [DayRecord(day, f"s3://{BUCKET}/{DATASET}/load=l1/day={day}", {"load": "l1"}) for day in days]
    lake.catalog.stage(records)
    lake.catalog.stage([DayRecord(each.day, each.location, {"load": "l2"}) for each in records])
    assert {record.facts["load"] for record in lake.catalog.staged().values()} == {"l2"}
    lake.catalog.release(DayRecord(day, "", {"load": "l2"}) for day in days[:-1])
    assert list(lake.catalog.staged()) == days[-1:]


def test_two_runs_that_look_at_the_same_moment_share_no_day(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Catalog, "is_alive", lambda *_: True)
    uris = {name: f"s3://{BUCKET}/{name}" for name in ("raw", "curated", "quarantine")}
    jobs = [
        PrepareJob(lake.catalog, lake.storage, declared(), {"version": "v1", **uris}, WorkflowRun("dev-flights", run))
        for run in ("wr_first", "wr_second")
    ]
    wanted = {date(2013, 1, day): "inputs" for day in range(1, 29)}
    gotten: list[dict[date, str]] = []
    both = threading.Barrier(2)

    def claim(job: PrepareJob) -> None:
        both.wait()
        gotten.append(job._claim(wanted, Request())[0])

    threads = [threading.Thread(target=claim, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = gotten
    assert not first.keys() & second.keys()
    assert first | second == wanted


def test_run_that_nobody_knows_is_not_at_work(lake: Lake) -> None:
    assert not lake.catalog.is_alive("dev-flights", "wr_gone")


def test_objects_are_listed_read_and_marked(lake: Lake, tmp_path: Path) -> None:
    lake.s3.put_object(Bucket=BUCKET, Key="raw/a/x.csv", Body=b"0123456789")
    lake.s3.put_object(Bucket=BUCKET, Key="raw/ab/y.csv", Body=b"")
    (found,) = lake.storage.list(f"s3://{BUCKET}/raw/a")
    assert (found.key, found.size) == ("x.csv", 10)
    assert lake.storage.read(found.uri, 7, 100) == b"789"
