"""What the prebuilt containers do: Flask under gunicorn with gevent, a DMatrix for each request."""

from __future__ import annotations

import os

import flask
import numpy as np
import xgboost as xgb

app = flask.Flask(__name__)
booster = xgb.Booster(model_file=os.environ["BOOSTER"])
booster.set_param({"nthread": 1})


@app.get("/ping")
def ping() -> flask.Response:
    """Say that the server is there."""
    return flask.Response(status=200)


@app.post("/invocations")
def invocations() -> flask.Response:
    """Predict the rows of a CSV."""
    text = flask.request.get_data().decode()
    lines = text.strip().split("\n")
    rows = np.array([[float(each) if each else np.nan for each in line.split(",")] for line in lines], dtype=np.float32)
    answers = booster.predict(xgb.DMatrix(rows), validate_features=False)
    return flask.Response("\n".join(map(str, answers.tolist())) + "\n", mimetype="text/csv")
