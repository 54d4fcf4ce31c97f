"""The runtime's monitor against Evidently and whylogs: time, memory, growth, accuracy, power and false alarms.

    python benchmarks/drift.py [--scales 1,10,50] [--windows 25] [--calm 200] [--runs 3] [--json]

The reference are the flights of the first half of 2013, the current rows those of the second, all features of the
sample model. Larger tables repeat them, all but categories a little shaken. Each side is a process that starts from
nothing and reads the same Parquet files; its time counts from when its libraries are loaded. The runtime writes and
reads the statistics of the reference, sketches the current rows and compares; `monitor` is what is left of it in life,
where a training wrote them. What training writes besides, how far its own days, weeks and months go, is told by itself:
the others say nothing of the kind. Evidently runs its DataDriftPreset with its own limits.
whylogs makes both profiles and compares nothing, which it does only with more libraries. A process that needs more than
the time or memory that is given it is ended, and reported so.

Windows for power and false alarms are drawn from the reference at random and changed in one feature. A window detects
when that feature is named. Evidently and whylogs come from requirements/drift-benchmark.txt, in the environment
.venv-drift, which is made on first use.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = ROOT / "ml_code" / "runtime"
RIVALS = Path(__file__).resolve().parent / "drift_rivals"
sys.path[:0] = [str(ROOT), *(str(ROOT / "ml_code" / each) for each in ("datasets", "glue", "models", "runtime"))]

from benchmarks.training import flights  # noqa: E402
from flight_delay.features import CATEGORICAL, FEATURES  # noqa: E402
from model_runtime.datasets import DAY  # noqa: E402
from model_runtime.monitor.baseline import sketch_rows  # noqa: E402

VENV = ROOT / ".venv-drift"
REQUIREMENTS = ROOT / "requirements" / "drift-benchmark.txt"
SIDES = ("runtime", "evidently", "whylogs")
UNSHAKEN = (*CATEGORICAL, "weekday")
LIMITS = (0.2, 0.1, 0.02)
SIZES = (300, 1000, 5000)
REFERENCE_ROWS = 20_000
WATCHED = ("temperature", "departure_minute", "distance", "plane_age", "carrier", "destination")
PROBABILITIES = np.arange(1, 100) / 100

Change = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]


def environment() -> Path:
    """The Python of the others, installed when they aren't there or aren't those of the requirements."""
    python, mark = VENV / "bin" / "python", VENV / ".installed"
    if not mark.is_file() or mark.read_text() != REQUIREMENTS.read_text():
        print(f"installing the other monitors into {VENV.name}, once ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # everything is locked; pip by itself takes no hash for the extra of pandas that Evidently asks for
        subprocess.run([*command, "--no-deps", "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
        mark.write_text(REQUIREMENTS.read_text())
    return python


def run_side(name: str, what: str, reference: Path, current: Path, asked: Any, options: Any) -> dict[str, Any]:
    """Run a side to its end; `ended` says why there is no result. Processor time is that of the whole process."""
    python = Path(sys.executable) if name == "runtime" else environment()
    command = [str(python), str(RIVALS / f"with_{name}.py"), what, str(reference), str(current), json.dumps(asked)]
    kept = {each: os.environ[each] for each in ("PATH", "HOME") if each in os.environ}
    paths = os.pathsep.join(map(str, (ROOT, RUNTIME)))
    most = int(options.memory_gb * (1 << 30))
    before = _children_seconds()
    try:
        done = subprocess.run(
            command,
            env={
                **kept,
                "PYTHONPATH": paths,
                "DO_NOT_TRACK": "1",
                "WHYLOGS_NO_ANALYTICS": "True",
            },
            capture_output=True,
            text=True,
            timeout=options.seconds,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"ended": f"more than {options.seconds:g} s", "cpu_seconds": round(_children_seconds() - before, 1)}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        return {"ended": f"exit code {done.returncode} within {options.memory_gb:g} GB: {last[0][:120]}"}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "cpu_seconds": _children_seconds() - before}


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def lay_out(folder: Path, rows: pl.DataFrame, copies: int) -> None:
    """Write a table as that many files; those after the first are shaken, as no two flights are the same."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    for number in range(copies):
        shaken = []
        for name in FEATURES:
            if number and name not in UNSHAKEN:
                width = float(rows[name].drop_nulls().std() or 0) / 100  # type: ignore[arg-type]
                noise = pl.Series(random.normal(0, width, rows.height).astype(np.float32))
                shaken.append((rows[name] + noise).alias(name))
        rows.select(DAY, *FEATURES).with_columns(shaken).write_parquet(folder / f"{number:03d}.parquet")


