"""A week of `mlops season`, as a user runs it: the clock moves, the schedule retrains, the gate judges."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws import process
from mlops_cli.local import state_dir
from mlops_cli.repository import ROOT
from tests.end_to_end.conftest import free_port

SECONDS = 900
# five weeks to learn from: one more than the model's validation and test days
DAYS = ["--history-from", "2013-05-27", "--from", "2013-07-01", "--to", "2013-07-07", "--every", "7"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("season") / "season.html"


@pytest.fixture(scope="module")
def season(page: Path) -> Iterator[dict[str, Any]]:
    port = free_port()
    command = ["season", *DAYS, "--json", "--page", str(page), "--port", str(port)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mlops_cli", *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert process.status(state_dir(port)) is None, "it ends with what it started"
        yield json.loads(done.stdout)
    finally:
        process.stop(state_dir(port))
        shutil.rmtree(state_dir(port), ignore_errors=True)


def test_schedule_retrains_once_a_week_and_the_gate_says_why(season: dict[str, Any]) -> None:
    (retraining,) = season["retrainings"]
    assert retraining["after"] == "2013-07-07"
    assert retraining["outcome"] in ("released", "rejected"), retraining
    # candidate and champion, on the same newest rows
    candidate, champion = map(float, re.findall(r"0\.\d{3,}", retraining["reason"])[:2])
    assert (candidate >= champion) == (retraining["outcome"] == "released"), retraining


def test_both_models_answered_for_the_same_flights(season: dict[str, Any]) -> None:
    july, whole = season["months"]
    assert whole["flights"] == july["flights"]
    assert july["flights"] > 5000
    # nothing was released before the week was over
    assert july["auc_frozen"] == july["auc_retrained"]
    assert 0.6 < july["auc_frozen"] < 0.9


def test_page_shows_the_week(page: Path, season: dict[str, Any]) -> None:
    assert season["retrainings"][0]["reason"] in page.read_text(encoding="utf-8")


def test_monitor_judged_the_flights_that_were_asked_for_under_their_ids(season: dict[str, Any]) -> None:
    (seen,) = season["monitored"]
    assert [run["status"] in ("calm", "drifted") for run in seen["runs"]] == [True]
    assert len(seen["loads"]) > 10
    # a quarter of the flights, by the labels that the data workflow wrote: the same metric as that of all of them
    quality = seen["quality"]
    assert quality["low"] < season["months"][0]["auc_retrained"] < quality["high"]
    # the schedule trained, and no alarm
    assert season["retrainings"][0]["alarms"] == []
