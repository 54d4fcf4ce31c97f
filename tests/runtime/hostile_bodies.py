"""Malformed and adversarial requests: bodies of every format, broken in many ways, from one seed.

    python tests/runtime/hostile_bodies.py <model directory> [--count 100000] [--seed 1]

starts a server for the model, sends it so many, and fails when one is answered with a 5xx or not at all, when a process
of the server ends, or when the server's memory grows. About a minute for 100,000.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2])]

from tests.runtime.container import RUNTIME, free_port

CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"
PARQUET = "application/vnd.apache.parquet"
NUMBERS = ["0", "-1", "17", "2.5", "1e5", "-.5", "", "3.4e38", "-3.5e38", "1e-46", "1e400", "nan", "NaN", "inf"]
NUMBERS += ["-Infinity", "UA", "17 ", "0x1f", "1_0", "١٢", "9" * 400, "--1", "+", "e", '"5"', '"', '""', "null", "true"]
NUMBERS += ["\x00", "\u2028", "[1]", "]", "1.", "01"]
BREAKS = ["\n", "\r\n", "\r", "\n\n", "\x0b", "\x85", "\u2028"]
VALUES: list[object] = [0, -1, 17.5, None, True, "UA", "17", "", "x" * 5000, [], {}, [[1]], 10**400, -(10**30), 1e39]
VALUES += ["\ud800", 2**63, 2**64]
RAW = ["NaN", "Infinity", "-0", "1E400", "01", "1.", "[", "]", "{", '{"', '"\\u', "\\", "/**/1", "'1'"]
ACCEPTS = ["", "*/*", CSV, JSON, JSON_LINES, "text/*;q=x", "image/png", "application/json;q=0", ",,;;", "é", "*" * 500]
TYPES = [CSV, JSON, JSON_LINES, "", "text/csv; charset=latin-1", "TEXT/CSV", PARQUET, "application/octet-stream", ";"]


def bodies(source: random.Random, features: Sequence[str]) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Bodies without end, each with its headers."""
    while True:
        media_type = source.choices([CSV, JSON, JSON_LINES, *TYPES], [9, 9, 5, *[1] * len(TYPES)])[0]
        kind = media_type if media_type in (CSV, JSON, JSON_LINES) else source.choice([CSV, JSON])
        text = {CSV: _csv, JSON: _json, JSON_LINES: _json_lines}[kind](source, features)
        body = text.encode("utf-8", "surrogatepass")
        if source.random() < 0.3:
            body = _mutated(source, body)
        headers = {"Content-Type": media_type} if media_type or source.random() < 0.5 else {}
        if source.random() < 0.3:
            headers["Accept"] = source.choice(ACCEPTS)
        yield body, {name: value.encode().decode("latin-1") for name, value in headers.items()}


def _csv(source: random.Random, features: Sequence[str]) -> str:
    def row() -> str:
        count = len(features) if source.random() < 0.8 else source.randint(0, 60)
        pick = NUMBERS[:7] if source.random() < 0.7 else NUMBERS
        return source.choices([",", ";", "\t"], [30, 1, 1])[0].join(source.choices(pick, k=count))

    rows = [row() for _ in range(source.choice([0, 1, 1, 1, 2, 5, 40]))]
    if source.random() < 0.05:
        rows.insert(0, ",".join(features))
    return source.choices(BREAKS, [20, 5, 1, 1, 1, 1, 1])[0].join(rows) + source.choice(["", "\n"])


def _row(source: random.Random, features: Sequence[str]) -> object:
    values = source.choices(VALUES[:4] if source.random() < 0.6 else VALUES, k=len(features))
    if source.random() < 0.15:
        return source.choice(VALUES)
    if source.random() < 0.5:
        return values if source.random() < 0.9 else values[1:] * source.randint(0, 3)
    named = dict(zip(features, values, strict=True))
    if source.random() < 0.2:
        named[source.choice([*features, "", "x" * 300, "__class__", "\ud800"])] = source.choice(VALUES)
    return named


