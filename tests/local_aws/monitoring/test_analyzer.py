"""The container that stands for Model Monitor's analyzer, on captured requests."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from local_aws.sagemaker.checks.analyzer import constraints_of, statistics_of
from local_aws.sagemaker.checks.captured import read_captured, typed
from local_aws.sagemaker.checks.merger import merge
from local_aws.sagemaker.checks.tables import Problem
from local_aws.sagemaker.checks.violations import drift, violations
from tests.local_aws.monitoring.conftest import Monitoring

_random = np.random.default_rng(7)
BASELINE = pl.DataFrame(
    {
        "distance": _random.normal(500, 100, 3000),
        "hour": _random.integers(5, 23, 3000),
        "carrier": _random.choice(["AA", "UA", "B6"], 3000),
    }
)


def line(inputs: str, outputs: str | None = None, encoding: str = "CSV", **metadata: str) -> str:
    data = {"endpointInput": {"data": inputs, "encoding": encoding}}
    if outputs is not None:
        data["endpointOutput"] = {"data": outputs, "encoding": encoding}
    return json.dumps({"captureData": data, "eventMetadata": {"eventId": "1", **metadata}, "eventVersion": "0"}) + "\n"


def text(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.cast(pl.String)


def broken(rows: pl.DataFrame, **config: Any) -> set[tuple[str, str]]:
    constraints = constraints_of(BASELINE)
    constraints["monitoring_config"] |= config
    found = violations(constraints, statistics_of(BASELINE), rows)
    return {(each["feature_name"], each["constraint_check_type"]) for each in found}


def test_rows_of_the_baseline_break_nothing() -> None:
    assert broken(text(BASELINE.sample(1000, seed=1))) == set()


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (pl.col("distance").cast(pl.Float64) + 60, ("distance", "baseline_drift_check")),
        (pl.lit("AA").alias("carrier"), ("carrier", "baseline_drift_check")),
        (pl.lit("ZZ").alias("carrier"), ("carrier", "categorical_values_check")),
        (pl.lit("noon").alias("hour"), ("hour", "data_type_check")),
        (pl.lit(None, pl.String).alias("distance"), ("distance", "completeness_check")),
        (pl.lit("1").alias("gate"), ("gate", "extra_column_check")),
    ],
)
def test_each_change_breaks_its_check(change: pl.Expr, check: tuple[str, str]) -> None:
    found = broken(text(text(BASELINE.sample(1000, seed=1)).with_columns(change)))
    assert check in found
    assert {name for name, _ in found} == {check[0]}


def test_missing_column_and_switched_off_checks() -> None:
    rows = text(BASELINE.sample(1000, seed=1)).with_columns(carrier=pl.lit("AA"))
    assert broken(rows.drop("hour")) == {("hour", "missing_column_check"), ("carrier", "baseline_drift_check")}
    assert broken(rows, distribution_constraints={"perform_comparison": "Disabled"}) == set()
    assert broken(rows, distribution_constraints={"categorical_comparison_threshold": 0.9}) == set()
    assert broken(rows, evaluate_constraints="Disabled") == set()


def test_distance_is_the_largest_difference_of_the_distributions() -> None:
    (feature, *_) = statistics_of(pl.DataFrame({"x": [1.0, 2.0, 3.0, 4.0]}))["features"]
    assert drift(feature, pl.Series(["3", "4", "5", "6"]), "Simple") == pytest.approx(0.5)
    # so few rows say nothing
    assert drift(feature, pl.Series(["3", "4", "5", "6"]), "Robust") == 0.0
    assert drift(feature, pl.Series([None, "late"], dtype=pl.String), "Simple") is None


def test_captured_columns_get_the_names_of_the_baseline_by_position(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line("1,x\n2,\n", "0.5\n0.6\n") + "{cut\n" + line("3,y", "0.7"))
    rows = read_captured(tmp_path, ["number", "word"])
    assert rows.to_dict(as_series=False) == {"number": ["1", "2", "3"], "word": ["x", None, "y"]}
    assert read_captured(tmp_path, ["score", "number", "word"])["score"].to_list() == ["0.5", "0.6", "0.7"]
    assert read_captured(tmp_path, ["one"]).columns == ["_c0", "_c1", "_c2"]
    assert typed(rows["number"]).dtype == pl.Int64
    assert typed(rows["word"]).dtype == pl.String


def test_captured_objects_are_columns_by_name_and_other_forms_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line('{"a": 1, "b": {"c": "x"}}\n{"a": null}', encoding="JSON"))
    assert read_captured(tmp_path).to_dict(as_series=False) == {"a": ["1", None], "b_c": ["x", None]}
    (tmp_path / "a.jsonl").write_text(line("AAAA", encoding="BASE64"))
    with pytest.raises(Problem, match="BASE64"):
        read_captured(tmp_path)
    (tmp_path / "a.jsonl").write_text(line("[1, 2]", encoding="JSON"))
    with pytest.raises(Problem, match="an object for each row"):
        read_captured(tmp_path)


def test_newest_label_counts_and_what_has_no_partner_is_left_out(tmp_path: Path) -> None:
    def truth(name: str, value: str) -> str:
        label = {"groundTruthData": {"data": value, "encoding": "CSV"}, "eventMetadata": {"eventId": name}}
        return json.dumps(label) + "\n"

    captures, labels, output = tmp_path / "captures/live/all/2030/05/01/06", tmp_path / "truth/2030", tmp_path / "out"
    captures.mkdir(parents=True)
    labels.mkdir(parents=True)
    (captures / "a.jsonl").write_text(line("1", inferenceId="one") + line("2") + line("3", inferenceId="three") + '{"c')
    (labels / "05.jsonl").write_text(
        truth("one", "0") + truth("one", "1") + truth("1", "5") + '{"eventMetadata": {}}\n'
    )
    (labels / "06.jsonl").write_text(truth("one", "2") + truth("unknown", "3"))
    assert merge(tmp_path / "captures", tmp_path / "truth", output) == (
        "Completed: 2 captured lines have a label, 1 labels have no line"
    )
    (part,) = output.rglob("*.jsonl")
    assert part.parent == output / "live/all/2030/05/01/06"
    merged = [json.loads(each) for each in part.read_text().splitlines()]
    assert [(each["captureData"]["endpointInput"]["data"], each["groundTruthData"]["data"]) for each in merged] == [
        ("1", "2"), ("2", "5"),
    ]  # fmt: skip


def test_schedule_with_the_analyzer_finds_what_has_moved(monitoring: Monitoring) -> None:
    for name, content in (("statistics", statistics_of(BASELINE)), ("constraints", constraints_of(BASELINE))):
        monitoring.put(f"analyzed/{name}.json", content)
    baseline = {f"{name.capitalize()}Resource": {"S3Uri": f"s3://lake/analyzed/{name}.json"} for name in
                ("statistics", "constraints")}  # fmt: skip
    app = {"ImageUri": "111122223333.dkr.ecr.us-east-1.amazonaws.com/sagemaker-model-monitor-analyzer:latest"}
    monitoring.sagemaker.create_data_quality_job_definition(**monitoring.define(baseline=baseline, app=app))
    monitoring.schedule()
    monitoring.next_hour()
    rows = BASELINE.sample(300, seed=2).with_columns(pl.col("distance") + 80)
    # the stand-in answers one line whatever it is asked: so one row in each request
    for row in rows.head(200).iter_rows():
        monitoring.invoke(",".join(map(str, row)))
    monitoring.next_hour()
    (execution, *_) = monitoring.executions()
    assert execution["MonitoringExecutionStatus"] == "CompletedWithViolations", execution
    at = execution["ScheduledTime"]
    report = f"reports/live/{monitoring.name}/{at:%Y/%m/%d/%H}"
    found = monitoring.get(f"{report}/constraint_violations.json")["violations"]
    assert [(each["feature_name"], each["constraint_check_type"]) for each in found] == [
        ("distance", "baseline_drift_check")
    ]
    assert monitoring.get(f"{report}/statistics.json")["dataset"]["item_count"] == 200
    dimensions = [
        {"Name": "Endpoint", "Value": "live"}, {"Name": "MonitoringSchedule", "Value": monitoring.name},
    ]  # fmt: skip
    (point,) = monitoring.context.client("cloudwatch").get_metric_statistics(
        Namespace="aws/sagemaker/Endpoints/data-metrics", MetricName="feature_baseline_drift_distance", Period=3600,
        Dimensions=dimensions, Statistics=["Maximum"], StartTime=at - timedelta(hours=1), EndTime=at,
    )["Datapoints"]  # fmt: skip
    assert point["Maximum"] > 0.1
