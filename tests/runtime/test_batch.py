"""Batch inference: which days are selected, what the model is asked, what is published, and what never is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
from moto import mock_aws

from model_runtime.batch import publication, selection
from model_runtime.batch.days import Wanted, published_days
from model_runtime.batch.store import Store
from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths
from tests.runtime.container import Container, json_file
from tests.runtime.test_champion import described
from tests.runtime.test_evaluate import archive

LAKE, ARTIFACTS, GROUP = "lake", "artifacts", "dev-toy"
MANIFEST, TABLE = f"s3://{LAKE}/flights/manifest.json", f"s3://{LAKE}/predictions/toy"
DAY, NEXT = "2013-08-01", "2013-08-02"
ROWS = pl.DataFrame(
    {
        "flight": ["UA 2", "UA 1", None],
        "left": [datetime(2013, 8, 1, 9), datetime(2013, 8, 1, 7), datetime(2013, 8, 1, 8)],
        "hour": [9.0, None, float("nan")],
        "distance": [100, 200, 300],
        "carrier": pl.Series([1.5, 2.5, 3.5], dtype=pl.Float32),
        "late": pl.Series([None, None, None], dtype=pl.Int32),
    }
)


class Lake:
    """Published days, a released version, and the jobs that work with them."""

    def __init__(self, container: Container, trained: Path, directory: Path) -> None:
        self.paths = ContainerPaths(container.base)
        self._trained, self._directory = trained, directory
        self._s3, self._sagemaker = boto3.client("s3"), boto3.client("sagemaker")
        for bucket in (LAKE, ARTIFACTS):
            self._s3.create_bucket(Bucket=bucket)
        self._sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        self._keys: list[str] = []
        self.package = self.register()

    def register(self, **changes: Any) -> str:
        model = self._directory / f"version-{len(list(self._directory.glob('version-*')))}"
        shutil.copytree(self._trained, model)
        described(**changes)(model)
        packed = self._directory / "model.tar.gz"
        archive(model, packed)
        key = f"{model.name}/model.tar.gz"
        self._s3.upload_file(str(packed), ARTIFACTS, key)
        container = {"Image": "mlops-runtime", "ModelDataUrl": f"s3://{ARTIFACTS}/{key}"}
        inference = {"Containers": [container], "SupportedContentTypes": ["text/csv"]}
        inference["SupportedResponseMIMETypes"] = ["text/csv"]
        made = self._sagemaker.create_model_package(
            ModelPackageGroupName=GROUP, InferenceSpecification=inference, ModelApprovalStatus="Approved"
        )
        self.package = str(made["ModelPackageArn"])
        return self.package

    def publish(self, day: str, rows: pl.DataFrame = ROWS, load: str = "1") -> None:
        """Publish a day of the dataset, in the place of what was published of it."""
        file = self._directory / "part.parquet"
        rows.write_parquet(file)
        key = f"load={load}/day={day}/part-0.parquet"
        self._s3.upload_file(str(file), LAKE, f"flights/{key}")
        self._keys = sorted([each for each in self._keys if f"day={day}" not in each] + [key])
        manifest = json.dumps([{"prefix": f"s3://{LAKE}/flights/"}, *self._keys])
        self._s3.put_object(Bucket=LAKE, Key="flights/manifest.json", Body=manifest.encode())

    def select(self, *arguments: str, key: str = "flight,left") -> dict[str, Any]:
        """Run the job that selects; returns its plan."""
        given = ["--manifest", MANIFEST, "--predictions", TABLE, "--package", self.package, "--key", key]
        selection.main(self.paths, [*given, *arguments])
        return dict(json_file(self.paths.processing_output("plan") / "plan.json"))

    def transform(self, answer: str = "0.25") -> None:
        """Answer every row as a transform job does, and lay out what it leaves for the job that publishes."""
        for name in ("plan", "keys"):
            shutil.copytree(self.paths.processing_output(name), self.paths.processing_input(name), dirs_exist_ok=True)
        for file in self.paths.processing_output("rows").rglob("*.csv"):
            folder = self.paths.processing_input("scores") / file.parent.name
            folder.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{line},{answer}\n" for line in file.read_text().splitlines())
            (folder / f"{file.name}.out").write_text(lines)

    def write(self) -> None:
        """Run the job that publishes."""
        publication.main(self.paths, ["--predictions", TABLE])

    def run(self, *arguments: str, answer: str = "0.25") -> None:
        """Select, transform, publish, as an execution of the pipeline does."""
        for name in ("rows", "keys", "plan"):
            shutil.rmtree(self.paths.processing_output(name), ignore_errors=True)
        for name in ("scores", "keys", "plan"):
            shutil.rmtree(self.paths.processing_input(name), ignore_errors=True)
        if self.select(*arguments)["rows"]:
            self.transform(answer)
            self.write()

    def objects(self) -> list[str]:
        found = self._s3.list_objects_v2(Bucket=LAKE, Prefix="predictions/").get("Contents", [])
        return [each["Key"] for each in found]

    def predicted(self, day: str) -> pl.DataFrame:
        found = self._s3.get_object(Bucket=LAKE, Key=f"predictions/toy/day={day}/predictions.parquet")
        return pl.read_parquet(found["Body"].read(), hive_partitioning=False)

    def rows(self, day: str) -> list[str]:
        files = sorted((self.paths.processing_output("rows") / f"day={day}").glob("*.csv"))
        return [line for file in files for line in file.read_text().splitlines()]

    @property
    def message(self) -> str:
        return self.paths.message.read_text()


@pytest.fixture
def lake(container: Container, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Lake(container, trained, tmp_path)


def test_rows_are_numbered_in_the_order_of_their_key_and_have_the_features_alone(lake: Lake) -> None:
    lake.publish(DAY)
    plan = lake.select()
    # by flight, the missing one last; a missing number is nothing between commas
    assert lake.rows(DAY) == ["0,,200.0,2.5", "1,9.0,100.0,1.5", "2,,300.0,3.5"]
    assert plan["days"] == {DAY: {"rows": 3, "load": f"load=1/day={DAY}"}}
    assert (plan["rows"], plan["package"], plan["version"], plan["features"]) == (3, lake.package, 1, 3)
    assert lake.message == f"3 rows of {DAY} for version 1"


def test_machines_share_the_rows_of_a_day(lake: Lake) -> None:
    lake.publish(DAY)
    lake.select("--files", "2")
    assert len(list((lake.paths.processing_output("rows") / f"day={DAY}").glob("*.csv"))) == 2
    assert [line[0] for line in lake.rows(DAY)] == ["0", "1", "2"]


def test_features_have_the_order_that_the_version_was_trained_on(lake: Lake) -> None:
    lake.publish(DAY)
    lake.register(features=["carrier", "hour"])
    lake.select()
    assert lake.rows(DAY)[1] == "1,1.5,9.0"


def test_predictions_keep_the_key_and_say_who_made_them(lake: Lake) -> None:
    lake.publish(DAY)
    lake.run(answer="0.75")
    found = lake.predicted(DAY)
    assert found.columns == [
        "flight", "left", "prediction", "predicted_class", "model_package", "inference_id", "predicted_at",
    ]  # fmt: skip
    assert found["flight"].to_list() == ["UA 1", "UA 2", None]
    assert found["prediction"].to_list() == [0.75] * 3
    assert found["predicted_class"].to_list() == [1] * 3
    assert found["model_package"].unique().to_list() == [lake.package]
    assert found["inference_id"][0] == f"{DAY}/UA%201/2013-08-01T07%3A00%3A00Z"
    assert found.schema["left"] == found.schema["predicted_at"] == pl.Datetime("us")
    assert (found.schema["prediction"], found.schema["predicted_class"]) == (pl.Float64, pl.Int32)
    assert lake.message == "3 predictions of 1 day by version 1"


def test_regression_has_a_value_and_no_class(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.register(problem="regression")
    monkeypatch.setenv("PROBLEM", "regression")
    lake.publish(DAY)
    lake.run(answer="133.5")
    found = lake.predicted(DAY)
    assert "predicted_class" not in found.columns
    assert found["prediction"].to_list() == [133.5] * 3


def test_a_day_that_runs_again_is_replaced_and_never_doubled(lake: Lake) -> None:
    lake.publish(DAY)
    lake.run()
    lake.run("--first-day", DAY, "--last-day", DAY, answer="0.5")
    assert lake.objects() == [f"predictions/toy/day={DAY}/predictions.parquet"]
    assert lake.predicted(DAY)["prediction"].to_list() == [0.5] * 3


def test_days_are_due_until_they_are_predicted_and_again_when_they_are_published_anew(lake: Lake) -> None:
    lake.publish(DAY)
    lake.run()
    assert lake.select()["days"] == {}
    assert lake.message == f"no day is due, the newest published one is {DAY}"
    lake.publish(NEXT)
    assert list(lake.select()["days"]) == [NEXT]
    lake.publish(DAY, load="2")
    assert list(lake.select()["days"]) == [DAY, NEXT]


def test_another_version_makes_no_day_due(lake: Lake) -> None:
    lake.publish(DAY)
    lake.run()
    lake.register()
    assert lake.select()["days"] == {}


def test_only_the_newest_days_are_due(lake: Lake) -> None:
    days = [str(date(2013, 8, 1) + timedelta(days=offset)) for offset in range(4)]
    for day in days:
        lake.publish(day)
    assert list(lake.select("--catch-up-days", "2")["days"]) == days[2:]
    assert list(lake.select("--catch-up-days", "2", "--last-day", days[1])["days"]) == days[:2]
    assert list(lake.select("--first-day", days[1])["days"]) == days[1:]


def test_nothing_published_is_nothing_to_do(lake: Lake) -> None:
    assert lake.select()["rows"] == 0
    assert lake.message == "no day is due, the newest published one is None"


def test_a_day_that_is_not_published_is_named(lake: Lake) -> None:
    with pytest.raises(JobError, match=f"no day is published yet, {DAY} for one"):
        lake.select("--first-day", DAY)
    lake.publish(DAY)
    with pytest.raises(JobError, match=r"no rows of 2013-08-02, 2013-08-03 are published.*from 2013-08-01 to"):
        lake.select("--first-day", DAY, "--last-day", "2013-08-03")


def test_columns_that_the_version_needs_and_the_day_has_not_are_named(lake: Lake) -> None:
    lake.publish(DAY, ROWS.drop("distance"))
    with pytest.raises(JobError, match=f"rows of {DAY} have no column distance, which version 1 is asked with"):
        lake.select()
    lake.publish(DAY, ROWS.with_columns(pl.col("distance").cast(pl.String)))
    with pytest.raises(JobError, match=r"the column distance.*must hold numbers, it holds String"):
        lake.select()
    lake.publish(DAY, ROWS.with_columns(distance=pl.lit(float("inf"))))
    with pytest.raises(JobError, match="values without an end in distance"):
        lake.select()


def test_version_of_another_problem_is_not_asked(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBLEM", "regression")
    lake.publish(DAY)
    with pytest.raises(JobError, match="was trained as binary_classification, but PROBLEM says regression"):
        lake.select()


def test_version_that_is_gone_is_named(lake: Lake) -> None:
    lake.publish(DAY)
    lake.package = f"{lake.package}9"
    with pytest.raises(JobError, match=f"the released version {lake.package} can't be fetched"):
        lake.select()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["0,1,1,1,0.5", "1,1,1,1,0.5"], "gave 2 of the 3 rows of 2013-08-01 an answer, 2 in all"),
        (["0,1,1,1,0.5", "1,1,1,1,0.5", "1,1,1,1,0.5"], "gave 2 of the 3 rows of 2013-08-01 an answer, 3 in all"),
        (["0,1,1,1,0.5", "1,1,1,1,1.5", "2,1,1,1,0.5"], "must give a probability for each row, it gave 1.5"),
        (["0,1,1,1,0.5", "1,1,1,1,", "2,1,1,1,0.5"], "must give a probability for each row, it gave None"),
        (["0,1,1,1,0.5,1", "1,1,1,1,0.5,1"], "must have 5 columns.*they have 6: the model's inference functions"),
        (["0,1,1,1,0.5", "1,1,1,1,no", "2,1,1,1,0.5"], "2013-08-01-000.csv.out can't be read"),
    ],
)
@pytest.mark.parametrize("asked_for", [True, False])
def test_wrong_answers_publish_nothing_of_their_day_and_of_none_where_days_were_asked_for(
    lake: Lake, lines: list[str], reason: str, asked_for: bool
) -> None:
    before = "2013-07-31"
    lake.publish(DAY)
    lake.publish(before)
    lake.select(*(["--first-day", before, "--last-day", DAY] if asked_for else []))
    lake.transform()
    scores = lake.paths.processing_input("scores") / f"day={DAY}" / f"{DAY}-000.csv.out"
    scores.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(JobError, match=reason) as raised:
        lake.write()
    if asked_for:
        assert "nothing of this run is published" in str(raised.value)
        assert lake.objects() == []
    else:
        assert "3 predictions of 1 day by version 1" in str(raised.value)
        assert lake.objects() == [f"predictions/toy/day={before}/predictions.parquet"]


def test_a_bad_day_holds_no_other_up_and_is_told_again_until_it_is_good(lake: Lake) -> None:
    lake.publish(DAY, ROWS.drop("distance"))
    lake.publish(NEXT)
    for _ in range(2):
        with pytest.raises(JobError, match=f"the published rows of {DAY} have no column distance"):
            lake.run()
        assert lake.objects() == [f"predictions/toy/day={NEXT}/predictions.parquet"]
    lake.publish(DAY, load="2")
    lake.run()
    assert len(lake.objects()) == 2


def test_answers_are_found_wherever_their_files_lie_and_blank_lines_between_them_are_nothing(lake: Lake) -> None:
    lake.publish(DAY)
    lake.publish(NEXT)
    lake.select()
    lake.transform()
    scores = lake.paths.processing_input("scores")
    for file in list(scores.rglob("*.out")):
        file.rename(scores / file.name)
        lines = (scores / file.name).read_text().splitlines()
        (scores / file.name).write_text("\n" + "\n\n".join(lines) + "\n\n")
    lake.write()
    assert [lake.predicted(day).height for day in (DAY, NEXT)] == [3, 3]


def test_job_that_ends_between_two_days_leaves_each_whole_and_the_next_run_takes_the_rest(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (DAY, NEXT):
        lake.publish(day)
    lake.run(answer="0.25")
    for day in (DAY, NEXT):
        lake.publish(day, load="2")
    replace, replaced = Store.replace, []

    def dies(store: Store, uri: str, *others: Any) -> None:
        if replaced:
            raise KeyboardInterrupt
        replaced.append(uri)
        replace(store, uri, *others)

    with monkeypatch.context() as changed:
        changed.setattr(Store, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            lake.run(answer="0.75")
    assert lake.predicted(DAY)["prediction"].to_list() == [0.75] * 3
    assert lake.predicted(NEXT)["prediction"].to_list() == [0.25] * 3
    assert list(lake.select()["days"]) == [NEXT]


def test_answers_of_an_automatic_search_are_read_in_their_form(lake: Lake) -> None:
    lake.publish(DAY)
    lake.select()
    plan = lake.paths.processing_output("plan") / "plan.json"
    plan.write_text(json.dumps(json_file(plan) | {"searched": True}))
    lake.transform('"[0.9, 0.1]","[0, 1]"')
    lake.write()
    assert lake.predicted(DAY)["prediction"].to_list() == [0.1] * 3


def test_a_day_without_rows_is_published_without_rows(lake: Lake) -> None:
    lake.publish(DAY)
    lake.publish(NEXT, ROWS.clear())
    lake.run()
    assert (lake.predicted(DAY).height, lake.predicted(NEXT).height) == (3, 0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (("today", "latest", "7"), "--first-day must be YYYY-MM-DD or 'due', got 'today'"),
        (("due", "2013-8-1", "7"), "--last-day must be YYYY-MM-DD or 'latest', got '2013-8-1'"),
        ((NEXT, DAY, "7"), "--first-day 2013-08-02 is after --last-day 2013-08-01"),
        (("due", "latest", "0"), "--catch-up-days must be a number of days, at least 1, got '0'"),
    ],
)
def test_days_that_are_none_are_refused(values: tuple[str, str, str], reason: str) -> None:
    with pytest.raises(JobError, match=reason):
        Wanted.parse(*values)


def test_arguments_that_are_missing_or_unknown_are_named() -> None:
    with pytest.raises(JobError, match="select needs --manifest, --predictions, --package, --key"):
        selection.parse_arguments([])
    with pytest.raises(JobError, match="doesn't know the arguments --frist-day"):
        selection.parse_arguments(["--frist-day", DAY])
    with pytest.raises(JobError, match="publish needs --predictions"):
        publication.parse_arguments([])


@pytest.mark.parametrize("manifest", [{}, [{"prefix": "s3://lake/"}, "day=1/x"], [{}, "day=2013-08-01/x"], 7])
def test_manifest_that_is_none_is_named(manifest: Any) -> None:
    with pytest.raises(JobError, match=r"s3://lake/m\.json is no manifest of published days"):
        published_days(manifest, "s3://lake/m.json")


def test_manifest_with_a_day_of_two_loads_is_refused() -> None:
    keys = [f"load={load}/day={DAY}/x" for load in (1, 2)]
    with pytest.raises(JobError, match=f"lists {DAY} from more than one load"):
        published_days([{"prefix": "s3://lake/"}, *keys], "s3://lake/m.json")