def measure_speed(folder: Path, halves: list[pl.DataFrame], options: Any) -> list[dict[str, Any]]:
    """Time and peak memory of all sides at growing sizes; the sides take turns."""
    found = []
    asked = {"columns": FEATURES, "codes": CATEGORICAL, "day": DAY}
    beaten: set[str] = set()
    for scale in options.scales:
        sides = [folder / f"{scale}" / name for name in ("reference", "current")]
        for side, rows in zip(sides, halves, strict=True):
            lay_out(side, rows, scale)
        results: dict[str, list[dict[str, Any]]] = {}
        for _ in range(options.runs if scale == min(options.scales) else 1):
            for name in options.sides:
                if name in beaten:
                    continue
                result = run_side(name, "compare", sides[0], sides[1], asked, options)
                results.setdefault(name, []).append(result)
                print(f"{scale}x {name}: {_short(result)}", file=sys.stderr, flush=True)
        entry: dict[str, Any] = {"scale": scale, "rows": [each.height * scale for each in halves], "sides": {}}
        for name, each in results.items():
            if "ended" in each[0]:
                entry["sides"][name] = each[0]
                beaten.add(name)
                continue
            entry["sides"][name] = {
                "seconds": round(statistics.median(run["found"]["seconds"] for run in each), 3),
                "import_seconds": round(statistics.median(run["import_seconds"] for run in each), 2),
                "cpu_seconds": round(statistics.median(run["cpu_seconds"] for run in each), 2),
                "peak_mb": round(statistics.median(run["peak_mb"] for run in each)),
                "moved": each[0]["found"]["moved"],
                "runs": [round(run["found"]["seconds"], 3) for run in each],
            }
            if "monitor_seconds" in each[0]["found"]:
                middle = statistics.median(run["found"]["monitor_seconds"] for run in each)
                entry["sides"][name]["monitor_seconds"] = round(middle, 3)
        if "runtime" in entry["sides"]:
            entry["accuracy"] = measure_accuracy(sides[1])
            described = run_side("runtime", "describe", sides[0], sides[1], asked, options)
            entry["description"] = {"seconds": described["found"]["seconds"], "peak_mb": described["peak_mb"]}
        found.append(entry)
    return found


def _short(result: dict[str, Any]) -> str:
    if "ended" in result:
        return str(result["ended"])
    return f"{result['found']['seconds']:.2f} s, {result['peak_mb']:.0f} MB"


def measure_accuracy(folder: Path) -> dict[str, Any]:
    """How far sketches are from exact figures: the worst of all features and of 99 quantiles."""
    files = sorted(folder.glob("*.parquet"))
    table = sketch_rows(files, FEATURES)
    worst = {"rank": 0.0, "stated": 0.0, "mean": 0.0, "deviation": 0.0, "counted": 0, "missing_wrong": 0}
    for name in FEATURES:
        values = np.concatenate([pl.read_parquet(file, columns=[name])[name].to_numpy() for file in files])
        column = table.columns[name]
        known = values[~np.isnan(values)]
        worst["missing_wrong"] += int(column.missing != len(values) - len(known))
        distribution = column.numbers.distribution()
        assert distribution is not None
        known.sort()
        ranks = [np.searchsorted(known, distribution.quantiles(PROBABILITIES), side) for side in ("left", "right")]
        low, high = (each / len(known) for each in ranks)
        rank = float(np.maximum(np.maximum(low - PROBABILITIES, PROBABILITIES - high), 0).max())
        exact = known.astype(np.float64)
        worst["rank"] = max(worst["rank"], rank)
        worst["stated"] = max(worst["stated"], distribution.rank_error)
        worst["mean"] = max(worst["mean"], abs(column.numbers.mean / float(exact.mean()) - 1))
        worst["deviation"] = max(worst["deviation"], abs(column.numbers.deviation / float(exact.std()) - 1))
        worst["counted"] += int(column.numbers.exact)
    return worst


