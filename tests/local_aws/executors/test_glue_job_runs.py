"""Glue job runs: real processes on mirrored S3 prefixes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.glue import GlueService

ROLE = "arn:aws:iam::123456789012:role/etl"
ENDED = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"}

FOREIGN_SETUP = {
    "SPARK_HOME": "/nonexistent",
    "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
    "HADOOP_CONF_DIR": "/nonexistent",
    "JAVA_TOOL_OPTIONS": "-Xbroken",
    "_JAVA_OPTIONS": "-Xbroken",
    "JDK_JAVA_OPTIONS": "-Xbroken",
    "PYTHONHOME": "/nonexistent",
}

SPARK_SCRIPT = """
import sys
from pyspark.sql import SparkSession, functions as F
from doubling import double

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
spark = SparkSession.builder.config("spark.sql.sources.partitionOverwriteMode", "dynamic").getOrCreate()
rows = spark.read.option("header", True).option("inferSchema", True).csv(arguments["--raw"])
rows.withColumn("b", double(F.col("b"))).write.mode("overwrite").partitionBy("day").parquet(arguments["--curated"])
print("rows", rows.count(), arguments["--JOB_NAME"])
"""


@pytest.fixture
def glue(server: Any) -> Any:
    server.add(GlueService(server.context, minute_seconds=2.0))
    return server.client("glue")


@pytest.fixture
def run_job(server: Any, glue: Any, wait: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def run(script: str, arguments: dict[str, str] | None = None, command: str = "pythonshell") -> dict[str, Any]:
        server.client("s3").put_object(Bucket="lake", Key="code/script.py", Body=script.encode())
        glue.create_job(
            Name="etl", Role=ROLE, Command={"Name": command, "ScriptLocation": "s3://lake/code/script.py"}, Timeout=30
        )
        run_id = glue.start_job_run(JobName="etl", Arguments=arguments or {})["JobRunId"]
        return wait(
            lambda: glue.get_job_run(JobName="etl", RunId=run_id)["JobRun"],
            lambda found: found["JobRunState"] in ENDED,
            60,
        )

    return run


def test_spark_script_reads_and_writes_s3_uris_unchanged(
    server: Any, run_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # none of a user's own setup reaches a job
    for name, value in FOREIGN_SETUP.items():
        monkeypatch.setenv(name, value)
    s3 = server.client("s3")
    s3.put_object(Bucket="lake", Key="raw/day=2013-01-01/rows.csv", Body=b"a,b\n1,2\n3,4\n")
    s3.put_object(Bucket="lake", Key="curated/day=2013-01-01/old.parquet", Body=b"of an earlier run")
    s3.put_object(Bucket="lake", Key="curated/day=2012-12-31/kept.parquet", Body=b"another day")
    library = io.BytesIO()
    with zipfile.ZipFile(library, "w") as archive:
        archive.writestr("doubling/__init__.py", "def double(value):\n    return value * 2\n")
    s3.put_object(Bucket="lake", Key="code/library.zip", Body=library.getvalue())

    run = run_job(
        SPARK_SCRIPT,
        {
            "--raw": "s3://lake/raw",
            "--curated": "s3://lake/curated",
            "--extra-py-files": "s3://lake/code/library.zip",
            "--enable-metrics": "true",
            "--enable-spark-ui": "true",
            "--spark-event-logs-path": "s3://lake/spark-logs/etl/",
        },
        command="glueetl",
    )

    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="lake", Prefix="curated/")["Contents"]]
    assert "curated/day=2012-12-31/kept.parquet" in keys
    assert "curated/day=2013-01-01/old.parquet" not in keys
    assert any(key.startswith("curated/day=2013-01-01/part-") for key in keys)
    assert not [key for key in keys if key.endswith(".crc")]
    logs = [entry["Key"] for entry in s3.list_objects_v2(Bucket="lake", Prefix="spark-logs/etl/")["Contents"]]
    assert any("/events_" in key for key in logs), logs
    assert "rows 2 etl" in server.log("/aws-glue/jobs/output", run["Id"])


def test_exception_of_the_script_is_the_error_message_and_nothing_is_written(
    server: Any, run_job: Callable[..., Any]
) -> None:
    script = (
        "import sys, pathlib, os\n"
        "print('about to fail', file=sys.stderr)\n"
        "pathlib.Path('s3/lake/out').mkdir(parents=True)\n"
        "pathlib.Path('s3/lake/out/half.txt').write_text('half')\n"
        "raise ValueError('flights.csv of 2013-01-05 is corrupt')\n"
    )
    run = run_job(script, {"--out": "s3://lake/out"})
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == "ValueError: flights.csv of 2013-01-05 is corrupt"
    assert run["LogGroupName"] == "/aws-glue/jobs"
    assert "about to fail" in server.log("/aws-glue/jobs/error", run["Id"])
    assert server.client("s3").list_objects_v2(Bucket="lake", Prefix="out/")["KeyCount"] == 0
    server.event(state="FAILED")


def test_run_past_its_timeout_is_ended(server: Any, glue: Any, wait: Callable[..., Any]) -> None:
    server.client("s3").put_object(Bucket="lake", Key="s.py", Body=b"import time; time.sleep(60)")
    command = {"Name": "pythonshell", "ScriptLocation": "s3://lake/s.py"}
    glue.create_job(Name="slow", Role=ROLE, Command=command, Timeout=1)
    run_id = glue.start_job_run(JobName="slow")["JobRunId"]
    with pytest.raises(ClientError, match="ConcurrentRunsExceeded"):
        glue.start_job_run(JobName="slow")
    run = wait(lambda: glue.get_job_run(JobName="slow", RunId=run_id)["JobRun"], lambda r: r["JobRunState"] in ENDED)
    assert run["JobRunState"] == "TIMEOUT"
    assert "timeout of 1 minutes" in run["ErrorMessage"]
    assert server.event(jobRunId=run_id)["severity"] == "WARN"
    assert [r["Id"] for r in glue.get_job_runs(JobName="slow")["JobRuns"]] == [run_id]


def test_stopped_run_ends_as_stopped(server: Any, glue: Any, wait: Callable[..., Any]) -> None:
    server.client("s3").put_object(Bucket="lake", Key="s.py", Body=b"import time; time.sleep(60)")
    glue.create_job(
        Name="slow", Role=ROLE, Command={"Name": "pythonshell", "ScriptLocation": "s3://lake/s.py"}, Timeout=100
    )
    run_id = glue.start_job_run(JobName="slow")["JobRunId"]
    state = lambda: glue.get_job_run(JobName="slow", RunId=run_id)["JobRun"]["JobRunState"]  # noqa: E731
    wait(state, lambda found: found == "RUNNING")
    answer = glue.batch_stop_job_run(JobName="slow", JobRunIds=[run_id, "jr_unknown"])
    assert [item["JobRunId"] for item in answer["SuccessfulSubmissions"]] == [run_id]
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert wait(state, lambda found: found in ENDED) == "STOPPED"


def test_missing_script_fails_the_run_with_its_location(glue: Any, wait: Callable[..., Any]) -> None:
    glue.create_job(Name="etl", Role=ROLE, Command={"Name": "glueetl", "ScriptLocation": "s3://lake/none.py"})
    run_id = glue.start_job_run(JobName="etl")["JobRunId"]
    run = wait(lambda: glue.get_job_run(JobName="etl", RunId=run_id)["JobRun"], lambda r: r["JobRunState"] in ENDED)
    assert run["ErrorMessage"] == "the script s3://lake/none.py doesn't exist"


def test_unknown_job_is_refused(glue: Any) -> None:
    with pytest.raises(ClientError) as raised:
        glue.start_job_run(JobName="nothing")
    assert raised.value.response["Error"]["Code"] == "EntityNotFoundException"
