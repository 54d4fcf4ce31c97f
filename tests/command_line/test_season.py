"""The figures and the page of a season: each flight counts once, in its month, for the model that answered then."""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import pytest

from mlops_cli.season import page
from mlops_cli.season.outcomes import Outcome, Retraining, Scored, Season


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
