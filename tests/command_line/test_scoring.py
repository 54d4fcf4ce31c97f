"""What the demo says of an endpoint's predictions."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_cli import scoring


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    random = np.random.default_rng(7)
    labels = random.integers(0, 2, 120)
    predictions = random.integers(0, 9, 120) / 8  # with ties
    positives, negatives = predictions[labels == 1], predictions[labels == 0]
    pairs = [(p > n) + 0.5 * (p == n) for p in positives for n in negatives]
    assert scoring.auc(labels, predictions) == pytest.approx(sum(pairs) / len(pairs))


def test_auc_of_a_single_class_is_refused() -> None:
    with pytest.raises(ValueError, match="3 positive and 0 negative"):
        scoring.auc(np.ones(3), np.zeros(3))


class Endpoint:
    """Answers each row with its first value, and remembers how many rows came in each request."""

    def __init__(self) -> None:
        self.requests: list[int] = []
        self.ids: list[str] = []
        self.components: list[str] = []

    def invoke_endpoint(
        self, *, Body: bytes, InferenceId: str = "", InferenceComponentName: str = "", **_: Any
    ) -> dict[str, Any]:
        self.ids.append(InferenceId)
        self.components.append(InferenceComponentName)
        rows = Body.decode().splitlines()
        self.requests.append(len(rows))
        return {"Body": io.BytesIO("\n".join(row.split(",")[0] for row in rows).encode())}


def test_every_row_is_scored_once() -> None:
    frame = pl.DataFrame({"x": [0.1, 0.9, 0.2, 0.8], "y": [1, 2, 3, 4], "late": [0, 1, 0, 1]})
    endpoint = Endpoint()
    scores = scoring.score(endpoint, "e", frame, ["x", "y"], "late", batch_rows=3)
    assert endpoint.requests == [3, 1]
    assert (scores.rows, scores.auc) == (4, 1.0)


def test_rows_asked_for_singly_have_the_ids_that_labels_find() -> None:
    frame = pl.DataFrame({"day": [date(2013, 7, 4)] * 2, "flight": ["UA 1", "B6 725"], "x": [0.1, 0.9]})
    endpoint = Endpoint()
    taken = scoring.ask_singly(endpoint, "e", frame, ["x"], ["flight"])
    assert (endpoint.requests, endpoint.ids) == ([1, 1], ["2013-07-04/UA%201", "2013-07-04/B6%20725"])
    assert taken.shape == (2,)


def test_model_on_a_shared_endpoint_is_asked_for_by_its_name() -> None:
    endpoint, frame = Endpoint(), pl.DataFrame({"x": [0.1]})
    scoring.invoke_csv(endpoint, "dev-fleet-small", frame, component="dev-late")
    scoring.invoke_csv(endpoint, "dev-late", frame)
    assert endpoint.components == ["dev-late", ""]


def test_answers_that_do_not_match_the_rows_are_refused() -> None:
    frame = pl.DataFrame({"x": [0.1, None], "y": [1, 2]})  # the endpoint leaves out the row without an x
    with pytest.raises(ValueError, match="2 rows with 1 predictions"):
        scoring.invoke_csv(Endpoint(), "e", frame)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("0.25\n1e-3\n", [0.25, 0.001]),
        ('"[0.75, 0.25]","[0, 1]"\n"[0.9, 0.1]","[1, 0]"\n', [0.25, 0.9]),
        ("\"[0.75, 0.25]\",\"['0', '1']\"\n", [0.25]),
    ],
    ids=["numbers", "probabilities", "labels as text"],
)
def test_a_prediction_is_a_number_or_the_probability_of_the_label_1(body: str, found: list[float]) -> None:
    assert scoring.predictions_of(body, "e") == found


@pytest.mark.parametrize("body", ["late", "1,2", '"[0.5, 0.5]","[0, 2]"', '"[0.5]","[0, 1]"', '"[0.5, ","[0, 1]"'])
def test_an_answer_that_is_no_prediction_is_shown(body: str) -> None:
    with pytest.raises(ValueError, match=r"dev-toy answered .*, which is no prediction"):
        scoring.predictions_of(body, "dev-toy")


def test_rows_are_read_as_they_stand_with_empty_fields_as_nulls(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('note,x,y\n"a, b",UA,\nc,1.50,2\n')
    rows = scoring.read_rows(file, ["y", "x"])
    assert rows.rows() == [("a, b", "UA", None), ("c", "1.50", "2")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "misses the features x, y"),
        (b"x,z\n1,2\n", "misses the features y"),
        (b"x,y\n", "has a header but no row"),
        (b"x,y\n1,2\n1\n", "row 2 has 1 values, its header 2"),
        (b"x,y\n1,2,3\n", "row 1 has 3 values, its header 2"),
        (b"x,y\n\xff,1\n", "no CSV file in UTF-8"),
    ],
)
def test_file_that_holds_no_rows_to_predict_is_refused_with_its_name(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"rows\.csv.*{reason}"):
        scoring.read_rows(file, ["x", "y"])
