"""Glue jobs: their code, machines, role, encryption and logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Template

from mlops_constructs.glue_job import (
    GlueJob,
    JobSecurity,
    JsonAsset,
    PackageAsset,
    ScriptAsset,
    SparkCode,
    SparkSizing,
)
from mlops_constructs.log_retention import LogRetention

Find = Callable[..., Any]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with a script and two packages."""
    (tmp_path / "run.py").write_text("print('hello')")
    for package in ("late", "other"):
        for file in ("__init__.py", "etl.py", "notes.yaml", "tests/test_etl.py", "__pycache__/etl.pyc"):
            path = tmp_path / "packages" / package / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(package)
    return tmp_path


def code_in(stack: Stack, source: Path) -> SparkCode:
    packages = [
        PackageAsset(stack, each.title(), library=source / "packages", package=each) for each in ("late", "other")
    ]
    return SparkCode(
        script=ScriptAsset(stack, "Script", script=source / "run.py"),
        packages=packages,
        data=[JsonAsset(stack, "Declared", content={"name": "late"})],
    )


@pytest.fixture
def code(stack: Stack, source: Path) -> SparkCode:
    return code_in(stack, source)


@pytest.fixture
def security(stack: Stack, key: kms.Key) -> JobSecurity:
    return JobSecurity(stack, "Security", key=key)


@pytest.fixture
def job(stack: Stack, security: JobSecurity, code: SparkCode) -> GlueJob:
    return GlueJob(stack, "Publish", code=code, security=security, arguments={"--dataset": "late"})


def only(found: dict[str, Any]) -> Any:
    (value,) = found.values()
    return value


def test_the_job_runs_spark_with_small_bounds_and_no_silent_retries(job: GlueJob, resources: Find) -> None:
    properties = only(resources("AWS::Glue::Job"))["Properties"]
    assert properties["Command"]["Name"] == "glueetl"
    assert (properties["GlueVersion"], properties["WorkerType"], properties["NumberOfWorkers"]) == ("6.0", "G.1X", 2)
    assert (properties["Timeout"], properties["MaxRetries"]) == (60, 0)
    assert properties["DefaultArguments"]["--dataset"] == "late"


def test_sizing_is_passed_on(stack: Stack, security: JobSecurity, code: SparkCode, resources: Find) -> None:
    sizing = SparkSizing(worker_type="G.4X", workers=10, timeout=Duration.hours(3))
    GlueJob(stack, "Publish", code=code, security=security, arguments={}, sizing=sizing)
    properties = only(resources("AWS::Glue::Job"))["Properties"]
    assert (properties["WorkerType"], properties["NumberOfWorkers"], properties["Timeout"]) == ("G.4X", 10, 180)


def test_a_job_needs_a_driver_and_a_worker() -> None:
    with pytest.raises(ValueError, match=r"workers must be at least 2 .*, got 1"):
        SparkSizing(workers=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flex": True, "worker_type": "G.4X"}, r"flex takes workers of type G.1X or G.2X, got G.4X"),
        ({"retries": 11}, r"retries must be from 0 to 10, got 11"),
        ({"concurrent_runs": 0}, r"concurrent_runs must be at least 1, got 0"),
    ],
)
def test_sizing_that_glue_refuses_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparkSizing(**changes)


def test_workers_scale_and_machines_are_spare_when_told_so(
    stack: Stack, security: JobSecurity, code: SparkCode, resources: Find
) -> None:
    sizing = SparkSizing(workers=20, autoscaling=True, flex=True, retries=2)
    GlueJob(stack, "Publish", code=code, security=security, arguments={}, sizing=sizing)
    properties = only(resources("AWS::Glue::Job"))["Properties"]
    assert properties["DefaultArguments"]["--enable-auto-scaling"] == "true"
    assert (properties["ExecutionClass"], properties["NumberOfWorkers"], properties["MaxRetries"]) == ("FLEX", 20, 2)


def test_runs_wait_in_a_queue_and_tell_both_kinds_of_metrics(job: GlueJob, resources: Find) -> None:
    properties = only(resources("AWS::Glue::Job"))["Properties"]
    assert properties["JobRunQueuingEnabled"] is True
    assert properties["ExecutionProperty"] == {"MaxConcurrentRuns": 10}
    assert properties["ExecutionClass"] == "STANDARD"
    arguments = properties["DefaultArguments"]
    assert (arguments["--enable-metrics"], arguments["--enable-observability-metrics"]) == ("true", "true")
    assert "--enable-auto-scaling" not in arguments


def test_the_job_waits_for_its_role_s_policy(job: GlueJob, stack: Stack, resources: Find) -> None:
    policy = stack.get_logical_id(job.role.node.find_child("DefaultPolicy").node.default_child)  # type: ignore[arg-type]
    assert policy in only(resources("AWS::Glue::Job"))["DependsOn"]


def test_logs_bookmarks_and_outputs_are_encrypted_with_the_key(
    job: GlueJob, stack: Stack, security: JobSecurity, key: kms.Key, resources: Find
) -> None:
    arn = stack.resolve(key.key_arn)
    encryption = only(resources("AWS::Glue::SecurityConfiguration"))["Properties"]["EncryptionConfiguration"]
    assert encryption["CloudWatchEncryption"] == {"CloudWatchEncryptionMode": "SSE-KMS", "KmsKeyArn": arn}
    assert encryption["JobBookmarksEncryption"] == {"JobBookmarksEncryptionMode": "CSE-KMS", "KmsKeyArn": arn}
    assert encryption["S3Encryptions"] == [{"S3EncryptionMode": "SSE-KMS", "KmsKeyArn": arn}]
    assert only(resources("AWS::Glue::Job"))["Properties"]["SecurityConfiguration"] == stack.resolve(security.name)


