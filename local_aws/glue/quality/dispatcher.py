"""Evaluates runs in batches, in one Spark process at a time."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from local_aws.glue.quality.batch import Batch
from local_aws.glue.quality.evaluation_run import EvaluationRun
from local_aws.glue.quality.evaluator_process import EvaluatorEndedError, EvaluatorProcess, scratch_folder
from local_aws.glue.quality.measures import Measured
from local_aws.glue.quality.run_log import write_log
from local_aws.glue.quality.sources import SourceError
from local_aws.jobs.java import JavaMissingError
from local_aws.jobs.s3_files import S3_ERRORS
from local_aws.service import LocalContext

_log = logging.getLogger(__name__)

STOPPING = "the local AWS is stopping"
# a batch is complete when no run has come for this long, or when its first has waited the longest time
QUIET_SECONDS, LONGEST_WAIT_SECONDS = 0.25, 1.5


class Dispatcher:
    """Collects runs that start at about the same time, and has them measured together.

    `measured` is called with the runs of a batch that were, and ends them.
    """

    def __init__(self, context: LocalContext, measured: Callable[[list[tuple[EvaluationRun, Measured]]], None]) -> None:
        self._context = context
        self._measured = measured
        self._arrivals = threading.Condition()
        self._pending: list[EvaluationRun] = []
        self._closed = False
        self._worker: threading.Thread | None = None
        self._process: EvaluatorProcess | None = None
        self._batches = 0

    def submit(self, run: EvaluationRun) -> None:
        """Take a run; a dispatcher that is closed stops it."""
        with self._arrivals:
            if self._closed:
                run.end("STOPPED", STOPPING)
                return
            self._pending.append(run)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="data-quality", daemon=True)
                self._worker.start()
            self._arrivals.notify_all()

    def close(self) -> None:
        """End the process, and wait until nothing is evaluated any more; runs that were are stopped."""
        with self._arrivals:
            self._closed = True
            self._arrivals.notify_all()
        if self._worker is not None:
            self._worker.join(timeout=15)

    def _work(self) -> None:
        while runs := self._next_batch():
            try:
                self._evaluate(runs)
            except (JavaMissingError, EvaluatorEndedError) as error:
                self._fail(runs, str(error))
            except Exception as error:
                _log.exception("a batch of data quality runs broke")
                self._fail(runs, f"Internal service error: {type(error).__name__}: {error}")
        if self._process is not None:
            self._process.stop()
        for run in self._pending:
            run.end("STOPPED", STOPPING)

    def _next_batch(self) -> list[EvaluationRun]:
        with self._arrivals:
            self._arrivals.wait_for(lambda: bool(self._pending) or self._closed)
            latest = time.monotonic() + LONGEST_WAIT_SECONDS
            count = -1
            while count != len(self._pending) and time.monotonic() < latest and not self._closed:
                count = len(self._pending)
                self._arrivals.wait_for(lambda: self._closed, QUIET_SECONDS)
            if self._closed:
                return []
            runs, self._pending = self._pending, []
        return runs

    def _evaluate(self, runs: list[EvaluationRun]) -> None:
        for attempt in (1, 2):
            process, fresh = self._evaluator()
            try:
                self._evaluate_in(process, [run for run in runs if run.begin()])
                return
            except EvaluatorEndedError:
                process.stop()
                # one that waited for plans may have ended just before this one
                if fresh or attempt == 2:
                    raise

    def _evaluate_in(self, process: EvaluatorProcess, runs: list[EvaluationRun]) -> None:
        self._batches += 1
        folder = scratch_folder(process, self._batches)
        batch = Batch(self._client, folder)
        added = []
        for run in runs:
            try:
                batch.add(run)
                added.append(run)
            except SourceError as error:
                self._fail([run], str(error))
            except S3_ERRORS as error:
                self._fail([run], f"{type(error).__name__}: {error}")
        plan = batch.plan()
        answer = process.measure(plan, lambda: self._unwanted(added)) if plan else {}
        done = {run.id: measured for run in added if answer is not None and (measured := batch.measured(run, answer))}
        self._measured([(run, done[run.id]) for run in added if run.id in done])
        for run in added:
            if run.id in batch.failures:
                self._fail([run], batch.failures[run.id])
        shutil.rmtree(folder, ignore_errors=True)

    def _unwanted(self, runs: list[EvaluationRun]) -> bool:
        for run in runs:
            run.expire()
            if self._closed:
                run.end("STOPPED", STOPPING)
        return all(run.ended for run in runs)

    def _evaluator(self) -> tuple[EvaluatorProcess, bool]:
        if self._process is not None and self._process.running:
            return self._process, False
        if self._process is not None:
            self._process.stop()
        self._process = EvaluatorProcess(self._context)
        return self._process, True

    def _client(self, service: str, region: str, role: str) -> Any:
        return self._context.client(service, region=region, role_arn=role)

    def _fail(self, runs: list[EvaluationRun], reason: str) -> None:
        for run in runs:
            if run.end("FAILED", reason[-1024:]):
                write_log(self._context, run, "error", reason.splitlines())
