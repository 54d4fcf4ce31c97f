"""What no client should send, and some do: it is counted and named, and the rows beside it are judged."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model_runtime.bias import parse_facet
from model_runtime.errors import JobError
from model_runtime.monitor import captures as capturing
from model_runtime.monitor import traffic as reading
from model_runtime.monitor.captured_rows import RowParser, plain
from model_runtime.monitor.column_names import MOST_EXTRA, OTHERS
from model_runtime.monitor.lake import Lake, local_files
from model_runtime.monitor.traffic import Question, Traffic, read_traffic
from model_runtime.monitor.window import Window
from model_runtime.problems import BINARY_CLASSIFICATION
from tests.runtime.monitored import capture, lines

HOUR = datetime(2030, 3, 10, 9, tzinfo=UTC)
WINDOW = Window(start=HOUR, end=HOUR + timedelta(hours=1), now=HOUR + timedelta(hours=1), labels_within=timedelta(0))
CALM = [capture(f"{number},7", "0.5", HOUR, f"calm-{number}") for number in range(5)]


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def question(**changed: Any) -> Question:
    facet = parse_facet(json.dumps({"feature": "carrier", "values": [1.0]}), BINARY_CLASSIFICATION)
    given: dict[str, Any] = {"facets": (facet,), "explains": True, "since": HOUR, **changed}
    return Question(window=WINDOW, features=("carrier", "hour"), problem="binary_classification", **given)


def seen(directory: Path, *files: Sequence[dict[str, Any]], workers: int = 1) -> Traffic:
    for number, records in enumerate(files):
        file = directory / f"{HOUR:%Y/%m/%d/%H}" / f"{number:03}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(lines(records))
    return read_traffic(question(), local_files(directory, None, None), workers)


@pytest.fixture(autouse=True)
def _as_deep_as_python_goes_by_itself() -> Iterator[None]:
    """Libraries that other tests load raise the limit."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    ("body", "form", "reason"),
    [
        ('"' + "a" * 140_000 + '",1', "CSV", "the body is no CSV: field larger than field limit"),
        ("1,2\r3,4\n5,6", "CSV", "the body is no CSV: new-line character seen in unquoted field"),
        ('{"carrier": ' + "[" * 1000 + "]" * 1000 + "}", "JSON", "a value of the row can't be written: RecursionError"),
        ("{}", "JSON", "0 values in a row, the model has 2 features"),
        ('{"instances": [{}, {}]}', "JSON", "0 values in a row, the model has 2 features"),
        ('{"instances": [[]]}', "JSON", "0 values in a row, the model has 2 features"),
        ('{"carrier": 1' + "0" * 400 + "}", "JSON", "the body is no JSON"),
    ],
)
def test_a_request_that_holds_no_row_is_named(tmp_path: Path, body: str, form: str, reason: str) -> None:
    odd = capture(body, "0.1\n0.2", HOUR, "odd", encoding=form)
    found = seen(tmp_path, [*CALM, odd])
    assert (found.rows, found.counts.broken) == (5, 1)
    (example,) = found.counts.examples
    assert (example["line"], example["reason"].startswith(reason)) == (6, True)


def test_a_row_without_a_value_takes_no_answer_from_the_rows_beside_it(tmp_path: Path) -> None:
    odd = capture('{"instances": [{}, {"carrier": 3}]}', "0.1\n0.9", HOUR, "odd", encoding="JSON")
    found = seen(tmp_path, [odd])
    assert (found.rows, found.counts.widths, found.counts.unanswered) == (1, {0: 1}, 0)
    assert found.predictions.settle().predictions.tolist() == [0.9]


@pytest.mark.parametrize(
    "side", [None, "text", {"data": None}, {"data": '{"predictions": {}}', "encoding": "JSON"}, {"data": '"' * 3}]
)
def test_an_answer_that_is_none_leaves_the_row(tmp_path: Path, side: Any) -> None:
    odd = capture("1,2", "0.5", HOUR, "odd")
    odd["captureData"]["endpointOutput"] = side
    found = seen(tmp_path, [*CALM, odd])
    assert (found.rows, found.counts.unanswered, found.counts.broken) == (6, 1, 0)


