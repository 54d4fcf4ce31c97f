"""The figures and the page of a season: each flight counts once, in its month, for the model that answered then."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mlops_cli.monitoring.reports import MonitorRun
from mlops_cli.season import monitor_chart, page
from mlops_cli.season.monitored import Monitored
from mlops_cli.season.outcomes import Outcome, Retraining, Scored, Season
from mlops_cli.season.traffic import Traffic
from tests.runtime.test_monitor_report_page import feature, report


def scored(first: date, labels: list[int], frozen: list[float], current: list[float], version: int = 1) -> Scored:
    """A flight a day from the first day on."""
    days = [first + timedelta(days=offset) for offset in range(len(labels))]
    return Scored(
        first_day=days[0],
        last_day=days[-1],
        days=days,
        labels=np.array(labels, dtype=np.int8),
        frozen=np.array(frozen),
        current=np.array(current),
        version=version,
    )


@pytest.fixture
def season() -> Season:
    """Four days of July and four of August in two steps that don't end with the month."""
    return Season(
        "flight_delay",
        [
            # 29, 30, 31 July and 1 August
            scored(date(2013, 7, 29), [0, 1, 1, 0], [0.1, 0.9, 0.8, 0.7], [0.1, 0.9, 0.8, 0.2]),
            scored(date(2013, 8, 2), [1, 0, 1], [0.6, 0.9, 0.1], [0.6, 0.3, 0.1], version=2),
        ],
        [
            Retraining(
                after=date(2013, 8, 1), execution="a1", outcome=Outcome.RELEASED, reason="0.74 beats 0.73", version=2
            ),
            Retraining(after=date(2013, 8, 4), execution="b2", outcome=Outcome.REJECTED, reason="0.70 < the <b> 0.74"),
        ],
    )


def test_flights_count_in_their_own_month(season: Season) -> None:
    july, august = season.months()
    assert (july.name, july.flights, july.frozen, july.current) == ("July", 3, 1.0, 1.0)
    # late flights at 0.6 and 0.1, others at 0.7 and 0.9: no pair is in order; retrained: 0.2 and 0.3, half of them are
    assert (august.name, august.flights, august.frozen, august.current) == ("August", 4, 0.0, 0.5)
    assert season.whole().flights == 7
    assert august.gain == pytest.approx(0.5)


def test_json_has_each_retraining_with_its_reason(season: Season) -> None:
    told = json.loads(json.dumps(season.to_json()))
    assert [month["month"] for month in told["months"]] == ["July", "August", "all"]
    assert [each["outcome"] for each in told["retrainings"]] == ["released", "rejected"]
    assert told["retrainings"][0]["version"] == 2


def test_page_shows_months_and_reasons_and_escapes_them(season: Season) -> None:
    text = page.render(season)
    assert "0.70 &lt; the &lt;b&gt; 0.74" in text
    assert text.count('<circle class="mark ') == 2
    assert text.count('<circle class="dot ') == 4
    drawing = page.draw(season)
    july, august = drawing.points
    assert july.x < august.x
    # better is higher up
    assert august.current_y < august.frozen_y
    assert july.current_y == july.frozen_y


def test_page_of_a_single_step_without_retraining() -> None:
    season = Season("flight_delay", [scored(date(2013, 7, 1), [0, 1], [0.1, 0.9], [0.9, 0.1])])
    assert "Retrainings</h2>" not in page.render(season)


def monitored(after: date, *, alarms: tuple[str, ...] = (), **scores: float) -> Monitored:
    """A step with one run that compared features, whose thresholds are 0.2."""
    features = [feature(name, score) for name, score in scores.items()]
    run = MonitorRun(datetime(2026, 12, 1, tzinfo=UTC), "abc", "s3://reports/abc", report(features=features))
    return Monitored(after=after, runs=[run], alarms=alarms)


def test_page_shows_what_the_monitor_saw_the_farthest_features_first(season: Season) -> None:
    season.monitored += [
        monitored(date(2013, 8, 1), calm=0.05, warm=0.1),
        monitored(date(2013, 8, 4), calm=0.01, warm=0.9, alarms=("<drift>",)),
    ]
    season.retrainings[1] = replace(season.retrainings[1], alarms=["<drift>"])
    grid = monitor_chart.feature_grid(season.monitored)
    assert grid is not None
    assert [name for _, name in grid.names] == ["warm", "calm"]
    assert [(cell.moved, cell.strength) for cell in grid.cells] == [
        (False, 0.5), (False, 0.25), (True, 1.0), (False, 0.05),
    ]  # fmt: skip
    line = monitor_chart.quality_line(season.monitored)
    assert line is not None
    for point in line.points:
        assert point.high_y < point.y < point.low_y, "better is higher up"
    text = page.render(season)
    assert text.count("&lt;drift&gt;") == 2
    assert "<td>schedule</td>" in text
    assert 'class="cell moved"' in text


def test_steps_that_the_monitor_could_not_judge_are_left_empty() -> None:
    steps = [Monitored(after=date(2013, 7, 7), runs=[]), monitored(date(2013, 7, 14), warm=0.9)]
    grid = monitor_chart.feature_grid(steps)
    assert grid is not None
    assert len(grid.cells) == 1
    assert grid.cells[0].x > monitor_chart.LEFT
    assert monitor_chart.feature_grid(steps[:1]) is None
    assert monitor_chart.quality_line(steps[:1]) is None


def test_json_tells_of_each_step_what_the_monitor_saw(season: Season) -> None:
    season.monitored.append(monitored(date(2013, 8, 4), warm=0.9, alarms=("drift",)))
    (told,) = json.loads(json.dumps(season.to_json()))["monitored"]
    assert (told["moved"], told["loads"], told["alarms"]) == (["warm"], {"warm": 4.5}, ["drift"])
    assert told["quality"]["value"] == 0.752


class Endpoint:
    """Answers a row with its first value, and remembers how many rows came under which id."""

    def __init__(self) -> None:
        self.asked: dict[str | None, int] = {}

    def invoke_endpoint(self, *, Body: bytes, InferenceId: str | None = None, **_: object) -> dict[str, io.BytesIO]:
        rows = Body.decode().splitlines()
        self.asked[InferenceId] = self.asked.get(InferenceId, 0) + len(rows)
        return {"Body": io.BytesIO("\n".join(row.split(",")[0] for row in rows).encode())}


@pytest.mark.parametrize("singly", [0.0, 0.3, 1.0])
def test_a_share_of_the_flights_is_asked_for_one_by_one_under_its_id(singly: float) -> None:
    count = 200
    rows = pl.DataFrame(
        {"x": [index / count for index in range(count)], "n": range(count), "day": [date(2013, 7, 4)] * count}
    )
    endpoint = Endpoint()
    traffic = Traffic(runtime=endpoint, features=["x"], key=["day", "n"], singly=singly)
    assert traffic.ask("e", rows).tolist() == rows["x"].to_list(), "in the order of the rows"
    in_batches = endpoint.asked.pop(None, 0)
    assert set(endpoint.asked.values()) <= {1}
    assert in_batches + len(endpoint.asked) == count
    assert len(endpoint.asked) == pytest.approx(singly * count, abs=20)
    assert set(endpoint.asked) <= {f"2013-07-04/{index}" for index in range(count)}