def _json(source: random.Random, features: Sequence[str]) -> str:
    if source.random() < 0.05:
        depth = source.choice([10, 2000, 100_000])
        return '{"instances": ' + source.choice(["[", '{"a":']) * depth
    rows = [_row(source, features) for _ in range(source.choice([0, 1, 1, 1, 3, 20]))]
    document = source.choices(
        [{"instances": rows}, rows, {"instances": rows, "instances2": 1}, source.choice(VALUES)], [9, 1, 1, 1]
    )
    text = json.dumps(document[0])
    if source.random() < 0.15:
        place = source.randint(0, len(text))
        text = text[:place] + source.choice(RAW) + text[place + source.randint(0, 3) :]
    return text


def _json_lines(source: random.Random, features: Sequence[str]) -> str:
    rows = [json.dumps(_row(source, features)) for _ in range(source.choice([0, 1, 1, 2, 20]))]
    return source.choices(BREAKS, [20, 5, 1, 1, 1, 1, 1])[0].join(rows)


def _mutated(source: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(source.randint(1, 8)):
        place = source.randrange(len(changed) + 1)
        match source.randrange(4):
            case 0:
                changed[place:place] = source.randbytes(source.randint(1, 4))
            case 1:
                del changed[place : place + source.randint(1, 30)]
            case 2:
                changed[place : place + 1] = source.randbytes(1)
            case _:
                changed[place:place] = changed[: source.randint(0, 50)]
    return bytes(changed)


def parquet_bodies(source: random.Random, features: Sequence[str]) -> Iterator[bytes]:
    """Files of Parquet, most of them broken at some place."""
    import polars as pl

    while True:
        target = io.BytesIO()
        data = {name: [source.random() for _ in range(5)] for name in features}
        pl.DataFrame(data).write_parquet(target, compression=source.choice(["zstd", "snappy", "uncompressed"]))
        for _ in range(10):
            yield _mutated(source, target.getvalue())


@dataclass
class Outcome:
    """How requests were answered, and the server's memory in megabytes after the first tenth and at the end."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)


def memory_mb(parent: int) -> float:
    """What the processes of a server hold for themselves."""
    total = 0
    for process in children(parent):
        found = re.search(r"^Private_Dirty:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
        total += int(found[1]) if found else 0
    return total / 1024


def children(parent: int) -> list[int]:
    """The processes that a process started."""
    return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def send(parent: int, port: int, features: Sequence[str], count: int, seed: int) -> Outcome:
    """Send so many to a server; a connection is used as long as the server keeps it."""
    outcome = Outcome()
    first = 0.0
    before = children(parent)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for number, (body, headers) in enumerate(bodies(random.Random(seed), features)):
        if number == count:
            break
        if number == max(count // 10, 1):
            first = memory_mb(parent)
        try:
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            outcome.failures.append(f"{number}: {type(error).__name__} {error}: {headers} {body[:200]!r}")
            continue
        outcome.statuses[status] += 1
        if status >= 500:
            outcome.failures.append(f"{number}: {status}: {headers} {body[:200]!r}")
    connection.close()
    if children(parent) != before:
        outcome.failures.append(f"a process ended: {before} became {children(parent)}")
    outcome.memory = (first, memory_mb(parent))
    return outcome


def main() -> int:
    """Serve a model and send; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    features = json.loads((options.model / "model.json").read_text())["features"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").symlink_to(options.model.resolve())
        port = free_port()
        variables = {
            "SAGEMAKER_BIND_TO_HOST": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "PYTHONPATH": str(RUNTIME),
            "SAGEMAKER_BASE_DIR": folder,
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "model_runtime", "serve"],
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
        )
        try:
            while server.poll() is None:
                try:
                    http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/ping")
                    break
                except OSError:
                    time.sleep(0.1)
            outcome = send(server.pid, port, features, options.count, options.seed)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=40)
    print(f"{options.count} requests: {dict(sorted(outcome.statuses.items()))}")
    print(f"memory of its own: {outcome.memory[0]:.1f} MB after a tenth, {outcome.memory[1]:.1f} MB at the end")
    for failure in outcome.failures[:20]:
        print(failure)
    return 1 if outcome.failures or outcome.memory[1] > outcome.memory[0] * 1.1 + 8 else 0


if __name__ == "__main__":
    sys.exit(main())