def changes() -> dict[str, tuple[str, Change]]:
    """Simulated shifts by name: the feature that changes, and how."""

    def shifted(width: float) -> Change:
        return lambda rows, _: rows.with_columns(pl.col("temperature") + width * pl.col("temperature").std())

    def widened(factor: float) -> Change:
        middle = pl.col("temperature").mean()
        return lambda rows, _: rows.with_columns((pl.col("temperature") - middle) * factor + middle)

    def drawn(rows: pl.DataFrame, random: np.random.Generator, share: float) -> pl.Series:
        return pl.Series(random.random(rows.height) < share)

    def recoded(share: float) -> Change:
        code = pl.lit(float(int("UA", 36)), pl.Float32)
        return lambda rows, random: rows.with_columns(
            carrier=pl.when(drawn(rows, random, share)).then(code).otherwise("carrier")
        )

    def emptied(share: float) -> Change:
        return lambda rows, random: rows.with_columns(
            temperature=pl.when(~drawn(rows, random, share)).then("temperature")
        )

    found: dict[str, tuple[str, Change]] = {}
    for width in (0.1, 0.25, 0.5, 1.0):
        found[f"mean +{width:g} deviations"] = ("temperature", shifted(width))
    for factor in (1.25, 1.5, 2.0):
        found[f"deviation x {factor:g}"] = ("temperature", widened(factor))
    for share in (0.1, 0.25, 0.5):
        found[f"{share:.0%} of carriers become one"] = ("carrier", recoded(share))
    for share in (0.05, 0.2, 0.4):
        found[f"{share:.0%} more missing"] = ("temperature", emptied(share))
    return found


