"""Synthesizes the whole app and an empty one side by side, each in fresh processes, and prints the ratio.

    python benchmarks/synth.py [--runs 5] [--json]

The runs alternate, so that a busy machine slows both; the ratio is that of the medians. Resources and template sizes
are counted from the app's own output.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BAR = 2.5
"""The whole app takes at most this many times an empty one."""
EMPTY_APP = """
import sys
sys.path.insert(0, {root!r})
from app import use_packaged_node
use_packaged_node()
from aws_cdk import App, Stack
# CloudFormation's default rules run at every synth; the flag makes errors of findings, and "no resources" is one.
app = App(stack_traces=False, post_cli_context={{"@aws-cdk/core:validateAgainstDefaultRules": False}})
Stack(app, "empty")
app.synth()
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="synths of each, after one to warm up (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    result = measure(options.runs)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


def measure(runs: int) -> dict[str, Any]:
    """Seconds and processor seconds of each run, their medians, the ratios, and what the app synthesized."""
    commands = {
        "empty": [sys.executable, "-c", EMPTY_APP.format(root=str(ROOT))],
        "app": [sys.executable, str(ROOT / "app.py")],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs + 1):
            for name, command in commands.items():
                elapsed, used = synthesize(command, Path(folder) / name)
                if run:
                    seconds[name].append(round(elapsed, 3))
                    cpu_seconds[name].append(round(used, 3))
        stacks = count(Path(folder) / "app")
    medians = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    cpu_medians = {name: round(statistics.median(values), 3) for name, values in cpu_seconds.items()}
    return {
        "seconds": seconds,
        "medians": medians,
        "ratio": round(medians["app"] / medians["empty"], 2),
        "bar": BAR,
        "cpu_medians": cpu_medians,
        "cpu_ratio": round(cpu_medians["app"] / cpu_medians["empty"], 2),
        "stacks": stacks,
    }


def synthesize(command: Sequence[str], outdir: Path) -> tuple[float, float]:
    """Seconds and processor seconds of one synth, with the context of cdk.json, as the CDK CLI runs it."""
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"] | {
        "aws:cdk:enable-path-metadata": False,
        "aws:cdk:enable-asset-metadata": False,
        "aws:cdk:version-reporting": False,
    }
    environment = os.environ | {"CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": json.dumps(context)}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, cwd=outdir.parent, check=True, capture_output=True)
    elapsed, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def count(assembly: Path) -> dict[str, dict[str, int]]:
    """Resources and bytes of every template, by its path in the assembly."""
    found = {}
    for path in sorted(assembly.rglob("*.template.json")):
        template = json.loads(path.read_text(encoding="utf-8"))
        name = path.name.removesuffix(".template.json")
        found[name] = {"resources": len(template.get("Resources", {})), "bytes": path.stat().st_size}
    return found


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"{'synth':<44}{'median s':>10}{'CPU s':>8}   seconds of each run"]
    for name, values in result["seconds"].items():
        runs = " ".join(f"{value:.2f}" for value in values)
        lines.append(f"{name:<44}{result['medians'][name]:>10.2f}{result['cpu_medians'][name]:>8.2f}   {runs}")
    lines.append(f"{'app to empty':<44}{result['ratio']:>10.2f}{result['cpu_ratio']:>8.2f}   at most {result['bar']}")
    lines.append(f"\n{'template':<44}{'resources':>10}{'bytes':>8}")
    for name, sizes in result["stacks"].items():
        lines.append(f"{name:<44}{sizes['resources']:>10}{sizes['bytes']:>8}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
