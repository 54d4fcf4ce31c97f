"""One run of a Glue job: a Spark (or plain Python) process that works on mirrored S3 prefixes."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from local_aws.glue.job_options import NOT_ACTED_ON, event_logs_location, is_glue_option, listed, spark_conf
from local_aws.glue.mirror_cache import MirrorCache
from local_aws.glue.run_slots import RunSlots
from local_aws.glue.s3_mirror import S3Mirror, uris_in
from local_aws.glue.spark_environment import spark_environment
from local_aws.glue.spark_start import SparkStart
from local_aws.jobs.java import JavaMissingError, java_home
from local_aws.jobs.log_stream import LogStream
from local_aws.jobs.process import JobProcess, Outcome, job_environment, scratch_directory
from local_aws.jobs.s3_files import S3_ERRORS, S3Uri, download, find_file, upload_directory
from local_aws.service import LocalContext

_log = logging.getLogger(__name__)

LOG_GROUP = "/aws-glue/jobs"
# what follows the base in the names of a run's two log groups
OUTPUT, ERROR = "output", "error"
ENDED_STATES = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR"})
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)(:|$)")


def log_group(security: str | None, role: str) -> str:
    """Return what the names of a run's log groups begin with: with a security configuration they carry its name."""
    return f"{LOG_GROUP}/{security}-role/{role.rpartition('/')[2]}" if security else LOG_GROUP


class JobRunError(Exception):
    """The run can't start or go on; the message becomes its ErrorMessage."""