def measure_power(folder: Path, reference: pl.DataFrame, options: Any) -> dict[str, Any]:
    """How often each names the feature that changed, and any in windows that didn't change."""
    random = np.random.default_rng(3)
    (folder / "power").mkdir(parents=True)
    then = reference.select(WATCHED).sample(REFERENCE_ROWS, seed=1)
    then.write_parquet(folder / "reference.parquet")
    named: dict[str, tuple[str, int, str | None]] = {}
    kinds: dict[str, tuple[str | None, Change]] = {"calm": (None, lambda rows, _: rows), **changes()}
    for size in SIZES:
        for kind, (feature, change) in kinds.items():
            for number in range(options.calm if feature is None else options.windows):
                rows = reference.select(WATCHED).sample(size, seed=int(random.integers(1 << 31)))
                name = f"{len(named):06d}"
                change(rows, random).write_parquet(folder / "power" / f"{name}.parquet")
                named[name] = (kind, size, feature)
                del number
    asked = {
        "columns": WATCHED,
        "codes": [name for name in WATCHED if name in CATEGORICAL],
        "limits": LIMITS,
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    for side in ("runtime", "evidently"):
        if side not in options.sides:
            continue
        began = time.perf_counter()
        result = run_side(side, "windows", folder / "reference.parquet", folder / "power", asked, options)
        print(f"{len(named)} windows, {side}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        if "ended" in result:
            found[side] = {"ended": result["ended"]}
            continue
        for method, moved in result["found"].items():
            counts: dict[tuple[str, int], list[bool]] = {}
            for name, (kind, size, feature) in named.items():
                hit = bool(moved[name]) if feature is None else feature in moved[name]
                counts.setdefault((kind, size), []).append(hit)
            found[method] = {}
            for (kind, size), hits in counts.items():
                found[method].setdefault(kind, {})[str(size)] = round(sum(hits) / len(hits), 3)
    return {"windows": options.windows, "calm": options.calm, "reference": REFERENCE_ROWS, "shares": found}


def measure_calm_days(folder: Path, reference: pl.DataFrame, options: Any) -> dict[str, Any]:
    """False alarms on all features of the real flights: shuffled windows, and for comparison real weeks of the same."""
    random = np.random.default_rng(4)
    windows = folder / "calm"
    windows.mkdir(parents=True)
    reference.select(FEATURES).write_parquet(folder / "reference.parquet")
    week = 7 * reference.height // reference["day"].n_unique()
    for number in range(options.calm):
        rows = reference.select(FEATURES).sample(week, seed=int(random.integers(1 << 31)))
        rows.write_parquet(windows / f"shuffled-{number:03d}.parquet")
    weeks = reference.with_columns(week=(pl.col("day") - pl.col("day").min()).dt.total_days() // 7)
    for (number,), rows in weeks.group_by("week"):
        rows.select(FEATURES).write_parquet(windows / f"week-{number:03d}.parquet")
    asked = {"columns": FEATURES, "codes": CATEGORICAL, "limits": LIMITS}
    result = run_side("runtime", "windows", folder / "reference.parquet", windows, asked, options)
    if "ended" in result:
        return {"ended": result["ended"]}
    found: dict[str, Any] = {"rows": week, "shuffled": options.calm}
    for method, moved in result["found"].items():
        alarms = [bool(each) for name, each in moved.items() if name.startswith("shuffled")]
        in_weeks = [len(each) for name, each in moved.items() if name.startswith("week")]
        found[method] = {
            "false_alarms": sum(alarms) / len(alarms),
            "features_moved_in_a_real_week": round(statistics.mean(in_weeks), 1),
        }
    return found


def show(results: dict[str, Any]) -> None:
    """Print tables."""
    console = Console()
    for entry in results["speed"]:
        then, now = entry["rows"]
        table = Table(title=f"{then:,} against {now:,} rows ({entry['scale']}x), {len(FEATURES)} features")
        for name in ("", "seconds", "of it monitor", "import", "CPU s", "peak MB", "times the runtime"):
            table.add_column(name, justify="right")
        ours = entry["sides"].get("runtime", {}).get("seconds")
        for name, side in entry["sides"].items():
            if "ended" in side:
                table.add_row(name, side["ended"], "", "", str(side.get("cpu_seconds", "")))
                continue
            ratio = f"{side['seconds'] / ours:.0f}" if ours else ""
            monitor = str(side.get("monitor_seconds", ""))
            shown = [str(side[each]) for each in ("import_seconds", "cpu_seconds", "peak_mb")]
            table.add_row(name, f"{side['seconds']}", monitor, *shown, ratio)
        console.print(table)
        if "description" in entry:
            described = entry["description"]
            console.print(
                f"the reference as training describes it, with what is usual of its days: "
                f"{described['seconds']:.2f} s, {described['peak_mb']:.0f} MB"
            )
        if "accuracy" in entry:
            worst = entry["accuracy"]
            console.print(
                f"worst rank of 99 quantiles off by {worst['rank']:.3%} (stated: {worst['stated']:.3%}; "
                f"{worst['counted']} of {len(FEATURES)} features counted exactly), mean by {worst['mean']:.1e}, "
                f"deviation by {worst['deviation']:.1e}, counts of missing values wrong: {worst['missing_wrong']}"
            )
    power = results.get("power")
    if power:
        shares = {name: each for name, each in power["shares"].items() if "ended" not in each}
        for size in SIZES:
            table = Table(title=f"Share of windows of {size:,} rows that name the changed feature (calm: any)")
            table.add_column("change")
            for method in shares:
                table.add_column(method, justify="right")
            for kind in next(iter(shares.values()), {}):
                table.add_row(kind, *(f"{each[kind][str(size)]:.1%}" for each in shares.values()))
            console.print(table)
    calm = results.get("calm")
    if calm and "ended" not in calm:
        table = Table(
            title=f"All features of the real flights, {calm['rows']:,} rows: {calm['shuffled']} shuffled windows"
        )
        for name in ("", "false alarms", "features moved in a real week of the same months"):
            table.add_column(name, justify="right")
        for method, each in calm.items():
            if isinstance(each, dict):
                table.add_row(method, f"{each['false_alarms']:.1%}", f"{each['features_moved_in_a_real_week']}")
        console.print(table)


def main() -> int:
    """Measure, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", default="1,10,50", help="how often the rows repeat (default: 1,10,50; '' for none)")
    parser.add_argument("--runs", type=int, default=3, help="rounds at the smallest scale (default: 3)")
    parser.add_argument("--sides", default=",".join(SIDES), help="which of them (default: all)")
    parser.add_argument(
        "--windows", type=int, default=25, help="windows of each change and size (default: 25; 0: none)"
    )
    parser.add_argument("--calm", type=int, default=200, help="windows without a change (default: 200)")
    parser.add_argument("--seconds", type=float, default=900, help="how long a process may take (default: 900)")
    parser.add_argument("--memory-gb", type=float, default=14, help="how much address space it may use (default: 14)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    options.scales = [int(each) for each in options.scales.split(",") if each]
    options.sides = [each for each in options.sides.split(",") if each]
    unknown = set(options.sides) - set(SIDES)
    if unknown:
        parser.error(f"--sides may name {', '.join(SIDES)}, got {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        source = flights(folder / "flights", 365)
        half = source.height // 2
        halves = [source.head(half), source.tail(source.height - half)]
        results: dict[str, Any] = {"speed": measure_speed(folder / "speed", halves, options)}
        if options.windows:
            results["power"] = measure_power(folder / "power", halves[0], options)
            results["calm"] = measure_calm_days(folder / "calm", halves[0], options)
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
