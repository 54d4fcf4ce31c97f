"""Glue job runs around the script: arguments, role, retries, concurrency, and what goes back to S3."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.glue import GlueService
from local_aws.glue.s3_mirror import uris_in

ENDED = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"}
# what lies in S3 is there from the moment on that a script starts Java, as it does for Spark
PREAMBLE = """import json, os, pathlib, subprocess, sys, time
subprocess.run([os.environ["JAVA_HOME"] + "/bin/java", "-version"], capture_output=True, check=True)
lake = pathlib.Path("s3/lake")
"""


@dataclass
class Etl:
    """A job whose script works on its mirror without Spark, and its runs."""

    server: Any
    glue: Any
    wait: Callable[..., Any]

    def create(self, script: str, **job: Any) -> None:
        self.server.client("s3").put_object(Bucket="lake", Key="code/script.py", Body=(PREAMBLE + script).encode())
        command = {"Name": "glueetl", "ScriptLocation": "s3://lake/code/script.py"}
        self.glue.create_job(**{"Name": "etl", "Role": "etl-role", "Command": command, "Timeout": 30, **job})

    def start(self, **arguments: str) -> str:
        given = {f"--{name}": value for name, value in arguments.items()}
        return str(self.glue.start_job_run(JobName="etl", Arguments=given)["JobRunId"])

    def describe(self, run_id: str) -> dict[str, Any]:
        return dict(self.glue.get_job_run(JobName="etl", RunId=run_id)["JobRun"])

    def ended(self, run_id: str) -> dict[str, Any]:
        return dict(self.wait(lambda: self.describe(run_id), lambda run: run["JobRunState"] in ENDED))

    def run(self, script: str, **arguments: str) -> dict[str, Any]:
        self.create(script)
        return self.ended(self.start(**arguments))

    def keys(self, prefix: str) -> dict[str, str]:
        """Return the objects below a prefix with their content."""
        s3 = self.server.client("s3")
        found = s3.list_objects_v2(Bucket="lake", Prefix=prefix).get("Contents", [])
        return {entry["Key"]: s3.get_object(Bucket="lake", Key=entry["Key"])["Body"].read().decode() for entry in found}

    def put(self, **objects: str) -> None:
        for key, body in objects.items():
            self.server.client("s3").put_object(Bucket="lake", Key=key.replace("__", "/"), Body=body.encode())


@pytest.fixture
def etl(server: Any, wait: Callable[..., Any]) -> Etl:
    server.add(GlueService(server.context))
    return Etl(server, server.client("glue"), wait)


def test_arguments_reach_the_script_as_they_are(server: Any, etl: Etl) -> None:
    etl.create(
        "print(json.dumps(sys.argv[1:]))",
        DefaultArguments={"--day": "default", "--city": "New York"},
        NonOverridableArguments={"--fixed": "yes"},
    )
    run = etl.ended(etl.start(day="2013-01-01", empty="", fixed="no", quoted='a "b" $HOME; c'))
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    words = json.loads(server.log("/aws-glue/jobs/output", run["Id"]).splitlines()[0])
    assert dict(zip(words[::2], words[1::2], strict=True)) == {
        "--JOB_NAME": "etl",
        "--JOB_RUN_ID": run["Id"],
        "--day": "2013-01-01",
        "--city": "New York",
        "--empty": "",
        "--fixed": "yes",
        "--quoted": 'a "b" $HOME; c',
    }


def test_options_of_glue_do_not_reach_the_script(server: Any, etl: Etl) -> None:
    options = ("metrics", "observability-metrics", "continuous-cloudwatch-log", "auto-scaling", "spark-ui")
    given = {f"--enable-{option}": "true" for option in options}
    etl.create(
        "print(*[word for word in sys.argv if word.startswith('--')])",
        DefaultArguments={**given, "--spark-event-logs-path": "s3://lake/spark-logs/", "--day": "2013-01-01"},
        ExecutionClass="FLEX",
    )
    run = etl.ended(etl.start())
    assert (run["JobRunState"], run["ExecutionClass"]) == ("SUCCEEDED", "FLEX")
    assert server.log("/aws-glue/jobs/output", run["Id"]).splitlines()[0] == "--JOB_NAME --JOB_RUN_ID --day"


def test_script_acts_as_the_jobs_role(server: Any, etl: Etl) -> None:
    run = etl.run("import boto3\nprint(boto3.client('sts').get_caller_identity()['Arn'])")
    assert ":assumed-role/etl-role/" in server.log("/aws-glue/jobs/output", run["Id"]), run


def test_script_sees_the_python_path_and_no_other_settings_of_the_user(
    server: Any, etl: Etl, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"PYTHONPATH": "/somewhere", "COLOUR": "green"}
    foreign = dict.fromkeys(("SPARK_HOME", "PYSPARK_PYTHON", "HADOOP_HOME", "PYTHONSTARTUP", "PYTHONOPTIMIZE"), "1")
    for name, value in {**kept, **foreign}.items():
        monkeypatch.setenv(name, value)
    run = etl.run(f"print(*[name for name in {[*kept, *foreign]!r} if name in os.environ])")
    assert server.log("/aws-glue/jobs/output", run["Id"]).splitlines()[0] == "PYTHONPATH COLOUR PYSPARK_PYTHON"


@pytest.mark.parametrize("role", ["etl-role", "arn:aws:iam::123456789012:role/jobs/etl-role"])
def test_logs_of_a_job_with_a_security_configuration_carry_its_name_and_the_roles(
    server: Any, etl: Etl, role: str
) -> None:
    etl.create("print('out')\nprint('err', file=sys.stderr)", SecurityConfiguration="safe", Role=role)
    run = etl.ended(etl.start())
    assert run["SecurityConfiguration"] == "safe"
    assert run["LogGroupName"] == "/aws-glue/jobs/safe-role/etl-role"
    assert "out" in server.log(f"{run['LogGroupName']}/output", run["Id"])
    assert "err" in server.log(f"{run['LogGroupName']}/error", run["Id"])
    groups = {group["logGroupName"] for group in server.client("logs").describe_log_groups()["logGroups"]}
    assert not groups & {"/aws-glue/jobs/output", "/aws-glue/jobs/error"}


def test_only_what_the_script_changed_goes_back_to_s3(etl: Etl) -> None:
    etl.put(data__kept="1", data__changed="1", data__removed="1", data2__beside="1")
    run = etl.run(
        "assert not (lake / 'data2').exists(), 'a prefix ends at its slash'\n"
        "(lake / 'data/removed').unlink()\n"
        "(lake / 'data/changed').write_text('2')\n"
        "(lake / 'data/new').mkdir()\n"
        "(lake / 'data/new/part').write_text('3')\n"
        "(lake / 'data/new/.part.crc').write_text('x')\n"
        "(lake / 'data/_temporary').mkdir()\n"
        "(lake / 'data/_temporary/half').write_text('x')\n",
        data="s3://lake/data/",
    )
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    assert etl.keys("data") == {"data/kept": "1", "data/changed": "2", "data/new/part": "3", "data2/beside": "1"}


def test_object_and_folder_marker_of_an_argument_are_what_hadoop_sees(etl: Etl) -> None:
    etl.put(data__="", data__a="1", rows="2", rows__below="3", rows2="4")
    run = etl.run(
        "print(sorted(path.relative_to(lake).as_posix() for path in lake.rglob('*') if path.is_file()))",
        data="s3://lake/data/",
        rows="s3://lake/rows",
    )
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    assert "['data/a', 'rows']" in etl.server.log("/aws-glue/jobs/output", run["Id"])


def test_overlapping_runs_do_not_undo_each_other(etl: Etl, tmp_path: Path) -> None:
    etl.put(data__old="1")
    etl.create(
        "arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "marks = pathlib.Path(arguments['--marks'])\n"
        "(marks / arguments['--name']).touch()\n"
        "deadline = time.monotonic() + 15\n"
        "while len(list(marks.iterdir())) < 2 and time.monotonic() < deadline: time.sleep(0.01)\n"
        "(lake / 'data' / arguments['--name']).write_text('new')\n",
        ExecutionProperty={"MaxConcurrentRuns": 2},
    )
    marks = tmp_path / "marks"
    marks.mkdir()
    runs = [etl.start(name=name, marks=str(marks), data="s3://lake/data") for name in ("a", "b")]
    with pytest.raises(ClientError, match="Concurrent runs exceeded"):
        etl.start(name="c", marks=str(marks))
    assert {etl.ended(run)["JobRunState"] for run in runs} == {"SUCCEEDED"}
    assert etl.keys("data/") == {"data/old": "1", "data/a": "new", "data/b": "new"}


def test_failed_run_is_tried_again_as_often_as_the_job_says(server: Any, etl: Etl, tmp_path: Path) -> None:
    mark = tmp_path / "second"
    etl.create(
        f"mark = pathlib.Path({str(mark)!r})\n"
        "if not mark.exists():\n    mark.touch()\n    raise ValueError('first time')\n",
        MaxRetries=3,
    )
    first = etl.start()
    assert etl.ended(first)["ErrorMessage"] == "ValueError: first time"
    etl.wait(lambda: len(etl.glue.get_job_runs(JobName="etl")["JobRuns"]), lambda count: count == 2)
    second = etl.ended(f"{first}_attempt_1")
    assert (second["JobRunState"], second["Attempt"], second["PreviousRunId"]) == ("SUCCEEDED", 1, first)
    assert "ErrorMessage" not in second
    newest = etl.glue.get_job_runs(JobName="etl")["JobRuns"]
    assert [run["Attempt"] for run in newest] == [1, 0]
    etl.wait(lambda: [event[2]["state"] for event in server.events], lambda states: states == ["FAILED", "SUCCEEDED"])


def test_retries_end(etl: Etl) -> None:
    etl.create("raise ValueError('always')", MaxRetries=2)
    first = etl.start()
    runs = etl.wait(
        lambda: etl.glue.get_job_runs(JobName="etl")["JobRuns"],
        lambda runs: len(runs) == 3 and runs[0]["JobRunState"] == "FAILED",
    )
    assert [run["Id"] for run in runs] == [f"{first}_attempt_2", f"{first}_attempt_1", first]


def test_output_that_cannot_be_written_fails_the_run(etl: Etl) -> None:
    run = etl.run("pathlib.Path('s3/nowhere').mkdir(parents=True)\npathlib.Path('s3/nowhere/a').write_text('1')")
    assert run["JobRunState"] == "FAILED"
    assert "NoSuchBucket" in run["ErrorMessage"]


def test_input_that_cannot_be_read_fails_the_run(etl: Etl) -> None:
    run = etl.run("", data="s3://nowhere/data")
    assert run["JobRunState"] == "FAILED"
    assert "NoSuchBucket" in run["ErrorMessage"]


def test_broken_target_of_an_event_and_a_bug_leave_no_run_behind(
    server: Any, etl: Etl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a bug")

    server.context.emit = broken
    monkeypatch.setattr("local_aws.glue.job_run.S3Mirror.push", broken)
    run = etl.run("")
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "Internal service error: KeyError: 'a bug'")
    etl.start()


def test_nothing_stays_on_disk_but_the_script_of_a_run_that_failed(server: Any, etl: Etl) -> None:
    etl.put(data__a="1")
    etl.create("if '--fail' in sys.argv: sys.exit(3)")
    root = server.context.state_dir / "jobs" / "glue" / "etl"
    etl.ended(etl.start(data="s3://lake/data"))
    assert list(root.iterdir()) == []
    failed = etl.ended(etl.start(data="s3://lake/data", fail="1"))
    assert failed["ErrorMessage"] == "Command failed with exit code 3"
    files = [path.name for path in root.rglob("*") if path.is_file()]
    assert sorted(files) == ["script.py", "spark-defaults.conf"]


def test_extra_files_lie_beside_the_script_and_what_is_ignored_is_logged(server: Any, etl: Etl) -> None:
    etl.put(code__settings_json="7")
    etl.create(
        "print(pathlib.Path('settings_json').read_text())",
        DefaultArguments={"--extra-files": "s3://lake/code/settings_json", "--extra-jars": "s3://lake/x.jar"},
    )
    run = etl.ended(etl.start())
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    lines = server.log("/aws-glue/jobs/output", run["Id"]).splitlines()
    assert lines[:2] == ["local AWS: runs without --extra-jars s3://lake/x.jar", "7"]


def test_queued_runs_wait_and_start_in_order_when_one_ends(server: Any, etl: Etl, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    etl.create(f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)", JobRunQueuingEnabled=True)
    runs = [etl.start() for _ in range(3)]
    etl.wait(lambda: etl.describe(runs[0])["JobRunState"], lambda state: state == "RUNNING")
    assert [etl.describe(run)["JobRunState"] for run in runs[1:]] == ["WAITING", "WAITING"]
    assert etl.describe(runs[1])["JobRunQueuingEnabled"]
    with pytest.raises(ClientError, match="ConcurrentRunsExceeded"):
        etl.glue.start_job_run(JobName="etl", JobRunQueuingEnabled=False)
    etl.glue.batch_stop_job_run(JobName="etl", JobRunIds=[runs[1]])
    assert etl.ended(runs[1])["JobRunState"] == "STOPPED"
    assert server.event(jobRunId=runs[1], state="STOPPED")["message"] == "Job run stopped"
    gate.touch()
    assert [etl.ended(run)["JobRunState"] for run in (runs[0], runs[2])] == ["SUCCEEDED", "SUCCEEDED"]


def test_runs_beyond_the_machines_bound_stay_in_starting(
    etl: Etl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_aws.glue.run_slots.os.cpu_count", lambda: 1)
    etl.server.services.clear()
    etl.server.add(GlueService(etl.server.context))
    gate = tmp_path / "gate"
    etl.create(
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)",
        ExecutionProperty={"MaxConcurrentRuns": 3},
    )
    runs = [etl.start() for _ in range(3)]
    states = etl.wait(
        lambda: sorted(etl.describe(run)["JobRunState"] for run in runs), lambda states: "RUNNING" in states[1:2]
    )
    assert states == ["RUNNING", "RUNNING", "STARTING"]
    gate.touch()
    assert {etl.ended(run)["JobRunState"] for run in runs} == {"SUCCEEDED"}


def test_closing_the_service_ends_its_runs(server: Any, etl: Etl) -> None:
    etl.create("time.sleep(60)", ExecutionProperty={"MaxConcurrentRuns": 2})
    runs = [etl.start(), etl.start()]
    etl.wait(lambda: {etl.describe(run)["JobRunState"] for run in runs}, lambda states: states == {"RUNNING"})
    server.services[0].close()
    assert {etl.describe(run)["JobRunState"] for run in runs} == {"STOPPED"}
    with pytest.raises(ClientError, match="is stopping"):
        etl.start()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://lake/raw", ["s3://lake/raw"]),
        ("s3://lake/raw/*.csv", ["s3://lake/raw/"]),
        ("s3://lake/raw/day=2013-01-{01,02}/x", ["s3://lake/raw/"]),
        ("s3a://lake/a, s3://lake/b;s3://other", ["s3://lake/a", "s3://lake/b", "s3://other/"]),
        ("nothing", []),
    ],
)
def test_uris_of_an_argument(text: str, expected: list[str]) -> None:
    assert [str(uri) for uri in uris_in(text)] == expected
