"""Synthesizes the whole app and an empty one side by side, each in fresh processes, and prints the ratio.

    python benchmarks/synth.py [--runs 5] [--json]

The runs alternate, so that a busy machine slows both; the ratio is that of the medians. Resources and template sizes are
counted from the app's own output.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EMPTY_APP = """
import sys
sys.path.insert(0, {root!r})
from app import use_packaged_node
use_packaged_node()
from aws_cdk import App, Stack
app = App()
Stack(app, "empty")
app.synth()
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="synths of each app, after one that warms up (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    result = measure(options.runs)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


def measure(runs: int) -> dict[str, Any]:
    """Seconds of each run, their medians, the ratio, and what the app synthesized."""
    commands = {
        "empty": [sys.executable, "-c", EMPTY_APP.format(root=str(ROOT))],
        "app": [sys.executable, str(ROOT / "app.py")],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs + 1):
            for name, command in commands.items():
                elapsed = synthesize(command, Path(folder) / name)
                if run:
                    seconds[name].append(round(elapsed, 3))
        stacks = count(Path(folder) / "app")
    medians = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    return {
        "seconds": seconds,
        "medians": medians,
        "ratio": round(medians["app"] / medians["empty"], 2),
        "stacks": stacks,
    }


def synthesize(command: Sequence[str], outdir: Path) -> float:
    """Seconds that one synth takes, with the context of cdk.json, as the CDK CLI runs it."""
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    environment = os.environ | {
        "CDK_OUTDIR": str(outdir),
        "CDK_CONTEXT_JSON": json.dumps(
            context
            | {
                "aws:cdk:enable-path-metadata": False,
                "aws:cdk:enable-asset-metadata": False,
                "aws:cdk:version-reporting": False,
                "aws:cdk:disable-stack-trace": True,
                "@aws-cdk/core:validateAgainstDefaultRules": False,
            }
        ),
    }
    started = time.perf_counter()
    subprocess.run(command, env=environment, cwd=outdir.parent, check=True, capture_output=True)
    return time.perf_counter() - started


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
    lines = [f"{'synth':<44}{'median s':>10}{'runs':>30}"]
    for name, values in result["seconds"].items():
        lines.append(f"{name:<44}{result['medians'][name]:>10}{' '.join(map(str, values)):>30}")
    lines.append(f"{'ratio':<44}{result['ratio']:>10}")
    lines.append(f"\n{'template':<44}{'resources':>10}{'bytes':>30}")
    for name, sizes in result["stacks"].items():
        lines.append(f"{name:<44}{sizes['resources']:>10}{sizes['bytes']:>30}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
