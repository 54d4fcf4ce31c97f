"""What is a finding of the data itself: more than one client's slip, and captures that stop."""

from __future__ import annotations

import pytest

from model_runtime.monitor import findings
from model_runtime.monitor.drift_limits import DriftLimits
from model_runtime.monitor.settings import MonitorSettings
from tests.runtime.monitored import REPORTS, Monitored, capture, captures, days_before, features
from tests.runtime.test_monitor_job import checks, metrics, received, subscribed


@pytest.mark.parametrize(("slips", "status"), [(5, "calm"), (6, "drifted")])
@pytest.mark.parametrize(
    ("body", "encoding", "check"),
    [
        ("1,2,3,4", "CSV", ("Extra columns", "extra_column_check")),
        ("1,2", "CSV", ("Missing columns", "missing_column_check")),
        ("7.5,900,365", "CSV", ("hour", "data_type_check")),
        (
            '{"hour": 7, "distance": 900, "carrier": 365, "trace": "x"}',
            "JSON",
            ("trace", "extra_column_check"),
        ),
    ],
)
def test_one_row_in_a_hundred_may_have_another_shape(
    monitored: Monitored, slips: int, status: str, body: str, encoding: str, check: tuple[str, str]
) -> None:
    monitored.send(captures(features(501 - slips), days_before(2), days_before(0)))
    wrong = [capture(body, "0.5", days_before(1), f"slip-{number}", encoding=encoding) for number in range(slips)]
    monitored.send([(days_before(1), record) for record in wrong])
    report = monitored.run()
    assert check in checks(report)
    assert report["status"] == status
    assert bool(report["findings"]) == (status == "drifted")


def test_captures_that_stop_are_not_calm_and_people_are_told(
    monitored: Monitored, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = monitored.sns.create_topic(Name="silence")["TopicArn"]
    queue = subscribed(topic)
    monitored.send(captures(features(500), days_before(2), days_before(1.25)))
    report = monitored.run("--reports", REPORTS, "--topic", topic)
    assert (report["status"], report["rows"], report["recent_rows"]) == ("drifted", 500, 0)
    assert [(each["kind"], each["text"]) for each in report["findings"]] == [
        ("data", "nothing has been captured since 2030-03-09T03:00:00Z")
    ]
    assert report["next"] == "People decide: none of this starts a training by itself."
    assert received(queue)[0] == "toy (dev-toy): data beyond the limits"
    assert metrics(capsys)["RecentRows"] == 0


def test_rows_of_the_last_day_are_counted(monitored: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    monitored.send(captures(features(600), days_before(2), days_before(0)))
    assert monitored.run()["recent_rows"] == 300
    sent = metrics(capsys)
    assert (sent["MonitoredRows"], sent["RecentRows"]) == (600, 300)


def test_the_last_gap_is_from_the_last_capture_to_the_end() -> None:
    hours = [days_before(1 - hour / 24) for hour in range(24)]
    texts = [each.isoformat() for each in hours]
    assert findings.last_gap(hours, texts[20:]) == (hours[20], days_before(0))
    assert findings.last_gap(hours, texts[:23]) is None
    assert findings.last_gap(hours, texts) is None
    assert findings.last_gap([], []) is None


def test_what_is_usual_is_told_beside_what_has_moved() -> None:
    moved = {"name": "dew_point", "moved": True, "score": 10.9, "threshold": 9.94, "usual": 9.94}
    settings = MonitorSettings(drift=DriftLimits())
    gaps = {"missing": {"baseline": 0.0, "now": 0.0}}
    (found,) = findings.drift_findings([moved | gaps], settings)
    assert found["text"] == (
        "dew_point has moved: stability index 10.90, up to 9.94 is usual, by windows of the training days"
    )
    (found,) = findings.drift_findings([moved | gaps | {"usual": None, "threshold": 0.2}], settings)
    assert found["text"] == "dew_point has moved: stability index 10.90, 0.2 is allowed"
