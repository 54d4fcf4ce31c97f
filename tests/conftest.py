"""What the whole test suite shares: its options, and an environment without settings of the user's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from local_aws.process import NO_SETTINGS_FILES, no_proxy
from tests.workers import Worker, Workers

# settings that lead AWS clients, Spark or Java elsewhere than the tests do
FOREIGN = ("AWS_", "MLFLOW_", "SAGEMAKER_", "SPARK_", "PYSPARK_", "HADOOP_", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-snapshots",
        action="store_true",
        help="write what the stacks synthesize now into tests/deployment/snapshots",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(Workers())
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(Worker())


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_user() -> Iterator[None]:
    """Keep a developer's own AWS, Spark and proxy settings out of the tests."""
    before = dict(os.environ)
    for name in [each for each in os.environ if each.startswith(FOREIGN)]:
        del os.environ[name]
    os.environ.update(NO_SETTINGS_FILES | no_proxy() | {"AWS_EC2_METADATA_DISABLED": "true"})
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True, scope="module")
def _no_policies_of_aws() -> Iterator[None]:
    """Keep moto from loading AWS's own policies, which takes seconds, for every test that comes after one of a
    CloudFormation, which asks for them."""
    yield
    if config := sys.modules.get("moto.core.config"):
        config.default_user_config["iam"]["load_aws_managed_policies"] = False


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One small Spark session for all tests of a process."""
    from pyspark.sql import SparkSession

    from local_aws.jobs.java import java_home

    os.environ["JAVA_HOME"] = str(java_home(tmp_path_factory.mktemp("java")))
    session = (
        SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.showConsoleProgress", "false")
        # The plans are many and the data is small: compiling them thoroughly costs more than it saves.
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
        .getOrCreate()
    )
    yield session
    session.stop()
