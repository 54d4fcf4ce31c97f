"""The quick reading of rows gives what the careful one gives, or nothing."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from model_runtime.serving.content import RowReader
from model_runtime.serving.errors import RequestError
from model_runtime.serving.quick_rows import QuickRows

FEATURES = ("a", "b", "c")
QUICK, CAREFUL = QuickRows(FEATURES), RowReader(FEATURES, {})
PIECES = ["1", "-2.5", "", ",", ",", "\n", "\r\n", "\r", "e5", "E", "1e39", "9" * 40, "9" * 400, "nan", " ", "_", "+"]
PIECES += ['"', "1,2,3", "1,,3", "\x0b", ".", "\x1c", "١", "0x1", "inf"]
MEMBERS = [1, -2.5, None, True, "1", "x", 1e39, 10**400, [1], {}, float("nan"), float("inf"), 0]


def careful_csv(text: str) -> np.ndarray[tuple[int, int], np.dtype[np.float32]] | None:
    try:
        return np.array(CAREFUL._csv_rows(text), dtype=np.float32)
    except RequestError:
        return None


def test_rows_of_csv_are_read_alike_or_left_to_the_careful_reader() -> None:
    source = random.Random(5)
    taken = 0
    for number in range(20_000):
        text = "".join(source.choices(PIECES, k=source.randint(1, 9)))
        if number % 3 == 0:
            line = ",".join(source.choice(["1", "-2.5", "", "1e5", ".5", "1e39"]) for _ in FEATURES)
            text = source.choice(["\n", "\r\n"]).join([line] * source.randint(1, 3)) + source.choice(["", "\n"])
        quick = QUICK.csv(text.encode())
        if quick is not None:
            taken += 1
            careful = careful_csv(text)
            assert careful is not None, text
            assert np.array_equal(quick, careful, equal_nan=True), text
    assert taken > 2000


def test_rows_of_json_are_read_alike_or_left_to_the_careful_reader() -> None:
    source = random.Random(6)
    taken = 0
    for number in range(10_000):
        members = [1, -2.5, None] if number % 2 else MEMBERS
        rows: list[object] = []
        for _ in range(source.randint(1, 3)):
            values = source.choices(members, k=source.choice([3, 3, 3, 3, 2, 4]))
            rows.append(values if source.random() < 0.6 else dict(zip("abcd", values, strict=False)))
        quick = QUICK.rows(rows)
        if quick is not None:
            taken += 1
            careful = np.array([CAREFUL._json_row(1, row) for row in rows], dtype=np.float32)
            assert np.array_equal(quick, careful, equal_nan=True), rows
    assert taken > 2000


def test_bodies_of_json_are_read_alike_or_left_to_the_careful_reader() -> None:
    for instances in (
        "[[1, 1" + "0" * 400 + ", 3]]",
        "[[1, NaN, 3]]",
        "[[1, 1e400, 3]]",
        "[]",
        "{}",
        "[[1, 2, 3], [1]]",
    ):
        assert QUICK.json(f'{{"instances": {instances}}}'.encode()) is None
    assert QUICK.json(b"[[1, 2, 3]]") is None
    assert QUICK.json_lines(b"[1, 2, 3], [4, 5\n6]") is None
    assert np.array_equal(QUICK.json(b'{"instances": [[1, 2, 3]]}'), [[1, 2, 3]])
    assert np.array_equal(QUICK.json_lines(b"[1, 2, 3]\n\n[4, 5, 6]\r\n"), [[1, 2, 3], [4, 5, 6]])


def test_plain_rows_are_read_quickly() -> None:
    assert QUICK.csv(b"1,2.5,-3") is not None
    assert QUICK.csv(b"1,,1e-05\r\n4,5,6\r\n") is not None
    assert QUICK.rows([[1, None, 2.5], {"c": 3, "a": 1, "b": 2}]) is not None
    one = QuickRows(("a",))
    assert one.rows([{"a": 7}]) == np.array([[7]])
    assert one.csv(b"7\n8") == pytest.approx(np.array([[7], [8]]))


def test_json_lines_have_one_row_each() -> None:
    body = '[1, 2, 3]\n{"a": 4, "b": null, "c": 6}\r\n\n'
    found = CAREFUL.read(body.encode(), "application/jsonlines; charset=utf-8")
    assert np.array_equal(found, np.array([[1, 2, 3], [4, np.nan, 6]], dtype=np.float32), equal_nan=True)
    for wrong, reason in (
        ('[1, 2, 3]\n[1, "two", 3]', "row 2, b: 'two' is not a number"),
        ("[1, 2, 3]\n[1, 2", "row 2 is not JSON"),
        (json.dumps({"instances": [[1, 2, 3]]}), "row 1: the model has no feature 'instances'"),
        ("\n", "the body holds no row"),
    ):
        with pytest.raises(RequestError, match=reason):
            CAREFUL.read(wrong.encode(), "application/jsonlines")
