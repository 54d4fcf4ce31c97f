"""Captured bodies become rows, whatever clients send; what is none is counted and named."""

from __future__ import annotations

import base64
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_runtime.encoders import iata_number
from model_runtime.monitor import captures as capturing
from model_runtime.monitor.captured_rows import RowParser, Unreadable, answers
from model_runtime.monitor.captures import CaptureBatch, CaptureReader
from model_runtime.monitor.lake import Lake, local_files
from tests.runtime.monitored import capture, lines

HOUR = datetime(2030, 3, 10, 9, tzinfo=UTC)
PARSER = RowParser(("carrier", "hour"), {"carrier": iata_number})


@pytest.fixture(autouse=True)
def region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def side(data: Any, encoding: str = "CSV", observed: str = "text/csv") -> dict[str, Any]:
    return {"observedContentType": observed, "mode": "INPUT", "data": data, "encoding": encoding}


def table(data: Any, encoding: str = "CSV", observed: str = "text/csv") -> dict[str, list[Any]]:
    """The rows of a body by column."""
    found = PARSER.rows(side(data, encoding, observed))
    if found.cells:
        return PARSER.frame_of_cells(found.cells).to_dict(as_series=False)
    return PARSER.frame_of_named(found.named).to_dict(as_series=False)


def reader_of(directory: Path, **changed: Any) -> CaptureReader:
    return CaptureReader(PARSER, HOUR, HOUR + timedelta(hours=1), **changed)


def read(directory: Path, body: bytes) -> tuple[list[CaptureBatch], CaptureReader]:
    file = directory / "live" / f"{HOUR:%Y/%m/%d/%H}" / "part.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(body)
    reader = reader_of(directory)
    return list(reader.read(Lake(), local_files(directory, None, None))), reader


@pytest.mark.parametrize(
    ("data", "encoding", "rows"),
    [
        ("1,2", "CSV", {"carrier": [1.0], "hour": [2.0]}),
        ("1,2\n3,4\n", "CSV", {"carrier": [1.0, 3.0], "hour": [2.0, 4.0]}),
        ("1,2\r\n\r\n3,\r\n", "CSV", {"carrier": [1.0, 3.0], "hour": [2.0, None]}),
        ('"UA"," 7 "', "CSV", {"carrier": [1090.0], "hour": [7.0]}),
        ("NAN,nan", "CSV", {"carrier": [30191.0], "hour": [None]}),
        ("nan,1e3", "CSV", {"carrier": [None], "hour": [1000.0]}),
        ("UA,noon\n1,7", "CSV", {"carrier": [1090.0, 1.0], "hour": ["noon", "7"]}),
        ("no code,7\nUA,8", "CSV", {"carrier": ["no code", "1090"], "hour": [7.0, 8.0]}),
        ("carrier,hour\n1,2", "CSV", {"carrier": [1.0], "hour": [2.0]}),
        ("carrier,time\n1,2", "CSV", {"carrier": [1.0], "time": [2.0]}),
        ('{"instances": [[1, 2], [null, 4]]}', "JSON", {"carrier": [1.0, None], "hour": [2.0, 4.0]}),
        ('{"instances": [{"features": ["UA", 2]}]}', "JSON", {"carrier": [1090.0], "hour": [2.0]}),
        ('{"hour": 2, "carrier": 7, "new": true}', "JSON", {"carrier": [7.0], "hour": [2.0], "new": [1.0]}),
        ('{"features": [1, 2]}', "JSON", {"carrier": [1.0], "hour": [2.0]}),
        ('[1, 2]', "JSON", {"carrier": [1.0], "hour": [2.0]}),
        ('{"hour": 2}\n{"hour": "x", "carrier": 1}\n', "JSON", {"carrier": [None, 1.0], "hour": ["2", "x"]}),
        ({"instances": [[1, 2]]}, "JSON", {"carrier": [1.0], "hour": [2.0]}),
        (base64.b64encode(b"1,2").decode(), "BASE64", {"carrier": [1.0], "hour": [2.0]}),
        (base64.b64encode(b'{"instances": [[1, 2]]}').decode(), "BASE64", {"carrier": [1.0], "hour": [2.0]}),
    ],
)  # fmt: skip
def test_what_clients_send_becomes_rows(data: Any, encoding: str, rows: dict[str, list[Any]]) -> None:
    assert table(data, encoding) == rows


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("", "CSV"),
        ("{", "JSON"),
        ('{"instances": ["text"]}', "JSON"),
        (base64.b64encode(b"PAR1\xff").decode(), "BASE64"),
        (None, "CSV"),
    ],
)
def test_bodies_that_hold_no_rows_say_why(data: Any, encoding: str) -> None:
    with pytest.raises(Unreadable):
        table(data, encoding)


