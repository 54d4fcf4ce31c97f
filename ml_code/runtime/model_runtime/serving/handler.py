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

from model_runtime.artifact import (
    Artifact,
    Description,
    Matrix,
    check_problem,
    load_artifact,
    load_code,
    read_description,
)
from model_runtime.errors import JobError
from model_runtime.model_code import ModelCode
from model_runtime.problems import VARIABLE, asked_problem
from model_runtime.serving.content import TEXT_TYPES, RowReader, choose_type, media_type_of, write_predictions
from model_runtime.serving.errors import RequestError
from model_runtime.serving.predictors import BoosterPredictor, OnnxPredictor

Step = Callable[..., Any]


class OwnSteps:
    """The functions that a model's `inference.py` defines; None for those that it leaves to the runtime."""

    def __init__(self, code: ModelCode, model: str, directory: Path) -> None:
        module = code.optional_module("inference")
        self._context = {"model_dir": str(directory), "model": model}
        self.load = self._own_step(module, "model_fn", 1)
        self.transform = self._own_step(module, "transform_fn", 4)
        self.input = self._own_step(module, "input_fn", 2)
        self.predict = self._own_step(module, "predict_fn", 2)
        self.output = self._own_step(module, "output_fn", 2)
        if self.transform is not None and (self.input or self.predict or self.output):
            raise JobError(
                f"{code.name}.inference defines transform_fn, which takes the place of input_fn, predict_fn "
                "and output_fn: define it or them"
            )
        self.any = any((self.load, self.transform, self.input, self.predict, self.output))

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


class InvocationHandler:
    """A loaded model that answers request bodies; safe to use from several threads.

    `has_own_steps` says whether the model's own functions take part in an answer. `observe` is called with the
    predictions of each answer, unless a function of the model makes the answer.
    """

    _model: Any
    _default_predict: Step
    observe: Callable[[Any], None] | None

    def __init__(self, artifact: Artifact, model_directory: Path, *, parquet: bool = False) -> None:
        steps = OwnSteps(artifact.code, artifact.description.model, model_directory)
        self._set_up(artifact.description, artifact.code, steps, parquet)
        self._model = artifact.booster if steps.load is None else steps.load(str(model_directory))
        is_booster = type(self._model).__module__.startswith("xgboost.") and hasattr(self._model, "inplace_predict")
        self._default_predict = BoosterPredictor(self._model) if is_booster else self._predict_with_model

    def _set_up(self, description: Description, code: ModelCode, steps: OwnSteps, parquet: bool) -> None:
        self._steps = steps
        self.has_own_steps = steps.any
        self._reader = RowReader(description.features, code.encoders, parquet)
        self._default_predict = self._predict_with_model
        self._model = None
        self.observe = None

    @classmethod
    def load(cls, model_directory: Path, *, parquet: bool = False) -> InvocationHandler:
        """Load the model of a directory, the way that answers soonest: a server needs no XGBoost for most models.

        Raises JobError when it isn't one, or when PROBLEM is set and names another kind than it was trained for.
        """
        predictor: OnnxPredictor | str
        description = read_description(model_directory)
        if os.environ.get(VARIABLE):
            check_problem(description, asked_problem())
        code = load_code(model_directory, description)
        steps = OwnSteps(code, description.model, model_directory)
        predictor = "it has functions of its own" if steps.any else OnnxPredictor.load(model_directory, description)
        if isinstance(predictor, str):
            print(f"{description.model} is served by XGBoost: {predictor}", flush=True)
            handler = cls(load_artifact(model_directory), model_directory, parquet=parquet)
        else:
            handler = cls.__new__(cls)
            handler._set_up(description, code, steps, parquet)
            handler._default_predict = predictor
        if not steps.any:
            handler.predict(np.full((1, len(description.features)), np.nan, dtype=np.float32))
        return handler

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """The response's body and content type; raises RequestError for what the client has to mend."""
        steps = self._steps
        if steps.transform is not None:
            result = steps.transform(self._model, _as_sent(body, content_type), content_type, accept)
            return _body_and_type("transform_fn", result, accept, content_type)
        data = (
            self._reader.read(body, content_type)
            if steps.input is None
            else steps.input(_as_sent(body, content_type), content_type)
        )
        if steps.output is None:
            media_type = choose_type(accept, content_type)
            predictions = self.predict(data)
            body = write_predictions(predictions, media_type)
            if self.observe is not None:
                self.observe(np.asarray(predictions))
            return body, media_type
        return _body_and_type("output_fn", steps.output(self.predict(data), accept), accept, content_type)

    def rows(self, body: bytes, content_type: str, accept: str) -> tuple[Matrix, str]:
        """What is asked and the type to answer in, of a model without functions of its own; raises RequestError."""
        return self._reader.read(body, content_type), choose_type(accept, content_type)

    def predict(self, data: Any) -> Any:
        """The predictions for what `input_fn` returns; without one of its own, for a matrix of features."""
        own = self._steps.predict
        return self._default_predict(data) if own is None else own(data, self._model)

    def _predict_with_model(self, data: Any) -> Any:
        return self._model.predict(data)


def _as_sent(body: bytes, content_type: str) -> str | bytes:
    if media_type_of(content_type) not in TEXT_TYPES:
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
