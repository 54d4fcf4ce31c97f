"""The monitor's page: the verdict first, every status shown, nothing of the report trusted as HTML."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest

from model_runtime.monitor.report_page import headline, report_page

DAYS = [f"2013-07-0{day}" for day in range(1, 8)]
SHARES = [0.2, 0.5, 0.3]
HOSTILE = '<script>alert("1")</script>'


def feature(name: str, score: float | None, **changed: Any) -> dict[str, Any]:
    """A numeric feature; it has moved when its score is over the threshold."""
    moved = score is not None and score > 0.2
    return {
        "name": name,
        "kind": "numeric",
        "moved": moved,
        "judged": score is not None,
        "score": score,
        "threshold": 0.2,
        "p_value": 1e-12 if moved else 0.4,
        "adjusted_p": 2e-11 if moved else 1.0,
        "tests": {"ks": 0.1, "robust": 0.08, "jensen_shannon": 0.05, "chi_squared": None},
        "missing": {"baseline": 0.0, "now": 0.125},
        "mean": {"baseline": 41.25, "now": 78.5},
        "quantiles": {"probabilities": [0.25, 0.5, 0.75], "baseline": [1, 2, 3], "now": [2, 3, 4]},
        "histogram": {"edges": [None, 0.0, 10.0, None], "categories": None, "baseline": SHARES, "now": [0, 0, 1]},
        "new_values": [],
        "since": "2013-07-03" if moved else None,
        "daily": [{"day": day, "rows": 900, "score": None if day == DAYS[3] else score} for day in DAYS],
    } | changed  # fmt: skip


def report(**changed: Any) -> dict[str, Any]:
    """A calm report of an endpoint with every part."""
    return {
        "version": 1,
        "model": "flight_delay",
        "problem": "binary_classification",
        "source": "endpoint",
        "name": "dev-flight-delay",
        "package": {"arn": "arn:x/7", "version": 7, "since": "2013-06-30T10:00:00+00:00"},
        "window": {"start": "2013-07-01T10:00:00+00:00", "end": "2013-07-08T10:00:00+00:00"},
        "status": "calm",
        "findings": [],
        "rows": 6304,
        "captures": {"files": 168, "records": 211, "broken": 0, "examples": [], "hours_without": []},
        "features": [feature("distance", 0.01), feature("temperature", 0.05)],
        "predictions": {
            "psi": 0.02,
            "edges": [0.0, 0.5, 1.0],
            "baseline": [0.8, 0.2],
            "now": [0.7, 0.3],
            "rows": 6304,
        },
        "violations": [],
        "quality": {
            "metric": "auc",
            "value": 0.752,
            "low": 0.738,
            "high": 0.766,
            "baseline": 0.761,
            "baseline_deviation": 0.004,
            "loss": 0.009,
            "limit": 0.05,
            "broken": False,
            "labelled": 6100,
            "unlabelled": 204,
            "unknown_ids": 3,
            "twice": 0,
            "metrics": {"auc": {"value": 0.752, "standard_deviation": "NaN"}, "confusion_matrix": {"0": {"0": 1}}},
            "calibration": [[0.1, 0.12, 3000], [0.5, 0.46, 3100]],
            "daily": [{"day": day, "labelled": 900, "value": None if day == DAYS[0] else 0.75} for day in DAYS],
        },
        "quality_reason": None,
        "bias": [{"facet": "origin LGA", "metrics": {"AD": -0.03}, "baseline": {"AD": -0.02}, "broken": []}],
        "attributions": {
            "ndcg": 0.99,
            "minimum": 0.9,
            "broken": False,
            "baseline": {"distance": 0.5, "temperature": 0.2},
            "now": {"distance": 0.4, "temperature": 0.5},
            "rows": 2000,
        },
        "next": "Nothing.",
    } | changed


def empty(status: str, **changed: Any) -> dict[str, Any]:
    nothing = {"rows": 0, "features": [], "predictions": None, "quality": None, "bias": [], "attributions": None}
    return report(status=status, **nothing | changed)


def drifted() -> dict[str, Any]:
    finding = {"kind": "drift", "text": "temperature is warmer than in training", "feature": "temperature"}
    return report(
        status="drifted",
        findings=[finding],
        features=[feature("distance", 0.01, measure="psi"), feature("temperature", 0.9, measure="psi")],
        next="The alarm starts a training.",
    )


def text_of(page: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.partition("<body>")[2])))


def test_the_verdict_says_what_moved_since_when_how_sure_and_what_happens_next() -> None:
    told = text_of(report_page(drifted()))
    assert "1 feature moved" in told
    assert "temperature is warmer than in training since 2013-07-03" in told
    assert "Next: The alarm starts a training." in told
    assert "chance: less than once in 10,000 (p < 0.0001)" in told
    assert told.index("1 feature moved") < told.index("Score by day"), "the verdict comes first"


def test_features_come_by_score_and_many_calm_ones_are_folded_away() -> None:
    many = [feature(f"f{index:02}", index / 1000) for index in range(30)] + [feature("worst", 0.5)]
    page = report_page(report(features=many))
    names = re.findall(r"<h3>(f\d\d|worst)</h3>", page)
    assert names == ["worst", *(f"f{index:02}" for index in reversed(range(30)))]
    shown = page.partition("more, nearer to their baseline")[0]
    assert len(re.findall(r"<h3>(?:f\d\d|worst)</h3>", shown)) == 12
    assert "19 more, nearer" in page


def test_all_that_have_moved_are_shown_at_once() -> None:
    page = report_page(report(features=[feature(f"f{index:02}", 0.5) for index in range(30)]))
    assert "nearer to their baseline" not in page


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (report(), "calm, nothing is beyond its limits"),
        (empty("no_traffic"), "no traffic in this window"),
        (empty("too_few_rows", rows=1, features=[feature("distance", None)]), "too few rows to judge"),
        (report(status="no_baseline"), "this version has no baseline to compare with"),
        (report(status="drifted", findings=[{"kind": "quality", "text": "x", "feature": None}]), "quality fell"),
        (
            report(status="drifted", findings=[{"kind": kind, "text": "x"} for kind in ("bias", "data", "new kind")]),
            "fairness limits are broken, the data has faults, new kind",
        ),
    ],
    ids=["calm", "no traffic", "too few rows", "no baseline", "quality", "several"],
)
def test_every_status_has_a_page(found: dict[str, Any], verdict: str) -> None:
    page = report_page(found)
    assert headline(found) == verdict
    assert verdict[1:] in text_of(page)
    assert "None" not in text_of(page)
    assert "nan" not in text_of(page).lower().split()


def test_text_of_the_report_is_never_html() -> None:
    found = drifted() | {
        "model": HOSTILE,
        "name": HOSTILE,
        "next": HOSTILE,
        "findings": [{"kind": HOSTILE, "text": HOSTILE, "feature": HOSTILE}],
        "features": [
            feature(
                HOSTILE,
                0.9,
                since=HOSTILE,
                new_values=[HOSTILE],
                histogram={"edges": None, "categories": [HOSTILE], "baseline": [1.0], "now": [1.0]},
                daily=[{"day": HOSTILE, "rows": 1, "score": 0.1}],
                tests={HOSTILE: 0.1},
            )
        ],
        "violations": [{"feature_name": HOSTILE, "constraint_check_type": HOSTILE, "description": HOSTILE}],
        "bias": [{"facet": HOSTILE, "metrics": {HOSTILE: 0.1}, "baseline": {}, "broken": [HOSTILE]}],
        "captures": {
            "files": 1,
            "records": 1,
            "broken": 1,
            "examples": [{"file": HOSTILE, "line": 1, "reason": HOSTILE}],
            "hours_without": [],
        },
    }
    found["quality"]["metric"] = HOSTILE
    found["quality"]["daily"][1]["day"] = HOSTILE
    found["attributions"]["now"] = {HOSTILE: 1.0}
    found["predictions"] |= {"edges": None}
    page = report_page(found)
    assert page.count("&lt;script&gt;") > 15
    assert "<script" not in page.lower()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = report_page(drifted())
    assert not re.findall(r"(?:src|href|@import|url\()[^>]*", page)
    assert "<script" not in page


def test_charts_are_well_formed_drawings_with_a_name() -> None:
    drawings = re.findall(r"<svg.*?</svg>", report_page(drifted()), re.DOTALL)
    assert len(drawings) > 6
    for drawing in drawings:
        assert ElementTree.fromstring(drawing).get("aria-label")


def test_a_day_without_a_score_is_a_gap_in_the_line() -> None:
    page = report_page(report(features=[feature("distance", 0.1)]))
    (drawing,) = re.findall(r'<svg[^>]*aria-label="distance: score by day".*?</svg>', page, re.DOTALL)
    assert [len(points.split()) for points in re.findall(r'polyline[^>]*points="([^"]*)"', drawing)] == [3, 3]


def limit_of(quality: dict[str, Any]) -> str:
    page = report_page(report(quality=report()["quality"] | quality))
    (drawing,) = re.findall(r'<svg[^>]*with its interval".*?</svg>', page, re.DOTALL)
    (found,) = re.findall(r">limit ([\d.]+)<", drawing)
    return str(found)


def test_the_limit_lies_below_the_baseline_of_a_score_and_above_that_of_an_error() -> None:
    assert limit_of({"value": 0.7, "baseline": 0.76, "loss": 0.06, "limit": 0.05}) == "0.710"
    assert limit_of({"value": 0.8, "baseline": 0.76, "loss": -0.04, "limit": 0.05}) == "0.710"
    error = {"metric": "mae", "low": None, "high": None, "baseline": 8.0, "limit": 2.0}
    assert limit_of(error | {"value": 9.0, "loss": 1.0}) == "10.000"
    assert limit_of(error | {"value": 7.0, "loss": -1.0}) == "10.000"


def test_why_quality_was_not_judged_is_told() -> None:
    told = text_of(report_page(report(quality=None, quality_reason="120 labels are there, 500 are needed")))
    assert "120 labels are there, 500 are needed" in told


def test_gaps_in_captures_are_told_as_spans_and_broken_lines_by_file_and_line() -> None:
    hours = [f"2013-07-03T0{hour}:00:00Z" for hour in (4, 5, 6)] + ["2013-07-05T01:00:00+00:00"]
    captures = {
        "files": 164,
        "records": 1,
        "broken": 1,
        "examples": [{"file": "a/b.jsonl", "line": 17, "reason": "cut in the middle"}],
        "hours_without": hours,
    }
    told = text_of(report_page(report(captures=captures)))
    assert "No capture: 2013-07-03 04:00 to 2013-07-03 07:00; 2013-07-05 01:00 to 2013-07-05 02:00" in told
    assert "4 hours of the window have no capture" in told
    assert "1 captured line could not be read, and is left out" in told
    assert "a/b.jsonl 17 cut in the middle" in told


def test_features_that_could_not_be_judged_are_named() -> None:
    told = text_of(report_page(report(features=[feature("distance", 0.1), feature("seats", None)])))
    assert "Not judged, as there is too little of it: seats." in told


def test_bins_are_named_by_their_edges_and_open_ends() -> None:
    page = report_page(report())
    assert "-∞ to 0: 20.0% in the baseline, 0.0% now" in page
    assert "10 to ∞: 30.0% in the baseline, 100.0% now" in page


def test_without_traffic_nothing_is_said_of_what_could_not_be_asked() -> None:
    told = text_of(report_page(empty("no_traffic", quality_reason="it isn't checked")))
    assert "isn't checked" not in told
    assert "Captured requests" in told


def test_predictions_that_shifted_are_no_feature() -> None:
    shift = {"kind": "shift", "text": "predictions are others", "feature": None}
    assert headline(report(status="drifted", findings=[shift])) == "predictions are others than in training"


def test_what_moved_without_counting_is_told_and_does_not_look_bad() -> None:
    page = report_page(report(features=[feature("distance", 0.01), feature("temperature", 0.9)]))
    assert text_of(page).count("Beyond its limit, but too few to count: temperature.") == 1
    assert '<span class="good">1</span> <small>of 2</small>' in page


@pytest.mark.parametrize("value", [0.71, None])
def test_a_metric_of_too_few_labels_is_shown_and_not_judged(value: float | None) -> None:
    unknown = dict.fromkeys(("low", "high", "baseline", "loss"))
    quality = (
        report()["quality"] | unknown | {"value": value, "daily": [{"day": DAYS[0], "labelled": 3, "value": None}]}
    )
    found = report(quality=quality, quality_reason="120 predictions have a label, 500 are needed to judge them")
    told = text_of(report_page(found))
    assert "Not judged: 120 predictions have a label, 500 are needed to judge them." in told
    assert ("AUC is 0.7100." in told) == (value is not None)
    assert "None" not in told


def test_ranges_with_an_edge_less_than_bins_are_open_at_both_ends() -> None:
    predictions = {"psi": 0.1, "edges": [0.2, 0.4], "baseline": [0.2, 0.5, 0.3], "now": [0.1, 0.5, 0.4], "rows": 900}
    page = report_page(report(predictions=predictions))
    assert "From -∞ to 0.2 at the left to 0.4 to ∞ at the right." in text_of(page)


def test_bias_that_could_not_be_told_is_a_dash_beside_its_interval() -> None:
    groups = [
        {"facet": "origin LGA", "metrics": {"AD": -0.03, "DI": None}, "baseline": {"AD": -0.02, "DI": None},
         "intervals": {"AD": [-0.05, -0.01], "DI": [None, None]}, "broken": []},
    ]  # fmt: skip
    told = text_of(report_page(report(bias=groups)))
    assert "origin LGA AD -0.0200 -0.0300 -0.0500 to -0.0100" in told
    assert "origin LGA DI – –" in told


def test_broken_lines_of_ground_truth_and_missing_answers_are_told() -> None:
    truth = {"files": 2, "records": 1, "broken": 2, "examples": [{"file": "g.jsonl", "line": 3, "reason": "no label"}]}
    captures = report()["captures"] | {"unanswered": 4, "ground_truth": truth}
    told = text_of(report_page(report(captures=captures)))
    assert "4 records without an answer that could be read" in told
    assert "1 label in 2 files of ground truth" in told
    assert "2 lines of ground truth that can't be read" in told
    assert "g.jsonl 3 no label" in told


def test_why_attributions_were_not_judged_is_told() -> None:
    told = text_of(report_page(report(attributions=None, attributions_reason="90 rows are too few")))
    assert "Not judged: 90 rows are too few." in told


def test_what_stays_below_what_is_usual_is_called_usual() -> None:
    told = text_of(report_page(report(features=[feature("distance", 0.1, adjusted_p=0.002, usual=0.2, measure="psi")])))
    assert "PSI, 0.2 is usual" in told
    assert "hardly chance, and usual (p 0.002)" in told


@pytest.mark.parametrize(
    ("p", "moved", "told"),
    [
        (1.0, False, "as chance does (p 1)"),
        (0.002, True, "chance: once in 500 (p 0.002)"),
        (0.002, False, "hardly chance, and small (p 0.002)"),
        (0.1, False, "chance: once in 10 (p 0.1)"),
    ],
)
def test_how_sure_it_is_stands_beside_how_far_it_is(p: float, moved: bool, told: str) -> None:
    assert told in text_of(report_page(report(features=[feature("distance", 0.1, adjusted_p=p, moved=moved)])))
