"""The process of one MLflow server: `python -P serve.py --port N --database FILE --artifacts s3://bucket/prefix`.

It serves the application that `mlflow server` serves, in this process: the command line would import all of MLflow a
second time, which takes seconds of a core, to start the same server as a child. Its background jobs judge the answers
of language models, and are left out.
"""

from __future__ import annotations

import argparse
import os

HOST = "127.0.0.1"
# the variables by which `mlflow server` tells the application its settings
DATABASE_VARIABLE = "_MLFLOW_SERVER_FILE_STORE"
ARTIFACTS_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True, help="file of the SQLite database of experiments and runs")
    parser.add_argument("--artifacts", required=True, help="where clients put the files of runs")
    options = parser.parse_args()
    os.environ.update(QUIET)
    os.environ[DATABASE_VARIABLE] = f"sqlite:///{options.database}"
    os.environ[ARTIFACTS_VARIABLE] = options.artifacts

    import uvicorn

    uvicorn.run("mlflow.server.fastapi_app:app", host=HOST, port=options.port, log_level="warning", lifespan="on")


if __name__ == "__main__":
    main()
