"""Batch predictions are monitored as endpoints are: published rows beside what was predicted for them."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.monitor import job
from tests.runtime.container import json_file
from tests.runtime.monitored import LAKE, NOW, Monitored, answers, days_before, features, label

TABLE, MANIFEST = f"s3://{LAKE}/predictions/toy", f"s3://{LAKE}/flights/manifest.json"
QUALITY = {"metric": "auc", "maximum_loss": 0.05, "least_labels": 200}
SETTINGS: dict[str, Any] = {"window_days": 4, "least_rows": 100, "drift": {"psi": 0.2}, "quality": QUALITY}
FIRST = days_before(6).date()


class Table:
    """Published days with their predictions."""

    def __init__(self, monitored: Monitored) -> None:
        self.monitored, self.keys = monitored, list[str]()

    def publish(self, day: date, rows: pl.DataFrame, package: str | None = None, predicted: bool = True) -> None:
        from io import BytesIO

        keyed = rows.with_columns(flight=pl.format("UA {}", pl.int_range(pl.len())))
        body = BytesIO()
        keyed.write_parquet(body)
        key = f"load=1/day={day}/part-0.parquet"
        self.keys.append(key)
        self.monitored.put(f"flights/{key}", body.getvalue())
        manifest = json.dumps([{"prefix": f"s3://{LAKE}/flights/"}, *sorted(self.keys)])
        self.monitored.put("flights/manifest.json", manifest.encode())
        if not predicted:
            return
        arn = package or self.monitored.package
        table = keyed.select("flight", prediction=pl.Series(answers(rows)), model_package=pl.lit(arn))
        table = table.with_columns(inference_id=pl.concat_str([pl.lit(f"{day}/"), pl.col("flight")])).reverse()
        body = BytesIO()
        table.write_parquet(body)
        name = f"predictions/toy/day={day}/predictions.parquet"
        self.monitored.s3.put_object(Bucket=LAKE, Key=name, Body=body.getvalue(), Metadata={"model-package": arn})

    def run(self, *arguments: str, settings: Any = None) -> dict[str, Any]:
        given = ["--predictions", TABLE, "--manifest", MANIFEST, "--key", "flight", "--now", NOW.isoformat()]
        job.main(self.monitored.paths, [*given, "--settings", json.dumps(settings or SETTINGS), *arguments])
        return dict(json_file(self.monitored.paths.processing_output("report") / "report.json"))


def labelled(rows: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    late = np.random.default_rng(seed).random(rows.height) < np.array(answers(rows))
    return rows.with_columns(late=pl.Series(late.astype(np.int32)))


@pytest.fixture
def table(monitored: Monitored) -> Table:
    found = Table(monitored)
    for number in range(6):
        found.publish(FIRST + timedelta(days=number), labelled(features(200, seed=number), number))
    return found


def test_calm_days_are_calm(table: Table) -> None:
    report = table.run()
    assert (report["status"], report["source"], report["rows"]) == ("calm", "batch", 600)
    assert report["package"] == {"arn": table.monitored.package, "version": report["package"]["version"], "since": None}
    assert report["predictions"]["rows"] == 600
    assert [each["day"] for each in report["features"][0]["daily"]] == [f"2030-03-{day:02}" for day in (7, 8, 9)]
    assert report["captures"]["files"] == 5


def test_labels_come_with_the_published_rows(table: Table) -> None:
    report = table.run("--labels-within-hours", "48")
    assert report["quality"]["labelled"] == 800
    assert report["quality"]["value"] > 0.6


def test_labels_of_files_are_joined_by_the_ids_of_the_table(table: Table) -> None:
    told = [label(f"{FIRST + timedelta(days=2)}/UA {number}", 1) for number in range(10)]
    told.append(label(f"{FIRST + timedelta(days=2)}/UA 999", 1))
    table.monitored.tell(told, days_before(1))
    quality = table.run("--ground-truth", f"s3://{LAKE}/ground-truth/toy")["quality"]
    assert (quality["twice"], quality["unknown_ids"]) == (0, 1)


def test_a_shifted_day_is_found(table: Table) -> None:
    table.publish(NOW.date(), features(900).with_columns(pl.col("distance") + 1500))
    report = table.run("--end", "2030-03-11")
    assert [each["feature"] for each in report["findings"]] == ["distance"]
    assert report["features"][0]["since"] == "2030-03-10"


def test_the_version_of_the_newest_day_is_judged(table: Table) -> None:
    other = table.monitored.register()
    table.publish(NOW.date(), labelled(features(200)), package=other)
    report = table.run("--end", "2030-03-11")
    assert report["package"]["arn"] == other
    assert (report["rows"], report["predictions"]["rows"]) == (800, 200)


def test_days_without_predictions_are_no_traffic(monitored: Monitored) -> None:
    table = Table(monitored)
    table.publish(FIRST + timedelta(days=4), features(10), predicted=False)
    report = table.run()
    assert report["status"] == "no_traffic"
    assert report["next"] == (
        "Nothing: no day from 2030-03-04 to 2030-03-10 has predictions. The next run looks again."
    )


def test_a_day_that_is_broken_holds_no_other_up(table: Table) -> None:
    table.monitored.put(f"predictions/toy/day={FIRST + timedelta(days=4)}/predictions.parquet", b"PAR1 no more")
    report = table.run()
    assert (report["captures"]["broken"], report["rows"]) == (1, 400)
    assert f"day={FIRST + timedelta(days=4)}" in report["captures"]["examples"][0]["file"]


def test_a_lost_column_of_the_published_rows_is_a_missing_one(table: Table) -> None:
    for number in range(2, 6):
        _republish(table, FIRST + timedelta(days=number), features(200).drop("distance"))
    report = table.run()
    assert "missing_column_check" in {each["constraint_check_type"] for each in report["violations"]}


def test_text_where_a_number_was_is_told(table: Table) -> None:
    for number in range(2, 6):
        rows = features(200).with_columns(pl.col("distance").cast(pl.String))
        texts = pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("far")).otherwise("distance").alias("distance")
        _republish(table, FIRST + timedelta(days=number), rows.with_columns(texts))
    report = table.run()
    told = {each["constraint_check_type"]: each["description"] for each in report["violations"]}
    assert "Only 90% of data is" in told["data_type_check"]
    assert "completeness_check" not in told


def _republish(table: Table, day: date, rows: pl.DataFrame) -> None:
    from io import BytesIO

    body = BytesIO()
    rows.with_columns(flight=pl.format("UA {}", pl.int_range(pl.len()))).write_parquet(body)
    table.monitored.put(f"flights/load=1/day={day}/part-0.parquet", body.getvalue())


def test_a_key_that_the_rows_lack_is_named(table: Table) -> None:
    given = ["--predictions", TABLE, "--manifest", MANIFEST, "--now", NOW.isoformat()]
    with pytest.raises(JobError, match="monitor needs --key"):
        job.parse_arguments(given)
