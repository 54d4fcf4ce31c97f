"""Several processes that train one model, as several machines of a training job do."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import xgboost as xgb

from model_runtime.cluster import Cluster
from model_runtime.errors import JobError
from model_runtime.metrics import area_under_curve
from model_runtime.prepare import write_part
from tests.runtime.container import Container, json_file, rows
from tests.runtime.test_interrupted_training import BOOSTING

FEATURES = ["hour", "distance", "carrier"]
_networks = itertools.count(1)


def hosts_of(tmp_path: Path, count: int, parts: dict[str, pl.DataFrame], code: str = BOOSTING) -> list[Container]:
    """Containers of one job: each channel's files are dealt out to them, as ShardedByS3Key does."""
    names = [f"algo-{number}" for number in range(1, count + 1)]
    network = f"127.200.{os.getpid() % 250}.{next(_networks) * 10}"
    prefix, start = network.rsplit(".", 1)
    addresses = {name: f"{prefix}.{int(start) + index}" for index, name in enumerate(names)}
    containers = []
    for index, name in enumerate(names):
        container = Container(tmp_path / name)
        container.code("input/data/code", {"train.py": code})
        container.hyperparameters({"rounds": "30", "pause": "0"})
        for channel, frame in parts.items():
            whole = tmp_path / "parts" / channel
            if not whole.exists():
                write_part(frame, whole, 1 if count == 1 else count * 4)
            target = container.base / "input/data" / channel
            target.mkdir(parents=True)
            for file in sorted(whole.iterdir())[index::count]:
                (target / file.name).write_bytes(file.read_bytes())
        resources = {"current_host": name, "hosts": names, "host_addresses": addresses}
        (container.base / "input/config/resourceconfig.json").write_text(json.dumps(resources))
        container.environment |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        containers.append(container)
    return containers


def run_together(containers: list[Container]) -> tuple[list[int], list[str]]:
    processes = [container.start("train") for container in containers]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    return [process.returncode for process in processes], outputs


@pytest.fixture(scope="module")
def parts() -> dict[str, pl.DataFrame]:
    data = rows(days=60)
    days = data["day"].unique().sort()
    return {"train": data.filter(pl.col("day") < days[45]), "validation": data.filter(pl.col("day") >= days[45])}


def test_two_processes_make_one_model_as_good_as_that_of_one(tmp_path: Path, parts: dict[str, pl.DataFrame]) -> None:
    pair = hosts_of(tmp_path / "pair", 2, parts)
    (alone,) = hosts_of(tmp_path / "alone", 1, parts)
    codes, outputs = run_together(pair)
    assert codes == [0, 0], outputs
    assert alone.run("train").returncode == 0
    assert (pair[0].base / "model/model.ubj").is_file()
    assert not (pair[1].base / "model").exists()

    described = [json_file(each.base / "model/model.json") for each in (pair[0], alone)]
    for name in ("rows", "days", "trees", "features"):
        assert described[0][name] == described[1][name], name
    test = rows(days=60, seed=5)
    matrix = xgb.DMatrix(test.select(pl.col(FEATURES).cast(pl.Float32)).to_numpy(), feature_names=FEATURES)
    together, one = (
        area_under_curve(
            test["late"].to_numpy() == 1,
            xgb.Booster(model_file=each.base / "model/model.ubj").predict(matrix).astype(np.float64),
        )
        for each in (pair[0], alone)
    )
    assert abs(together - one) < 0.01
    assert one > 0.6


def test_metrics_are_those_of_all_rows_and_printed_by_one(tmp_path: Path, parts: dict[str, pl.DataFrame]) -> None:
    codes, outputs = run_together(hosts_of(tmp_path, 2, parts))
    assert codes == [0, 0], outputs
    printed = ["".join(line for line in text.splitlines() if "validation-logloss" in line) for text in outputs]
    assert printed[0]
    assert not printed[1]


def test_host_that_fails_says_why_and_the_other_does_not_wait_for_it(
    tmp_path: Path, parts: dict[str, pl.DataFrame]
) -> None:
    good, bad = hosts_of(tmp_path, 2, parts)
    for file in (bad.base / "input/data/train").iterdir():
        pl.read_parquet(file).with_columns(late=None).write_parquet(file)
    codes, outputs = run_together([good, bad])
    assert codes == [1, 1], outputs
    assert "the channel 'train' has" in bad.failure()


@pytest.mark.parametrize("files", [1, 3, 8])
def test_files_of_a_part_hold_every_row_once_and_as_many_each(tmp_path: Path, files: int) -> None:
    part = rows(days=3).with_row_index("number")
    write_part(part, tmp_path, files)
    written = [pl.read_parquet(file) for file in sorted(tmp_path.iterdir())]
    assert len(written) == files
    assert sorted(pl.concat(written)["number"]) == list(range(part.height))
    heights = {each.height for each in written}
    assert max(heights) - min(heights) <= 1
    assert all(each["day"].n_unique() == 3 for each in written)


def test_more_files_than_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="40 rows can't be dealt out to the 41 files"):
        write_part(rows(days=1), tmp_path, 41)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "can't be read"),
        ('{"hosts": ["algo-1"]}', "can't be read: KeyError('current_host')"),
        ('{"hosts": ["algo-1"], "current_host": "algo-2"}', "current_host 'algo-2' is none of hosts algo-1"),
    ],
)
def test_broken_resources_are_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "resourceconfig.json"
    file.write_text(text)
    with pytest.raises(JobError) as raised:
        Cluster.read(file)
    assert str(file) in str(raised.value)
    assert reason in str(raised.value)


def test_one_host_is_alone_without_a_file_that_says_so(tmp_path: Path) -> None:
    cluster = Cluster.read(tmp_path / "resourceconfig.json")
    assert (cluster.rank, cluster.hosts) == (0, ("algo-1",))
    with cluster.joined():
        assert not xgb.collective.is_distributed()
