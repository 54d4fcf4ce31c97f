"""`python -m model_runtime <prepare|tables|train|evaluate|serve|select|publish|monitor>`: the container's commands.

A command that fails leaves its reason where SageMaker looks for it, its traceback on standard error, and exit code 1.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths

COMMANDS = ("prepare", "tables", "train", "evaluate", "serve", "select", "publish", "monitor")
PROCESSING = ("prepare", "tables", "evaluate", "select", "publish", "monitor")
REASON_CHARACTERS = 1024
STOPPED = 128 + signal.SIGTERM


def run(command: str, arguments: Sequence[str], paths: ContainerPaths) -> None:
    """Run one command; its libraries are imported only now, so that each starts as fast as it can."""
    if command == "prepare":
        from model_runtime import prepare

        prepare.main(paths, arguments)
    elif command == "tables":
        from model_runtime import tables

        tables.main(paths)
    elif command == "train":
        from model_runtime import train

        train.main(paths)
    elif command == "evaluate":
        if paths.processing_input("scores").is_dir():
            from model_runtime import scores

            scores.main(paths, arguments)
            return
        from model_runtime import evaluate

        evaluate.main(paths, arguments)
    elif command == "serve":
        from model_runtime.serving import server

        server.main(paths)
    elif command == "select":
        from model_runtime.batch import selection

        selection.main(paths, arguments)
    elif command == "publish":
        from model_runtime.batch import publication

        publication.main(paths, arguments)
    elif command == "monitor":
        from model_runtime.monitor import job

        job.main(paths, arguments)
    else:
        raise JobError(f"unknown command {command!r}: expected one of {', '.join(COMMANDS)}")


def reason_of(error: Exception) -> str:
    """What a job's FailureReason shows: the message alone where it was written for people."""
    text = str(error) if isinstance(error, JobError) else f"{type(error).__name__}: {error}"
    return text[:REASON_CHARACTERS]


def reason_files(command: str, paths: ContainerPaths) -> tuple[Path, ...]:
    """Where SageMaker looks for the reason: a training job has one place, a processing job two, an endpoint its log."""
    if command == "train":
        return (paths.failure,)
    return (paths.failure, paths.message) if command in PROCESSING else ()


def main(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    # A container's first process ignores SIGTERM unless it has a handler: a stopped job would run until it is killed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # XGBoost's threads wait for each other many times a second. Where cores are shared, waiting in a loop takes the
    # core from the thread that is waited for, and training takes ten times as long. Set before XGBoost is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    paths = ContainerPaths.from_environment()
    command = argv[0] if argv else ""
    try:
        run(command, argv[1:], paths)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr, flush=True)
        return STOPPED
    except Exception as error:
        traceback.print_exc()
        reason = reason_of(error)
        print(reason, file=sys.stderr, flush=True)
        for file in reason_files(command, paths):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(reason, encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
