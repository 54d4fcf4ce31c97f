"""From a request's body to a response's: the runtime's own steps, or those that a model's `inference.py` defines.

`inference.py` may define SageMaker's functions `model_fn(model_dir)`, `input_fn(body, content_type)`,
`predict_fn(data, model)` and `output_fn(prediction, accept)`, or `transform_fn(model, body, content_type, accept)` in
place of the last three. Each may take one argument more, the context.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import xgboost as xgb

from model_runtime.artifact import Artifact, Matrix, check_problem, load_artifact
from model_runtime.errors import JobError
from model_runtime.problems import VARIABLE, asked_problem
from model_runtime.serving.content import TYPES, RowReader, choose_type, media_type_of, write_predictions
from model_runtime.serving.errors import RequestError

Step = Callable[..., Any]

# Up to so many rows one thread answers sooner than several that have to be woken.
SHORT_ROWS = 128


class BoosterPredictor:
    """Predictions of a booster, from any thread; `rows` has the shape (n, number of features), NaN for missing."""

    def __init__(self, booster: xgb.Booster) -> None:
        self._booster = booster
        self._single_threaded = booster.copy()
        self._single_threaded.set_param({"nthread": 1})
        # A booster configures itself at its first prediction: not while a client waits, and not from two threads.
        nothing: Matrix = np.full((1, booster.num_features()), np.nan, dtype=np.float32)
        for each in (self._booster, self._single_threaded):
            each.inplace_predict(nothing, validate_features=False)

    def __call__(self, rows: Matrix) -> Matrix:
        """One probability (or value) per row."""
        booster = self._single_threaded if len(rows) <= SHORT_ROWS else self._booster
        result: Matrix = booster.inplace_predict(rows, validate_features=False)
        return result


class InvocationHandler:
    """A loaded model that answers request bodies; safe to use from several threads.

    `has_own_steps` says whether the model's own functions take part in an answer.
    """

    def __init__(self, artifact: Artifact, model_directory: Path) -> None:
        module = artifact.code.optional_module("inference")
        self._reader = RowReader(artifact.description.features, artifact.code.encoders)
        self._context = {"model_dir": str(model_directory), "model": artifact.description.model}
        self._transform = self._own_step(module, "transform_fn", 4)
        self._input = self._own_step(module, "input_fn", 2)
        self._predict = self._own_step(module, "predict_fn", 2)
        self._output = self._own_step(module, "output_fn", 2)
        if self._transform is not None and (self._input or self._predict or self._output):
            raise JobError(
                f"{artifact.code.name}.inference defines transform_fn, which takes the place of input_fn, predict_fn "
                "and output_fn: define it or them"
            )
        load = self._own_step(module, "model_fn", 1)
        self.has_own_steps = any((self._transform, self._input, self._predict, self._output, load))
        self._model = artifact.booster if load is None else load(str(model_directory))
        is_booster = isinstance(self._model, xgb.Booster)
        self._default_predict: Step = BoosterPredictor(self._model) if is_booster else self._predict_with_model

    @classmethod
    def load(cls, model_directory: Path) -> InvocationHandler:
        """Load the model of a directory.

        Raises JobError when it isn't one, or when PROBLEM is set and names another kind than it was trained for.
        """
        artifact = load_artifact(model_directory)
        if os.environ.get(VARIABLE):
            check_problem(artifact.description, asked_problem())
        return cls(artifact, model_directory)

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """The response's body and content type; raises RequestError for what the client has to mend."""
        if self._transform is not None:
            result = self._transform(self._model, _as_sent(body, content_type), content_type, accept)
            return _body_and_type("transform_fn", result, accept, content_type)
        data = (
            self._reader.read(body, content_type)
            if self._input is None
            else self._input(_as_sent(body, content_type), content_type)
        )
        if self._output is None:
            media_type = choose_type(accept, content_type)
            return write_predictions(self.predict(data), media_type), media_type
        return _body_and_type("output_fn", self._output(self.predict(data), accept), accept, content_type)

    def predict(self, data: Any) -> Any:
        """The predictions for what `input_fn` returns; without one of its own, for a matrix of features."""
        return self._default_predict(data) if self._predict is None else self._predict(data, self._model)

    def _predict_with_model(self, data: Any) -> Any:
        return self._model.predict(data)

    def _own_step(self, module: ModuleType | None, name: str, arguments: int) -> Step | None:
        function = getattr(module, name, None)
        if function is None:
            return None
        taken = len(inspect.signature(function).parameters)
        if taken == arguments:
            return function  # type: ignore[no-any-return]
        if taken == arguments + 1:
            return lambda *values: function(*values, self._context)
        raise JobError(f"{function.__module__}.{name} must take {arguments} arguments, or one more for the context")


def _as_sent(body: bytes, content_type: str) -> str | bytes:
    if media_type_of(content_type) not in TYPES:
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8: {error}") from error


def _body_and_type(function: str, result: Any, accept: str, content_type: str) -> tuple[bytes, str]:
    """What `output_fn` or `transform_fn` returned: a body, or a pair of a body and its content type."""
    first = media_type_of(accept.partition(",")[0])
    body, media_type = result if isinstance(result, tuple) else (result, content_type if "*" in first else first)
    if not isinstance(body, str | bytes):
        raise TypeError(f"{function} must return text or bytes, or one of them and a content type, got {body!r:.80}")
    return (body.encode() if isinstance(body, str) else body), media_type or content_type
