"""What came of predictions: labels that come late, twice, never or for others, and what is decided by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from model_runtime.bias import Facet
from model_runtime.metrics import area_under_curve
from model_runtime.monitor.attributions import gain
from model_runtime.monitor.bias_drift import GroupSums, bias_of
from model_runtime.monitor.ground_truth import GroundTruth, read_labels
from model_runtime.monitor.lake import Lake
from model_runtime.monitor.quality import Labelled, baseline_of, deviation_of, quality_of
from model_runtime.monitor.samples import DistinctCount, PredictionSample, RowSample, hashes_of, row_keys
from model_runtime.monitor.settings import QualityLimit
from model_runtime.problems import BINARY_CLASSIFICATION, REGRESSION
from tests.runtime.monitored import Monitored, answers, capture, captures, days_before, features, label, lines
from tests.runtime.test_monitor_job import metrics

LABELS = "s3://captured/ground-truth/toy"
QUALITY = {"metric": "auc", "maximum_loss": 0.05, "least_labels": 500}
SETTINGS = {"window_days": 2, "least_rows": 100, "drift": {"psi": 0.2}, "quality": QUALITY}
GIVEN = ("--ground-truth", LABELS, "--labels-within-hours", "24")
ROWS = features(1200, seed=8)
EVALUATION = {
    "binary_classification_metrics": {"auc": {"value": 0.72, "standard_deviation": 0.01}, "f1": {"value": 0.5}}
}


def outcomes(seed: int = 3, rows: pl.DataFrame = ROWS) -> list[int]:
    """Labels that come true as often as the toy says."""
    return (np.random.default_rng(seed).random(rows.height) < np.array(answers(rows))).astype(int).tolist()


@pytest.fixture
def judged(monitored: Monitored, monkeypatch: pytest.MonkeyPatch) -> Monitored:
    """A version with an evaluation, which was asked about ROWS from three days ago to one day ago."""
    monitored.serve(monitored.register(quality=EVALUATION), days_before(30), monkeypatch)
    monitored.send(captures(ROWS, days_before(3), days_before(1)))
    return monitored


def test_labels_that_come_true_are_good_quality(judged: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    said = outcomes()
    judged.tell([label(f"row-{number}", value) for number, value in enumerate(said)], days_before(0.5))
    report = judged.run(*GIVEN, settings=SETTINGS)
    quality = report["quality"]
    assert quality["value"] == pytest.approx(area_under_curve(np.array(said) == 1, np.array(answers(ROWS))))
    assert quality["low"] < quality["value"] < quality["high"]
    assert (quality["baseline"], quality["broken"], report["quality_reason"]) == (0.72, False, None)
    assert (quality["labelled"], quality["unlabelled"], quality["unknown_ids"], quality["twice"]) == (1200, 0, 0, 0)
    assert [each["day"] for each in quality["daily"]] == ["2030-03-07", "2030-03-08", "2030-03-09"]
    assert sum(each[2] for each in quality["calibration"]) == 1200
    sent = metrics(capsys)
    assert (sent["LabelledRows"], sent["QualityBroken"]) == (1200, 0)
    assert sent["QualityLoss"] == pytest.approx(0.72 - quality["value"])


def test_a_loss_beyond_chance_is_found(judged: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.random.default_rng(1).integers(0, 2, 1200)
    judged.tell([label(f"row-{number}", value) for number, value in enumerate(labels)], days_before(0.5))
    report = judged.run(*GIVEN, settings={**SETTINGS, "retrain": {"on": ["quality"]}})
    assert (report["status"], report["quality"]["broken"]) == ("drifted", True)
    (found,) = (each for each in report["findings"] if each["kind"] == "quality")
    assert "it was 0.72 at the training: worse by 0.2" in found["text"]
    assert report["next"].startswith("Now, the alarm on quality starts a training")
    assert metrics(capsys)["QualityBroken"] == 1


def test_few_labels_decide_nothing(judged: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.random.default_rng(1).integers(0, 2, 300)
    judged.tell([label(f"row-{number}", value) for number, value in enumerate(labels)], days_before(0.5))
    report = judged.run(*GIVEN, settings=SETTINGS)
    assert report["quality_reason"] == "300 predictions have a label, 500 are needed to judge them"
    assert (report["quality"]["broken"], report["quality"]["unlabelled"]) == (False, 900)
    assert metrics(capsys).keys().isdisjoint({"Quality", "QualityLoss", "QualityBroken"})


def test_labels_that_never_come_are_told(judged: Monitored) -> None:
    report = judged.run(*GIVEN, settings=SETTINGS)
    assert (report["quality"], report["quality_reason"]) == (None, "no label has come for 1,200 predictions")


def test_labels_for_unknown_ids_are_told(judged: Monitored) -> None:
    judged.tell([label(f"other-{number}", 1) for number in range(40)] + [label("other-1", 0)], days_before(0.5))
    report = judged.run(*GIVEN, settings=SETTINGS)
    assert report["quality_reason"] == (
        "no label has come for 1,200 predictions; 40 labels name ids that no captured request has: clients must send "
        "the ids that ground truth names"
    )


def test_of_labels_that_come_twice_the_newest_counts(judged: Monitored) -> None:
    said = outcomes()
    wrong = [label(f"row-{number}", 1 - value) for number, value in enumerate(said)]
    right = [label(f"row-{number}", value) for number, value in enumerate(said)]
    judged.tell(right, days_before(0.5), "59-59-999")
    judged.tell(wrong, days_before(0.5), "00-00-000")
    judged.tell(wrong, days_before(0.75), "60")
    quality = judged.run(*GIVEN, settings=SETTINGS)["quality"]
    assert quality["value"] == pytest.approx(area_under_curve(np.array(said) == 1, np.array(answers(ROWS))))
    assert (quality["labelled"], quality["twice"], quality["unknown_ids"]) == (1200, 1200, 0)


def test_predictions_whose_labels_may_still_come_are_not_judged(judged: Monitored) -> None:
    """Late flights land late: the first labels would be all alike."""
    judged.send(captures(ROWS, days_before(1), days_before(0), "young"))
    labels = [label(f"{name}-{number}", value) for name in ("row", "young") for number, value in enumerate(outcomes())]
    judged.tell(labels, days_before(0.1))
    report = judged.run(*GIVEN, settings=SETTINGS)
    assert (report["quality"]["labelled"], report["quality"]["unknown_ids"], report["rows"]) == (1200, 0, 1800)


def test_labels_of_requests_that_are_not_judged_are_no_unknown_ones(judged: Monitored) -> None:
    judged.send(captures(ROWS[:30], days_before(1), days_before(0), "young"))
    told = [*(f"young-{number}" for number in range(30)), *(f"other-{number}" for number in range(7))]
    judged.tell([label("row-1", 1), *(label(key, 1) for key in told)], days_before(0.1))
    assert judged.run(*GIVEN, settings=SETTINGS)["quality"]["unknown_ids"] == 7


def test_lines_that_are_no_labels_are_counted(judged: Monitored) -> None:
    good = lines([label(f"row-{number}", value) for number, value in enumerate(outcomes())])
    bad = [label("row-1", "perhaps"), label("", 1), {"groundTruthData": {}}, label("row-2", "nan"), label("row-3", "7")]
    judged.put(f"ground-truth/toy/{days_before(1):%Y/%m/%d/%H}/a.jsonl", lines(bad) + good[:100])
    judged.put(f"ground-truth/toy/{days_before(0.5):%Y/%m/%d/%H}/b.jsonl", good + b"[]\n")
    report = judged.run(*GIVEN, settings=SETTINGS)
    said = report["captures"]["ground_truth"]
    assert (said["files"], said["broken"], report["quality"]["labelled"]) == (2, 6, 1200)
    assert "'perhaps'" in said["examples"][0]["reason"]


def test_labels_in_json_and_for_several_rows_are_read(judged: Monitored) -> None:
    body, answer = "5,1,1\n6,1,1\n7,1,1", "0.1\n0.2\n0.3"
    judged.send([(days_before(2), capture(body, answer, days_before(2), "many"))])
    judged.tell([label("many", "0\n1\n0"), label("row-0", "[1]", "JSON"), label("row-1", "true")], days_before(1))
    quality = judged.run(*GIVEN, settings=SETTINGS)["quality"]
    assert (quality["labelled"], quality["unlabelled"]) == (5, 1198)


def test_one_class_of_labels_tells_no_area(judged: Monitored) -> None:
    judged.tell([label(f"row-{number}", 1) for number in range(1200)], days_before(0.5))
    report = judged.run(*GIVEN, settings=SETTINGS)
    assert report["quality_reason"] == "auc can't be told: all labels are 1"
    assert report["quality"]["value"] is None


def test_a_group_that_is_treated_worse_is_found(judged: Monitored, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels of the last carrier are the contrary of what is predicted."""
    said = np.array(outcomes())
    predicted = (np.array(answers(ROWS)) >= 0.5).astype(int)
    group = ROWS["carrier"].to_numpy() >= 366
    labels = np.where(group, 1 - predicted, said)
    judged.tell([label(f"row-{number}", value) for number, value in enumerate(labels)], days_before(0.5))
    facet = {"feature": "carrier", "above": 365, "limits": {"AD": {"maximum": 0.2}, "DPPL": {"maximum": 0.2}}}
    report = judged.run(*GIVEN, settings={**SETTINGS, "facets": [facet]})
    (found,) = report["bias"]
    assert found["facet"] == "carrier (365, inf)"
    assert abs(found["metrics"]["DPPL"]) < 0.1
    assert found["metrics"]["AD"] > 0.4
    assert found["broken"][0].startswith("accuracy difference (AD) of carrier (365, inf) is 0.")
    assert any(each["kind"] == "bias" for each in report["findings"])
    assert metrics(capsys)["BiasBroken"] == 1


