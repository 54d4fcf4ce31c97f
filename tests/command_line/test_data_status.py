"""What `mlops data status` shows: in a terminal, as JSON, and as a page."""

from __future__ import annotations

import io
import json
import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from mlops_cli.commands import app
from mlops_cli.data import charts, commands, quality, strip
from mlops_cli.data.published import newest_rows
from tests.command_line.conftest import Account

RULE = 'Mean "distance" between 700 and 1400'


@pytest.fixture(autouse=True)
def _here(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "Deployment", lambda *_: account.deployment)
    for day in ("2013-01-30", "2013-01-31", "2013-02-01", "2013-02-02"):
        account.land(day)
    account.land("2013-02-03", "flights")
    for day, result in (("2013-01-30", "r1"), ("2013-02-01", "r2")):
        reasons = json.dumps({"weather: too few values": 1, "flights: <b> is no int": 2})
        account.publish(
            day, results=result, rules="2/2", quarantined="3", reasons=reasons, published="2013-02-05T00:00:00Z"
        )
    account.stage("2013-01-31", "held", results="r3", rules="1/2", reason="1 of 2 rules fail", recordCount="700")
    account.glue.results = {name: rules(1000.0) for name in ("r1", "r2")} | {"r3": rules(612.0)}


def rules(mean: float) -> list[dict[str, object]]:
    held = 700 <= mean <= 1400
    return [
        {"Name": "Rule_1", "EvaluatedRule": RULE, "Result": "PASS" if held else "FAIL",
         "EvaluatedMetrics": {"Column.distance.Mean": mean},
         "EvaluationMessage": "" if held else f"{mean} is out of bounds"},
        {"Name": "Rule_2", "EvaluatedRule": "RowCount > 0", "Result": "PASS"},
    ]  # fmt: skip


def status(*words: str) -> Result:
    told = CliRunner().invoke(app, ["data", "status", *words])
    assert told.exit_code == 0, told.exception
    return told


def test_terminal_shows_a_cell_for_each_day_below_its_number() -> None:
    told = status().stdout
    assert "flights in dev  2 of 5 days readable, 1,800 rows, 6 in quarantine" in told
    assert re.search(r"^2013-01 {2} {29}■✗", told, re.MULTILINE)
    assert re.search(r"^2013-02 {2}■□…", told, re.MULTILINE)


def test_terminal_tells_what_needs_attention_and_why() -> None:
    told = " ".join(status().stdout.split())
    assert f"2013-01-31 held 700 1/2 {RULE}: 612.0 is out of bounds" in told
    assert "2013-02-03 waiting weather hasn't landed" in told
    assert "2 × flights: <b> is no int 1 × weather: too few values" in told


def test_nothing_is_coloured_where_nobody_watches(account: Account) -> None:
    assert "\x1b" not in status().stdout
    watched = io.StringIO()
    strip.show(Console(file=watched, force_terminal=True), account.snapshot(), {})
    assert "\x1b" in watched.getvalue()


def test_every_state_has_a_character_and_a_meaning_of_its_own() -> None:
    assert len({character for character, _ in strip.CELLS.values()}) == len(strip.CELLS)
    assert strip.CELLS.keys() == strip.MEANINGS.keys()


def test_range_and_number_of_days_limit_what_is_shown() -> None:
    def days(*words: str) -> list[str]:
        return [each["day"] for each in json.loads(status("--json", *words).stdout)["days"]]

    assert days("--from", "2013-02-01", "--to", "2013-02-02") == ["2013-02-01", "2013-02-02"]
    assert days("--days", "2") == ["2013-02-02", "2013-02-03"]


def test_json_names_the_failing_rules_with_their_metrics() -> None:
    told = json.loads(status("--json").stdout)
    held = next(each for each in told["days"] if each["state"] == "held")
    assert held["failing"] == [
        {
            "rule": RULE,
            "ruleset": "dev-flights",
            "message": "612.0 is out of bounds",
            "metrics": {"Column.distance.Mean": 612.0},
        }
    ]
    assert (told["published_days"], told["quarantined"], told["version"]) == (2, 6, "v2")


