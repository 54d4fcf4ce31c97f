"""A training job of the platform against bare `xgboost.train`, and two processes against one.

    python benchmarks/training.py [--rows 300000] [--together 100000,300000,1000000] [--runs 3] [--json]

The job is one of the local AWS from its request to its end: channels from S3, the container's process, the model's own
`fit` with all that watches it, the artifact in S3. Bare is a script of ten lines that reads the same Parquet files,
trains with the same parameters, in the same two stages, and saves. Both are processes that start from nothing; runs
take turns. Rows are flights of 2013; more of them than there are repeat, a little shaken.

Of processes that train together the time counts from the start of both to the end of both. Each has one thread: as two
machines of one core against one, and against one process that has both cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
MODELS, RUNTIME = ROOT / "ml_code" / "models", ROOT / "ml_code" / "runtime"
sys.path[:0] = [str(ROOT), *(str(ROOT / "ml_code" / each) for each in ("datasets", "glue", "models", "runtime"))]

from benchmarks.etl import days_of, run_polars, write_lake  # noqa: E402
from flight_delay.features import FEATURES, LABEL  # noqa: E402
from local_aws.server import running  # noqa: E402
from local_aws.service import Image  # noqa: E402
from model_runtime.prepare import write_part  # noqa: E402

ROLE = "arn:aws:iam::123456789012:role/training"
VALIDATION_SHARE = 0.1
POLL_SECONDS = 0.1
BARE = """
import json, sys
import polars as pl
import xgboost as xgb

folder, features, label = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
parameters, rounds, patience = json.loads(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])

def matrix(rows):
    return xgb.DMatrix(rows.select(pl.col(features).cast(pl.Float32)).to_numpy(), label=rows[label].to_numpy())

train, validation = (pl.read_parquet(f"{folder}/{name}/*.parquet") for name in ("train", "validation"))
evals = [(matrix(validation), "validation")]
probe = xgb.train(parameters, matrix(train), rounds, evals=evals, early_stopping_rounds=patience, verbose_eval=25)
whole = matrix(pl.concat([train, validation]))
xgb.train(parameters, whole, probe.best_iteration + 1).save_model(f"{folder}/bare.ubj")
"""


def flights(folder: Path, days: int) -> pl.DataFrame:
    """Prepared flights with a label, sorted by day."""
    write_lake(folder / "raw", 1, days_of(days))
    run_polars(folder / "raw", folder, days_of(days))
    files = sorted((folder / "curated").rglob("*.parquet"))
    frames = [
        pl.read_parquet(file).with_columns(pl.lit(file.parent.name[4:]).str.to_date().alias("day")) for file in files
    ]
    return pl.concat(frames).drop_nulls(LABEL).select("day", *FEATURES, LABEL).sort("day", *FEATURES)


def rows_of(source: pl.DataFrame, count: int) -> pl.DataFrame:
    """So many rows; those that repeat have other distances, as no two flights are the same."""
    copies = [source]
    random = np.random.default_rng(7)
    while sum(each.height for each in copies) < count:
        noise = pl.Series(random.normal(0, 5, source.height).astype(np.float32))
        copies.append(source.with_columns(pl.col("distance") + noise, pl.col("departure_minute") + noise))
    return pl.concat(copies).head(count) if len(copies) > 1 else source.head(count)


def lay_out(folder: Path, rows: pl.DataFrame, files: int) -> None:
    """Write the channels `train` and `validation`."""
    held_out = int(rows.height * VALIDATION_SHARE)
    shutil.rmtree(folder, ignore_errors=True)
    write_part(rows.head(rows.height - held_out), folder / "train", files)
    write_part(rows.tail(held_out), folder / "validation", files)
    (folder / "code").mkdir()
    with zipfile.ZipFile(folder / "code" / "code.zip", "w") as archive:
        for file in sorted((MODELS / "flight_delay").rglob("*.py")):
            archive.write(file, file.relative_to(MODELS))


def settings() -> dict[str, Any]:
    """The hyperparameters of the sample model."""
    declared = yaml.safe_load((MODELS / "flight_delay" / "model.yaml").read_text())
    return dict(declared["training"]["hyperparameters"])


def bare_parameters() -> list[str]:
    """What the script is told: features and label, XGBoost's parameters, rounds and patience."""
    values = settings()
    rounds, patience = values.pop("rounds"), values.pop("early_stopping_rounds")
    fixed = {"objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist"}
    return [json.dumps(FEATURES), LABEL, json.dumps({**fixed, **values}), str(rounds), str(patience)]


