"""What a job sees of the environment that the local AWS was started in."""

from __future__ import annotations

import pytest

from local_aws.jobs.process import job_environment


@pytest.mark.parametrize(
    "name", ["MLFLOW_TRACKING_URI", "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", "AWS_PROFILE", "SPARK_HOME"]
)
def test_what_a_user_set_up_for_other_work_reaches_no_job(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "the user's")
    assert name not in job_environment()
    assert job_environment({name: "the job's own"})[name] == "the job's own"