class JobRun(threading.Thread):
    """Runs a job's script as the job's role. `record` is the JobRun of the Glue API and changes as the run goes on.

    A run whose record is WAITING is started by `leave_queue()`. `extra_arguments` reach the script but not the record.
    """

    def __init__(
        self,
        context: LocalContext,
        region: str,
        job: Mapping[str, Any],
        record: dict[str, Any],
        *,
        slots: RunSlots,
        cache: MirrorCache,
        extra_arguments: Mapping[str, str],
        time_limit_seconds: float,
        changed: Callable[[JobRun], None],
    ) -> None:
        super().__init__(name=f"glue-{record['Id'][:12]}", daemon=True)
        self.record = record
        self._context = context
        self._region = region
        self._job = job
        self._slots = slots
        self._cache = cache
        self._extra_arguments = extra_arguments
        self._time_limit = time_limit_seconds
        self._changed = changed
        role = str(job["Role"])
        self._role = role if role.startswith("arn:") else f"arn:aws:iam::{context.account}:role/{role}"
        self._lock = threading.Lock()
        self._directory: Path = context.state_dir / "jobs" / "glue" / record["JobName"] / record["Id"]
        self._stop_requested = threading.Event()
        self._process: JobProcess | None = None
        self._logs: dict[str, LogStream] = {}
        self._temporary: list[Path] = []
        self._began: datetime | None = None
        self._finished = threading.Event()

    @property
    def ended(self) -> bool:
        return self.record["JobRunState"] in ENDED_STATES

    @property
    def waiting(self) -> bool:
        return bool(self.record["JobRunState"] == "WAITING")

    def start(self) -> None:
        """Start the thread; the clock knows of it from now on."""
        self._worker = self._context.clock.worker(f"Glue job {self.record['JobName']}")
        super().start()

    def leave_queue(self) -> None:
        """Start a run that waits; one that was stopped meanwhile stays so."""
        with self._lock:
            if not self.waiting:
                return
            self._note_state("STARTING")
        self.start()

    def stop(self, grace_seconds: float | None = None) -> None:
        """Stop the run; its state becomes STOPPED once the process has ended."""
        with self._lock:
            if self.ended:
                return
            waited = self.waiting
            self._stop_requested.set()
            self._note_state("STOPPING")
            process = self._process
        if process is not None:
            process.stop(grace_seconds)
        elif waited:
            self._end("STOPPED", None)

    def wait_for_end(self, timeout: float) -> None:
        """Wait until the run has ended, whether it ever left its queue or not."""
        self._finished.wait(timeout)

    def run(self) -> None:
        try:
            for kind in (OUTPUT, ERROR):
                group = f"{self.record['LogGroupName']}/{kind}"
                self._logs[kind] = LogStream(self._client("logs"), group, self.record["Id"])
            with self._slots.slot(self._stop_requested) as granted:
                state, message = self._execute() if granted else ("STOPPED", None)
        except (JobRunError, JavaMissingError, ValueError) as error:
            state, message = "FAILED", str(error)
        except (*S3_ERRORS, OSError) as error:
            state, message = "FAILED", f"{type(error).__name__}: {error}"
        except Exception as error:
            _log.exception("the run %s of the Glue job broke", self.record["Id"])
            state, message = "FAILED", f"Internal service error: {type(error).__name__}: {error}"
        if message and self._logs:
            self._logs[ERROR].write(message)
        for log in self._logs.values():
            log.close()
        # scripts and settings of a run that failed stay, to be looked at
        for leftover in [*self._scratch, *([self._directory] if state == "SUCCEEDED" else [])]:
            shutil.rmtree(leftover, ignore_errors=True)
        self._end(state, message)
        self._worker.end()

    def _end(self, state: str, message: str | None) -> None:
        moment = self._context.clock.now()
        with self._lock:
            self.record["CompletedOn"] = moment
            self.record["ExecutionTime"] = round((moment - (self._began or moment)).total_seconds())
            if message:
                self.record["ErrorMessage"] = message[:1024]
            self._note_state(state)
            self._process, self._logs = None, {}
        self._changed(self)
        self._finished.set()

    @property
    def _scratch(self) -> list[Path]:
        return [*(self._directory / name for name in ("s3", "java", "warehouse")), self._event_logs, *self._temporary]

    @property
    def _event_logs(self) -> Path:
        return self._directory / "spark-logs"

    @property
    def _python(self) -> str:
        image = self._context.images.get("glue")
        return image.python if image else sys.executable

    def _execute(self) -> tuple[str, str | None]:
        arguments = {
            **self._job.get("DefaultArguments", {}),
            **self.record.get("Arguments", {}),
            **self._job.get("NonOverridableArguments", {}),
        }
        command = self._job["Command"]
        if command["Name"] not in ("glueetl", "pythonshell"):
            raise JobRunError(f"jobs of the command {command['Name']!r} don't run locally: use glueetl or pythonshell")
        self._directory.mkdir(parents=True, exist_ok=True)
        script = self._fetch(command["ScriptLocation"], "the script")
        libraries = [self._fetch(uri, "--extra-py-files") for uri in listed(arguments.get("--extra-py-files"))]
        for location in listed(arguments.get("--extra-files")):
            shutil.copy(self._fetch(location, "--extra-files"), self._directory)
        for name in sorted(NOT_ACTED_ON & arguments.keys()):
            if arguments[name] != "job-bookmark-disable":
                self._logs[OUTPUT].write(f"local AWS: runs without {name} {arguments[name]}")
        visible = {name: value for name, value in arguments.items() if not is_glue_option(name)}
        uris = [uri for value in visible.values() for uri in uris_in(value)]
        mirror = S3Mirror(self._client("s3"), self._directory / "s3", self._cache, uris)
        environment, spark = self._environment(libraries), None
        if command["Name"] == "glueetl":
            spark = SparkStart(self._directory, java_home(self._context.state_dir), mirror.pull)
            environment |= spark_environment(
                app_name=self.record["JobName"],
                python=self._python,
                java=spark.home,
                directory=self._directory,
                temporary=self._temporary[0],
                event_logs=self._event_logs if event_logs_location(arguments) else None,
                settings={**mirror.spark_settings(), **spark_conf(arguments)},
            )
        if self._stop_requested.is_set():
            return "STOPPED", None
        with self._lock:
            if not self._stop_requested.is_set():
                self._note_state("RUNNING")
            self._began = self._context.clock.now()
        try:
            outcome = self._run_script(script, visible, environment)
        finally:
            if spark is not None:
                spark.forget()
        self._keep_event_logs(arguments)
        if outcome.ended_by == "stop" or self._stop_requested.is_set():
            return "STOPPED", None
        if outcome.ended_by == "time limit":
            return "TIMEOUT", f"Job run exceeded its timeout of {self.record['Timeout']} minutes."
        if spark is not None and spark.error is not None:
            raise spark.error
        if outcome.exit_code != 0:
            return "FAILED", self._failure(outcome)
        if spark is None or not spark.happened:
            return "SUCCEEDED", None
        uploaded, removed = mirror.push()
        self._logs[OUTPUT].write(f"wrote {uploaded} objects to S3 and removed {removed}")
        return "SUCCEEDED", None

    def _run_script(self, script: Path, visible: Mapping[str, str], environment: Mapping[str, str]) -> Outcome:
        names = {"--JOB_NAME": self.record["JobName"], "--JOB_RUN_ID": self.record["Id"]}
        words = [self._python, str(script)]
        for pair in {**names, **self._extra_arguments, **visible}.items():
            words += pair
        process = JobProcess(
            words,
            directory=self._directory,
            environment=environment,
            stdout=self._logs[OUTPUT].write,
            stderr=self._logs[ERROR].write,
        )
        with self._lock:
            self._process, stopping = process, self._stop_requested.is_set()
        if stopping:
            process.stop()
        return process.wait(self._time_limit)

    def _environment(self, libraries: list[Path]) -> dict[str, str]:
        path = [str(library) for library in libraries]
        if os.environ.get("PYTHONPATH"):
            path.append(os.environ["PYTHONPATH"])
        self._temporary.append(scratch_directory(self._context.state_dir))
        return job_environment(
            self._context.credentials(self._role),
            {
                "AWS_ENDPOINT_URL": self._context.endpoint_url,
                "AWS_REGION": self._region,
                "AWS_DEFAULT_REGION": self._region,
                "PYTHONPATH": os.pathsep.join(path),
                "TMPDIR": str(self._temporary[0]),
            },
        )

    def _keep_event_logs(self, arguments: Mapping[str, str]) -> None:
        """Upload what Spark noted for its history server, whatever became of the run."""
        location = event_logs_location(arguments)
        if location is None or not self._event_logs.is_dir():
            return
        try:
            upload_directory(self._client("s3"), self._event_logs, S3Uri.parse(location))
        except (*S3_ERRORS, ValueError) as error:
            self._logs[ERROR].write(f"local AWS: the event logs can't be written to {location}: {error}")

    def _failure(self, outcome: Outcome) -> str:
        lines = self._logs[ERROR].tail(200).splitlines()
        exceptions = [line for line in lines if _EXCEPTION.match(line)]
        if exceptions:
            return exceptions[-1]
        return lines[-1] if lines else f"Command failed with exit code {outcome.exit_code}"

    def _fetch(self, location: str, what: str) -> Path:
        uri = S3Uri.parse(location)
        client = self._client("s3")
        try:
            file = find_file(client, uri)
        except S3_ERRORS as error:
            raise JobRunError(f"{what} {location} can't be read: {error}") from error
        if file is None:
            raise JobRunError(f"{what} {location} doesn't exist")
        return download(client, uri.bucket, [file], self._directory / "code")[0]

    def _client(self, service: str) -> Any:
        return self._context.client(service, region=self._region, role_arn=self._role)

    def _note_state(self, state: str) -> None:
        self.record["LastModifiedOn"] = self._context.clock.now()
        self.record["JobRunState"] = state