def test_an_answer_that_another_container_cannot_have_given_leaves_the_row(tmp_path: Path) -> None:
    directory = tmp_path / f"{HOUR:%Y/%m/%d/%H}"
    directory.mkdir(parents=True)
    (directory / "part.jsonl").write_bytes(lines([capture("1,2", "model error", HOUR, "odd")]))
    found = read_traffic(question(searched=True), local_files(tmp_path, None, None))
    assert (found.rows, found.counts.unanswered) == (1, 1)


def test_a_time_beyond_all_times_is_named(tmp_path: Path) -> None:
    odd = capture("1,2", "0.5", HOUR, "odd")
    odd["eventMetadata"]["inferenceTime"] = "9999-12-31T23:59:59-23:00"
    found = seen(tmp_path, [*CALM, odd])
    assert (found.rows, found.counts.broken) == (5, 1)


def test_an_encoder_that_fails_leaves_the_text() -> None:
    def failing(text: str) -> int:
        raise OverflowError(text)

    parser = RowParser(("carrier",), {"carrier": failing})
    assert parser.frame_of_cells([["UA"], ["7"]]).to_dict(as_series=False) == {"carrier": ["UA", "7"]}


def test_names_that_clients_make_up_are_one_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one reader and by several whose finds are added up, so that neither tables nor sketches grow with them."""

    def requests(first: int) -> list[dict[str, Any]]:
        bodies = (json.dumps({f"id-{number}": 1, "carrier": 2, "hour": 3}) for number in range(first, first + 150))
        return [capture(body, "0.5", HOUR, body, encoding="JSON") for body in bodies]

    alone = seen(tmp_path / "alone", requests(0)).table()
    assert len(alone.columns) == 2 + MOST_EXTRA + 1
    assert (alone.columns[OTHERS].present, alone.columns[OTHERS].rows, alone.columns["hour"].present) == (50, 150, 150)
    assert alone.columns["id-99"].present == 1
    monkeypatch.setattr(reading, "FILES_AT_A_TIME", 1)
    parts = seen(tmp_path / "parts", requests(0), requests(1000), requests(2000)).table()
    assert parts.columns.keys() == alone.columns.keys()
    assert (parts.rows, parts.columns[OTHERS].rows, parts.columns["carrier"].present) == (450, 450, 450)
    assert 50 <= parts.columns[OTHERS].present <= 350


def test_a_table_is_made_of_so_many_bytes_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "BATCH_BYTES", 4_000)
    directory = tmp_path / f"{HOUR:%Y/%m/%d/%H}"
    directory.mkdir(parents=True)
    (directory / "part.jsonl").write_bytes(lines(CALM * 8))
    batches = question().reader().read(Lake(), local_files(tmp_path, None, None))
    heights = [batch.rows.height for batch in batches]
    assert (sum(heights), len(heights) > 1, max(heights) <= 4_000 // 200) == (40, True, True)


def test_nested_values_are_their_json() -> None:
    assert plain({"a": [1, {"b": None}], "c": True, "d": "x"}) == {"a": '[1, {"b": null}]', "c": True, "d": "x"}
    assert plain({1: datetime(2030, 1, 1)}) == {"1": '"2030-01-01 00:00:00"'}  # type: ignore[dict-item]


def end(*_: Any) -> Any:
    """What the kernel does to a process when there is no memory left."""
    os.kill(os.getpid(), 9)


def test_a_process_that_is_ended_from_outside_ends_the_job_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "FILES_AT_A_TIME", 1)
    monkeypatch.setattr(reading, "_read_alone", end)
    with pytest.raises(
        JobError, match=r"one of 2 processes .* larger `monitoring.instance_type`, or fewer .*--workers"
    ):
        seen(tmp_path, CALM, CALM, CALM, workers=2)
