"""The Spark process that measures, and its folder of plans and answers."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_aws.jobs.java import java_home
from local_aws.jobs.process import JobProcess, job_environment, scratch_directory
from local_aws.service import LocalContext

SCRIPT = Path(__file__).with_name("evaluator.py")
# small tables are measured before the second compiler has paid for itself
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# a process waits this long for further plans: starting Spark takes longer than measuring
IDLE_SECONDS = 20.0
POLL_SECONDS = 0.02


class EvaluatorEndedError(Exception):
    """The process ended without an answer; the message is what it said last."""


class EvaluatorProcess:
    """A running evaluator, started at once, so that Spark starts while files are fetched.

    It ends by itself when it has no plan for `idle_seconds`.
    """

    def __init__(self, context: LocalContext, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._scratch = scratch_directory(context.state_dir)
        self.folder = self._scratch / "plans"
        self.folder.mkdir()
        self._plans = 0
        self._lines: deque[str] = deque(maxlen=50)
        image = context.images.get("glue")
        self._process = JobProcess(
            [image.python if image else sys.executable, str(SCRIPT), str(self.folder), str(idle_seconds)],
            directory=self._scratch,
            environment=self._environment(context, image.python if image else sys.executable),
            stdout=self._lines.append,
        )

    @property
    def running(self) -> bool:
        return self._process.running

    def measure(self, tables: list[dict[str, Any]], unwanted: Callable[[], bool]) -> dict[str, Any] | None:
        """Return what the evaluator answers to a plan, None if it isn't wanted any more."""
        plan = self.folder / f"{self._plans}.plan.json"
        answer = self.folder / f"{self._plans}.measured.json"
        unfinished = plan.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(tables))
        unfinished.rename(plan)
        self._plans += 1
        while not answer.is_file():
            if unwanted():
                self.stop()
                return None
            if not self.running and not answer.is_file():
                raise EvaluatorEndedError("\n".join(self._lines) or "the evaluator ended without a word")
            time.sleep(POLL_SECONDS)
        measured: dict[str, Any] = json.loads(answer.read_text())
        return measured

    def stop(self, grace_seconds: float = 1.0) -> None:
        """End the process and remove what it left."""
        self._process.stop(grace_seconds)
        self._process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _environment(self, context: LocalContext, python: str) -> dict[str, str]:
        cores = min(os.cpu_count() or 1, 4)
        settings = {
            "spark.master": f"local[{cores}]",
            "spark.app.name": "data-quality",
            "spark.driver.memory": "2g",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.extraJavaOptions": f'{JAVA_OPTIONS} "-Djava.io.tmpdir={self._scratch}"',
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": str(cores),
            "spark.sql.adaptive.enabled": "false",
            "spark.local.dir": str(self._scratch),
            "spark.sql.warehouse.dir": str(self._scratch / "warehouse"),
            "spark.sql.session.timeZone": "UTC",
            # Glue's rules cast as Spark did before it followed ANSI: what can't be cast has no value
            "spark.sql.ansi.enabled": "false",
        }
        conf = self._scratch / "conf"
        conf.mkdir()
        (conf / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return job_environment(
            {
                "JAVA_HOME": str(java_home(context.state_dir)),
                "SPARK_CONF_DIR": str(conf),
                "SPARK_LOCAL_IP": "127.0.0.1",
                "PYSPARK_PYTHON": python,
                "TMPDIR": str(self._scratch),
            }
        )


def scratch_folder(process: EvaluatorProcess, batch: int) -> Path:
    """Return the folder for the files of a batch; it goes with the process at the latest."""
    return process.folder.parent / f"batch-{batch}"
