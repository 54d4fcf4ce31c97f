"""Which time a run looks at."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from model_runtime.errors import JobError
from model_runtime.monitor.lake import folders_between
from model_runtime.monitor.window import Window, shown

NOW = "2013-07-04T10:20:30.250+02:00"


@pytest.mark.parametrize(
    ("start", "end", "window"),
    [
        ("auto", "auto", ("2013-06-27T08:00:00Z", "2013-07-04T08:00:00Z")),
        # a request of this very second is told to be of 08:20:30
        ("auto", "now", ("2013-06-27T08:20:31Z", "2013-07-04T08:20:31Z")),
        ("2013-07-01", "auto", ("2013-07-01T00:00:00Z", "2013-07-04T08:00:00Z")),
        ("2013-07-01T00:00:00+02:00", "2013-07-02", ("2013-06-30T22:00:00Z", "2013-07-02T00:00:00Z")),
    ],
)
def test_window_ends_with_an_hour_or_with_what_was_captured_last(start: str, end: str, window: tuple[str, str]) -> None:
    found = Window.parse(start, end, NOW, 7, 48)
    assert (shown(found.start), shown(found.end)) == window


@pytest.mark.parametrize(
    ("start", "end", "folders"),
    [
        ("2013-07-04T10", "2013-07-05T01", ["2013/07/04", "2013/07/05"]),
        ("2013-07-30T23", "2013-09-02", ["2013/07/30", "2013/07/31", "2013/08", "2013/09/01"]),
        ("2012-12-31", "2015-02-01T01", ["2012/12/31", "2013", "2014", "2015/01", "2015/02/01"]),
        ("2013-07-04", "2013-07-04", []),
    ],
)
def test_long_times_are_listed_by_months_and_years(start: str, end: str, folders: list[str]) -> None:
    assert (
        list(folders_between(*(datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end)))) == folders
    )


def test_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(JobError, match="--start 2013-07-05T00:00:00Z must be before --end 2013-07-04T08:00:00Z"):
        Window.parse("2013-07-05", "auto", NOW, 7, 48)