def environment(**more: str) -> dict[str, str]:
    """The variables of a measured process: what the runtime sets for its threads is set for the script too."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "OMP_WAIT_POLICY": "passive", **more}


def run_bare(folder: Path) -> tuple[float, int]:
    """Run the script; returns seconds and trees."""
    began = time.perf_counter()
    command = [sys.executable, "-c", BARE, str(folder), *bare_parameters()]
    subprocess.run(command, env=environment(), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    import xgboost as xgb

    return seconds, xgb.Booster(model_file=folder / "bare.ubj").num_boosted_rounds()


def platform_job(client: Callable[[str], Any], folder: Path, name: str) -> Callable[[], tuple[float, int]]:
    """Upload the channels; returns what runs a job on them to its end."""
    s3, sagemaker = client("s3"), client("sagemaker")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        s3.upload_file(str(file), "lake", f"{name}/{file.relative_to(folder).as_posix()}")

    def channel(each: str) -> dict[str, Any]:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://lake/{name}/{each}/"}
        return {"ChannelName": each, "DataSource": {"S3DataSource": source}}

    number = iter(range(1000))

    def run() -> tuple[float, int]:
        job = f"{name}-{next(number)}"
        began = time.perf_counter()
        sagemaker.create_training_job(
            TrainingJobName=job,
            RoleArn=ROLE,
            AlgorithmSpecification={
                "TrainingImage": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlops-runtime:1",
                "TrainingInputMode": "File",
            },
            HyperParameters={key: str(value) for key, value in settings().items()},
            Environment={"MODEL_NAME": "flight_delay", "PROBLEM": "binary_classification"},
            InputDataConfig=[channel(each) for each in ("train", "validation", "code")],
            OutputDataConfig={"S3OutputPath": "s3://lake/models"},
            ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )
        while (ended := sagemaker.describe_training_job(TrainingJobName=job))["TrainingJobStatus"] == "InProgress":
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - began
        if ended["TrainingJobStatus"] != "Completed":
            raise SystemExit(f"the job failed: {ended.get('FailureReason')}")
        phases = {
            each["Status"]: round((each["EndTime"] - each["StartTime"]).total_seconds(), 2)
            for each in ended["SecondaryStatusTransitions"]
        }
        print(f"  phases: {phases}", file=sys.stderr, flush=True)
        return seconds, _trees(client, job)

    return run


def _trees(client: Callable[[str], Any], job: str) -> int:
    logs = client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    options = {"logGroupName": group, "logStreamName": stream["logStreamName"], "startFromHead": True}
    lines = [each["message"] for each in logs.get_log_events(**options)["events"]]
    return int(next(line.split(": ")[1].split()[0] for line in lines if " trees in " in line))


def measure_overhead(folder: Path, source: pl.DataFrame, rows: int, runs: int) -> dict[str, Any]:
    """Time both, taking turns."""
    channels = folder / "channels"
    lay_out(channels, rows_of(source, rows), 1)
    seconds: dict[str, list[float]] = {"job": [], "bare": []}
    image = Image(sys.executable, ("python3", "-m", "model_runtime"))
    os.environ["PYTHONPATH"] = str(RUNTIME)
    with running(folder / "state", {"mlops-runtime": image}) as server:
        client = server.context.client
        client("s3").create_bucket(Bucket="lake")
        job = platform_job(client, channels, "flights")
        for _ in range(runs):
            for name, run in (("bare", lambda: run_bare(channels)), ("job", job)):
                taken, trees = run()  # type: ignore[no-untyped-call]
                seconds[name].append(round(taken, 2))
                print(f"{name}: {taken:.2f} s, {trees} trees", file=sys.stderr, flush=True)
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    overhead = middle["job"] / middle["bare"] - 1
    return {"rows": rows, "trees": trees, "seconds": middle, "overhead": overhead, "runs": seconds}


def run_together(folder: Path, processes: int, threads: int, network: str) -> float:
    """Time processes of the runtime that train one model."""
    names = [f"algo-{number}" for number in range(1, processes + 1)]
    addresses = {name: f"{network}.{number}" for number, name in enumerate(names, start=1)}
    hosts = []
    for index, name in enumerate(names):
        base = folder / f"host-{processes}-{threads}-{index}"
        shutil.rmtree(base, ignore_errors=True)
        (base / "input/config").mkdir(parents=True)
        values = {key: str(value) for key, value in settings().items()}
        (base / "input/config/hyperparameters.json").write_text(json.dumps(values))
        resources = {"hosts": names, "current_host": name, "host_addresses": addresses}
        (base / "input/config/resourceconfig.json").write_text(json.dumps(resources))
        for channel, step in (("train", processes), ("validation", processes), ("code", 1)):
            target = base / "input/data" / channel
            target.mkdir(parents=True)
            for file in sorted((folder / "channels" / channel).iterdir())[index % step :: step]:
                os.link(file, target / file.name)
        hosts.append(base)
    variables = {"PYTHONPATH": str(RUNTIME), "PROBLEM": "binary_classification", "OMP_NUM_THREADS": str(threads)}
    began = time.perf_counter()
    running_hosts = [
        subprocess.Popen(
            [sys.executable, "-m", "model_runtime", "train"],
            env=environment(**variables, SAGEMAKER_BASE_DIR=str(base)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for base in hosts
    ]
    if any(each.wait() for each in running_hosts):
        raise SystemExit("a process failed: " + " ".join((base / "output/failure").read_text() for base in hosts))
    return time.perf_counter() - began


def measure_together(folder: Path, source: pl.DataFrame, sizes: list[int], runs: int) -> list[dict[str, Any]]:
    """Time one process with one and with two threads, and two with one each, at growing sizes."""
    found = []
    kinds: Mapping[str, tuple[int, int]] = {"one, 1 thread": (1, 1), "one, 2 threads": (1, 2), "two, 1 thread": (2, 1)}
    network = 0
    for rows in sizes:
        lay_out(folder / "channels", rows_of(source, rows), 8)
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(runs):
            for name, (processes, threads) in kinds.items():
                network += 1
                taken = run_together(folder, processes, threads, f"127.{100 + os.getpid() % 100}.{network}")
                seconds[name].append(round(taken, 2))
                print(f"{rows}: {name}: {taken:.2f} s", file=sys.stderr, flush=True)
        middle = {name: statistics.median(each) for name, each in seconds.items()}
        found.append({"rows": rows, "seconds": middle, "runs": seconds})
    return found


def wins_from(found: list[dict[str, Any]], other: str) -> int | None:
    """The size from which on two processes are faster than another way, at every larger one too."""
    wins = [each["seconds"]["two, 1 thread"] < each["seconds"][other] for each in found]
    for index, each in enumerate(found):
        if all(wins[index:]):
            return int(each["rows"])
    return None


def show(results: Mapping[str, Any]) -> None:
    """Print tables."""
    overhead = results["overhead"]
    table = Table(title=f"Training on {overhead['rows']:,} rows, {overhead['trees']} trees, request to artifact")
    for name in ("", "seconds", "runs"):
        table.add_column(name, justify="right")
    for name, label in (("bare", "bare xgboost.train"), ("job", "job of the platform")):
        table.add_row(label, f"{overhead['seconds'][name]}", " ".join(map(str, overhead["runs"][name])))
    table.add_row("overhead", f"{overhead['overhead']:.1%}", "")
    Console().print(table)
    if not results["together"]:
        return
    table = Table(title="Processes that train one model: seconds")
    for name in ("rows", *results["together"][0]["seconds"]):
        table.add_column(name, justify="right")
    for each in results["together"]:
        table.add_row(f"{each['rows']:,}", *(f"{seconds}" for seconds in each["seconds"].values()))
    Console().print(table)
    for other, rows in results["two_win_from"].items():
        Console().print(f"two processes beat {other}: {f'from {rows:,} rows on' if rows else 'at none of these sizes'}")


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000, help="rows of the job (default: 300,000)")
    parser.add_argument(
        "--together", default="20000,100000,300000,1000000", help="sizes for two processes; '' for none"
    )
    parser.add_argument("--runs", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    sizes = [int(size) for size in options.together.split(",") if size]
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        source = flights(folder / "flights", 365)
        results: dict[str, Any] = {"overhead": measure_overhead(folder, source, options.rows, options.runs)}
        results["together"] = measure_together(folder / "together", source, sizes, options.runs) if sizes else []
        others = ("one, 1 thread", "one, 2 threads")
        results["two_win_from"] = {other: wins_from(results["together"], other) for other in others}
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