class Links(HTMLParser):
    """What a page loads from elsewhere, and the tags that it leaves open."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_needs_nothing_else_and_shows_every_day(tmp_path: Path) -> None:
    file = tmp_path / "status.html"
    status("--page", str(file))
    text = file.read_text(encoding="utf-8")
    links = Links()
    links.feed(re.sub(r"/>", ">", re.sub(r"<(\w+)([^>]*)/>", r"<\1\2></\1>", text)))
    assert not links.loaded
    assert not links.open
    assert "url(" not in text
    assert text.count('class="cell ') == 5
    assert "Thursday, 31 January 2013 · held back · 700 rows · rules 1/2 · 1 of 2 rules fail" in text
    assert "2 of 3" in text, "the rule held on two of three days"


def test_page_shows_what_files_say_as_text(tmp_path: Path) -> None:
    file = tmp_path / "status.html"
    status("--page", str(file))
    assert "flights: &lt;b&gt; is no int" in file.read_text(encoding="utf-8")


def test_dataset_without_a_day_is_no_error(account: Account, tmp_path: Path) -> None:
    for entry in account.s3.list_objects_v2(Bucket="raw")["Contents"]:
        account.s3.delete_object(Bucket="raw", Key=entry["Key"])
    for table in ("flights", "flights_staged"):
        found = account.glue.get_partitions(DatabaseName="mlops_dev", TableName=table)["Partitions"]
        for partition in found:
            account.glue.delete_partition(
                DatabaseName="mlops_dev", TableName=table, PartitionValues=partition["Values"]
            )
    assert "nothing has landed yet" in status().stdout
    status("--page", str(tmp_path / "empty.html"))
    assert "Nothing has landed yet" in (tmp_path / "empty.html").read_text()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("RowCount between 500 and 2000", (500, 2000)),
        ('Completeness "temperature" > 0.5', (0.5, None)),
        ('Uniqueness "flight_number" "route" = 1.0', (1, 1)),
        ('ColumnValues "departure_minute" between -1 and 1440', (-1, 1440)),
        ('IsComplete "route"', (1, 1)),
        ('ColumnValues "weekday" in [1, 2]', (None, None)),
    ],
)
def test_bounds_of_a_rule(rule: str, expected: tuple[float | None, float | None]) -> None:
    assert quality.bounds(rule) == expected


def test_line_breaks_where_days_are_missing() -> None:
    values = {date(2013, 1, 1): 1.0, date(2013, 1, 2): 2.0, date(2013, 1, 5): 3.0}
    drawn = charts.line(values, date(2013, 1, 1), date(2013, 1, 5), 108, 58, (None, 1000.0))
    assert drawn is not None
    assert drawn.parts == ["4.0,54.0 29.0,29.0", "104.0,4.0"]
    assert drawn.high_y is None, "a bound far away doesn't flatten the line"


def test_sample_is_read_through_the_manifest_from_the_newest_day_on(account: Account) -> None:
    for load, day, rows in (("2", "2013-01-30", [1, 2]), ("1", "2013-02-01", [3]), ("0", "2013-02-09", [9])):
        body = io.BytesIO()
        pl.DataFrame({"x": rows}).write_parquet(body)
        account.s3.put_object(
            Bucket="curated", Key=f"flights/load={load}/day={day}/part-0.parquet", Body=body.getvalue()
        )
    listed = [f"load={load}/day={day}/part-0.parquet" for load, day in (("2", "2013-01-30"), ("1", "2013-02-01"))]
    manifest = json.dumps([{"prefix": "s3://curated/flights/"}, *listed])
    account.s3.put_object(Bucket="curated", Key="flights/manifest.json", Body=manifest)
    assert newest_rows(account.deployment, account.dataset, 2)["x"].to_list() == [3, 1]


def test_sample_of_what_is_not_published_is_refused(account: Account) -> None:
    with pytest.raises(FileNotFoundError, match="nothing of flights is published in dev yet"):
        newest_rows(account.deployment, account.dataset, 2)
