"""A model directory is taken whole or not at all, with the functions that its code defines for inference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb

from model_runtime.artifact import load_artifact
from model_runtime.errors import JobError
from model_runtime.serving.errors import RequestError
from model_runtime.serving.handler import InvocationHandler

BODY = b"17,1400,UA\n5,300,DL\n"
CSV = "text/csv"


def handler(model_directory: Path, inference: str) -> InvocationHandler:
    (model_directory / "code" / "toy" / "inference.py").write_text(inference)
    return InvocationHandler.load(model_directory)


def spoil(model_directory: Path, **changes: object) -> None:
    file = model_directory / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_an_archive_with_another_number_of_features_is_refused(model_directory: Path) -> None:
    spoil(model_directory, features=["hour", "distance"])
    with pytest.raises(JobError, match=r"the booster takes 3 features, model.json lists 2"):
        load_artifact(model_directory)


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
@pytest.mark.parametrize("content", [b"", b"{", b'{"learner": 1}', b"\x00\xff junk"])
def test_a_corrupt_file_is_named(model_directory: Path, name: str, content: bytes) -> None:
    (model_directory / name).write_bytes(content)
    with pytest.raises(JobError, match=rf"{name} can't be read"):
        load_artifact(model_directory)


def test_a_model_cut_short_is_named(model_directory: Path) -> None:
    file = model_directory / "model.ubj"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(JobError, match=r"model.ubj can't be read"):
        load_artifact(model_directory)


def test_a_model_without_its_code_is_refused(model_directory: Path) -> None:
    (model_directory / "code").rename(model_directory / "elsewhere")
    with pytest.raises(JobError, match="the model's code isn't there"):
        load_artifact(model_directory)


def test_an_unknown_entry_of_the_description_is_refused(model_directory: Path) -> None:
    spoil(model_directory, colour="blue")
    with pytest.raises(JobError, match="colour"):
        load_artifact(model_directory)


def test_each_function_takes_the_place_of_one_step(model_directory: Path) -> None:
    own = handler(
        model_directory,
        """
from pathlib import Path

import numpy as np


def model_fn(model_dir):
    assert (Path(model_dir) / "model.ubj").is_file()
    return 2.0


def input_fn(body, content_type):
    assert isinstance(body, str)
    return np.array([float(line.split(",")[0]) for line in body.splitlines()])


def predict_fn(data, model):
    return data * model


def output_fn(prediction, accept):
    return ";".join(map(str, prediction)), "text/x-own"
""",
    )
    assert own.answer(BODY, CSV, "") == (b"34.0;10.0", "text/x-own")
    assert own.has_own_steps


def test_a_function_may_take_the_context_and_ask_where_the_model_lies(model_directory: Path) -> None:
    own = handler(
        model_directory,
        """
def model_fn(model_dir, context):
    return context["model_dir"] == model_dir


def predict_fn(data, model, context):
    return [float(model and context["model"] == "toy")] * len(data)
""",
    )
    assert own.answer(BODY, CSV, "") == (b"1\n1\n", CSV)


def test_a_model_of_another_kind_predicts_by_its_own_method(model_directory: Path) -> None:
    own = handler(
        model_directory,
        """
class Mean:
    def predict(self, data):
        return data[:, 0] / 100


def model_fn(model_dir):
    return Mean()
""",
    )
    assert own.answer(BODY, CSV, "application/json") == (
        b'{"predictions": [0.170000002, 0.0500000007]}',
        "application/json",
    )


def test_a_booster_from_model_fn_is_the_one_that_predicts(model_directory: Path) -> None:
    own = handler(
        model_directory,
        """
import xgboost as xgb


def model_fn(model_dir):
    booster = xgb.Booster(model_file=model_dir + "/model.ubj")
    return booster[:1]
""",
    )
    first_tree = xgb.Booster(model_file=str(model_directory / "model.ubj"))[:1]
    rows = np.array([[17, 1400, 1090], [5, 300, 489]], dtype=np.float32)
    answer, _ = own.answer(BODY, CSV, "")
    assert [float(line) for line in answer.split()] == pytest.approx(first_tree.inplace_predict(rows).tolist())


@pytest.mark.parametrize("context", ["", ", context"])
def test_a_transform_function_does_it_all_and_gets_other_types_as_bytes(model_directory: Path, context: str) -> None:
    text = f"""
def transform_fn(model, body, content_type, accept{context}):
    return f"{{type(body).__name__}} {{content_type}}"
"""
    own = handler(model_directory, text)
    assert own.answer(b"\xff", "image/png", "") == (b"bytes image/png", "image/png")
    assert own.answer(BODY, "text/csv; charset=utf-8", "text/plain, */*") == (
        b"str text/csv; charset=utf-8",
        "text/plain",
    )
    assert own.answer(BODY, CSV, "*/*") == (b"str text/csv", CSV)
    with pytest.raises(RequestError, match="not UTF-8"):
        own.answer(b"\xff", CSV, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def transform_fn(a, b, c, d): ...\n\n\ndef input_fn(body, content_type): ...\n", "define it or them"),
        ("def predict_fn(data): ...\n", "toy.inference.predict_fn must take 2 arguments, or one more"),
        ("def model_fn(a, b, c): ...\n", "toy.inference.model_fn must take 1 arguments, or one more"),
    ],
)
def test_functions_that_can_not_be_called_as_the_contract_says_are_refused_at_the_start(
    model_directory: Path, text: str, reason: str
) -> None:
    with pytest.raises(JobError) as refused:
        handler(model_directory, text)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def output_fn(prediction, accept):\n    return 5\n", "output_fn must return text or bytes"),
        ("def predict_fn(data, model):\n    return [[0.1, 0.9]] * len(data)\n", "one finite number per row"),
        ("def predict_fn(data, model):\n    return [float('nan')] * len(data)\n", "one finite number per row"),
        ("def predict_fn(data, model):\n    return ['late'] * len(data)\n", "one finite number per row"),
    ],
)
def test_a_result_that_no_client_could_read_is_an_error_of_the_model(
    model_directory: Path, text: str, reason: str
) -> None:
    own = handler(model_directory, text)
    with pytest.raises((TypeError, ValueError), match=reason):
        own.answer(BODY, CSV, "")


def test_two_models_of_the_same_name_keep_their_own_code(model_directory: Path, trained: Path) -> None:
    half = handler(model_directory, "def predict_fn(data, model):\n    return [0.5] * len(data)\n")
    plain = InvocationHandler.load(trained)
    assert half.answer(BODY, CSV, "")[0] == b"0.5\n0.5\n"
    assert plain.answer(BODY, CSV, "")[0] != b"0.5\n0.5\n"
