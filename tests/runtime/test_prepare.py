"""`prepare` splits by time: no part knows a day of another, and nothing is lost or guessed silently."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from model_runtime.analyses import Analyses
from model_runtime.errors import JobError
from model_runtime.monitor.constraints import read_constraints
from model_runtime.monitor.statistics import read_statistics
from model_runtime.paths import ContainerPaths
from model_runtime.prepare import main, parse_arguments
from tests.runtime.container import DAYS, FIRST_DAY, REGRESSION, ROWS_A_DAY, Container, rows

LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
PARTS = ("train", "validation", "test")


@pytest.fixture
def job(container: Container) -> Container:
    container.code("processing/input/code")
    container.partitioned("processing/input/features", rows())
    return container


def prepare(job: Container, arguments: Sequence[str] = ()) -> dict[str, pl.DataFrame]:
    main(ContainerPaths(job.base), ["--test-days", "7", "--validation-days", "3", *arguments])
    return {name: pl.read_parquet(job.base / "processing/output" / name / "part.parquet") for name in PARTS}


def days(part: pl.DataFrame) -> list[date]:
    return part["day"].unique().sort().to_list()


def test_the_command_writes_three_parts_that_follow_each_other_and_share_no_day(job: Container) -> None:
    done = job.run("prepare", "--test-days", "7", "--validation-days", "3")
    assert done.returncode == 0, done.stderr
    parts = {name: pl.read_parquet(job.base / f"processing/output/{name}/part.parquet") for name in PARTS}
    assert {name: len(days(part)) for name, part in parts.items()} == {"train": 20, "validation": 3, "test": 7}
    everything = [day for name in PARTS for day in days(parts[name])]
    assert everything == sorted(set(everything))
    assert sum(part.height for part in parts.values()) == DAYS * ROWS_A_DAY
    assert f"test: {7 * ROWS_A_DAY} rows, 2013-01-24 to 2013-01-30" in done.stdout
    assert job.left_over() == []


def test_the_days_asked_for_bound_all_parts_and_the_newest_of_them_test(job: Container) -> None:
    parts = prepare(job, ["--first-day", "2013-01-05", "--last-day", "2013-01-20"])
    assert days(parts["train"])[0] == date(2013, 1, 5)
    assert days(parts["test"]) == [date(2013, 1, day) for day in range(14, 21)]


def test_the_same_rows_in_another_order_and_other_files_give_the_same_parts(job: Container, tmp_path: Path) -> None:
    other = Container(tmp_path / "other")
    other.code("processing/input/code")
    shuffled = rows().sample(fraction=1, shuffle=True, seed=3)
    other.parquet("processing/input/features/a.parquet", shuffled[:500])
    other.parquet("processing/input/features/deeper/b.parquet", shuffled[500:])
    columns = ["day", "hour", "distance", "carrier", "late"]
    for mine, theirs in zip(prepare(job).values(), prepare(other).values(), strict=True):
        assert mine.select(columns).equals(theirs.select(columns))


def test_rows_without_a_label_are_left_out(job: Container) -> None:
    cancelled = rows().with_columns(late=pl.when(pl.col("hour") > 12).then("late"))
    job.partitioned("processing/input/features", cancelled)
    parts = prepare(job)
    assert sum(part.height for part in parts.values()) == cancelled["late"].count()
    assert all(part["late"].null_count() == 0 for part in parts.values())


def test_the_newest_days_are_counted_from_the_last_one_with_a_label(job: Container) -> None:
    last = pl.col("day") > LAST_DAY - timedelta(days=2)
    job.partitioned("processing/input/features", rows().with_columns(late=pl.when(~last).then("late")))
    assert days(prepare(job)["test"])[-1] == LAST_DAY - timedelta(days=2)


def test_files_of_other_days_are_not_even_opened(job: Container) -> None:
    broken = job.base / f"processing/input/features/day={LAST_DAY}/part-0.snappy.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(JobError, match=f"day={LAST_DAY}.*can't be read as Parquet"):
        prepare(job)
    assert days(prepare(job, ["--last-day", str(LAST_DAY - timedelta(days=1))])["test"])[-1] < LAST_DAY


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--test-days", "28"], "the train split is empty: no day is left for it. There are labelled rows from 2013"),
        (["--test-days", "40"], "the train split is empty"),
        (["--first-day", "2013-02-01"], "no data from 2013-02-01 to the last"),
        (["--first-day", "2013-01-09", "--last-day", "2013-01-08"], "--first-day 2013-01-09 is after"),
        (["--first-day", "yesterday"], "--first-day must be YYYY-MM-DD or 'earliest', got 'yesterday'"),
        (["--test-days", "some"], "--test-days must be a whole number of days, got 'some'"),
        (["--test-days", "0"], "--test-days must be at least 1, got 0"),
        (["--validation-days", "-1"], "--validation-days must be at least 1, got -1"),
        (["--days", "3"], "doesn't know the arguments --days 3"),
    ],
)
def test_days_that_can_not_be_split_are_refused_with_the_reason(
    job: Container, arguments: list[str], reason: str
) -> None:
    with pytest.raises(JobError) as refused:
        prepare(job, arguments)
    assert reason in str(refused.value)
    assert not list((job.base / "processing").glob("output/test/*"))


def test_pipeline_arguments_mean_what_no_argument_means() -> None:
    spelled = ["--first-day", "earliest", "--last-day", "latest", "--test-days", "30", "--validation-days", "14"]
    assert parse_arguments(spelled) == parse_arguments([])


def test_a_file_without_a_feature_is_named_with_it(job: Container) -> None:
    job.parquet(f"processing/input/features/day={FIRST_DAY}/part-1.parquet", rows(1).drop("day", "distance", "late"))
    with pytest.raises(JobError, match=r"part-1.parquet of 2013-01-01 misses the columns distance, late"):
        prepare(job)


@pytest.fixture
def loads(container: Container) -> Container:
    """Features as the manifest of a dataset brings them: the first half from one load, the second from another."""
    container.code("processing/input/code")
    half = FIRST_DAY + timedelta(days=DAYS // 2)
    container.partitioned("processing/input/features/load=a1", rows().filter(pl.col("day") < half))
    container.partitioned("processing/input/features/load=b2", rows().filter(pl.col("day") >= half))
    return container


def test_days_of_several_loads_are_the_days_of_one(loads: Container, tmp_path: Path) -> None:
    one = Container(tmp_path / "one")
    one.code("processing/input/code")
    one.partitioned("processing/input/features", rows())
    for mine, theirs in zip(prepare(loads).values(), prepare(one).values(), strict=True):
        assert mine.columns == ["day", "hour", "distance", "carrier", "late"]
        assert mine.equals(theirs)


def test_a_day_in_two_loads_is_refused_with_both(loads: Container) -> None:
    loads.partitioned("processing/input/features/load=b2", rows(1))
    with pytest.raises(JobError, match="the day 2013-01-01 is there twice, in load=a1/day=2013-01-01 and in load=b2"):
        prepare(loads)


def test_several_files_of_a_day_in_one_load_are_all_read(loads: Container) -> None:
    loads.parquet(f"processing/input/features/load=a1/day={FIRST_DAY}/part-1.parquet", rows(1).drop("day"))
    assert sum(part.height for part in prepare(loads).values()) == (DAYS + 1) * ROWS_A_DAY


def test_files_of_other_versions_of_the_dataset_may_have_more_columns_and_wider_numbers(loads: Container) -> None:
    before = prepare(loads)
    newer = rows().filter(pl.col("day") == LAST_DAY).drop("day")
    newer = newer.with_columns(pl.col("hour").cast(pl.Float64), gate=pl.lit("A1"), load=pl.lit(7)).reverse()
    loads.parquet(f"processing/input/features/load=b2/day={LAST_DAY}/part-0.snappy.parquet", newer)
    for name, part in prepare(loads).items():
        assert part.equals(before[name].cast(dict(part.schema)))


@pytest.mark.parametrize(
    ("older", "reason"),
    [
        (rows(1).drop("day", "distance"), "part-0.snappy.parquet of 2013-01-01 misses the columns distance"),
        (
            rows(1).drop("day").with_columns(distance=pl.lit("far")),
            "part-0.snappy.parquet of 2013-01-01: the column distance must hold numbers, it holds String",
        ),
    ],
)
def test_a_file_of_a_version_that_lacks_a_feature_is_named_with_its_day(
    loads: Container, older: pl.DataFrame, reason: str
) -> None:
    loads.parquet(f"processing/input/features/load=a1/day={FIRST_DAY}/part-0.snappy.parquet", older)
    with pytest.raises(JobError, match=reason):
        prepare(loads)


def test_the_name_of_a_load_is_no_feature(loads: Container) -> None:
    loads.code("processing/input/code", {"features.py": "FEATURES = ('hour', 'load')\nLABEL = 'late'\n"})
    with pytest.raises(JobError, match="misses the columns load"):
        prepare(loads)


def test_each_part_tells_what_its_labels_are_like(loads: Container) -> None:
    classes = loads.run("prepare", "--test-days", "7", "--validation-days", "3")
    assert f"positive_share {prepare(loads)['test']['late'].mean():.3f}" in classes.stdout.splitlines()[-1]
    loads.environment["PROBLEM"] = "regression"
    loads.code("processing/input/code", REGRESSION)
    numbers = loads.run("prepare", "--test-days", "7", "--validation-days", "3")
    test = pl.read_parquet(loads.base / "processing/output/test/part.parquet")
    assert f"label_mean {test['minutes'].mean():.3f}" in numbers.stdout.splitlines()[-1]
    loads.environment["PROBLEM"] = "guessing"
    assert loads.run("prepare").returncode == 1
    assert loads.failure() == "PROBLEM must be binary_classification or regression, got 'guessing'"


def test_labels_that_are_not_finite_are_refused_before_anything_learns_from_them(loads: Container) -> None:
    loads.code("processing/input/code", REGRESSION)
    broken = rows(1).drop("day").with_columns(minutes=pl.lit(float("inf"), pl.Float32))
    loads.parquet(f"processing/input/features/load=a1/day={FIRST_DAY}/part-0.snappy.parquet", broken)
    with pytest.raises(JobError, match=f"the train split has {ROWS_A_DAY} rows whose label 'minutes' is no finite"):
        prepare(loads)


def test_a_label_that_is_nan_is_no_label_and_is_counted(
    loads: Container, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROBLEM", "regression")
    loads.code("processing/input/code", REGRESSION)
    broken = rows(1).drop("day").with_columns(minutes=pl.lit(float("nan"), pl.Float32))
    loads.parquet(f"processing/input/features/load=a1/day={FIRST_DAY}/part-0.snappy.parquet", broken)
    parts = prepare(loads)
    assert sum(part.height for part in parts.values()) == (DAYS - 1) * ROWS_A_DAY
    assert not any(part["minutes"].is_nan().any() for part in parts.values())
    assert f"left out: {ROWS_A_DAY} of {DAYS * ROWS_A_DAY} rows have no label minutes" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_one_class_only_ends_the_job_before_anything_is_trained(job: Container, part: str) -> None:
    first, last = {"train": (0, 19), "validation": (20, 22), "test": (23, 29)}[part]
    inside = pl.col("day").is_between(FIRST_DAY + timedelta(days=first), FIRST_DAY + timedelta(days=last))
    job.partitioned("processing/input/features", rows().with_columns(late=pl.when(inside).then(1).otherwise("late")))
    with pytest.raises(JobError, match=f"the {part} split, .* has one class only: the label 'late' is always 1"):
        prepare(job)


def test_a_month_without_rows_ends_the_job_with_the_days_that_there_are(job: Container) -> None:
    with pytest.raises(JobError, match="no data from 2013-02-01 to 2013-02-28"):
        prepare(job, ["--first-day", "2013-02-01", "--last-day", "2013-02-28"])
    with pytest.raises(JobError, match=r"split is empty: 2013-02-19 to 2013-02-21 .*rows from 2013-01-01"):
        prepare(job, ["--last-day", "2013-02-28"])


def test_no_data_no_label_and_a_strange_folder_end_with_their_reason(job: Container) -> None:
    job.partitioned("processing/input/features", rows().with_columns(late=pl.lit(None, pl.Int32)))
    with pytest.raises(JobError, match="nothing to learn from"):
        prepare(job)
    job.parquet("processing/input/features/day=monday/a.parquet", rows(1).drop("day"))
    with pytest.raises(JobError, match=r"day=monday.*isn't named after a day"):
        prepare(job)


def test_a_failed_job_leaves_its_reason_where_sagemaker_looks(container: Container) -> None:
    container.code("processing/input/code")
    done = container.run("prepare")
    assert done.returncode == 1
    assert container.failure().startswith("no data: ")
    assert (container.base / "output" / "message").read_text() == container.failure()
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == container.failure()
    assert container.left_over() == []


def test_analyses_are_written_with_the_numbers_of_the_model_s_encoders(job: Container) -> None:
    facets = [
        {"name_or_index": "carrier", "value_or_threshold": ["AA", 400]},
        {"name_or_index": "distance", "value_or_threshold": [1000.0]},
    ]
    analyses = {"DataBias": {"label": "late", "facet": facets}, "Explainability": {"label": "late"}}
    given = job.base / "processing/input/checks"
    given.mkdir(parents=True)
    (given / "0123.json").write_text(json.dumps({"analyses": analyses, "categories": ["carrier", "late"]}))
    parts = prepare(job)
    written = job.base / "processing/output/checks"
    bias = json.loads((written / "DataBias/analysis_config.json").read_text())
    assert [facet["value_or_threshold"] for facet in bias["facet"]] == [[int("AA", 36), 400], [1000]]
    assert json.loads((written / "Explainability/analysis_config.json").read_text()) == {"label": "late"}
    for part, frame in parts.items():
        if part != "validation":
            found = pl.read_parquet(written / part / "part.parquet")
            assert found.columns == ["hour", "distance", "carrier", "late"]
            assert [kind.is_integer() for kind in found.dtypes] == [False, False, True, True]
            assert found["carrier"].to_list() == frame["carrier"].cast(pl.Int64).to_list()


def test_kernel_shap_gets_some_rows_and_a_baseline_and_model_monitor_csv(job: Container) -> None:
    shap = {"label": "late", "methods": {"shap": {"num_samples": 200}}}
    given = job.base / "processing/input/checks"
    given.mkdir(parents=True)
    told = {"analyses": {"Explainability": shap}, "categories": ["carrier", "late"], "described": True}
    (given / "0123.json").write_text(json.dumps(told))
    parts = prepare(job)
    written = job.base / "processing/output/checks"
    features = parts["train"].select("hour", "distance", "carrier").cast(pl.Float64)
    config = json.loads((written / "Explainability/analysis_config.json").read_text())
    assert config["methods"]["shap"]["num_samples"] == 200
    (baseline,) = config["methods"]["shap"]["baseline"]
    assert baseline[:2] == pytest.approx([features["hour"].mean(), features["distance"].mean()])
    assert baseline[2] == features["carrier"].mode().min()
    described = pl.read_csv(written / "described/part.csv")
    assert described.columns == ["hour", "distance", "carrier", "late"]
    assert described["distance"].to_list() == pytest.approx(features["distance"].to_list())
    explained = pl.read_parquet(written / "explained/part.parquet")
    assert explained.height == min(parts["test"].height, 300)
    assert explained.join(pl.read_parquet(written / "test/part.parquet"), on=explained.columns, how="anti").is_empty()


def test_rows_that_miss_a_category_are_left_out_of_the_copy_for_clarify(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {"carrier": [1.0, None, float("nan"), 4.0], "hour": [None, 2.0, 3.0, 4.0], "late": [0, 1, 0, 1]}
    )
    configured = {"B": {"label": "late"}}
    Analyses(directory=tmp_path, configurations=configured, categories=["carrier"], described=True).write_rows(
        "train", rows, rows.columns
    )
    found = pl.read_parquet(tmp_path / "train/part.parquet")
    assert found["carrier"].to_list() == [1, 4]
    assert found["hour"].to_list() == [None, 4.0]
    assert pl.read_csv(tmp_path / "described/part.csv").height == 4, "Model Monitor counts what is missing"


def test_the_rows_to_explain_are_few_and_the_same_each_time(tmp_path: Path) -> None:
    rows = pl.DataFrame({"hour": range(1000), "late": [0, 1] * 500})
    drawn = []
    for name in ("first", "second"):
        analyses = Analyses(directory=tmp_path / name, configurations={"E": {"label": "late", "methods": {"shap": {}}}})
        analyses.write_rows("test", rows, ["hour", "late"])
        drawn.append(pl.read_parquet(tmp_path / name / "explained/part.parquet"))
    assert drawn[0].height == 300
    assert drawn[0]["hour"].n_unique() == 300
    assert drawn[0].equals(drawn[1])


def test_text_that_no_encoder_reads_ends_the_job(job: Container) -> None:
    given = job.base / "processing/input/checks"
    given.mkdir(parents=True)
    facet = {"name_or_index": "hour", "value_or_threshold": ["noon"]}
    (given / "0123.json").write_text(json.dumps({"analyses": {"DataBias": {"facet": [facet]}}, "categories": []}))
    with pytest.raises(JobError, match=r"no encoder of the model's features\.py turns text into hour"):
        prepare(job)


def test_the_baseline_says_what_the_features_of_the_training_rows_are_like(job: Container) -> None:
    train = prepare(job)["train"]
    folder = job.base / "processing/output/baseline"
    statistics = read_statistics(json.loads((folder / "statistics.json").read_text()))
    constraints = read_constraints(json.loads((folder / "constraints.json").read_text()))
    assert list(statistics.features) == list(constraints.features) == ["hour", "distance", "carrier"]
    assert statistics.rows == train.height
    carrier = statistics.features["carrier"]
    assert carrier.encoded
    assert sum((carrier.categories or {}).values()) == train.height
    assert statistics.features["distance"].mean == pytest.approx(train["distance"].cast(pl.Float64).mean())
