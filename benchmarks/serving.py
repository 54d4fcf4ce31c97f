"""The runtime's server against others: requests per second, p50, p99, errors, memory and cold start.

    python benchmarks/serving.py [--rows 1,10,100] [--connections 1,16,64] [--seconds 2] [--runs 3] [--json]

All servers run at once with as many processes each (`--workers`, default: one per core), on the same model and rows,
and are measured by turns; the figures are medians of the runs. The model is the sample `flight_delay`, trained here.

- bare: uvicorn with raw ASGI that answers a constant, the limit of a real HTTP stack
- runtime: `model_runtime serve`
- flask: gunicorn with gevent, Flask and a DMatrix for each request, as the prebuilt containers do
- fastapi: uvicorn with FastAPI and `inplace_predict`
- mlflow: `mlflow models serve`; its CSV has a header

Servers but the runtime's come from requirements/serving-benchmark.txt, in the environment .venv-serving, which is made
once (700 MB). The load comes from `wrk` where it is installed, else from serving_rivals/http_load.py. Of the local AWS
only the container is measured: capture of data is a matter of what stands before it, as SageMaker's is, and costs the
container nothing. CPU is what a server's processes took for a request: of all figures the one that a busy machine
changes least. Memory is what a server's processes share and hold (PSS), after the load. Cold start is the time from
the start of the process to the first answer, with every server stopped but the one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
MODELS, RUNTIME = ROOT / "ml_code" / "models", ROOT / "ml_code" / "runtime"
RIVALS = Path(__file__).resolve().parent / "serving_rivals"
sys.path[:0] = [str(ROOT), *(str(ROOT / "ml_code" / each) for each in ("datasets", "glue", "models", "runtime"))]

from benchmarks.training import flights, settings  # noqa: E402
from model_runtime.artifact import BOOSTER_FILE, Artifact, Description, library_versions, save_artifact  # noqa: E402
from model_runtime.model_code import load_model_code  # noqa: E402
from model_runtime.onnx_trees import write_onnx  # noqa: E402
from model_runtime.tracked_model import write_tracked_model  # noqa: E402

VENV = ROOT / ".venv-serving"
REQUIREMENTS = ROOT / "requirements" / "serving-benchmark.txt"
SERVERS = ("bare", "runtime", "flask", "fastapi", "mlflow")
DAYS = 60
START_SECONDS = 180
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass
class Running:
    """A started server."""

    process: subprocess.Popen[bytes]
    port: int
    cold_start: float


def environment() -> Path:
    """The other servers' programs, installed when they aren't there or aren't those of the requirements."""
    mark = VENV / ".installed"
    if not mark.is_file() or mark.read_text() != REQUIREMENTS.read_text():
        print(f"installing the other servers into {VENV.name}, once ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
        mark.write_text(REQUIREMENTS.read_text())
    return VENV / "bin"


def train(folder: Path) -> pl.DataFrame:
    """Train the sample model and write it as the runtime and MLflow want it; returns rows to ask for."""
    import xgboost as xgb

    code = load_model_code(MODELS, "flight_delay")
    data = flights(folder / "flights", DAYS)
    features = data.select(pl.col(code.features).cast(pl.Float32))
    values = settings()
    rounds = int(values.pop("rounds"))
    values.pop("early_stopping_rounds")
    matrix = xgb.DMatrix(features.to_numpy(), label=data[code.label].to_numpy(), feature_names=list(code.features))
    booster = xgb.train({"objective": "binary:logistic", "tree_method": "hist", **values}, matrix, rounds)
    description = Description(
        model=code.name,
        features=code.features,
        label=code.label,
        trees=rounds,
        rows={"train": data.height},
        days={},
        hyperparameters=values,
        versions=library_versions(),
    )
    target = folder / "ml" / "model"
    save_artifact(Artifact(booster, description, code), target)
    reason = write_onnx(booster, target / BOOSTER_FILE, features.head(2000).to_numpy(), target)
    if reason:
        raise SystemExit(f"the sample model has no ONNX form: {reason}")
    (folder / "mlflow").mkdir()
    write_tracked_model(folder / "mlflow", bytes(booster.save_raw("ubj")), description, "0" * 32)
    return features.sample(1000, seed=3)


def command(name: str, folder: Path, port: int, workers: int) -> tuple[list[str], dict[str, str]]:
    """How a server is started: its command and its variables."""
    bin_, count = VENV / "bin", str(workers)
    uvicorn = [str(bin_ / "uvicorn"), "--port", str(port), "--no-access-log", "--workers", count]
    match name:
        case "bare":
            return [*uvicorn, "bare_app:app"], {}
        case "fastapi":
            return [*uvicorn, "fastapi_app:app"], {}
        case "flask":
            gunicorn = [str(bin_ / "gunicorn"), "-k", "gevent", "-w", count, "-b", f"127.0.0.1:{port}"]
            return [*gunicorn, "flask_app:app"], {}
        case "mlflow":
            mlflow = [str(bin_ / "mlflow"), "models", "serve", "-m", str(folder / "mlflow"), "--env-manager", "local"]
            return [*mlflow, "-p", str(port), "-w", count], {"PATH": f"{bin_}:{os.environ['PATH']}"}
        case _:
            variables = {
                "SAGEMAKER_BASE_DIR": str(folder / "ml"),
                "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
                "SAGEMAKER_BIND_TO_PORT": str(port),
                "SAGEMAKER_MODEL_SERVER_WORKERS": count,
                "METRICS_NAMESPACE": "benchmark",
                "METRICS_ENVIRONMENT": "benchmark",
                "MODEL_NAME": "flight_delay",
                "PYTHONPATH": str(RUNTIME),
            }
            return [sys.executable, "-m", "model_runtime", "serve"], variables


def start(name: str, folder: Path, workers: int, bodies: Mapping[int, Path]) -> Running:
    """Start a server and wait for its first answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words, variables = command(name, folder, port, workers)
    kept = {each: os.environ[each] for each in ("PATH", "HOME") if each in os.environ}
    common = {"BOOSTER": str(folder / "ml" / "model" / BOOSTER_FILE), "OMP_WAIT_POLICY": "passive"}
    log = (folder / f"{name}.log").open("ab")
    began = time.perf_counter()
    process = subprocess.Popen(
        words, cwd=RIVALS, env={**kept, **common, **variables}, stdout=log, stderr=log, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}/invocations"
    body = bodies[min(bodies)].read_bytes()
    while True:
        request = urllib.request.Request(url, body, {"Content-Type": "text/csv"})  # our own server
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310
                return Running(process, port, time.perf_counter() - began)
        except OSError as error:
            if process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                stop(process)
                raise SystemExit(f"{name} doesn't answer ({error}): {(folder / f'{name}.log').read_text()}") from None
            time.sleep(0.02)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and its processes."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)


def memory(process: subprocess.Popen[bytes]) -> float:
    """Megabytes of a server's processes, what they share counted once."""
    total = 0
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                if os.getsid(int(each.name)) == process.pid:
                    found = re.search(r"^Pss:\s+(\d+)", (each / "smaps_rollup").read_text(), re.MULTILINE)
                    total += int(found[1]) if found else 0
    return total / 1024


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """What a server's processes have used of all cores, those that have ended not counted."""
    total = 0
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                if os.getsid(int(each.name)) == process.pid:
                    values = (each / "stat").read_text().rpartition(")")[2].split()
                    total += int(values[11]) + int(values[12])
    return total / os.sysconf("SC_CLK_TCK")


def load(port: int, body: Path, connections: int, seconds: float) -> dict[str, Any]:
    """Load a server for some seconds."""
    wrk = shutil.which("wrk")
    if wrk is None:
        words = [sys.executable, str(RIVALS / "http_load.py"), str(port), str(body), str(connections), str(seconds)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=seconds + 60)
        return dict(json.loads(done.stdout))
    script = body.with_suffix(".lua")
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "text/csv"\nwrk.body = {json.dumps(body.read_text())}\n'
    )
    words = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "--latency"]
    words += ["-s", str(script), f"http://127.0.0.1:{port}/invocations"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=seconds + 90).stdout
    times = {share: float(value) * UNITS[unit] for share, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(\w+)", said)}
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    errors = (int(refused[1]) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0)
    return {"rps": float(found[1]), "p50_ms": times["50"], "p99_ms": times["99"], "errors": errors}


def write_bodies(folder: Path, rows: pl.DataFrame, counts: Sequence[int]) -> Iterator[tuple[str, dict[int, Path]]]:
    """The bodies of each server by their number of rows; MLflow's have a header."""
    for kind, header in (("plain", False), ("header", True)):
        found = {}
        for count in counts:
            found[count] = folder / f"{kind}-{count}.csv"
            text = rows.head(count).fill_nan(None).write_csv(include_header=header)
            found[count].write_text(text)
        yield kind, found


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run everything, by turns."""
    counts, connections = ([int(each) for each in text.split(",")] for text in (options.rows, options.connections))
    bodies = dict(write_bodies(folder, train(folder), counts))
    names = [name for name in SERVERS if name in options.servers.split(",")]
    its = {name: bodies["header" if name == "mlflow" else "plain"] for name in names}
    cold: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.runs):
        for name in names:
            running = start(name, folder, options.workers, its[name])
            cold[name].append(running.cold_start)
            stop(running.process)
    servers = {}
    results: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    try:
        for name in names:
            servers[name] = start(name, folder, options.workers, its[name])
        for run in range(options.runs):
            for count in counts:
                for number in connections:
                    for name in names:
                        before, began = cpu_seconds(servers[name].process), time.perf_counter()
                        found = load(servers[name].port, its[name][count], number, options.seconds)
                        used_cpu = cpu_seconds(servers[name].process) - before
                        requests = found["rps"] * min(time.perf_counter() - began, options.seconds)
                        found["cpu_us"] = used_cpu / max(requests, 1) * 1e6
                        results.setdefault((count, number, name), []).append(found)
                        shown = f"{found['rps']:,.0f}/s, p99 {found['p99_ms']:.2f} ms, {found['errors']} errors"
                        print(f"run {run + 1}: {count} rows, {number} conn., {name}: {shown}", file=sys.stderr)
        used = {name: memory(servers[name].process) for name in names}
    finally:
        for running in servers.values():
            stop(running.process)
    return {
        "workers": options.workers,
        "load": "wrk" if shutil.which("wrk") else "http_load.py",
        "memory_mb": {name: round(value, 1) for name, value in used.items()},
        "cold_start_seconds": {name: round(statistics.median(each), 2) for name, each in cold.items()},
        "results": [
            {
                "rows": count,
                "connections": number,
                "server": name,
                "rps": round(statistics.median(each["rps"] for each in runs), 1),
                "p50_ms": round(statistics.median(each["p50_ms"] for each in runs), 3),
                "p99_ms": round(statistics.median(each["p99_ms"] for each in runs), 3),
                "cpu_us": round(statistics.median(each["cpu_us"] for each in runs), 1),
                "errors": sum(each["errors"] for each in runs),
                "runs": [round(each["rps"]) for each in runs],
            }
            for (count, number, name), runs in results.items()
        ],
    }


def show(found: Mapping[str, Any]) -> None:
    """Print tables."""
    console = Console()
    ours = {(each["rows"], each["connections"]): each for each in found["results"] if each["server"] == "runtime"}
    table = Table(title=f"Servers with {found['workers']} processes each, load by {found['load']}")
    for name in ("rows", "connections", "server", "requests/s", "runtime is", "p50 ms", "p99 ms", "CPU us", "errors"):
        table.add_column(name, justify="right")
    for each in found["results"]:
        own = ours.get((each["rows"], each["connections"]))
        ratio = f"{own['rps'] / each['rps']:.2f} x" if own and each["rps"] else ""
        cells = [each["rows"], each["connections"], each["server"], f"{each['rps']:,.0f}", ratio]
        table.add_row(*map(str, [*cells, each["p50_ms"], each["p99_ms"], each["cpu_us"], each["errors"]]))
    console.print(table)
    table = Table(title="Once")
    for name in ("server", "cold start s", "memory MB"):
        table.add_column(name, justify="right")
    for name, seconds in found["cold_start_seconds"].items():
        table.add_row(name, str(seconds), str(found["memory_mb"][name]))
    console.print(table)


def main() -> int:
    """Measure, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1,10,100", help="rows a request (default: 1,10,100)")
    parser.add_argument("--connections", default="1,16,64", help="connections at once (default: 1,16,64)")
    parser.add_argument("--servers", default=",".join(SERVERS), help="which of them (default: all)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement (default: 2)")
    parser.add_argument("--runs", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes of each server")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    unknown = set(options.servers.split(",")) - set(SERVERS)
    if unknown:
        parser.error(f"--servers may name {', '.join(SERVERS)}, got {', '.join(sorted(unknown))}")
    environment()
    with tempfile.TemporaryDirectory() as directory:
        found = measure(options, Path(directory))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
