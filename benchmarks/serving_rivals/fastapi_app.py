"""What is written by hand today: FastAPI under uvicorn, `inplace_predict` for each request."""

from __future__ import annotations

import os

import numpy as np
import xgboost as xgb
from fastapi import FastAPI, Request, Response

app = FastAPI()
booster = xgb.Booster(model_file=os.environ["BOOSTER"])
booster.set_param({"nthread": 1})


@app.get("/ping")
async def ping() -> Response:
    """Say that the server is there."""
    return Response()


@app.post("/invocations")
async def invocations(request: Request) -> Response:
    """Predict the rows of a CSV."""
    lines = (await request.body()).decode().strip().split("\n")
    rows = np.array([[float(each) if each else np.nan for each in line.split(",")] for line in lines], dtype=np.float32)
    answers = booster.inplace_predict(rows, validate_features=False)
    return Response("\n".join(map(str, answers.tolist())) + "\n", media_type="text/csv")