def test_rows_of_another_width_are_told_apart_and_keep_the_answers_of_others() -> None:
    found = PARSER.rows(side("1,2\n1,2,3\n4,5"))
    assert (found.cells, list(found.places), found.widths, found.asked) == ([["1", "2"], ["4", "5"]], [0, 2], {3: 1}, 3)


@pytest.mark.parametrize(
    ("data", "encoding", "values"),
    [
        ("0.5\n", "CSV", [0.5]),
        ("0.5,late\n0.25,on time\n", "CSV", [0.5, 0.25]),
        ('{"predictions": [0.5, 0.25]}', "JSON", [0.5, 0.25]),
        ('{"predictions": [{"score": 0.5}, {"probability": 1}]}', "JSON", [0.5, 1.0]),
        ('{"prediction": 0.5}\n{"prediction": 0.25}\n', "JSON", [0.5, 0.25]),
        ("[0.5]", "JSON", [0.5]),
        ('{"error": "row 1"}', "JSON", None),
        ("late", "CSV", None),
        ('{"predictions": [null]}', "JSON", None),
    ],
)
def test_answers_are_numbers_or_none(data: str, encoding: str, values: list[float] | None) -> None:
    assert answers(side(data, encoding)) == values


def test_a_request_of_several_rows_has_a_key_for_each(tmp_path: Path) -> None:
    several = capture("1,2\n3,4", "0.1\n0.2\n", HOUR, "id")
    alone, without = capture("5,6", "0.3", HOUR, None), capture("7,8", "0.4\n0.5", HOUR, "mismatch")
    without["eventMetadata"].pop("inferenceTime")
    batches, reader = read(tmp_path, lines([several, alone, without]))
    (batch,) = batches
    assert batch.keys.to_list() == ["id", "id\n1", alone["eventMetadata"]["eventId"], "mismatch"]
    assert batch.predictions.to_list() == [0.1, 0.2, 0.3, None]
    assert batch.times.to_list() == [HOUR] * 4
    assert (reader.counts.records, reader.counts.unanswered) == (3, 1)


def test_requests_without_an_answer_are_rows_all_the_same(tmp_path: Path) -> None:
    (batch,), reader = read(
        tmp_path, lines([capture("1,2", None, HOUR, None), capture("x,y", '{"error": 1}', HOUR, None)])
    )
    assert batch.rows.height == 2
    assert batch.predictions.null_count() == 2
    assert reader.counts.broken == 0


def test_broken_lines_are_named_and_end_nothing(tmp_path: Path) -> None:
    good = lines([capture("1,2", "0.5", HOUR, "a")])
    body = good + b'{"captureData": {}}\n' + b"[1]\n\n" + b'"text"\n' + good[:50] + b"\n" + good + good[:70]
    (batch,), reader = read(tmp_path, body)
    assert batch.rows.height == 2
    assert (reader.counts.broken, [each["line"] for each in reader.counts.examples]) == (5, [2, 3, 5, 6, 8])
    assert reader.counts.examples[4]["reason"] == "the line is no JSON, it ends in the middle"


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of four times the rows takes no more memory at its peak: both are more than a batch."""
    monkeypatch.setattr(capturing, "BATCH_ROWS", 500)
    line = lines([capture(",".join(["1234.5"] * 2), "0.5", HOUR, "a")])

    def peak(name: str, count: int) -> int:
        directory = tmp_path / name
        file = directory / f"{HOUR:%Y/%m/%d/%H}" / "part.jsonl"
        file.parent.mkdir(parents=True)
        with file.open("wb") as target:
            for _ in range(count):
                target.write(line)
        tracemalloc.start()
        rows = sum(batch.rows.height for batch in reader_of(directory).read(Lake(), local_files(directory, None, None)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows == count
        return found

    small, large = peak("small", 600), peak("large", 2400)
    assert large < small * 1.2


def test_a_file_that_is_gone_when_it_is_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Lake):
        def opened(self, files: Any) -> Iterator[Any]:
            yield from ((file, None) for file in files)

    from model_runtime.monitor.lake import HourFile

    reader = reader_of(Path())
    assert list(reader.read(Gone(), [HourFile(HOUR, "s3://a/b.jsonl", 1)])) == []
    assert reader.counts.examples == [
        {"file": "s3://a/b.jsonl", "line": 0, "reason": "it was removed while it was waited for"}
    ]


def test_columns_keep_their_type_over_batches() -> None:
    found = PARSER.column("hour", pl.Series("hour", ["1", None, " ", "2.5"]))
    assert found.to_list() == [1.0, None, None, 2.5]
    assert json.dumps(found.to_list())
