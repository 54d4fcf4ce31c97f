"""Tuning jobs: real training jobs side by side, how they are counted, stopped and ranked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/training"
PREAMBLE = "import json, os, pathlib, sys, time\nml = pathlib.Path(os.environ['SAGEMAKER_BASE_DIR'])\n"
READ = "given = json.loads((ml / 'input/config/hyperparameters.json').read_text())\n"
SAVE = "(ml / 'model/model.txt').write_text(json.dumps(given))\n"
# the best is near x = 0.7
QUADRATIC = f"{READ}x = float(given['x'])\nprint(f'validation:auc={{1 - (x - 0.7) ** 2}}')\n{SAVE}"
ENDED = ("Completed", "Failed", "Stopped")
CONTINUOUS = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}


def chosen(name: str, *values: str) -> dict[str, Any]:
    return {"CategoricalParameterRanges": [{"Name": name, "Values": list(values)}]}


@pytest.fixture
def tune(server: Any, sagemaker: Any) -> Callable[..., str]:
    def create(
        script: str,
        ranges: dict[str, Any],
        *,
        trials: int | None = 4,
        parallel: int = 2,
        name: str = "tuning",
        strategy: str = "Random",
        early_stopping: str = "Off",
        goal: str = "Maximize",
        seed: int = 7,
        definition: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        limits = {"MaxParallelTrainingJobs": parallel}
        if trials is not None:
            limits["MaxNumberOfTrainingJobs"] = trials
        sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name,
            HyperParameterTuningJobConfig={
                "Strategy": strategy,
                "HyperParameterTuningJobObjective": {"Type": goal, "MetricName": "validation:auc"},
                "ResourceLimits": limits,
                "ParameterRanges": ranges,
                "TrainingJobEarlyStoppingType": early_stopping,
                "RandomSeed": seed,
                **changes.pop("config", {}),
            },
            TrainingJobDefinition={
                "RoleArn": ROLE,
                "AlgorithmSpecification": {
                    "TrainingImage": server.image(PREAMBLE + script),
                    "TrainingInputMode": "File",
                    "MetricDefinitions": [{"Name": "validation:auc", "Regex": "validation:auc=([-0-9.e]+)"}],
                },
                "OutputDataConfig": {"S3OutputPath": "s3://lake/models"},
                "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
                "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                "StaticHyperParameters": {"colour": "blue"},
                **(definition or {}),
            },
            **changes,
        )
        return name

    return create


@pytest.fixture
def ended(sagemaker: Any, wait: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def end(name: str = "tuning") -> dict[str, Any]:
        def describe() -> dict[str, Any]:
            return dict(sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name))

        return dict(wait(describe, lambda found: found["HyperParameterTuningJobStatus"] in ENDED, 60))

    return end


@pytest.fixture
def trials(sagemaker: Any) -> Callable[..., list[dict[str, Any]]]:
    def listed(name: str = "tuning", **request: Any) -> list[dict[str, Any]]:
        found = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, **request)
        return list(found["TrainingJobSummaries"])

    return listed


def value_of(trial: dict[str, Any]) -> float:
    return float(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def test_four_training_jobs_run_and_the_best_one_is_named(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any], sagemaker: Any, server: Any
) -> None:
    tune(QUADRATIC, CONTINUOUS)
    found, jobs = ended(), trials(SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert found["TrainingJobStatusCounters"]["Completed"] == found["ObjectiveStatusCounters"]["Succeeded"] == 4
    values = [value_of(job) for job in jobs]
    assert len(values) == 4
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    best = found["BestTrainingJob"]
    assert best["TrainingJobName"] == jobs[0]["TrainingJobName"]
    x = float(best["TunedHyperParameters"]["x"])
    assert value_of(best) == pytest.approx(1 - (x - 0.7) ** 2)
    job = sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert job["HyperParameters"] == {
        "colour": "blue", "x": best["TunedHyperParameters"]["x"], "_tuning_objective_metric": "validation:auc",
    }  # fmt: skip
    assert job["TuningJobArn"] == found["HyperParameterTuningJobArn"]
    key = f"models/{best['TrainingJobName']}/output/model.tar.gz"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://lake/{key}"
    server.client("s3").head_object(Bucket="lake", Key=key)


def test_as_many_training_jobs_run_at_a_time_as_asked(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    tune("print('validation:auc=1')\ntime.sleep(0.5)", chosen("x", "a", "b", "c", "d"), parallel=2)
    ended()
    spans = [(job["TrainingStartTime"], job["TrainingEndTime"]) for job in trials()]
    at_a_time = [sum(start <= each < end for start, end in spans) for each, _ in spans]
    assert max(at_a_time) == 2


def test_bayesian_search_learns_where_random_search_does_not(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any]
) -> None:
    tune(QUADRATIC, CONTINUOUS, strategy="Bayesian", trials=12, parallel=1)
    ended()
    distances = [abs(float(job["TunedHyperParameters"]["x"]) - 0.7) for job in trials(SortBy="CreationTime")]
    assert sum(distances[-4:]) < sum(distances[:4])


def test_the_same_seed_tries_the_same_values(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any]
) -> None:
    def tried(name: str, seed: int) -> list[str]:
        tune(QUADRATIC, CONTINUOUS, strategy="Bayesian", name=name, seed=seed, parallel=1)
        ended(name)
        return [job["TunedHyperParameters"]["x"] for job in trials(name, SortBy="CreationTime")]

    first = tried("one", 3)
    assert tried("two", 3) == first
    assert tried("three", 4) != first


def test_a_grid_tries_every_combination_once(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any]
) -> None:
    ranges = {
        "CategoricalParameterRanges": [
            {"Name": "x", "Values": ["0.1", "0.7"]},
            {"Name": "kind", "Values": ["a", "b", "c"]},
        ]
    }
    tune(QUADRATIC, ranges, strategy="Grid", trials=None)
    assert ended()["BestTrainingJob"]["TunedHyperParameters"]["x"] == "0.7"
    found = {tuple(sorted(job["TunedHyperParameters"].items())) for job in trials()}
    assert len(found) == len(trials()) == 6


def test_a_failing_training_job_does_not_fail_the_tuning_job(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any]
) -> None:
    tune(
        f"{READ}if given['x'] == 'bad': sys.exit('no luck')\nprint('validation:auc=0.5')\n{SAVE}",
        chosen("x", "bad", "good"), strategy="Grid", trials=None,
    )  # fmt: skip
    found = ended()
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert found["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    assert found["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}
    assert found["BestTrainingJob"]["TunedHyperParameters"] == {"x": "good"}
    (failed,) = trials(StatusEquals="Failed")
    assert "no luck" in failed["FailureReason"]


def test_a_tuning_job_whose_training_jobs_all_fail_says_why(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any]
) -> None:
    tune("sys.exit('no luck')", CONTINUOUS, trials=30, parallel=1)
    found = ended()
    assert found["HyperParameterTuningJobStatus"] == "Failed"
    assert "no training job succeeded after 5 attempts" in found["FailureReason"]
    assert "no luck" in found["FailureReason"]
    assert len(trials()) == 5


def test_training_jobs_that_never_print_the_objective_fail_the_tuning_job(
    tune: Callable[..., str], ended: Callable[..., Any]
) -> None:
    tune("print('auc is 0.5')", CONTINUOUS, trials=2)
    found = ended()
    assert found["HyperParameterTuningJobStatus"] == "Failed"
    assert "no training job printed the objective 'validation:auc'" in found["FailureReason"]
    assert found["ObjectiveStatusCounters"]["Failed"] == 2


def test_a_stopped_tuning_job_stops_its_training_jobs_and_keeps_its_best(
    server: Any, tune: Callable[..., str], ended: Any, trials: Callable[..., Any], sagemaker: Any, wait: Any
) -> None:
    script = f"{READ}print('validation:auc=0.5', flush=True)\nif given['x'] != 'a': time.sleep(60)\n{SAVE}"
    tune(script, chosen("x", "a", "b", "c"), strategy="Grid", trials=None, parallel=1)
    wait(lambda: len(trials()), lambda count: count == 2)
    assert "tuning job tuning" in server.context.clock.busy()  # time waits for it
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="tuning")
    found = ended()
    assert found["HyperParameterTuningJobStatus"] == "Stopped"
    wait(server.context.clock.busy, lambda busy: busy == [])
    assert found["BestTrainingJob"]["TunedHyperParameters"] == {"x": "a"}
    assert [job["TrainingJobStatus"] for job in trials(SortBy="CreationTime")] == ["Completed", "Stopped"]
    with pytest.raises(ClientError, match="is in status Stopped"):
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="tuning")


EPOCHS = f"""
{READ}
x = float(given["x"])
for epoch in range(1, 6):
    print(f"validation:auc={{x * epoch}}", flush=True)
    if x == 1:
        time.sleep(20)
{SAVE}
"""


def test_early_stopping_ends_a_job_that_does_worse_than_the_median(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any]
) -> None:
    tune(EPOCHS, chosen("x", "3", "2", "1", "4"), strategy="Grid", trials=None, parallel=1, early_stopping="Auto")
    found = ended()
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    statuses = {job["TunedHyperParameters"]["x"]: job["TrainingJobStatus"] for job in trials()}
    assert statuses == {"3": "Completed", "2": "Completed", "1": "Stopped", "4": "Completed"}
    assert found["TrainingJobStatusCounters"]["Stopped"] == 1
    assert found["BestTrainingJob"]["TunedHyperParameters"]["x"] == "4"


def test_a_warm_start_begins_where_the_parent_ended(
    tune: Callable[..., str], ended: Callable[..., Any], trials: Callable[..., Any]
) -> None:
    tune(QUADRATIC, CONTINUOUS, strategy="Bayesian", trials=10, parallel=2, name="parent")
    ended("parent")
    start = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    tune(QUADRATIC, CONTINUOUS, strategy="Bayesian", trials=3, parallel=1, name="child", WarmStartConfig=start, seed=9)
    ended("child")
    distances = [abs(float(job["TunedHyperParameters"]["x"]) - 0.7) for job in trials("child")]
    assert sum(distances) / len(distances) < 0.25


def test_state_changes_are_events(tune: Callable[..., str], ended: Callable[..., Any], server: Any) -> None:
    tune(QUADRATIC, CONTINUOUS, trials=1, parallel=1)
    ended()
    detail = server.event(HyperParameterTuningJobName="tuning", HyperParameterTuningJobStatus="Completed")
    assert detail["TrainingJobStatusCounters"]["Completed"] == 1
    kinds = {kind for _, kind, _ in server.events}
    assert "SageMaker HyperParameter Tuning Job State Change" in kinds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "Hyperband"}, "doesn't have the strategy Hyperband"),
        ({"trials": None}, "MaxNumberOfTrainingJobs is needed"),
        ({"strategy": "Grid", "trials": None}, "categorical ranges only"),
        ({"config": {"ParameterRanges": {}}}, "there is nothing to tune"),
        ({"config": {"TuningJobCompletionCriteria": {}}}, "TuningJobCompletionCriteria"),
        ({"Autotune": {"Mode": "Enabled"}}, "Autotune of the request"),
        ({"definition": {"RetryStrategy": {"MaximumRetryAttempts": 2}}}, "RetryStrategy of TrainingJobDefinition"),
        (
            {"ranges": {"ContinuousParameterRanges": [
                {"Name": "x", "MinValue": "0", "MaxValue": "1", "ScalingType": "Logarithmic"}
            ]}},
            "Logarithmic needs values above 0",
        ),
        (
            {"ranges": {"IntegerParameterRanges": [{"Name": "x", "MinValue": "9", "MaxValue": "1"}]}},
            "MinValue 9 is above MaxValue 1",
        ),
        (
            {"ranges": {"IntegerParameterRanges": [{"Name": "x", "MinValue": "a", "MaxValue": "1"}]}},
            "the range of 'x'",
        ),
    ],
)  # fmt: skip
def test_what_is_not_tuned_is_refused(tune: Callable[..., str], arguments: dict[str, Any], message: str) -> None:
    ranges = arguments.pop("ranges", CONTINUOUS)
    with pytest.raises(ClientError, match=message):
        tune(QUADRATIC, ranges, **arguments)


def test_an_objective_without_a_definition_is_refused(tune: Callable[..., str], server: Any) -> None:
    algorithm = {
        "TrainingImage": server.image(""),
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}],
    }
    with pytest.raises(ClientError, match="'validation:auc' is none of the MetricDefinitions: loss"):
        tune(QUADRATIC, CONTINUOUS, definition={"AlgorithmSpecification": algorithm})


def test_a_name_is_used_once(tune: Callable[..., str], ended: Callable[..., Any]) -> None:
    tune(QUADRATIC, CONTINUOUS, trials=1, parallel=1)
    with pytest.raises(ClientError, match="must be unique"):
        tune(QUADRATIC, CONTINUOUS)
    ended()
