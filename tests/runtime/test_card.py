"""The model card: what SageMaker's schema takes, and a page that needs nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from local_aws.sagemaker.model_card import check_model_card
from model_runtime.evaluate import main
from model_runtime.paths import ContainerPaths
from tests.runtime.container import Container, json_file, rows
from tests.runtime.test_evaluate import TEST, archive

FACET = {"feature": "carrier", "above": 800, "limits": {"DI": {"minimum": 0.99, "maximum": 1.01}}}


@pytest.fixture
def job(container: Container, trained: Path) -> Container:
    archive(trained, container.base / "processing/input/model/model.tar.gz")
    container.parquet("processing/input/test/part.parquet", TEST)
    container.parquet("processing/input/train/part.parquet", rows(20))
    return container


def reports(job: Container, **facet: Any) -> Path:
    asked = ["--metric", "auc", "--minimum", "0.5", "--facet", json.dumps(FACET | facet)]
    main(ContainerPaths(job.base), asked)
    return job.base / "processing/output/evaluation"


def test_the_card_is_what_sagemakers_schema_of_model_packages_takes(job: Container) -> None:
    content = json_file(reports(job) / "model_card.json")["content"]
    check_model_card(content)
    card = json.loads(content)
    assert set(card["model_overview"]) == {"model_creator", "model_artifact"}
    told = card["additional_information"]["custom_details"]
    assert (told["model_name"], told["problem_type"]) == ("toy", "binary classification")
    assert told["algorithm_type"].startswith("XGBoost, ")
    (details,) = card["evaluation_details"]
    assert [group["name"] for group in details["metric_groups"]] == [
        "quality",
        "attributions",
        "bias carrier (800, inf)",
    ]
    assert details["evaluation_observation"] == json_file(job.base / "processing/output/evaluation/evaluation.json")[
        "gate"
    ]["reason"]  # fmt: skip


def test_a_broken_limit_rejects_the_model_with_the_group_and_a_warning_does_not(job: Container) -> None:
    rejected = json_file(reports(job) / "evaluation.json")["gate"]
    assert not rejected["passed"]
    assert re.search(
        r"disparate impact \(DI\) of carrier \(800, inf\) is \S+, it must be at least 0.99", rejected["reason"]
    )
    warned = json_file(reports(job, action="warn") / "evaluation.json")["gate"]
    assert warned["passed"]
    assert "disparate impact" in warned["warnings"][0]


def test_bias_before_training_is_of_the_training_rows(job: Container) -> None:
    found = json_file(reports(job) / "bias.json")
    (group,) = found["pre_training_bias_metrics"]["facets"]["carrier"]
    share = float((rows(20)["carrier"] > 800).mean())
    assert group["metrics"][0]["value"] == pytest.approx(1 - 2 * share)


def test_the_page_is_one_file_that_asks_nobody_for_anything(job: Container) -> None:
    page = (reports(job) / "model_card.html").read_text()
    assert not re.search(r"https?://|<script|<link|url\(|@import", page)
    for title in ("Gate", "ROC", "Calibration", "What predictions rest on", "Fairness", "Segments", "Training"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<svg") == page.count("</svg>") == 3
    assert "$" not in page.partition("</style>")[2]


def test_names_and_reasons_are_text_on_the_page(job: Container, trained: Path) -> None:
    described = json_file(trained / "model.json") | {"hyperparameters": {"note": "<script>alert(1)</script>"}}
    shutil.copytree(trained, job.base / "changed")
    (job.base / "changed/model.json").write_text(json.dumps(described))
    archive(job.base / "changed", job.base / "processing/input/model/model.tar.gz")
    page = (reports(job) / "model_card.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_baseline_of_quality_is_the_bound_of_the_gate(job: Container) -> None:
    assert json_file(reports(job) / "constraints.json") == {
        "version": 0.0,
        "binary_classification_constraints": {"auc": {"threshold": 0.5, "comparison_operator": "LessThanThreshold"}},
    }
