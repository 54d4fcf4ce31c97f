"""What the data's shape has to be like to be a finding: more than a slip of one client."""

from __future__ import annotations

import pytest

from tests.runtime.monitored import Monitored, capture, captures, days_before, features
from tests.runtime.test_monitor_job import checks


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
