"""From a request's body to a response's: the runtime's own steps, or those that a model's `inference.py` defines.

`inference.py` may define SageMaker's functions `model_fn(model_dir)`, `input_fn(body, content_type)`,
`predict_fn(data, model)` and `output_fn(prediction, accept)`, or `transform_fn(model, body, content_type, accept)` in
place of the last three. Each may take one argument more, the context.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from model_runtime.artifact import Artifact, load_artifact
from model_runtime.errors import JobError
from model_runtime.serving.content import RowReader, choose_type, write_predictions
from model_runtime.serving.errors import RequestError

Step = Callable[..., Any]
TEXT_TYPES = ("text/csv", "application/json")


class InvocationHandler:
    """A loaded model that answers request bodies; safe to use from several threads."""

    def __init__(self, artifact: Artifact, model_directory: Path) -> None:
        module = artifact.code.optional_module("inference")
        self._artifact = artifact
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
        self._model = artifact.booster if load is None else load(str(model_directory))

    @classmethod
    def load(cls, model_directory: Path) -> InvocationHandler:
        """Load the model of a directory; raises JobError when it isn't one."""
        return cls(load_artifact(model_directory), model_directory)

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """The response's body and content type; raises RequestError for what the client has to mend."""
        if self._transform is not None:
            result = self._transform(self._model, _as_sent(body, content_type), content_type, accept)
            return _body_and_type(result, accept, content_type)
        data = (
            self._reader.read(body, content_type)
            if self._input is None
            else self._input(_as_sent(body, content_type), content_type)
        )
        if self._output is None:
            media_type = choose_type(accept, content_type)
            return write_predictions(self._predictions(data), media_type), media_type
        return _body_and_type(self._output(self._predictions(data), accept), accept, content_type)

    def _predictions(self, data: Any) -> Any:
        return self._artifact.predict(data) if self._predict is None else self._predict(data, self._model)

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
    if content_type.partition(";")[0].strip().lower() not in TEXT_TYPES:
        return body
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8: {error}") from error


def _body_and_type(result: Any, accept: str, content_type: str) -> tuple[bytes, str]:
    body, media_type = result if isinstance(result, tuple) else (result, accept if "/" in accept else content_type)
    return (body.encode() if isinstance(body, str) else bytes(body)), media_type
