"""Deploys an environment to a local AWS with the CDK CLI, again without changes, and destroys it, beside a bare synth.

    python benchmarks/deploy.py [--environment dev] [--runs 3] [--json]

A run is: synth, deploy to an empty local AWS, deploy the same again, destroy. The parts follow each other, so that a
busy machine slows them all; the ratios are those of the medians, with the synth as the unit. Resources and template
sizes are those of what was deployed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from local_aws import process  # noqa: E402
from mlops_cli.local import images  # noqa: E402

CDK = str(ROOT / "node_modules" / ".bin" / "cdk")
TARGET = "aws://123456789012/us-east-1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", default="dev", help="the environment to deploy (default: dev)")
    parser.add_argument("--runs", type=int, default=3, help="how often the whole sequence is run (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    result = measure(options.environment, options.runs)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


def measure(environment: str, runs: int) -> dict[str, Any]:
    """Seconds of each part in each run, their medians, the ratios to the synth, and what was deployed."""
    seconds: dict[str, list[float]] = {}
    stacks: dict[str, dict[str, int]] = {}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            for part, elapsed in sequence(environment, Path(folder)).items():
                seconds.setdefault(part, []).append(round(elapsed, 2))
            stacks = count(Path(folder) / "assembly", environment)
    medians = {part: round(statistics.median(values), 2) for part, values in seconds.items()}
    return {
        "environment": environment,
        "seconds": seconds,
        "medians": medians,
        "ratios": {part: round(value / medians["synth"], 2) for part, value in medians.items()},
        "stacks": stacks,
    }


def sequence(environment: str, folder: Path) -> dict[str, float]:
    """The seconds of each part of one run, on a local AWS of its own."""
    with socket.socket() as probe:
        probe.bind((process.HOST, 0))
        port = probe.getsockname()[1]
    state, assembly = folder / "state", folder / "assembly"
    stacks = f"{environment}/*"
    process.start(port, state, images())
    variables = {**os.environ, **process.environment(port), "CI": "true"}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    try:
        cdk(["bootstrap", TARGET], variables, folder)
        deploy = ["deploy", stacks, "--require-approval", "never", "--output", str(assembly)]
        seconds = {
            "synth": cdk(["synth", "--quiet", "--output", str(folder / "synth")], variables, ROOT),
            "deploy": cdk(deploy, variables, ROOT),
            "deploy, no changes": cdk(deploy, variables, ROOT),
        }
        # the buckets' access logs would keep their bucket from being deleted
        empty = [sys.executable, "-m", "mlops_cli", "empty", environment, "--yes"]
        subprocess.run(empty, cwd=ROOT, env=variables, check=True, capture_output=True)
        return seconds | {"destroy": cdk(["destroy", stacks, "--force"], variables, ROOT)}
    finally:
        process.stop(state)
        shutil.rmtree(folder / "synth", ignore_errors=True)


def cdk(words: Sequence[str], variables: Mapping[str, str], directory: Path) -> float:
    """The seconds that the CDK CLI takes; ends the benchmark with its output when it fails."""
    started = time.perf_counter()
    done = subprocess.run([CDK, *words], cwd=directory, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"cdk {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def count(assembly: Path, environment: str) -> dict[str, dict[str, int]]:
    """Resources and bytes of the environment's templates, by stack."""
    found = {}
    for path in sorted((assembly / f"assembly-{environment}").glob("*.template.json")):
        template = json.loads(path.read_text(encoding="utf-8"))
        name = path.name.removesuffix(".template.json")
        found[name] = {"resources": len(template["Resources"]), "bytes": path.stat().st_size}
    return found


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"{'cdk, environment ' + result['environment']:<44}{'median s':>10}{'x synth':>10}   runs"]
    for part, values in result["seconds"].items():
        median, ratio = result["medians"][part], result["ratios"][part]
        lines.append(f"{part:<44}{median:>10}{ratio:>10}   {' '.join(map(str, values))}")
    lines.append(f"\n{'stack':<44}{'resources':>10}{'bytes':>10}")
    for name, sizes in result["stacks"].items():
        lines.append(f"{name:<44}{sizes['resources']:>10}{sizes['bytes']:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