def test_attributions_in_another_order_are_found(
    monitored: Monitored, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def explained(**values: float) -> dict[str, Any]:
        return {"explanations": {"kernel_shap": {"label0": {"global_shap_values": values}}}}

    monitored.send(captures(ROWS, days_before(2), days_before(0)))
    settings = {**SETTINGS, "attributions": {"minimum_ndcg": 0.9}}
    reports = {"explainability": explained(hour=0.5, distance=0.1, carrier=0.05)}
    monitored.serve(monitored.register(reports=reports), days_before(30), monkeypatch)
    report = monitored.run(settings=settings)
    assert report["attributions"]["ndcg"] > 0.98
    assert (report["attributions"]["broken"], report["attributions"]["rows"]) == (False, 1200)
    reports = {"explainability": explained(hour=0.0, distance=0.1, carrier=0.5)}
    monitored.serve(monitored.register(reports=reports), days_before(30), monkeypatch)
    report = monitored.run(settings=settings)
    assert report["attributions"]["ndcg"] < 0.9
    assert "hour counts more, carrier less" in report["findings"][0]["text"]
    assert metrics(capsys)["AttributionNdcg"] == pytest.approx(report["attributions"]["ndcg"])


def test_the_gain_is_that_of_the_documentation() -> None:
    """The scenario of the developer guide: the order of three features is reversed."""
    then = {"SAT score": 0.70, "GPA": 0.50, "Class rank": 0.05}
    now = {"SAT score": 0.10, "GPA": 0.20, "Class rank": 0.70}
    assert gain(then, now) == pytest.approx((0.05 + 0.5 / np.log2(3) + 0.7 / 2) / (0.7 + 0.5 / np.log2(3) + 0.05 / 2))
    assert gain(then, then) == 1.0


@pytest.mark.parametrize("metric", ["mae", "mse", "rmse", "r2"])
def test_deviations_of_regressions_are_those_of_other_samples(metric: str) -> None:
    random = np.random.default_rng(5)

    def sample(rows: int) -> tuple[Any, Any]:
        labels = random.normal(100, 20, rows)
        return labels, labels + random.gamma(2.0, 5.0, rows)

    values = []
    for _ in range(300):
        labels, predictions = sample(400)
        values.append(float(REGRESSION.metrics(labels, predictions)[metric]["value"]))
    stated = np.mean([deviation_of(REGRESSION, metric, *sample(400), {}) for _ in range(20)])
    assert stated == pytest.approx(np.std(values), rel=0.15)
    deviations = [
        baseline_of(REGRESSION, metric, {"regression_metrics": REGRESSION.metrics(*sample(400))})[1] for _ in range(100)
    ]
    assert np.mean(deviations) == pytest.approx(np.std(values), rel=0.25)


def test_errors_that_grow_are_a_loss() -> None:
    random = np.random.default_rng(2)
    labels = random.normal(100, 20, 2000)
    labelled = Labelled(
        labels=labels,
        predictions=labels + random.normal(0, 15, 2000),
        times=np.zeros(2000, np.int64),
        groups=np.zeros(2000, np.uint64),
        unlabelled=0,
        unusable=0,
    )
    truth = GroundTruth(labels, np.ones(2000, np.int64))
    baseline = {"regression_metrics": {"mae": {"value": 10.0, "standard_deviation": 0.05}}}
    found, reason = quality_of(QualityLimit(metric="mae", maximum_loss=1.0), REGRESSION, labelled, truth, baseline)
    assert found is not None
    assert (reason, found["broken"]) == (None, True)
    assert found["loss"] == pytest.approx(2.0, abs=0.5)
    close = QualityLimit(metric="mae", maximum_loss=found["loss"] - 0.1)
    within, _ = quality_of(close, REGRESSION, labelled, truth, baseline)
    assert within is not None
    assert not within["broken"]  # above the limit, and within what chance explains


def test_few_rows_break_no_limit_on_groups_by_chance() -> None:
    random, broken = np.random.default_rng(4), 0
    facet = Facet(feature="x", values=(1,), limits={"DPPL": (-0.05, 0.05), "AD": (-0.05, 0.05)})
    for _ in range(200):
        group, predictions = random.random(150) < 0.4, random.random(150)
        sums = GroupSums.empty()
        sums.add(group, (predictions >= 0.5).astype(float))
        labels = (random.random(150) < 0.5).astype(float)
        labelled = Labelled(
            labels=labels,
            predictions=predictions,
            times=np.zeros(150, np.int64),
            groups=group.astype(np.uint64),
            unlabelled=0,
            unusable=0,
        )
        broken += bool(bias_of([facet], BINARY_CLASSIFICATION, [sums], labelled, None)[0]["broken"])
    assert broken <= 10


def test_a_sample_is_bounded_and_both_sides_keep_the_same_keys() -> None:
    keys = pl.Series([f"id-{number}" for number in range(50_000)])
    hashes = hashes_of(keys)

    def part(chosen: slice) -> PredictionSample:
        count = len(hashes[chosen])
        return PredictionSample(
            limit=1000,
            keys=hashes[chosen],
            predictions=np.arange(50_000, dtype=np.float64)[chosen],
            times=np.zeros(count, np.int64),
            groups=np.zeros(count, np.uint64),
            labels=np.full(count, np.nan),
        )

    whole, others = PredictionSample(limit=1000), [PredictionSample(limit=1000) for _ in range(2)]
    for start in range(0, 50_000, 5000):
        whole.add(part(slice(start, start + 5000)))
        others[start // 25_000].add(part(slice(start, start + 5000)))
    whole.settle()
    others[0].add(others[1].settle())
    assert others[0].settle().keys.tolist() == whole.keys.tolist()
    assert 0.9 * 1000 < len(whole.keys) <= 1000
    assert whole.share == pytest.approx(1000 / 50_000, rel=0.1)
    kept = [f"id-{int(number)}" for number in whole.predictions]
    assert hashes_of(pl.Series(kept)).tolist() == whole.keys.tolist()


def test_labels_of_a_sample_count_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    hashes = hashes_of(row_keys([f"id-{number}" for number in range(20_000)], [0] * 20_000))
    sample = PredictionSample(limit=2000)
    nothing = np.full(20_000, np.nan)
    times, groups = np.zeros(20_000, np.int64), np.zeros(20_000, np.uint64)
    sample.add(PredictionSample(2000, hashes, np.zeros(20_000), times, groups, nothing))

    class Told(Lake):
        def opened(self, files: Any) -> Any:
            from io import BytesIO

            known = [label(f"id-{number}", 1) for number in range(0, 20_000, 2)]
            yield files[0], BytesIO(lines(known + [label(f"new-{number}", 1) for number in range(5000)]))

    truth = read_labels(Told(), [object()], sample)  # type: ignore[list-item]
    assert truth.labelled / sample.share == pytest.approx(10_000, rel=0.1)
    assert truth.unknown_ids == pytest.approx(5000, rel=0.15)


def test_many_different_keys_are_counted_closely_and_few_exactly() -> None:
    few, many = DistinctCount(), DistinctCount(limit=4096)
    for start in range(0, 100_000, 10_000):
        hashes = hashes_of(pl.Series([f"id-{number}" for number in range(start, start + 15_000)]))
        many.add(hashes)
        few.add(hashes[:50])
    assert few.value == 500
    assert many.value == pytest.approx(105_000, rel=0.05)


def test_of_rows_to_explain_the_same_ones_stay_in_whatever_order_they_come() -> None:
    hashes = hashes_of(pl.Series([f"id-{number}" for number in range(500)]))
    rows = np.arange(500, dtype=np.float32).reshape(-1, 1)
    first, second = RowSample(50), RowSample(50)
    for start in range(0, 500, 100):
        first.add(hashes[start : start + 100], rows[start : start + 100])
    for start in reversed(range(0, 500, 100)):
        second.add(hashes[start : start + 100], rows[start : start + 100])
    assert first.rows is not None
    assert second.rows is not None
    assert sorted(first.rows.ravel()) == sorted(second.rows.ravel())
    assert len(first.rows) == 50
