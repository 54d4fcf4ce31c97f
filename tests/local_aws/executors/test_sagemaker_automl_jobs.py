"""AutoML jobs: a real search over learners, its candidates, and a best one that answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/search"
ENDED = ("Completed", "Failed", "Stopped")


def rows(seed: int, count: int = 400) -> pl.DataFrame:
    """Rows whose label depends on `a` and on the square of `b`; `answer` gives it away."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=count), random.normal(size=count)
    late = (a + b**2 + random.normal(0, 0.3, count) > 1).astype(np.int32)
    return pl.DataFrame({"a": a, "b": b, "answer": late, "late": late, "minutes": 10 * a + b})


@pytest.fixture
def data(server: Any) -> Any:
    s3 = server.client("s3")
    for name, seed in (("training", 1), ("validation", 2)):
        body = io.BytesIO()
        rows(seed).write_parquet(body)
        s3.put_object(Bucket="lake", Key=f"{name}/part.parquet", Body=body.getvalue())
    s3.put_object(Bucket="lake", Key="features.json", Body=json.dumps({"FeatureAttributeNames": ["a", "b"]}).encode())
    return s3


def channel(name: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://lake/{name}/"}
    return {
        "ChannelType": name,
        "ContentType": "x-application/vnd.amazon+parquet",
        "DataSource": {"S3DataSource": source},
    }


@pytest.fixture
def search(sagemaker: Any, data: Any) -> Callable[..., str]:
    def create(name: str = "search", **changes: Any) -> str:
        table = {
            "TargetAttributeName": "late",
            "ProblemType": "BinaryClassification",
            "FeatureSpecificationS3Uri": "s3://lake/features.json",
            "CompletionCriteria": {"MaxCandidates": 6, "MaxAutoMLJobRuntimeInSeconds": 20},
            **changes.pop("table", {}),
        }
        sagemaker.create_auto_ml_job_v2(
            **{
                "AutoMLJobName": name,
                "AutoMLJobInputDataConfig": [channel("training"), channel("validation")],
                "OutputDataConfig": {"S3OutputPath": "s3://lake/found"},
                "AutoMLProblemTypeConfig": {
                    "TabularJobConfig": {each: value for each, value in table.items() if value is not None}
                },
                "AutoMLJobObjective": {"MetricName": "AUC"},
                "RoleArn": ROLE,
                **changes,
            }
        )
        return name

    return create


@pytest.fixture
def ended(sagemaker: Any, wait: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def end(name: str = "search") -> dict[str, Any]:
        return dict(
            wait(
                lambda: sagemaker.describe_auto_ml_job_v2(AutoMLJobName=name),
                lambda found: found["AutoMLJobStatus"] in ENDED,
                90,
            )
        )

    return end


def test_candidates_are_ranked_and_the_best_one_answers(
    search: Callable[..., str], ended: Callable[..., Any], sagemaker: Any, data: Any, serving: Any
) -> None:
    search()
    found = ended()
    assert found["AutoMLJobStatus"] == "Completed", found.get("FailureReason")
    listed = sagemaker.list_candidates_for_auto_ml_job(
        AutoMLJobName="search", SortBy="FinalObjectiveMetricValue", SortOrder="Descending"
    )["Candidates"]
    values = [each["FinalAutoMLJobObjectiveMetric"]["Value"] for each in listed]
    assert len(values) == 6
    assert values == sorted(values, reverse=True)
    assert len({each["CandidateName"].split("-", 2)[2] for each in listed}) > 1  # more than one learner was tried
    best = found["BestCandidate"]
    assert best["CandidateName"] == listed[0]["CandidateName"]
    assert best["FinalAutoMLJobObjectiveMetric"]["Value"] == values[0]
    assert 0.8 < values[0] < 0.9999  # `answer` is in the data, but no feature
    kept = json.loads(data.get_object(Bucket="lake", Key="found/search/leaderboard.json")["Body"].read())
    assert [each["value"] for each in kept] == values

    (container,) = best["InferenceContainers"]
    environment = container["Environment"] | {"SAGEMAKER_INFERENCE_OUTPUT": "probabilities,labels"}
    sagemaker.create_model(
        ModelName="best", ExecutionRoleArn=ROLE, PrimaryContainer={**container, "Environment": environment}
    )
    serving.config("best", {"live": "best"})
    assert serving.create("best")["EndpointStatus"] == "InService"
    answers = serving.invoke("2.0,2.0\n-3.0,0.0\n").splitlines()
    assert [line.split('"')[3] for line in answers] == ["[0, 1]", "[0, 1]"]
    late = [json.loads(line.split('"')[1])[1] for line in answers]
    assert late[0] > 0.7
    assert late[1] < 0.3


def test_the_first_version_of_the_api_searches_as_well(sagemaker: Any, data: Any, ended: Callable[..., Any]) -> None:
    inputs = [{**channel(name), "TargetAttributeName": "minutes"} for name in ("training", "validation")]
    sagemaker.create_auto_ml_job(
        AutoMLJobName="search",
        InputDataConfig=inputs,
        OutputDataConfig={"S3OutputPath": "s3://lake/found"},
        ProblemType="Regression",
        AutoMLJobObjective={"MetricName": "RMSE"},
        AutoMLJobConfig={
            "CompletionCriteria": {"MaxCandidates": 4, "MaxAutoMLJobRuntimeInSeconds": 20},
            "CandidateGenerationConfig": {"FeatureSpecificationS3Uri": "s3://lake/features.json"},
            "Mode": "ENSEMBLING",
        },
        RoleArn=ROLE,
    )
    assert ended()["AutoMLJobStatus"] == "Completed"
    found = sagemaker.describe_auto_ml_job(AutoMLJobName="search")
    metric = found["BestCandidate"]["FinalAutoMLJobObjectiveMetric"]
    assert metric["Type"] == "Minimize"
    listed = sagemaker.list_candidates_for_auto_ml_job(AutoMLJobName="search")["Candidates"]
    assert metric["Value"] == min(each["FinalAutoMLJobObjectiveMetric"]["Value"] for each in listed)
    assert "SAGEMAKER_INFERENCE_OUTPUT" not in found["BestCandidate"]["InferenceContainers"][0]["Environment"]


def test_a_missing_target_fails_the_job_with_the_reason(search: Callable[..., str], ended: Callable[..., Any]) -> None:
    search(table={"TargetAttributeName": "later"})
    found = ended()
    assert found["AutoMLJobStatus"] == found["AutoMLJobSecondaryStatus"] == "Failed"
    assert "has no column 'later'" in found["FailureReason"]


def test_one_class_fails_the_job_with_the_reason(
    search: Callable[..., str], ended: Callable[..., Any], data: Any
) -> None:
    body = io.BytesIO()
    rows(3).with_columns(late=pl.lit(1)).write_parquet(body)
    data.put_object(Bucket="lake", Key="training/part.parquet", Body=body.getvalue())
    search()
    assert "needs two values of 'late', the training data has [1]" in ended()["FailureReason"]


def test_a_stopped_job_has_no_candidate(
    server: Any, search: Callable[..., str], ended: Callable[..., Any], sagemaker: Any, wait: Callable[..., Any]
) -> None:
    search(table={"CompletionCriteria": {"MaxCandidates": 750, "MaxAutoMLJobRuntimeInSeconds": 600}})
    wait(
        lambda: sagemaker.describe_auto_ml_job_v2(AutoMLJobName="search")["AutoMLJobSecondaryStatus"],
        lambda status: status == "TrainingModels",
    )
    assert [name for name in server.context.clock.busy() if name.endswith("job search")]  # time waits for it
    sagemaker.stop_auto_ml_job(AutoMLJobName="search")
    found = ended()
    assert found["AutoMLJobStatus"] == "Stopped"
    wait(server.context.clock.busy, lambda busy: busy == [])
    assert "BestCandidate" not in found
    with pytest.raises(ClientError, match="DescribeAutoMLJobV2 describes it"):
        sagemaker.describe_auto_ml_job(AutoMLJobName="search")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": {"ProblemType": "MulticlassClassification"}}, "not for MulticlassClassification"),
        ({"AutoMLJobObjective": {"MetricName": "Recall"}}, "not Recall"),
        ({"AutoMLJobObjective": {"MetricName": "MSE"}}, "MSE is no objective of BinaryClassification"),
        ({"table": {"ProblemType": None}}, "AutoMLJobObjective needs a ProblemType"),
        ({"ModelDeployConfig": {"AutoGenerateEndpointName": True}}, "doesn't act on ModelDeployConfig"),
        ({"table": {"SampleWeightAttributeName": "a"}}, "doesn't act on SampleWeightAttributeName"),
        (
            {"table": {"CandidateGenerationConfig": {"AlgorithmsConfig": [{"AutoMLAlgorithms": ["mlp"]}]}}},
            "none of mlp",
        ),
        ({"AutoMLJobInputDataConfig": [channel("validation")]}, "needs one channel of the type training"),
    ],
)
def test_what_is_not_searched_is_refused(search: Callable[..., str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        search(**changes)
