"""What answers for a model: ONNX Runtime where the model has that form, XGBoost otherwise."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

# Read once, at the import: else ONNX Runtime (since 1.29) reports its use to Microsoft, with an identifier that it
# keeps in the temporary directory. https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort

from model_runtime.artifact import BOOSTER_FILE, Description, Matrix
from model_runtime.onnx_trees import (
    BOOSTER_NOTE,
    CHECK_NOTE,
    ONNX_FILE,
    RESULT,
    ROWS,
    TOLERANCE,
    digest,
    largest_difference,
)

if TYPE_CHECKING:
    import xgboost as xgb

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


class OnnxPredictor:
    """Predictions of a `model.onnx`, from any thread; `rows` has the shape (n, number of features), NaN for missing."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._run = session.run
        self._names = [RESULT]
        self.features = int(session.get_inputs()[0].shape[1])

    @classmethod
    def of_bytes(cls, model: bytes) -> OnnxPredictor:
        """Load a model; one thread, as each core has a server of its own."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return cls(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))

    @classmethod
    def load(cls, directory: Path, description: Description) -> OnnxPredictor | str:
        """Load the model of an artifact, or return why XGBoost has to answer for it.

        It has to belong to the booster beside it, and to answer the rows that it holds as XGBoost did at the training:
        another processor or another version of ONNX Runtime must not change predictions unseen.
        """
        file = directory / ONNX_FILE
        if not file.is_file():
            return f"it has no {ONNX_FILE}"
        try:
            predictor = cls.of_bytes(file.read_bytes())
            notes = predictor._session.get_modelmeta().custom_metadata_map
            if notes.get(BOOSTER_NOTE) != digest(directory / BOOSTER_FILE):
                return f"{ONNX_FILE} belongs to another booster"
            if predictor.features != len(description.features):
                return f"{ONNX_FILE} takes {predictor.features} features instead of {len(description.features)}"
            check = json.loads(notes[CHECK_NOTE])
            found = predictor(np.array(check["rows"], dtype=np.float32))
            difference = largest_difference(found, np.array(check["predictions"], dtype=np.float32))
        except Exception as error:  # ONNX Runtime's own errors share no base
            return f"{ONNX_FILE} can't be used: {' '.join(str(error).split())}"
        if difference > TOLERANCE:
            return f"{ONNX_FILE} differs by {difference:.1e} here from what XGBoost answered at the training"
        return predictor

    def __call__(self, rows: Matrix) -> Matrix:
        """One probability (or value) per row."""
        result: Matrix = self._run(self._names, {ROWS: rows})[0]
        return result.reshape(-1)