def test_another_key_gets_another_security_configuration() -> None:
    # CloudFormation creates the new one before it deletes the old one, so they can't share a name.
    def name_with(key: str) -> str:
        stack = Stack(App(), "Same")
        JobSecurity(stack, "Security", key=kms.Key(stack, key))
        found = Template.from_stack(stack).find_resources("AWS::Glue::SecurityConfiguration")
        return str(only(dict(found))["Properties"]["Name"])

    assert name_with("KeyA") == name_with("KeyA")
    assert name_with("KeyA") != name_with("KeyB")


def test_glue_s_log_groups_are_made_before_the_job_with_a_key_and_an_end(
    stack: Stack, security: JobSecurity, key: kms.Key, code: SparkCode, resources: Find
) -> None:
    job = GlueJob(stack, "Publish", code=code, security=security, arguments={}, logs=LogRetention(days=14))
    groups = resources("AWS::Logs::LogGroup")
    prefix = ["/aws-glue/jobs/", stack.resolve(security.name), "-role/", stack.resolve(job.role.role_name)]
    names = [group["Properties"]["LogGroupName"]["Fn::Join"][1] for group in groups.values()]
    assert sorted(names, key=str) == [[*prefix, "/error"], [*prefix, "/output"]]
    for name, group in groups.items():
        assert group["Properties"]["RetentionInDays"] == 14
        assert group["Properties"]["KmsKeyId"] == stack.resolve(key.key_arn)
        assert name in only(resources("AWS::Glue::Job"))["DependsOn"]


def test_logs_are_kept_for_days_that_cloudwatch_knows() -> None:
    with pytest.raises(ValueError, match=r"days must be one of 1, 3, .*, got 10"):
        LogRetention(days=10)


def test_the_role_reads_its_own_assets_and_no_others(
    job: GlueJob, code: SparkCode, stack: Stack, statements: Find
) -> None:
    PackageAsset(stack, "Unrelated", library=Path(__file__).parents[1], package="library")
    reads = json.dumps([each["Resource"] for each in statements() if "s3:GetObject" in each["Action"]])
    for asset in (code.script, *code.packages, *code.data):
        assert stack.resolve(asset.s3_object_key) in reads
    assert reads.count(".zip") == 2
    assert "/*" not in reads


def test_packages_are_handed_to_spark_in_their_order(
    job: GlueJob, code: SparkCode, stack: Stack, resources: Find
) -> None:
    given = json.dumps(only(resources("AWS::Glue::Job"))["Properties"]["DefaultArguments"]["--extra-py-files"])
    places = [given.index(str(stack.resolve(package.s3_object_key))) for package in code.packages]
    assert places == sorted(places)


def test_the_role_may_encrypt_the_logs_that_glue_makes_in_its_name(job: GlueJob, statements: Find) -> None:
    actions = {action for each in statements() for action in each["Action"]}
    assert {"logs:AssociateKmsKey", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"} <= actions
    assert not [action for action in actions if "*" in action]


def files_of(app: App, folder: Path) -> set[str]:
    app.synth()
    (asset,) = (path for path in folder.glob("asset.*") if path.is_dir())
    return {path.relative_to(asset).as_posix() for path in asset.rglob("*") if path.is_file()}


def test_the_package_travels_without_its_tests_caches_and_neighbours(source: Path, tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path / "out"))
    PackageAsset(Stack(app, "S"), "Library", library=source / "packages", package="late")
    assert files_of(app, tmp_path / "out") == {"late/__init__.py", "late/etl.py", "late/notes.yaml"}


def test_what_is_no_code_stays_behind_when_told_so(source: Path, tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path / "out"))
    PackageAsset(Stack(app, "S"), "Library", library=source / "packages", package="late", without=["*.yaml"])
    assert files_of(app, tmp_path / "out") == {"late/__init__.py", "late/etl.py"}


def test_data_is_an_asset_that_the_same_content_makes_again(stack: Stack, tmp_path: Path) -> None:
    first, second = (JsonAsset(stack, each, content={"b": 1, "a": "ü"}) for each in ("First", "Second"))
    assert first.asset_hash == second.asset_hash
    assert JsonAsset(stack, "Third", content={"b": 2, "a": "ü"}).asset_hash != first.asset_hash
    assert json.loads(Path(App.of(stack).asset_outdir, first.asset_path).read_text()) == {"b": 1, "a": "ü"}  # type: ignore[union-attr]


def test_a_package_that_is_not_there_is_named(stack: Stack, source: Path) -> None:
    with pytest.raises(ValueError, match="holds no package 'lte'"):
        PackageAsset(stack, "Library", library=source / "packages", package="lte")


def test_a_run_that_does_not_succeed_is_an_event_for_a_target(job: GlueJob, stack: Stack, resources: Find) -> None:
    job.on_failure("Failed", targets.SnsTopic(sns.Topic(stack, "Topic")))
    rule = only(resources("AWS::Events::Rule"))["Properties"]
    assert rule["EventPattern"] == {
        "source": ["aws.glue"],
        "detail-type": ["Glue Job State Change"],
        "detail": {"jobName": [stack.resolve(job.job_name)], "state": ["FAILED", "TIMEOUT", "ERROR"]},
    }
    assert len(rule["Targets"]) == 1
