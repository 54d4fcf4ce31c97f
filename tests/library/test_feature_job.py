"""The Spark job: its code, its role, its encryption and its logs."""

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

from mlops_constructs.feature_job import FeatureJob, PackageAsset, SparkCode, SparkSizing
from mlops_constructs.log_retention import LogRetention

Find = Callable[..., Any]


@pytest.fixture
def code(tmp_path: Path) -> SparkCode:
    (tmp_path / "run.py").write_text("print('hello')")
    for package in ("late", "other"):
        for file in ("__init__.py", "etl.py", "tests/test_etl.py", "__pycache__/etl.pyc"):
            path = tmp_path / "models" / package / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    return SparkCode(script=tmp_path / "run.py", library=tmp_path / "models", package="late")


@pytest.fixture
def job(stack: Stack, key: kms.Key, code: SparkCode) -> FeatureJob:
    return FeatureJob(stack, "Features", code=code, key=key, arguments={"--model": "late"})


def only(found: dict[str, Any]) -> Any:
    (value,) = found.values()
    return value


def test_the_job_runs_spark_with_small_bounds_and_no_silent_retries(job: FeatureJob, resources: Find) -> None:
    properties = only(resources("AWS::Glue::Job"))["Properties"]
    assert properties["Command"]["Name"] == "glueetl"
    assert (properties["GlueVersion"], properties["WorkerType"], properties["NumberOfWorkers"]) == ("6.0", "G.1X", 2)
    assert (properties["Timeout"], properties["MaxRetries"]) == (60, 0)
    assert properties["DefaultArguments"]["--model"] == "late"


def test_sizing_is_passed_on(stack: Stack, key: kms.Key, code: SparkCode, resources: Find) -> None:
    sizing = SparkSizing(worker_type="G.4X", workers=10, timeout=Duration.hours(3))
    FeatureJob(stack, "Features", code=code, key=key, arguments={}, sizing=sizing)
    properties = only(resources("AWS::Glue::Job"))["Properties"]
    assert (properties["WorkerType"], properties["NumberOfWorkers"], properties["Timeout"]) == ("G.4X", 10, 180)


def test_a_job_needs_a_driver_and_a_worker() -> None:
    with pytest.raises(ValueError, match=r"workers must be at least 2 .*, got 1"):
        SparkSizing(workers=1)


def test_the_job_waits_for_its_role_s_policy(job: FeatureJob, stack: Stack, resources: Find) -> None:
    policy = stack.get_logical_id(job.role.node.find_child("DefaultPolicy").node.default_child)  # type: ignore[arg-type]
    assert policy in only(resources("AWS::Glue::Job"))["DependsOn"]


def test_logs_bookmarks_and_outputs_are_encrypted_with_the_key(
    job: FeatureJob, stack: Stack, key: kms.Key, resources: Find
) -> None:
    arn = stack.resolve(key.key_arn)
    encryption = only(resources("AWS::Glue::SecurityConfiguration"))["Properties"]["EncryptionConfiguration"]
    assert encryption["CloudWatchEncryption"] == {"CloudWatchEncryptionMode": "SSE-KMS", "KmsKeyArn": arn}
    assert encryption["JobBookmarksEncryption"] == {"JobBookmarksEncryptionMode": "CSE-KMS", "KmsKeyArn": arn}
    assert encryption["S3Encryptions"] == [{"S3EncryptionMode": "SSE-KMS", "KmsKeyArn": arn}]
    assert only(resources("AWS::Glue::Job"))["Properties"]["SecurityConfiguration"] == stack.resolve(job.security.ref)


def test_another_key_gets_another_security_configuration(code: SparkCode) -> None:
    # CloudFormation creates the new one before it deletes the old one, so they can't share a name.
    def name_with(key: str) -> str:
        stack = Stack(App(), "Same")
        FeatureJob(stack, "Features", code=code, key=kms.Key(stack, key), arguments={})
        found = Template.from_stack(stack).find_resources("AWS::Glue::SecurityConfiguration")
        return str(only(dict(found))["Properties"]["Name"])

    assert name_with("KeyA") == name_with("KeyA")
    assert name_with("KeyA") != name_with("KeyB")


def test_glue_s_log_groups_are_made_before_the_job_with_a_key_and_an_end(
    stack: Stack, key: kms.Key, code: SparkCode, resources: Find
) -> None:
    job = FeatureJob(stack, "Features", code=code, key=key, arguments={}, logs=LogRetention(days=14))
    groups = resources("AWS::Logs::LogGroup")
    prefix = ["/aws-glue/jobs/", stack.resolve(job.security.ref), "-role/", stack.resolve(job.role.role_name)]
    names = [group["Properties"]["LogGroupName"]["Fn::Join"][1] for group in groups.values()]
    assert sorted(names, key=str) == [[*prefix, "/error"], [*prefix, "/output"]]
    for name, group in groups.items():
        assert group["Properties"]["RetentionInDays"] == 14
        assert group["Properties"]["KmsKeyId"] == stack.resolve(key.key_arn)
        assert name in only(resources("AWS::Glue::Job"))["DependsOn"]


def test_logs_are_kept_for_days_that_cloudwatch_knows() -> None:
    with pytest.raises(ValueError, match=r"days must be one of 1, 3, .*, got 10"):
        LogRetention(days=10)


def test_the_role_reads_its_own_assets_and_no_others(job: FeatureJob, stack: Stack, statements: Find) -> None:
    reads = json.dumps([each["Resource"] for each in statements() if "s3:GetObject" in each["Action"]])
    assert stack.resolve(job.script.s3_object_key) in reads
    assert stack.resolve(job.library.s3_object_key) in reads
    assert "/*" not in reads


def test_the_role_may_encrypt_the_logs_that_glue_makes_in_its_name(job: FeatureJob, statements: Find) -> None:
    actions = {action for each in statements() for action in each["Action"]}
    assert {"logs:AssociateKmsKey", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"} <= actions
    assert not [action for action in actions if "*" in action]


def test_the_package_travels_without_its_tests_caches_and_neighbours(code: SparkCode, tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path / "out"))
    PackageAsset(Stack(app, "S"), "Library", library=code.library, package="late")
    app.synth()
    (folder,) = (path for path in (tmp_path / "out").glob("asset.*") if path.is_dir())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"late/__init__.py", "late/etl.py"}


def test_a_package_that_is_not_there_is_named(stack: Stack, code: SparkCode) -> None:
    with pytest.raises(ValueError, match="holds no package 'lte'"):
        PackageAsset(stack, "Library", library=code.library, package="lte")


def test_a_run_that_does_not_succeed_is_an_event_for_a_target(job: FeatureJob, stack: Stack, resources: Find) -> None:
    job.on_failure("Failed", targets.SnsTopic(sns.Topic(stack, "Topic")))
    rule = only(resources("AWS::Events::Rule"))["Properties"]
    assert rule["EventPattern"] == {
        "source": ["aws.glue"],
        "detail-type": ["Glue Job State Change"],
        "detail": {"jobName": [stack.resolve(job.job_name)], "state": ["FAILED", "TIMEOUT", "ERROR"]},
    }
    assert len(rule["Targets"]) == 1
